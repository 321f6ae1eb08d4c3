// Says a refusal, or any small answer of the gate's own, in a form that every client shows.

import type { Exchange, Response } from '../http/exchange.ts'
import type { Fields, HeadFault } from '../http/head.ts'
import { type Refused, refuse } from './refusals.ts'

/** What a refused upload may still send before the connection is closed, bytes. */
export type Drain = number

/**
 * One body serves npm (`error`), cargo (`errors[].detail`) and OCI clients (`errors[].message`); twine, pnpm and Maven
 * show nothing but the reason phrase, so the same sentence stands there.
 *
 * @param id of the request, to be found again in the log
 */
export function refusalAnswer(refused: Refused, id: string): { readonly response: Response; readonly body: Buffer } {
  const { sentence, refusal, status } = refused
  const errors = [{ code: 'DENIED', message: sentence, detail: sentence }]
  const body = jsonBody({ error: sentence, message: sentence, errors, refusal, request_id: id })
  const fields = ownFields('application/json', id)
  return { response: { status, reason: reasonPhrase(sentence), fields, framing: lengthOf(body) }, body }
}

/** Answers a request with a refusal. */
export function answerRefusal(exchange: Exchange, refused: Refused, id: string, drain: Drain): void {
  const { response, body } = refusalAnswer(refused, id)
  answer(exchange, response, body, drain)
}

/** Answers a request with JSON for people: indented, with a newline. */
export function answerJson(exchange: Exchange, status: number, value: unknown, id: string, drain: Drain): void {
  const body = Buffer.from(`${JSON.stringify(value, undefined, 2)}\n`)
  const response = { status, reason: 'OK', fields: ownFields('application/json', id), framing: lengthOf(body) }
  answer(exchange, response, body, drain)
}

function answer(exchange: Exchange, response: Response, body: Buffer, drain: Drain): void {
  if (exchange.head.method === 'HEAD') {
    const fields = [...response.fields, 'content-length', String(body.length)]
    exchange.respond({ ...response, fields, framing: { kind: 'none' } })
  } else {
    exchange.respond(response)
    exchange.write(body)
  }
  exchange.end(drain)
}

function lengthOf(body: Buffer): { readonly kind: 'length'; readonly length: number } {
  return { kind: 'length', length: body.length }
}

function jsonBody(value: unknown): Buffer {
  return Buffer.from(JSON.stringify(value))
}

/** `no-store`: npm shows a stale answer of whoami when the next one fails. */
function ownFields(type: string, id: string): Fields {
  return [
    'content-type',
    type,
    'cache-control',
    'no-store',
    'x-content-type-options',
    'nosniff',
    'date',
    new Date().toUTCString(),
    'certgate-request-id',
    id,
  ]
}

const REASON_SIZE = 400

/** A reason phrase holds visible ASCII only; an operator's own words may not. */
function reasonPhrase(sentence: string): string {
  return sentence.replace(/[^\x20-\x7e]/g, '?').slice(0, REASON_SIZE)
}

/** The refusal for a request head that could not be read. */
export function refusalOfFault(fault: HeadFault | 'too-slow', detail: string): Refused {
  switch (fault) {
    case 'malformed':
      return refuse('request-malformed', detail)
    case 'too-large':
      return refuse('request-too-large', detail)
    case 'version':
      return refuse('version-unsupported', detail)
    case 'method':
      return refuse('method-unsupported', detail)
    case 'expectation':
      return refuse('expectation-unsupported', detail)
    case 'too-slow':
      return refuse('request-too-slow', detail)
  }
}
