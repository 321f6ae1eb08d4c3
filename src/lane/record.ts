// One audit line for each request that is not a public read, whichever way it ended; for a change two, the first
// before the upstream gets the whole of it. A change that cannot be recorded does not happen.

import type { Enrolment } from '../accounts/account.ts'
import { lineOf } from '../audit/line.ts'
import type { AuditLog } from '../audit/log.ts'
import { type Asked, isChange } from '../dialects/dialect.ts'
import type { Exchange } from '../http/exchange.ts'
import type { Decision } from './decide.ts'
import type { Peer } from './peer.ts'
import type { Refused } from './refusals.ts'
import type { Route } from './route.ts'

/** How a request ended. */
export interface Outcome {
  /** sent to the client; 499 when the client was gone before */
  readonly status: number
  readonly refused: Refused | undefined
  /** for the operator: what went wrong beyond what the client was told */
  readonly cause: string | undefined
  /** body bytes of the answer that are about to be sent */
  readonly unsent: number
}

/** The outcome of a request that was refused before anything was asked of the upstream. */
export function outcomeOf(refused: Refused): Outcome {
  return { status: refused.status, refused, cause: undefined, unsent: 0 }
}

/** The record of one request. */
export interface Entry {
  /** Before a change is complete at the upstream. @returns false: it must not become so */
  readonly begin: (asked: Asked) => Promise<boolean>
  /** Once, when the outcome is known; later calls change nothing. @returns whether the line is written */
  readonly complete: (outcome: Outcome) => Promise<boolean>
}

export interface EntryFacts {
  readonly id: string
  /** monotonic ms at which the request was complete enough to be judged */
  readonly started: number
  /** ms since the epoch */
  readonly time: number
  readonly address: string
  /** of the connection, or of the ticket */
  readonly peer: Peer
  readonly byTicket: boolean
  readonly enrolment: Enrolment | undefined
  readonly route: Route
  readonly exchange: Exchange
}

/** A request whose head could not be read. */
export type UnreadableFacts = Pick<EntryFacts, 'id' | 'time' | 'address' | 'peer'>

export interface Recorder {
  readonly open: (facts: EntryFacts, decision: Decision) => Entry
  readonly unreadable: (facts: UnreadableFacts, refused: Refused) => void
}

const WRITTEN = Promise.resolve(true)

/** A public read is not recorded: there is nothing to account for. */
const UNRECORDED: Entry = { begin: () => WRITTEN, complete: () => WRITTEN }

/**
 * @param now monotonic ms, for durations
 */
export function createRecorder(log: AuditLog, options: { readonly publicReads: boolean }, now: () => number): Recorder {
  return {
    open(facts, decision) {
      if (isPublicRead(decision) && !options.publicReads) return UNRECORDED
      return createEntry(log, facts, decision, now)
    },
    unreadable(facts, { refusal, status }) {
      log.offer(lineOf({ event: 'request', ...describeClient(facts), decision: 'refused', refusal, status }))
    },
  }
}

function isPublicRead(decision: Decision): boolean {
  return decision.kind === 'forward' && decision.sender.kind === 'public'
}

function createEntry(log: AuditLog, facts: EntryFacts, decision: Decision, now: () => number): Entry {
  const { exchange, started } = facts
  let asked = decision.kind === 'forward' ? decision.asked : askedOf(facts.route)
  let completed: Promise<boolean> | undefined
  const change = decision.kind === 'forward' && isChange(decision.asked.action)

  function complete(outcome: Outcome): Promise<boolean> {
    if (completed !== undefined) return completed
    const line = lineOf({
      event: 'request',
      ...describe(facts, asked),
      decision: decision.kind,
      refusal: outcome.refused?.refusal,
      status: outcome.status,
      cause: outcome.cause,
      bytes_in: exchange.bytesIn(),
      bytes_out: exchange.bytesOut() + outcome.unsent,
      ms: Math.round((now() - started) * 10) / 10,
    })
    if (!change) log.offer(line)
    completed = change ? log.require(line) : WRITTEN
    return completed
  }

  return {
    begin(certain) {
      asked = certain
      return log.require(lineOf({ event: 'change', ...describe(facts, asked) }))
    },
    complete,
  }
}

function askedOf(route: Route): Asked | undefined {
  return route.kind === 'registry' ? route.asked : undefined
}

function describeClient({ time, id, address, peer }: UnreadableFacts): Record<string, unknown> {
  const fingerprint = peer.kind === 'anonymous' ? undefined : peer.fingerprint
  return { time: new Date(time).toISOString(), id, address, fingerprint }
}

function describe(facts: EntryFacts, asked: Asked | undefined): Record<string, unknown> {
  const { enrolment, route, exchange } = facts
  return {
    ...describeClient(facts),
    ticket: facts.byTicket || undefined,
    account: enrolment?.account.name,
    label: enrolment?.label,
    registry: route.kind === 'registry' ? route.registry.name : undefined,
    method: exchange.head.method,
    // Without its query: that may hold what the client takes for a secret.
    path: exchange.head.target.replace(/\?.*$/, ''),
    action: route.kind === 'desk' ? 'desk' : asked?.action,
    package: asked?.package,
    version: asked?.version,
    digest: asked?.digest,
    mounted_from: asked?.mountedFrom,
  }
}
