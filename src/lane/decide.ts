// (peer, enrolment, route, now) → Decision. Pure and synchronous; whatever is not allowed by a line here is refused.

import type { Credential, Enrolment } from '../accounts/account.ts'
import { type Action, ANY_PACKAGE, type Asked } from '../dialects/dialect.ts'
import type { Target } from '../http/target.ts'
import { credentialOf, type Identity, identify } from './identity.ts'
import type { Peer } from './peer.ts'
import { type Refused, refuse } from './refusals.ts'
import type { Inspect, Registry, RegistryRoute, Route } from './route.ts'

/** As whom a request goes upstream. */
export type Sender =
  | { readonly kind: 'account'; readonly identity: Identity; readonly credential: Credential }
  /** without a credential: a read that anybody may make */
  | { readonly kind: 'public' }

export interface Forward {
  readonly kind: 'forward'
  readonly registry: Registry
  readonly asked: Asked
  readonly sender: Sender
}

export type Decision =
  | Forward
  /** the body decides: look at it, then ask again */
  | { readonly kind: 'inspect'; readonly route: RegistryRoute; readonly inspect: Inspect }
  | {
      readonly kind: 'desk'
      readonly registry: Registry
      readonly target: Target
      readonly standing: Identity | Refused
    }
  | Refused

/**
 * @param now ms since the epoch
 * @param leeway ms by which a certificate may begin later than now
 */
export function decide(
  peer: Peer,
  enrolment: Enrolment | undefined,
  route: Route,
  now: number,
  leeway: number,
): Decision {
  if (route.kind === 'refused') return route
  const standing = identify(peer, enrolment, now, leeway)
  if (route.kind === 'desk') return { kind: 'desk', registry: route.registry, target: route.target, standing }
  return route.asked.action === 'read' ? decideRead(route, standing) : decideChange(route, standing)
}

const PUBLIC: Sender = Object.freeze({ kind: 'public' })

/** Where reads are public, a certificate that is unknown or has ended gives what no certificate gives. */
function decideRead({ registry, asked }: RegistryRoute, standing: Identity | Refused): Decision {
  const sender = standing.kind === 'identity' ? senderFor(standing, registry, 'read') : standing
  if (sender.kind === 'refused' && registry.reads === 'public') return forward(registry, asked, PUBLIC)
  return sender.kind === 'refused' ? sender : forward(registry, asked, sender)
}

function decideChange(route: RegistryRoute, standing: Identity | Refused): Decision {
  if (standing.kind === 'refused') return standing
  const { registry, asked, inspect } = route
  if (inspect !== undefined) return decideToInspect(route, inspect, standing)
  const missing = missingRight(standing, registry, asked.action, asked.package)
  if (missing !== undefined) return missing
  const sender = senderFor(standing, registry, asked.action)
  return sender.kind === 'refused' ? sender : forward(registry, asked, sender)
}

/** Nobody's body is read unless one of the things it may turn out to be is allowed (R28). */
function decideToInspect(route: RegistryRoute, inspect: Inspect, identity: Identity): Decision {
  const { registry, asked } = route
  const missing = missingRight(identity, registry, asked.action, asked.package)
  const others = inspect.candidates.filter(action => action !== asked.action)
  const possible =
    missing === undefined || others.some(action => !missingRight(identity, registry, action, asked.package))
  if (!possible) return missing
  const sender = senderFor(identity, registry, undefined)
  return sender.kind === 'refused' ? sender : { kind: 'inspect', route, inspect }
}

function missingRight(
  identity: Identity,
  registry: Registry,
  action: Action,
  packageName: string | undefined,
): Refused | undefined {
  const { account } = identity.enrolment
  const restricted = restriction(identity, action)
  if (restricted !== undefined) return restricted
  const right = account.rights.get(registry.name)?.[action]
  if (right?.covers(packageName ?? ANY_PACKAGE) === true) return undefined
  if (action === 'account') return refuse('account-endpoint-closed')
  return refuse('right-missing', account.name, action, packageName ?? `all packages of ${registry.name}`)
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

function forward(registry: Registry, asked: Asked, sender: Sender): Forward {
  return { kind: 'forward', registry, asked, sender }
}
