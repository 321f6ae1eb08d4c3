// What follows from as whom a request goes upstream: what is sent, over whose connections, and who is to be told when it
// is not taken.

import type { Credential } from '../accounts/account.ts'
import type { Sender } from './decide.ts'
import { instant, type Refused, refuse } from './refusals.ts'

export function ownCredential(sender: Sender): Credential | undefined {
  return sender.kind === 'account' ? sender.credential : undefined
}

/** The connections that a sender shares with nobody else (R09). */
export function poolOf(sender: Sender): string {
  return sender.kind === 'account' ? `account ${sender.identity.enrolment.account.name}` : 'public'
}

/**
 * An upstream's challenge is about the gate's credential, which is no business of the client's: followed, it would lead
 * around the gate, or to a password prompt.
 */
export function refusalOfChallenge(sender: Sender): Refused {
  if (sender.kind === 'public') return refuse('certificate-required')
  return refuse('upstream-credential-rejected', sender.identity.enrolment.account.name)
}

/** ms since the epoch at which the sender's certificate or its enrolment ends, whichever is first. */
export function endOf(sender: Sender): number {
  if (sender.kind === 'public') return Number.POSITIVE_INFINITY
  const { peer, enrolment } = sender.identity
  return Math.min(peer.notAfter, enrolment.expires)
}

export function refusalOfEnd(sender: Sender): Refused {
  if (sender.kind === 'public') return refuse('certificate-required')
  const { peer, enrolment } = sender.identity
  return peer.notAfter <= enrolment.expires
    ? refuse('certificate-expired', peer.fingerprint, instant(peer.notAfter))
    : refuse('enrolment-expired', peer.fingerprint, instant(enrolment.expires))
}
