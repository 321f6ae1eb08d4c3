// The head that goes upstream, made from parsed fields and never copied; and the answer's head that comes back.

import type { Credential } from '../accounts/account.ts'
import type { Response } from '../http/exchange.ts'
import type { Framing, RequestHead } from '../http/head.ts'
import { CHUNKED, NO_BODY, valuesOf } from '../http/head.ts'
import type { ResponseHead } from '../http/response-head.ts'
import type { Forward } from './decide.ts'
import { requestLines, responseFields, withPrivacy } from './fields.ts'
import { type Places, pathAtGate, rewrittenFields } from './rewrite.ts'

/**
 * The fields by which a backend learns its public address, so that the links it writes lead through the gate.
 * Verdaccio obeys Host and X-Forwarded-Proto, docker-registry X-Forwarded-Host; together they suit all.
 *
 * @param publicUrl of the registry
 * @param extra fields that one backend obeys and no other, by name
 */
export function addressLines(publicUrl: URL, extra: ReadonlyMap<string, string> = new Map()): string {
  const port = publicUrl.port === '' ? '443' : publicUrl.port
  const { host, pathname } = publicUrl
  const prefix = pathname === '/' ? [] : [['x-forwarded-prefix', pathname.slice(0, -1)]]
  const lines = [
    ['host', host],
    ['x-forwarded-proto', 'https'],
    ['x-forwarded-host', host],
    ['x-forwarded-port', port],
    ...prefix,
    ...extra,
  ]
  return lines.map(([name, value]) => `${name}: ${value}\r\n`).join('')
}

/** The line of a credential. The one place where a secret is opened. */
function credentialLine(credential: Credential | undefined): string {
  return credential === undefined ? '' : `${credential.field}: ${credential.value.open()}\r\n`
}

/**
 * The head of a GET that the gate asks for itself.
 *
 * @param target origin-form
 * @param address lines that name the host, as of `addressLines`
 */
export function ownHead(target: string, address: string, credential: Credential | undefined): string {
  return `GET ${target} HTTP/1.1\r\n${address}accept: application/json\r\n${credentialLine(credential)}\r\n`
}

/** A request head with its blank line. */
export function upstreamHead(
  head: RequestHead,
  { registry, upstreamTarget }: Pick<Forward, 'registry' | 'upstreamTarget'>,
  credential: Credential | undefined,
  address: string,
): string {
  return (
    `${head.method} ${upstreamTarget} HTTP/1.1\r\n${registry.addressLines}x-forwarded-for: ${address}\r\n` +
    `${requestLines(head, credential?.field)}${credentialLine(credential)}${framingLine(head)}\r\n`
  )
}

/** An absent length means no body to some servers, and an unknown one to others, where a method usually has one. */
function framingLine(head: RequestHead): string {
  switch (head.framing.kind) {
    case 'length':
      return `content-length: ${head.framing.length}\r\n`
    case 'chunked':
      return 'transfer-encoding: chunked\r\n'
    case 'none':
    case 'close':
      return head.method === 'GET' || head.method === 'HEAD' ? '' : 'content-length: 0\r\n'
  }
}

/** The response for the client. */
export function clientResponse(request: RequestHead, head: ResponseHead, decision: Forward, id: string): Response {
  const { registry, asked, sender } = decision
  const credentialField = sender.kind === 'account' ? sender.credential.field : undefined
  const kept = responseFields(head, credentialField, location => publicLocation(location, registry))
  const marked = asked.rewrite === undefined ? kept : rewrittenFields(kept, registry)
  const fields = sender.kind === 'account' ? withPrivacy(marked, asked.personal) : marked
  fields.push('certgate-request-id', id)
  const framing = clientFraming(head)
  // Where no body follows, the length is a statement about the body that a GET would have had: not the upstream's.
  const silent = framing.kind === 'none' && asked.rewrite === undefined
  const [length] = silent ? valuesOf(head.fields, 'content-length') : []
  if (length !== undefined && (request.method === 'HEAD' || head.status === 304)) fields.push('content-length', length)
  return { status: head.status, reason: head.reason, fields, framing }
}

function clientFraming(head: ResponseHead): Framing {
  if (head.status === 204 || head.status === 304) return NO_BODY
  return head.framing.kind === 'close' ? CHUNKED : head.framing
}

/**
 * A redirect within the upstream leads through the gate; one to another host, such as a blob store, passes as it is
 * and is never followed with the credential (R15).
 */
export function publicLocation(location: string, places: Places): string {
  const absolute = /^(?:[a-z][a-z0-9+.-]*:|\/\/)/i.test(location)
  const url = absolute || location.startsWith('/') ? URL.parse(location, places.upstream.origin) : null
  const path = url === null ? undefined : pathAtGate(places, url, url.pathname)
  if (url === null || path === undefined) return location
  return `${absolute ? places.publicUrl.origin : ''}${path}${url.search}${url.hash}`
}
