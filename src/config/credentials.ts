// The credentials of an account → header fields, ready to send.

import type { Credential } from '../accounts/account.ts'
import { Secret } from '../accounts/secret.ts'
import { consistsOf, TOKEN } from '../http/syntax.ts'
import { resolveSecret, type SecretSource, type Surroundings, secretSource } from './secrets.ts'
import { exactlyOne, keys, scalar } from './shape.ts'
import { complain, readAt, type Sheet } from './sheet.ts'
import type { Path } from './tree.ts'
import { bad, ok, type Read } from './values.ts'

/** How a secret becomes a field. */
interface Scheme {
  readonly field: string
  readonly valueOf: (secret: string) => string
  readonly source: SecretSource
  /** of the secret, below the credential's */
  readonly path: Path
}

/** What the gate or the connection sets: a credential there would change how a request is framed or routed. */
const RESERVED: ReadonlySet<string> = new Set([
  'connection',
  'content-length',
  'expect',
  'forwarded',
  'host',
  'http2-settings',
  'keep-alive',
  'proxy-authenticate',
  'proxy-authorization',
  'proxy-connection',
  'te',
  'trailer',
  'transfer-encoding',
  'upgrade',
  'via',
])

function parseFieldName(text: string): Read<string> {
  const name = text.toLowerCase()
  if (!consistsOf(TOKEN, name)) return bad('this is not the name of a header field')
  if (RESERVED.has(name) || name.startsWith('x-forwarded-')) return bad('the gate sets this header field itself')
  return ok(name)
}

function parseUsername(text: string): Read<string> {
  // RFC 7617 §2: the first colon ends the user's name.
  const valid = /^[\x20-\x7e]+$/.test(text) && !text.includes(':')
  return valid ? ok(text) : bad('this is not a user name: printable ASCII without a colon')
}

const SCHEMES = ['bearer', 'basic', 'raw', 'header'] as const
const AUTHORIZATION = 'authorization'

const credential = keys({
  bearer: secretSource.optional(),
  basic: keys({ username: scalar('a user name', parseUsername), password: secretSource }).optional(),
  raw: secretSource.optional(),
  header: keys({ name: scalar('the name of a header field', parseFieldName), value: secretSource }).optional(),
})
  .superRefine(exactlyOne(SCHEMES))
  .transform(({ bearer, basic, raw, header }): Scheme | undefined => {
    if (bearer) return { field: AUTHORIZATION, valueOf: it => `Bearer ${it}`, source: bearer, path: ['bearer'] }
    if (basic) {
      const { username, password } = basic
      return {
        field: AUTHORIZATION,
        valueOf: it => basicValue(username, it),
        source: password,
        path: ['basic', 'password'],
      }
    }
    if (raw) return { field: AUTHORIZATION, valueOf: it => it, source: raw, path: ['raw'] }
    return header && { field: header.name, valueOf: it => it, source: header.value, path: ['header', 'value'] }
  })

function basicValue(username: string, password: string): string {
  return `Basic ${Buffer.from(`${username}:${password}`).toString('base64')}`
}

/** Reads the credential at `path` and fetches its secret. @returns undefined when it is bad, which is reported */
export async function readCredential(
  sheet: Sheet,
  path: Path,
  surroundings: Surroundings,
): Promise<Credential | undefined> {
  const scheme = readAt(sheet, path, credential)
  if (scheme === undefined) return undefined
  const secret = await resolveSecret(scheme.source, surroundings)
  if (secret.kind === 'bad') return complain(sheet, [...path, ...scheme.path, scheme.source.kind], secret.problem)
  return { field: scheme.field, value: new Secret(scheme.valueOf(secret.value.open())) }
}
