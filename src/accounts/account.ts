// Who a certificate belongs to, and what that account may do. Built by the configuration, found by the directory,
// judged by the lane; frozen.

import type { Action } from '../dialects/dialect.ts'
import type { Fingerprint, KeyPin } from './fingerprint.ts'
import type { Secret } from './secret.ts'

/** The header field that carries an account's credential to one registry, ready to send. */
export interface Credential {
  /** lower-case field name, `authorization` for bearer, basic and raw */
  readonly field: string
  /** the whole field value */
  readonly value: Secret
}

/** Answers whether a package name (decoded and normalised by the dialect) is among those a right covers. */
export type NameMatcher = (name: string) => boolean

/** The packages that an account may do something to. */
export interface Right {
  /** as the operator wrote them, to be shown to the account's holder */
  readonly patterns: readonly string[]
  readonly covers: NameMatcher
}

/** What an account may do at one registry. `read` needs no entry: an account reads every registry. */
export type Rights = Readonly<Partial<Record<Action, Right>>>

/** One account of the accounts file. */
export interface Account {
  readonly name: string
  readonly suspended: boolean
  /** by registry name */
  readonly credentials: ReadonlyMap<string, Credential>
  /** by registry name */
  readonly rights: ReadonlyMap<string, Rights>
}

export interface Revocation {
  /** as the operator wrote it: a calendar date */
  readonly on: string
  readonly reason: string
}

/** One certificate (or key) of an account. */
export interface Enrolment {
  readonly account: Account
  readonly pinned:
    | { readonly kind: 'certificate'; readonly fingerprint: Fingerprint }
    | { readonly kind: 'key'; readonly pin: KeyPin }
  readonly label: string
  /** ms since the epoch from which the enrolment no longer counts; Infinity where the certificate's own end is the only one */
  readonly expires: number
  /** the actions this certificate is narrowed to; undefined: all of the account's */
  readonly only: ReadonlySet<Action> | undefined
  readonly revoked: Revocation | undefined
}
