// What the lane knows of an ecosystem: a dialect turns a request into what is asked of which package. Pure functions
// and tables; nothing here sees a socket, a clock or an account.

import type { Fields, Method } from '../http/head.ts'
import type { Target } from '../http/target.ts'

/**
 * What a request does to the registry. `account` covers login, token and user endpoints: with an injected credential
 * those would hand out a durable one, so nobody reaches them.
 */
export const ACTIONS = ['read', 'publish', 'amend', 'withdraw', 'own', 'account'] as const
export type Action = (typeof ACTIONS)[number]

/** Whether an action changes the registry, and is therefore recorded before it is let through. */
export function isChange(action: Action): boolean {
  return action !== 'read'
}

/** What a request asks, as far as is known. `undefined` where the request does not say. */
export interface Asked {
  readonly action: Action
  /** decoded and normalised; undefined for a request about no single package */
  readonly package: string | undefined
  readonly version: string | undefined
  /** `sha512-…` (SRI), `sha256:…`: in the ecosystem's own spelling */
  readonly digest: string | undefined
  /** the answer depends on who asks, so no cache may keep it */
  readonly personal: boolean
  /**
   * Of a change: the package whose content it makes part of this one, so that it reads that too. `ANY_PACKAGE`:
   * whichever the registry finds it in.
   */
  readonly mountedFrom?: string | undefined
  /** a further right to the package that the request needs */
  readonly also?: Action | undefined
  /** how the body of a successful answer is made right; undefined: it passes as it is */
  readonly rewrite?: Rewrite | undefined
  /** The same, but needed only where the backend cannot know the address that its links have to have. */
  readonly relink?: Rewrite | undefined
}

/** How links in a document become links to the gate. */
export interface Links {
  /** the registry's public URL, without a slash at the end */
  readonly publicBase: string
  /** A link to one of the upstream's origins, led to the gate; any other as it is. */
  readonly lead: (link: string) => string
}

/** @returns undefined when the document is not what it should be */
export type Rewrite = (
  document: string,
  links: Links,
  context: { readonly readsNeedCertificate: boolean },
) => string | undefined

/** Reads a request body as it streams, without changing it, to learn what is asked. */
export interface Inspector {
  /**
   * Takes the next bytes. Once `known` was returned it still wants every byte: what follows may contradict.
   */
  push(chunk: Buffer): Inspection
  /** The body is complete: the last word, before the last bytes are released. Asked again, it says the same. */
  end(): Inspection
}

export type Inspection =
  | { readonly kind: 'undecided' }
  | { readonly kind: 'known'; readonly asked: Asked }
  | { readonly kind: 'unacceptable'; readonly problem: string }

/** Stands for a body that cannot be read, whatever is in it. */
export function inspectNothing(problem: string): Inspector {
  const verdict: Inspection = { kind: 'unacceptable', problem }
  return { push: () => verdict, end: () => verdict }
}

export type Classified =
  | { readonly kind: 'asked'; readonly asked: Asked }
  /** Only the body tells which of `candidates` it is. `asked.action` is the first candidate until then. */
  | {
      readonly kind: 'inspect'
      readonly asked: Asked
      readonly candidates: readonly Action[]
      readonly inspector: () => Inspector
    }
  | { readonly kind: 'unknown' }

export interface Dialect {
  readonly name: string
  /**
   * Called with a target whose segments are decoded; the same request always gives the same answer.
   *
   * @param fields of the request head, for whoever has to know how a body is written
   */
  classify(method: Method, target: Target, fields?: Fields): Classified
  /**
   * The one form of a name in which requests, rights and tickets are compared; `classify` gives names in it. It is
   * applied to the operator's patterns too, so it leaves `*` and `/` alone. Absent: a name has one spelling.
   */
  normalise?(name: string): string
  /** The status of a refusal, where clients of the ecosystem misunderstand the usual one. */
  refusalStatus?(status: number, target: Target, method?: Method): number
}

/**
 * Stands for the name in a request about no single package: no name holds a bare slash, so only the right to
 * everything (`**`) covers it.
 */
export const ANY_PACKAGE = '/'

/** An `Asked` about one package. */
export function ask(action: Action, packageName?: string, version?: string): Asked {
  return { action, package: packageName, version, digest: undefined, personal: false }
}
