// What follows from as whom a request goes upstream: what is sent, over whose connections, and who is to be told when it
// is not taken.

import type { Credential } from '../accounts/account.ts'
import type { Sender } from './decide.ts'
import { type Refused, refuse } from './refusals.ts'

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
