// The one place that makes an identity (R01). A credential can be had only for an `Identity`, and only `identify`
// makes one: a path that forgot to check does not compile.

import type { Credential, Enrolment } from '../accounts/account.ts'
import type { Peer } from './peer.ts'
import { instant, type Refused, refuse } from './refusals.ts'

declare const proven: unique symbol

/** A client that has proved possession of an enrolled key, in time, at the moment of the request. */
export interface Identity {
  readonly [proven]: true
  readonly kind: 'identity'
  readonly peer: Extract<Peer, { kind: 'certificate' }>
  readonly enrolment: Enrolment
}

/**
 * Whom a connection stands for now. Asked at every request: certificates end, and are revoked, while connections stay
 * open (R04).
 *
 * @param now ms since the epoch
 * @param leeway ms by which a certificate may begin later than now
 */
export function identify(
  peer: Peer,
  enrolment: Enrolment | undefined,
  now: number,
  leeway: number,
): Identity | Refused {
  if (peer.kind === 'anonymous') return refuse('certificate-required')
  const { fingerprint } = peer
  if (peer.kind === 'unusable') return refuse('certificate-unusable', fingerprint, peer.problem)
  if (enrolment === undefined) return refuse('certificate-unknown', fingerprint)
  const { revoked, expires, account } = enrolment
  if (revoked !== undefined) return refuse('certificate-revoked', fingerprint, revoked.on, revoked.reason)
  if (now < peer.notBefore - leeway) return refuse('certificate-not-yet-valid', fingerprint, instant(peer.notBefore))
  if (now >= peer.notAfter) return refuse('certificate-expired', fingerprint, instant(peer.notAfter))
  if (now >= expires) return refuse('enrolment-expired', fingerprint, instant(expires))
  if (account.suspended) return refuse('account-suspended', account.name)
  return { kind: 'identity', peer, enrolment } as Identity
}

/** The credential that stands for this identity at a registry. */
export function credentialOf(identity: Identity, registry: string): Credential | undefined {
  return identity.enrolment.account.credentials.get(registry)
}
