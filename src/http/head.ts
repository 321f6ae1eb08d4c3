// Strict parser of HTTP/1.1 request heads, and what it shares with that of responses. Bytes come in; a head comes out,
// with its framing decided once, or a fault. What nginx, Node or a backend would read differently is refused here
// rather than repaired (R07, R08, R17).

import { consistsOf, FIELD_VALUE, TARGET, TOKEN } from './syntax.ts'

/** Compared exactly: `get` is not GET, and CONNECT and TRACE have no business at a registry (R17). */
export const METHODS = ['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS'] as const
export type Method = (typeof METHODS)[number]

const METHOD_BY_NAME: ReadonlyMap<string, Method> = new Map(METHODS.map(method => [method, method]))

/** Name, value, name, value …; names in lower case, values trimmed, octets as latin1. */
export type Fields = readonly string[]

/** How the end of a body is found, RFC 9112 §6.3. `close` occurs in responses only. */
export type Framing =
  | { readonly kind: 'none' }
  | { readonly kind: 'length'; readonly length: number }
  | { readonly kind: 'chunked' }
  | { readonly kind: 'close' }

export const NO_BODY: Framing = Object.freeze({ kind: 'none' })
export const CHUNKED: Framing = Object.freeze({ kind: 'chunked' })

/** All values of a field, in order. */
export function valuesOf(fields: Fields, name: string): string[] {
  const values: string[] = []
  for (let i = 0; i < fields.length; i += 2) if (fields[i] === name) values.push(fields[i + 1] ?? '')
  return values
}

/** Whether a body is not what it stands for: compressed, say. */
export function isEncoded(fields: Fields): boolean {
  return valuesOf(fields, 'content-encoding').some(coding => coding.toLowerCase() !== 'identity')
}

export interface RequestHead {
  readonly method: Method
  /** origin-form, as received; only octets of RFC 3986 */
  readonly target: string
  /** the Host field, as received; a valid uri-host with optional port */
  readonly host: string
  readonly fields: Fields
  readonly framing: Framing
  /** field names that Connection nominates as hop-by-hop, lower case */
  readonly nominated: readonly string[]
  readonly expectsContinue: boolean
  readonly keepAlive: boolean
}

/** What a malformed head is answered with; the refusal table holds status and text. */
export type HeadFault = 'malformed' | 'too-large' | 'version' | 'method' | 'expectation'

/** `end` is the index after the head; `detail` a constant text, without an octet of the peer's. */
export type HeadResult<Head> =
  | { readonly kind: 'head'; readonly head: Head; readonly end: number }
  | { readonly kind: 'incomplete' }
  | { readonly kind: 'fault'; readonly fault: HeadFault; readonly detail: string }

export interface HeadLimits {
  readonly headSize: number
  readonly headFields: number
}

type Fault = Extract<HeadResult<never>, { kind: 'fault' }>

const INCOMPLETE = Object.freeze({ kind: 'incomplete' }) satisfies HeadResult<never>

/** @param detail constant text, no octet of the peer's */
export function fault(kind: HeadFault, detail: string): Fault {
  return { kind: 'fault', fault: kind, detail }
}

/** The text of a complete head with its last CRLF, or why there is none yet. */
type Located = { readonly kind: 'text'; readonly text: string; readonly end: number } | typeof INCOMPLETE | Fault

/** Finds the head that begins at `start`. */
export function locate(bytes: Buffer, start: number, limits: HeadLimits): Located {
  const blank = bytes.indexOf('\r\n\r\n', start, 'latin1')
  const size = (blank === -1 ? bytes.length : blank + 4) - start
  if (size > limits.headSize) return fault('too-large', 'the head is longer than this server accepts')
  if (blank === -1) return INCOMPLETE
  return { kind: 'text', text: bytes.toString('latin1', start, blank + 2), end: blank + 4 }
}

export interface FieldSection {
  readonly fields: string[]
  readonly host: string | undefined
  readonly length: number | undefined
  readonly chunked: boolean
  readonly connection: string | undefined
  readonly expect: string | undefined
}

type Sectioned = FieldSection | Fault

/** The fields that decide framing and routing occur once; a second one is how smuggling begins. */
export function parseFields(text: string, from: number, limits: HeadLimits): Sectioned {
  const fields: string[] = []
  let host: string | undefined
  let length: number | undefined
  let chunked = false
  let connection: string | undefined
  let expect: string | undefined
  for (let at = from; at < text.length; ) {
    let colon = at
    while (TOKEN[text.charCodeAt(colon)] === 1) colon++
    if (colon === at || text.charCodeAt(colon) !== 0x3a) return fault('malformed', 'a field name is malformed')
    let stop = colon + 1
    while (FIELD_VALUE[text.charCodeAt(stop)] === 1) stop++
    if (text.charCodeAt(stop) !== 0x0d || text.charCodeAt(stop + 1) !== 0x0a) {
      return fault('malformed', 'a field value holds a control character')
    }
    const name = text.slice(at, colon).toLowerCase()
    const value = trimmed(text, colon + 1, stop)
    if (fields.push(name, value) > 2 * limits.headFields) return fault('too-large', 'the head has too many fields')
    at = stop + 2
    switch (name) {
      case 'host':
        if (host !== undefined) return fault('malformed', 'there is more than one Host field')
        host = value
        break
      case 'content-length':
        if (length !== undefined) return fault('malformed', 'there is more than one Content-Length field')
        length = parseLength(value)
        if (length === undefined) return fault('malformed', 'Content-Length is not a plain decimal number')
        break
      case 'transfer-encoding':
        if (chunked || value !== 'chunked') {
          return fault('malformed', 'Transfer-Encoding is something else than one "chunked"')
        }
        chunked = true
        break
      case 'connection':
        connection = connection === undefined ? value : `${connection},${value}`
        break
      case 'expect':
        expect = value
        break
    }
  }
  if (chunked && length !== undefined) {
    return fault('malformed', 'there are both Content-Length and Transfer-Encoding')
  }
  return { fields, host, length, chunked, connection, expect }
}

export function isFault(section: Sectioned): section is Fault {
  return 'kind' in section
}

/** Without optional white space around it, RFC 9110 §5.5. */
function trimmed(text: string, from: number, to: number): string {
  let start = from
  let end = to
  while (start < end && isBlank(text.charCodeAt(start))) start++
  while (end > start && isBlank(text.charCodeAt(end - 1))) end--
  return text.slice(start, end)
}

function isBlank(octet: number): boolean {
  return octet === 0x20 || octet === 0x09
}

/** `010`, `+1`, `1, 1` and `1e3` are refused: parsers disagree on each of them (R08). */
function parseLength(value: string): number | undefined {
  if (!/^(?:0|[1-9][0-9]{0,15})$/.test(value)) return undefined
  const length = Number(value)
  return Number.isSafeInteger(length) ? length : undefined
}

interface ConnectionOptions {
  readonly close: boolean
  readonly nominated: readonly string[]
}

const NOTHING_NOMINATED: readonly string[] = Object.freeze([])
const KEEP: ConnectionOptions = Object.freeze({ close: false, nominated: NOTHING_NOMINATED })

/** @returns undefined when the field is no list of tokens */
export function connectionOptions(value: string | undefined): ConnectionOptions | undefined {
  if (value === undefined || value === 'keep-alive') return KEEP
  const options = value
    .toLowerCase()
    .split(',')
    .map(option => option.trim())
    .filter(option => option !== '')
  if (!options.every(option => consistsOf(TOKEN, option))) return undefined
  return {
    close: options.includes('close'),
    nominated: options.filter(option => option !== 'close' && option !== 'keep-alive'),
  }
}

/** uri-host [":" port] without userinfo, percent-escapes or an empty host; RFC 9112 §3.2. */
const HOST = /^(?:[A-Za-z0-9](?:[A-Za-z0-9\-.]*[A-Za-z0-9.])?|\[[0-9A-Fa-f:.]{2,45}\])(?::[0-9]{1,5})?$/

interface RequestLine {
  readonly method: Method
  readonly target: string
}

/**
 * @param line without its CRLF; exactly `METHOD SP origin-form SP HTTP/1.1`, RFC 9112 §3
 */
function parseRequestLine(line: string): RequestLine | Fault {
  const first = line.indexOf(' ')
  const last = line.lastIndexOf(' ')
  if (first === -1 || first === last) return fault('version', 'the request line is not one of HTTP/1.1')
  const version = line.slice(last + 1)
  if (version !== 'HTTP/1.1') {
    return /^HTTP\/[0-9]\.[0-9]$/.test(version)
      ? fault('version', 'the protocol version is not HTTP/1.1')
      : fault('malformed', 'the request line does not end in a protocol version')
  }
  const name = line.slice(0, first)
  const method = METHOD_BY_NAME.get(name)
  if (method === undefined) {
    return consistsOf(TOKEN, name)
      ? fault('method', 'the method is not one that a registry uses')
      : fault('malformed', 'the method is malformed')
  }
  const target = line.slice(first + 1, last)
  if (!target.startsWith('/') || !consistsOf(TARGET, target)) {
    return fault('malformed', 'the request target is not a path, or holds a character that must be percent-encoded')
  }
  return { method, target }
}

/**
 * Parses one request head.
 *
 * @param bytes what has been received; the head begins at `start`
 * @returns the head and the index after it; `incomplete` when more bytes are needed; or the fault, after which the
 *   connection cannot be used any further
 */
export function parseRequestHead(bytes: Buffer, start: number, limits: HeadLimits): HeadResult<RequestHead> {
  const located = locate(bytes, start, limits)
  if (located.kind === 'incomplete') return faultInFirstLine(bytes, start)
  if (located.kind === 'fault') return located
  const { text, end } = located
  const lineEnd = text.indexOf('\r\n')
  const line = parseRequestLine(text.slice(0, lineEnd))
  if ('kind' in line) return line
  const section = parseFields(text, lineEnd + 2, limits)
  if (isFault(section)) return section
  const { host, fields, expect } = section
  if (host === undefined || !HOST.test(host)) return fault('malformed', 'there is no valid Host field')
  if (expect !== undefined && expect.toLowerCase() !== '100-continue') {
    return fault('expectation', 'Expect is something else than 100-continue')
  }
  const options = connectionOptions(section.connection)
  if (options === undefined) return fault('malformed', 'the Connection field is malformed')
  const framing = requestFraming(section)
  if (framing.kind !== 'none' && !MAY_HAVE_BODY.has(line.method)) {
    return fault('malformed', 'a body came with a method that has none')
  }
  const head: RequestHead = {
    method: line.method,
    target: line.target,
    host,
    fields,
    framing,
    nominated: options.nominated,
    expectsContinue: expect !== undefined && framing.kind !== 'none',
    keepAlive: !options.close,
  }
  return { kind: 'head', head, end }
}

/** cargo sends a body with the DELETE that removes an owner; a body on GET has only ever served to smuggle (R08). */
const MAY_HAVE_BODY: ReadonlySet<Method> = new Set<Method>(['POST', 'PUT', 'PATCH', 'DELETE'])

function requestFraming(section: FieldSection): Framing {
  if (section.chunked) return CHUNKED
  return section.length === undefined || section.length === 0 ? NO_BODY : { kind: 'length', length: section.length }
}

/**
 * HTTP/0.9 (`GET /` and nothing more) and bare-LF requests never reach a blank line: they are told at once, not after
 * the head's time-out.
 */
function faultInFirstLine(bytes: Buffer, start: number): typeof INCOMPLETE | Fault {
  const feed = bytes.indexOf(0x0a, start)
  if (feed === -1) return INCOMPLETE
  if (feed === start || bytes[feed - 1] !== 0x0d) return fault('malformed', 'a line does not end in CRLF')
  const line = parseRequestLine(bytes.toString('latin1', start, feed - 1))
  return 'kind' in line ? line : INCOMPLETE
}
