// Strict parser of HTTP/1.1 response heads, as strict as that of requests: a backend is trusted to be the right one,
// and with nothing about its framing.

import {
  CHUNKED,
  connectionOptions,
  type FieldSection,
  type Fields,
  type Framing,
  fault,
  type HeadLimits,
  type HeadResult,
  isFault,
  locate,
  type Method,
  NO_BODY,
  parseFields,
} from './head.ts'

export interface ResponseHead {
  readonly status: number
  readonly reason: string
  readonly fields: Fields
  readonly framing: Framing
  readonly nominated: readonly string[]
  readonly keepAlive: boolean
}

const UNTIL_CLOSE: Framing = Object.freeze({ kind: 'close' })

/** `HTTP-version SP 3DIGIT SP [ reason-phrase ]`, RFC 9112 §4; the second SP may be missing, as some servers send it. */
const STATUS_LINE = /^HTTP\/1\.([01]) ([1-5][0-9]{2})(?: ([\t\x20-\x7e\x80-\xff]*))?$/

/**
 * Parses one response head, as strictly as a request's.
 *
 * @param method of the request that it answers: it decides whether a body follows (RFC 9112 §6.3)
 */
export function parseResponseHead(
  bytes: Buffer,
  start: number,
  method: Method,
  limits: HeadLimits,
): HeadResult<ResponseHead> {
  const located = locate(bytes, start, limits)
  if (located.kind !== 'text') return located
  const { text, end } = located
  const lineEnd = text.indexOf('\r\n')
  const line = STATUS_LINE.exec(text.slice(0, lineEnd))
  if (line === null) return fault('malformed', 'the status line is malformed')
  const section = parseFields(text, lineEnd + 2, limits)
  if (isFault(section)) return section
  const minor = line[1]
  if (section.chunked && minor === '0') return fault('malformed', 'an HTTP/1.0 response is chunked')
  const options = connectionOptions(section.connection)
  if (options === undefined) return fault('malformed', 'the Connection field is malformed')
  const status = Number(line[2])
  const framing = responseFraming(section, status, method)
  const head: ResponseHead = {
    status,
    reason: line[3] ?? '',
    fields: section.fields,
    framing,
    nominated: options.nominated,
    keepAlive: minor === '1' && !options.close && framing.kind !== 'close',
  }
  return { kind: 'head', head, end }
}

function responseFraming(section: FieldSection, status: number, method: Method): Framing {
  if (method === 'HEAD' || status < 200 || status === 204 || status === 304) return NO_BODY
  if (section.chunked) return CHUNKED
  return section.length === undefined ? UNTIL_CLOSE : { kind: 'length', length: section.length }
}
