// The answer of a token service, read strictly: what stands there becomes a field of requests.

import { z } from 'zod'
import { Secret } from '../accounts/secret.ts'

export interface Token {
  /** `Bearer …` */
  readonly value: Secret
  /** ms that it may be used for */
  readonly lifetime: number
}

/** b64token, RFC 6750 §2.1. */
const text = z.string().regex(/^[A-Za-z0-9\-._~+/]{1,16384}={0,2}$/)

const answer = z.object({
  token: text.optional(),
  // RFC 6749's name for the same.
  access_token: text.optional(),
  expires_in: z.number().positive().optional(),
})

/** The specification's, for a service that does not say. */
const LIFETIME = 60
/** However long a token lives: what its account may do can change meanwhile. */
const LONGEST = 3600
/** For the way to the registry, and for clocks that differ. */
const MARGIN = 30

/** @returns undefined when it cannot be read */
export function readToken(body: Buffer): Token | undefined {
  const parsed = answer.safeParse(parseJson(body.toString('utf8')))
  const token = parsed.data?.token ?? parsed.data?.access_token
  if (token === undefined) return undefined
  const seconds = Math.min(parsed.data?.expires_in ?? LIFETIME, LONGEST)
  return { value: new Secret(`Bearer ${token}`), lifetime: 1000 * (seconds - Math.min(MARGIN, seconds / 4)) }
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}
