// Finds the enrolment of a certificate. The port between the lane and wherever accounts are kept; this one serves a
// frozen snapshot from memory.

import type { Enrolment } from './account.ts'
import type { Fingerprint, KeyPin } from './fingerprint.ts'

/** What a certificate is looked up by. */
export interface Presented {
  readonly fingerprint: Fingerprint
  readonly keyPin: KeyPin
}

export interface Directory {
  /** By the certificate first: what an operator wrote about this very certificate goes before what holds for its key. */
  readonly find: (presented: Presented) => Enrolment | undefined
  readonly size: number
}

/** @param enrolments with no fingerprint or key pin twice */
export function createDirectory(enrolments: readonly Enrolment[]): Directory {
  const byFingerprint = new Map<Fingerprint, Enrolment>()
  const byPin = new Map<KeyPin, Enrolment>()
  for (const enrolment of enrolments) {
    if (enrolment.pinned.kind === 'certificate') byFingerprint.set(enrolment.pinned.fingerprint, enrolment)
    else byPin.set(enrolment.pinned.pin, enrolment)
  }
  return {
    find: ({ fingerprint, keyPin }) => byFingerprint.get(fingerprint) ?? byPin.get(keyPin),
    size: enrolments.length,
  }
}
