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
import type { Budget } from './rewrite.ts'
import type { Registry, Route, Router } from './route.ts'
import type { TicketOffice } from './tickets.ts'

/** What the gate knows at the moment; replaced as a whole when the configuration changes. */
export interface Snapshot {
  readonly directory: Directory
  readonly routeOf: Router
  /** by name */
  readonly registries: ReadonlyMap<string, Registry>
  readonly limits: GatewayLimits
}

/** Sizes in bytes, times in ms. */
export interface GatewayLimits {
  readonly peek: number
  readonly clockLeeway: number
  readonly drainSize: number
  readonly drainSizeUnknown: number
  readonly ticket: number
  readonly readTicket: number
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
  readonly tickets: TicketOffice
  /** for documents that are being rewritten */
  readonly rewriting: Budget
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
  let route = gateway.snapshot().routeOf(exchange.head, client.servername)
  let judgement = judge(gateway, client, exchange, route)
  let peeked: Peeked | undefined

  if (judgement.decision.kind === 'inspect') {
    const { inspect, route: inspected } = judgement.decision
    const result = await peek(exchange, inspect.inspector(), gateway.snapshot().limits.peek)
    if (result.kind === 'peeked') {
      peeked = result
      route = { ...inspected, asked: result.asked, inspect: undefined }
      judgement = judge(gateway, client, exchange, route)
    } else {
      judgement = { ...judgement, decision: result }
    }
  }

  const decision = spendTicket(gateway.tickets, exchange, judgement.decision)
  const facts = { id, started, address: client.address, route, exchange, ...judgement }
  const entry = gateway.recorder.open(facts, decision)
  const outcome = await carryOut(gateway, { client, exchange, id, entry, route, ...judgement }, decision, peeked)
  await entry.complete(outcome)
  report(gateway, id, route, outcome)
}

interface Judgement {
  readonly decision: Decision
  /** of the connection, or of the ticket */
  readonly peer: Peer
  readonly byTicket: boolean
  readonly enrolment: Enrolment | undefined
  /** ms since the epoch */
  readonly time: number
}

/** Always by the present snapshot: while an upload was read, its certificate may have been revoked (R04). */
function judge({ snapshot, clock, tickets }: Gateway, client: Client, { head }: Exchange, route: Route): Judgement {
  const { directory, limits } = snapshot()
  const now = clock()
  const ticket = client.peer.kind === 'anonymous' ? tickets.find(head.fields, now) : undefined
  const byTicket = ticket?.kind === 'ticket'
  const peer = byTicket ? ticket.peer : client.peer
  const enrolment = peer.kind === 'certificate' ? directory.find(peer) : undefined
  const decision = decide({ peer, enrolment, route, ticket, now, leeway: limits.clockLeeway })
  return { decision, peer, byTicket, enrolment, time: now }
}

/** Before anything goes upstream: of two requests with the same ticket one is too late. */
function spendTicket(tickets: TicketOffice, { head }: Exchange, decision: Decision): Decision {
  if (decision.kind !== 'forward' || decision.ticket === undefined || tickets.use(head.fields)) return decision
  return refuse('ticket-used')
}

interface Case extends Pick<Judgement, 'enrolment' | 'peer' | 'time'> {
  readonly client: Client
  readonly exchange: Exchange
  readonly id: string
  readonly entry: Entry
  readonly route: Route
}

function carryOut(
  gateway: Gateway,
  { client, exchange, id, entry, route, enrolment, peer, time }: Case,
  decision: Decision,
  peeked: Peeked | undefined,
): Promise<Outcome> | Outcome {
  const { limits, registries } = gateway.snapshot()
  const drain = enrolment === undefined ? limits.drainSizeUnknown : limits.drainSize
  const refuseWith = (refused: Refused): Refused => {
    const said = route.kind === 'registry' ? { ...refused, status: route.refusalStatus(refused.status) } : refused
    answerRefusal(exchange, said, id, drain)
    return said
  }
  switch (decision.kind) {
    case 'forward': {
      const { address } = client
      const { clock, rewriting } = gateway
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
        rewriting,
      })
    }
    case 'desk': {
      const { tickets } = gateway
      return answerDesk({
        exchange,
        decision,
        peer,
        id,
        drain,
        answerRefusal: refuseWith,
        tickets,
        registries,
        limits,
        time,
      })
    }
    case 'refused':
      return outcomeOf(refuseWith(decision))
    case 'inspect':
      throw new Error('a route that was inspected asks to be inspected again')
  }
}

/** What the person who runs the gate should hear of without reading the audit log. */
function report(gateway: Gateway, id: string, route: Route, { refused, cause }: Outcome): void {
  if (refused === undefined || cause === undefined || route.kind !== 'registry') return
  gateway.onTrouble(id, route.registry.name, refused, cause)
}
