// A request's way through the gate, on one screen: peer and route are known, the enrolment is found, the decision is
// taken and carried out, the outcome recorded. The order is the security property.

import type { Enrolment } from '../accounts/account.ts'
import type { Directory } from '../accounts/directory.ts'
import type { Exchange } from '../http/exchange.ts'
import { answerRefusal } from './answer.ts'
import type { Clock } from './clock.ts'
import { type Decision, decide } from './decide.ts'
import { answerDesk } from './desk.ts'
import { forward } from './forward.ts'
import { type Peeked, peek } from './peek.ts'
import type { Peer } from './peer.ts'
import { type Entry, type Outcome, outcomeOf, type Recorder } from './record.ts'
import { type Refused, refuse } from './refusals.ts'
import type { Route, Router } from './route.ts'

/** What the gate knows at the moment; replaced as a whole when the configuration changes. */
export interface Snapshot {
  readonly directory: Directory
  readonly routeOf: Router
  readonly limits: GatewayLimits
}

/** Sizes in bytes, times in ms. */
export interface GatewayLimits {
  readonly peek: number
  readonly clockLeeway: number
  readonly drainSize: number
  readonly drainSizeUnknown: number
  readonly uploadGrace: number
}

export interface Gateway {
  /** read at each request */
  readonly snapshot: () => Snapshot
  readonly clock: Clock
  /** monotonic ms */
  readonly now: () => number
  readonly newId: () => string
  readonly recorder: Recorder
  /** for the operator: a request that ended in a mistake of ours */
  readonly onMistake: (id: string, error: unknown) => void
  /** for the operator: a request that the upstream spoilt, or whose credential it rejected */
  readonly onTrouble: (id: string, registry: string, refused: Refused, cause: string) => void
}

/** Who is at the other end of a connection: the same for all its requests. */
export interface Client {
  readonly peer: Peer
  /** SNI; undefined when the client gave none */
  readonly servername: string | undefined
  readonly address: string
}

/** Serves one request. Never rejects. */
export async function handle(gateway: Gateway, client: Client, exchange: Exchange): Promise<void> {
  const id = gateway.newId()
  try {
    await serve(gateway, client, exchange, id)
  } catch (error) {
    gateway.onMistake(id, error)
    if (exchange.responded()) exchange.cut()
    else answerRefusal(exchange, refuse('internal-error'), id, 0)
  }
}

async function serve(gateway: Gateway, client: Client, exchange: Exchange, id: string): Promise<void> {
  const started = gateway.now()
  const { peer, address } = client
  let route = gateway.snapshot().routeOf(exchange.head, client.servername)
  let { decision, enrolment, time } = judge(gateway, peer, route)
  let peeked: Peeked | undefined

  if (decision.kind === 'inspect') {
    const result = await peek(exchange, decision.inspect.inspector(), gateway.snapshot().limits.peek)
    if (result.kind === 'peeked') {
      peeked = result
      route = { ...decision.route, asked: result.asked, inspect: undefined }
      ;({ decision, enrolment, time } = judge(gateway, peer, route))
    } else {
      decision = result
    }
  }

  const entry = gateway.recorder.open({ id, started, time, address, peer, enrolment, route, exchange }, decision)
  const outcome = await carryOut(
    gateway,
    { client, exchange, id, entry, enrolled: enrolment !== undefined },
    decision,
    peeked,
  )
  await entry.complete(outcome)
  report(gateway, id, route, outcome)
}

interface Judgement {
  readonly decision: Decision
  readonly enrolment: Enrolment | undefined
  /** ms since the epoch */
  readonly time: number
}

/** Always by the present snapshot: while an upload was read, its certificate may have been revoked (R04). */
function judge(gateway: Gateway, peer: Peer, route: Route): Judgement {
  const { directory, limits } = gateway.snapshot()
  const time = gateway.clock()
  const enrolment = peer.kind === 'certificate' ? directory.find(peer) : undefined
  return { decision: decide(peer, enrolment, route, time, limits.clockLeeway), enrolment, time }
}

interface Case {
  readonly client: Client
  readonly exchange: Exchange
  readonly id: string
  readonly entry: Entry
  readonly enrolled: boolean
}

function carryOut(
  gateway: Gateway,
  { client, exchange, id, entry, enrolled }: Case,
  decision: Decision,
  peeked: Peeked | undefined,
): Promise<Outcome> | Outcome {
  const { limits } = gateway.snapshot()
  const drain = enrolled ? limits.drainSize : limits.drainSizeUnknown
  const refuseWith = (refused: Refused): void => answerRefusal(exchange, refused, id, drain)
  switch (decision.kind) {
    case 'forward': {
      const { address } = client
      const { clock } = gateway
      const { uploadGrace } = limits
      return forward({
        exchange,
        decision,
        peeked,
        entry,
        id,
        address,
        answerRefusal: refuseWith,
        drain,
        clock,
        uploadGrace,
      })
    }
    case 'desk':
      return answerDesk({ exchange, decision, peer: client.peer, id, drain, answerRefusal: refuseWith })
    case 'refused':
      refuseWith(decision)
      return outcomeOf(decision)
    case 'inspect':
      throw new Error('a route that was inspected asks to be inspected again')
  }
}

/** What the person who runs the gate should hear of without reading the audit log. */
function report(gateway: Gateway, id: string, route: Route, { refused, cause }: Outcome): void {
  if (refused === undefined || cause === undefined || route.kind === 'refused') return
  gateway.onTrouble(id, route.registry.name, refused, cause)
}
