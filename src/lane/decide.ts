// (peer, enrolment, route, now) → Decision. Pure and synchronous; whatever is not allowed by a line here is refused.

import type { Credential, Enrolment } from '../accounts/account.ts'
import { type Action, ANY_PACKAGE, type Asked } from '../dialects/dialect.ts'
import { credentialOf, type Identity, identify } from './identity.ts'
import type { Peer } from './peer.ts'
import { type Refused, refuse } from './refusals.ts'
import type { Inspect, Registry, RegistryRoute, Route } from './route.ts'
import { differenceFrom, type Presented, type Ticket, type TicketBinding } from './tickets.ts'

/** As whom a request goes upstream. */
export type Sender =
  | { readonly kind: 'account'; readonly identity: Identity; readonly credential: Credential }
  /** without a credential: a read that anybody may make */
  | { readonly kind: 'public' }

export interface Forward {
  readonly kind: 'forward'
  readonly registry: Registry
  readonly asked: Asked
  /** origin-form, for the upstream */
  readonly upstreamTarget: string
  readonly sender: Sender
  /** the ticket that it came with: its digest, if it names one, is compared when the whole body has come */
  readonly ticket: Ticket | undefined
}

export type Decision =
  | Forward
  /** the body decides: look at it, then ask again */
  | { readonly kind: 'inspect'; readonly route: RegistryRoute; readonly inspect: Inspect }
  | { readonly kind: 'desk'; readonly endpoint: string; readonly standing: Identity | Refused }
  | Refused

/** All that a decision is taken from. */
export interface Question {
  /** of the connection, or of the ticket that the request came with */
  readonly peer: Peer
  readonly enrolment: Enrolment | undefined
  readonly route: Route
  readonly ticket: Presented
  /** ms since the epoch */
  readonly now: number
  /** ms by which a certificate may begin later than now */
  readonly leeway: number
}

export function decide({ peer, enrolment, route, ticket, now, leeway }: Question): Decision {
  if (route.kind === 'refused') return route
  const standing = ticket?.kind === 'refused' ? ticket : identify(peer, enrolment, now, leeway)
  // A ticket is good for what it names, never for the desk: that would make one ticket out of another.
  if (route.kind === 'desk')
    return { ...route, standing: ticket?.kind === 'ticket' ? refuse('certificate-required') : standing }
  const decision = route.asked.action === 'read' ? decideRead(route, standing) : decideChange(route, standing)
  return ticket?.kind === 'ticket' ? withTicket(decision, ticket, route) : decision
}

/** What a ticket is for is compared as far as it is known; after the body was looked at, once more (R28). */
function withTicket(decision: Decision, ticket: Ticket, { registry, asked, inspect }: RegistryRoute): Decision {
  if (decision.kind !== 'forward' && decision.kind !== 'inspect') return decision
  const { mountedFrom } = asked
  // No ticket is for two actions, or for two packages.
  if (asked.also !== undefined) return refuse('ticket-differs', 'action', ticket.binding.action, `${asked.also} too`)
  if (mountedFrom !== undefined)
    return refuse('ticket-differs', 'package', asked.package ?? '', `content of ${mountedFrom} too`)
  const known = inspect === undefined ? asked : bestCase(ticket.binding, asked, inspect)
  const difference = differenceFrom(ticket.binding, registry.name, known)
  if (difference !== undefined) return difference
  return decision.kind === 'forward' ? { ...decision, ticket } : decision
}

/** What a body may turn out to ask: what its ticket is for, unless the head denies that already. */
function bestCase(binding: TicketBinding, asked: Asked, { candidates }: Inspect): TicketBinding {
  const action = candidates.includes(binding.action) ? binding.action : asked.action
  return { ...binding, action, package: asked.package ?? binding.package }
}

const PUBLIC: Sender = Object.freeze({ kind: 'public' })

/** Where reads are public, a certificate that is unknown or has ended gives what no certificate gives. */
function decideRead(route: RegistryRoute, standing: Identity | Refused): Decision {
  const { registry } = route
  const sender = standing.kind === 'identity' ? senderFor(standing, registry, 'read') : standing
  if (sender.kind === 'refused' && registry.reads === 'public') return forward(route, PUBLIC)
  return sender.kind === 'refused' ? sender : forward(route, sender)
}

function decideChange(route: RegistryRoute, standing: Identity | Refused): Decision {
  if (standing.kind === 'refused') return standing
  const { registry, asked, inspect } = route
  if (inspect !== undefined) return decideToInspect(route, inspect, standing)
  const missing =
    missingRight(standing, registry.name, asked.action, asked.package) ??
    missingFurther(standing, registry.name, asked) ??
    unreadable(standing, asked)
  if (missing !== undefined) return missing
  const sender = senderFor(standing, registry, asked.action)
  return sender.kind === 'refused' ? sender : forward(route, sender)
}

function missingFurther(identity: Identity, registry: string, asked: Asked): Refused | undefined {
  return asked.also === undefined ? undefined : missingRight(identity, registry, asked.also, asked.package)
}

/**
 * A mount reads what it mounts with the account's credential, which may show more than public reads do. An account reads
 * every package, so it is for the certificate to be narrower.
 */
function unreadable(identity: Identity, { mountedFrom }: Asked): Refused | undefined {
  return mountedFrom === undefined ? undefined : restriction(identity, 'read')
}

/** Nobody's body is read unless one of the things it may turn out to be is allowed (R28). */
function decideToInspect(route: RegistryRoute, inspect: Inspect, identity: Identity): Decision {
  const { registry, asked } = route
  const refusals = inspect.candidates.map(action => missingRight(identity, registry.name, action, asked.package))
  // Where the body has to tell the name, too, having the right to some package is enough to have it looked at.
  const some =
    asked.package === undefined && inspect.candidates.some(action => hasSomeRight(identity, registry.name, action))
  const [first] = refusals
  if (first !== undefined && !refusals.includes(undefined) && !some) return first
  const sender = senderFor(identity, registry, undefined)
  return sender.kind === 'refused' ? sender : { kind: 'inspect', route, inspect }
}

function hasSomeRight(identity: Identity, registry: string, action: Action): boolean {
  const right = identity.enrolment.account.rights.get(registry)?.[action]
  return restriction(identity, action) === undefined && right !== undefined && right.patterns.length > 0
}

/** @returns why an identity may not do something to a package; undefined when it may */
export function missingRight(
  identity: Identity,
  registry: string,
  action: Action,
  packageName: string | undefined,
): Refused | undefined {
  const { account } = identity.enrolment
  const restricted = restriction(identity, action)
  if (restricted !== undefined) return restricted
  const right = account.rights.get(registry)?.[action]
  if (right?.covers(packageName ?? ANY_PACKAGE) === true) return undefined
  if (action === 'account') return refuse('account-endpoint-closed')
  return refuse('right-missing', account.name, action, packageName ?? `all packages of ${registry}`)
}

/** A certificate may be narrower than its account: a CI's that only reads and publishes. */
function restriction(identity: Identity, action: Action): Refused | undefined {
  const { only, label } = identity.enrolment
  if (only === undefined || only.has(action)) return undefined
  return refuse('certificate-restricted', label, [...only].join(', '), action)
}

/** @param action undefined while it is not known yet */
function senderFor(identity: Identity, registry: Registry, action: Action | undefined): Sender | Refused {
  const restricted = action === undefined ? undefined : restriction(identity, action)
  if (restricted !== undefined) return restricted
  const credential = credentialOf(identity, registry.name)
  if (credential === undefined) return refuse('credential-missing', identity.enrolment.account.name, registry.name)
  return { kind: 'account', identity, credential }
}

function forward({ registry, asked, upstreamTarget }: RegistryRoute, sender: Sender): Forward {
  return { kind: 'forward', registry, asked, upstreamTarget, sender, ticket: undefined }
}
