// Tickets: one-time strings for a client that cannot present a certificate, bound to what they are for. A ticket
// stands for the certificate that asked for it, which is judged again when the ticket is used: when that is revoked or
// ends, so do its tickets.

import { createHash, randomBytes } from 'node:crypto'
import { LRUCache } from 'lru-cache'
import type { Action } from '../dialects/dialect.ts'
import { type Fields, valuesOf } from '../http/head.ts'
import type { Peer } from './peer.ts'
import { type Refused, refuse } from './refusals.ts'

/** What a ticket is good for. `undefined` stands for any; `digest` for one that is not compared. */
export interface TicketBinding {
  readonly registry: string
  readonly action: Action
  readonly package: string | undefined
  readonly version: string | undefined
  readonly digest: string | undefined
}

export interface Ticket {
  readonly kind: 'ticket'
  readonly peer: Extract<Peer, { kind: 'certificate' }>
  readonly binding: TicketBinding
  /** ms since the epoch */
  readonly expires: number
}

/** What a request brought: no ticket, one that is good for something, or one that is good for nothing any more. */
export type Presented = Ticket | Refused | undefined

export interface TicketOffice {
  readonly issue: (ticket: Ticket) => string
  /** Finds the ticket among a request's fields; looking at it does not use it up. */
  readonly find: (fields: Fields, now: number) => Presented
  /** @returns false when it was used before: of two at the same time one wins. A ticket to read is not used up. */
  readonly use: (fields: Fields) => boolean
}

const PREFIX = 'certgate_'
const TEXT = new RegExp(`^${PREFIX}[A-Za-z0-9_-]{43}$`)

interface Kept {
  readonly ticket: Ticket
  used: boolean
}

/** @param size how many tickets are kept; the oldest are forgotten first */
export function createTicketOffice(size: number): TicketOffice {
  // Of the ticket only a hash is kept: whoever reads the memory cannot use what stands there.
  const kept = new LRUCache<string, Kept>({ max: size })

  return {
    issue(ticket) {
      const text = `${PREFIX}${randomBytes(32).toString('base64url')}`
      kept.set(hashOf(text), { ticket, used: false })
      return text
    },
    find(fields, now) {
      const text = ticketIn(fields)
      if (text === undefined) return undefined
      const found = kept.get(hashOf(text))
      if (found === undefined) return refuse('ticket-unknown')
      if (found.used) return refuse('ticket-used')
      return now < found.ticket.expires ? found.ticket : refuse('ticket-expired')
    },
    use(fields) {
      const found = kept.get(hashOf(ticketIn(fields) ?? ''))
      if (found === undefined || found.used) return false
      found.used = found.ticket.binding.action !== 'read'
      return true
    },
  }
}

function hashOf(text: string): string {
  return createHash('sha256').update(text).digest('base64')
}

/** As a client sends it: raw (cargo), as a Bearer token, or as the password of Basic. Anything else is no ticket. */
function ticketIn(fields: Fields): string | undefined {
  const [value = '', ...others] = valuesOf(fields, 'authorization')
  if (others.length > 0) return undefined
  const [, scheme, rest = ''] = /^(Bearer|Basic) +(.*)$/i.exec(value) ?? []
  const text = scheme === undefined ? value : scheme.toLowerCase() === 'bearer' ? rest : passwordOf(rest)
  return TEXT.test(text) ? text : undefined
}

function passwordOf(credentials: string): string {
  const text = Buffer.from(credentials, 'base64').toString('latin1')
  return text.slice(text.indexOf(':') + 1)
}

/** @returns the refusal that says in what a request differs from what its ticket is for */
export function differenceFrom(
  binding: TicketBinding,
  registry: string,
  asked: Omit<TicketBinding, 'registry'>,
): Refused | undefined {
  const pairs: readonly [what: string, bound: string | undefined, found: string | undefined][] = [
    ['registry', binding.registry, registry],
    ['action', binding.action, asked.action],
    ['package', binding.package, asked.package],
    ['version', binding.version, asked.version],
  ]
  const differing = pairs.find(([, bound, found]) => bound !== undefined && bound !== found)
  if (differing === undefined) return undefined
  const [what, bound = '', found = 'none'] = differing
  return refuse('ticket-differs', what, bound, found)
}
