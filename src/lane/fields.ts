// Which fields cross the gate, in each direction: strip first, then set. What stays behind is decided by rule, so that
// a client's own extension fields pass and nothing that speaks of identity does (R06, R10).

import type { Fields, RequestHead } from '../http/head.ts'
import type { ResponseHead } from '../http/response-head.ts'

/** RFC 9110 §7.6.1, and what old software sends in its place. Framing is set anew by the engine. */
const HOP_BY_HOP = [
  'connection',
  'keep-alive',
  'proxy-connection',
  'proxy-authenticate',
  'proxy-authorization',
  'proxy-authentication-info',
  'te',
  'trailer',
  'transfer-encoding',
  'content-length',
  'upgrade',
  'http2-settings',
]

/** From the client: a credential, or a claim about who or where the client is, or about what it really asks. */
const CLAIMS = [
  'authorization',
  'cookie',
  'cookie2',
  'private-token',
  'job-token',
  'deploy-token',
  'x-api-key',
  'x-nuget-apikey',
  'forwarded',
  'via',
  'host',
  'expect',
  'remote-user',
  'client-cert',
  'client-cert-chain',
  'true-client-ip',
  'x-real-ip',
  'x-client-ip',
  'x-cluster-client-ip',
  'x-remote-user',
  'x-user',
  'x-outside-url',
  // A backend that obeys one of these serves something else than what was judged.
  'x-original-url',
  'x-original-method',
  'x-rewrite-url',
  'x-http-method',
  'x-http-method-override',
  'x-method-override',
  // Artifactory would unpack one upload to many paths, of which only the first was judged.
  'x-explode-archive',
  'x-explode-archive-atomic',
]

const CLAIM_PREFIXES = [
  'x-forwarded-',
  'x-original-forwarded-',
  'x-auth-',
  'x-ssl-',
  'x-client-cert',
  'x-webauth-',
  'x-jfrog-',
  'x-artifactory-',
  'x-authenticated-',
  'ssl-client-',
  'certgate-',
]

/** From the upstream: a session or a challenge that belongs to the gate's own credential, or a way around the gate. */
const UPSTREAM_OWN = [
  'set-cookie',
  'set-cookie2',
  'www-authenticate',
  'authentication-info',
  'alt-svc',
  'certgate-request-id',
  'certgate-notice',
]

const DROPPED_FROM_REQUEST: ReadonlySet<string> = new Set([...HOP_BY_HOP, ...CLAIMS])
const DROPPED_FROM_RESPONSE: ReadonlySet<string> = new Set([...HOP_BY_HOP, ...UPSTREAM_OWN])

/**
 * `X_Forwarded_User` and `X.Forwarded.User` become `X-Forwarded-User` in CGI, WSGI and PHP: an alias would walk past
 * every list above.
 */
const ALIAS = /[_.]/

/** Whether the gate itself sets a request field, so that no client may have it removed at the next hop (CVE-2024-45410). */
export function isSetByGate(name: string): boolean {
  return name === 'authorization' || name === 'host' || name.startsWith('x-forwarded-')
}

/** Whether a field is about one connection or frames a message, so that nobody but the engine sets it. */
export function isHopByHop(name: string): boolean {
  return HOP_BY_HOP.includes(name) || name === 'expect'
}

/**
 * Whether a field belongs to the message and not to the connection: one that says how a body is to be read must not be
 * removed after it was judged by it (RFC 9110 §7.6.1).
 */
export function isEndToEnd(name: string): boolean {
  return isSetByGate(name) || name.startsWith('content-')
}

/** Whether a client's field stays behind. */
export function isDroppedFromRequest(name: string): boolean {
  return DROPPED_FROM_REQUEST.has(name) || ALIAS.test(name) || CLAIM_PREFIXES.some(prefix => name.startsWith(prefix))
}

/** A request's fields that go on, as lines of a head. */
export function requestLines(head: RequestHead, credentialField: string | undefined): string {
  const { fields, nominated } = head
  let lines = ''
  for (let i = 0; i < fields.length; i += 2) {
    const name = fields[i] ?? ''
    if (isDroppedFromRequest(name) || name === credentialField || nominated.includes(name)) continue
    lines += `${name}: ${fields[i + 1]}\r\n`
  }
  return lines
}

/**
 * A response's fields that go on.
 *
 * @param credentialField of the request: a backend that echoes what it was sent would hand the credential out (R14)
 * @param locate rewrites the value of Location
 */
export function responseFields(
  head: ResponseHead,
  credentialField: string | undefined,
  locate: (location: string) => string,
): string[] {
  const { fields, nominated } = head
  const kept: string[] = []
  for (let i = 0; i < fields.length; i += 2) {
    const name = fields[i] ?? ''
    const value = fields[i + 1] ?? ''
    if (DROPPED_FROM_RESPONSE.has(name) || name === credentialField || nominated.includes(name)) continue
    kept.push(name, name === 'location' ? locate(value) : value)
  }
  return kept
}

/** Never to be kept by a cache that others use (R40); what depends on who asks, by none at all. */
export function withPrivacy(fields: Fields, personal: boolean): string[] {
  if (!personal) return [...fields, 'cache-control', 'private']
  const kept: string[] = []
  for (let i = 0; i < fields.length; i += 2) {
    if (fields[i] !== 'cache-control') kept.push(fields[i] ?? '', fields[i + 1] ?? '')
  }
  kept.push('cache-control', 'no-store')
  return kept
}
