// The gate's own endpoints, under /.certgate/ on every public URL: who am I, and tickets.

import { z } from 'zod'
import type { Rights } from '../accounts/account.ts'
import { ACTIONS } from '../dialects/dialect.ts'
import type { Exchange } from '../http/exchange.ts'
import { answerJson } from './answer.ts'
import { type Decision, missingRight } from './decide.ts'
import type { Identity } from './identity.ts'
import { refusalOfAbort } from './peek.ts'
import type { Peer } from './peer.ts'
import { type Outcome, outcomeOf } from './record.ts'
import { instant, type Refused, refuse } from './refusals.ts'
import type { Registry } from './route.ts'
import type { TicketBinding, TicketOffice } from './tickets.ts'

export interface DeskJob {
  readonly exchange: Exchange
  readonly decision: Extract<Decision, { kind: 'desk' }>
  readonly peer: Peer
  /** request id */
  readonly id: string
  /** bytes of a request that are still read after the answer */
  readonly drain: number
  readonly answerRefusal: (refused: Refused) => void
  readonly tickets: TicketOffice
  /** that a ticket may be for, by name */
  readonly registries: ReadonlyMap<string, Registry>
  /** lifetimes of tickets, ms */
  readonly limits: { readonly ticket: number; readonly readTicket: number }
  /** ms since the epoch */
  readonly time: number
}

export async function answerDesk(job: DeskJob): Promise<Outcome> {
  const { method } = job.exchange.head
  const { endpoint, standing } = job.decision
  if (endpoint === 'whoami' && (method === 'GET' || method === 'HEAD')) return say(job, 200, whoami(job.peer, standing))
  if (endpoint === 'tickets' && method === 'POST') return giveTicket(job)
  return refuseWith(job, refuse('route-unknown', 'desk'))
}

function say({ exchange, id, drain }: DeskJob, status: number, value: unknown): Outcome {
  answerJson(exchange, status, value, id, drain)
  return { status, refused: undefined, cause: undefined, unsent: 0 }
}

function refuseWith(job: DeskJob, refused: Refused): Outcome {
  job.answerRefusal(refused)
  return outcomeOf(refused)
}

const REQUEST_SIZE = 16_384
const name = z.string().min(1).max(256)

const ticketRequest = z.strictObject({
  registry: name,
  action: z.enum(ACTIONS),
  package: name.optional(),
  version: name.optional(),
  digest: name.optional(),
})

/** What a holder may do, a ticket of theirs may do: for a while, once, and nothing else. */
async function giveTicket(job: DeskJob): Promise<Outcome> {
  const { standing } = job.decision
  if (standing.kind === 'refused') return refuseWith(job, standing)
  const read = await readRequest(job.exchange)
  if (read.kind === 'refused') return refuseWith(job, read)
  const registry = job.registries.get(read.binding.registry)
  if (registry === undefined) return refuseWith(job, refuse('ticket-malformed', 'there is no such registry'))
  const binding = withName(read.binding, registry)
  const missing =
    binding.action === 'read' ? undefined : missingRight(standing, binding.registry, binding.action, binding.package)
  if (missing !== undefined) return refuseWith(job, missing)
  const lifetime = binding.action === 'read' ? job.limits.readTicket : job.limits.ticket
  const expires = job.time + lifetime
  const ticket = job.tickets.issue({ kind: 'ticket', peer: standing.peer, binding, expires })
  return say(job, 201, { ticket, expires: new Date(expires).toISOString(), ...binding })
}

/** Clients write a name as its owner does, requests are compared in the one form that the dialect gives names. */
function withName(binding: TicketBinding, { dialect }: Registry): TicketBinding {
  const { package: name } = binding
  return { ...binding, package: name === undefined ? undefined : (dialect.normalise?.(name) ?? name) }
}

type ReadRequest = { readonly kind: 'binding'; readonly binding: TicketBinding } | Refused

async function readRequest(exchange: Exchange): Promise<ReadRequest> {
  const text = await readSmallBody(exchange, REQUEST_SIZE)
  if (typeof text !== 'string') return text
  const parsed = ticketRequest.safeParse(parseJson(text))
  if (!parsed.success) {
    const [issue] = parsed.error.issues
    return refuse('ticket-malformed', `${issue?.path.join('.') ?? ''} ${issue?.message ?? ''}`.trim())
  }
  const { registry, action, package: packageName, version, digest } = parsed.data
  return { kind: 'binding', binding: { registry, action, package: packageName, version, digest } }
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

function readSmallBody(exchange: Exchange, bound: number): Promise<string | Refused> {
  const { promise, resolve } = Promise.withResolvers<string | Refused>()
  const chunks: Buffer[] = []
  let size = 0
  exchange.onAbort(cause => resolve(refusalOfAbort(cause)))
  exchange.read({
    data(chunk) {
      size += chunk.length
      if (size <= bound) chunks.push(chunk)
      else resolve(refuse('ticket-malformed', `the request is longer than ${bound} bytes`))
    },
    end: () => resolve(Buffer.concat(chunks).toString('utf8')),
  })
  return promise
}

/** Makes a key and a self-signed certificate for five years; OpenSSL 1.1.1 and later. */
const MAKE_CERTIFICATE = 'openssl req -x509 -newkey ed25519 -nodes -days 1825 -subj /CN=me -keyout id.key -out id.pem'

/**
 * Who the gate thinks the client is. An unknown certificate is answered too: this is how a newcomer learns what to
 * send to the operator.
 */
function whoami(peer: Peer, standing: Identity | Refused): Record<string, unknown> {
  return { certificate: describePeer(peer), ...describeStanding(peer, standing) }
}

function describePeer(peer: Peer): Record<string, unknown> | null {
  switch (peer.kind) {
    case 'anonymous':
      return null
    case 'unusable':
      return { fingerprint: peer.fingerprint }
    case 'certificate': {
      const { fingerprint, keyPin, key, notBefore, notAfter } = peer
      return { fingerprint, key_pin: keyPin, key, not_before: instant(notBefore), not_after: instant(notAfter) }
    }
  }
}

function describeStanding(peer: Peer, standing: Identity | Refused): Record<string, unknown> {
  if (standing.kind === 'identity') return describeAccount(standing)
  const hint = peer.kind === 'anonymous' ? { make_one: MAKE_CERTIFICATE } : {}
  return { account: null, refusal: standing.refusal, message: standing.sentence, ...hint }
}

function describeAccount({ peer, enrolment }: Identity): Record<string, unknown> {
  const { account, label, expires, only } = enrolment
  const registries = new Set([...account.credentials.keys(), ...account.rights.keys()])
  return {
    account: account.name,
    label,
    expires: instant(Math.min(peer.notAfter, expires)),
    only: only === undefined ? null : [...only],
    rights: Object.fromEntries([...registries].map(name => [name, rightsAt(account.rights.get(name))])),
  }
}

function rightsAt(rights: Rights = {}): Record<string, readonly string[]> {
  return Object.fromEntries(Object.entries(rights).map(([action, right]) => [action, right.patterns]))
}
