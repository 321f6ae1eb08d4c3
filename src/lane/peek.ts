// Reads as much of an upload as it takes to learn what it does, and no more. The bytes are kept, to be sent on
// unchanged.

import type { Asked, Inspector } from '../dialects/dialect.ts'
import type { AbortCause, Exchange } from '../http/exchange.ts'
import { type Refused, refuse } from './refusals.ts'

/** The beginning of an upload. The exchange is paused; what is still to come goes to whoever reads it next. */
export interface Peeked {
  readonly kind: 'peeked'
  readonly asked: Asked
  readonly prefix: readonly Buffer[]
  /** goes on watching what follows */
  readonly inspector: Inspector
}

/**
 * @param bound bytes that may be looked at; memory is taken only for clients whose rights were checked before
 */
export function peek(exchange: Exchange, inspector: Inspector, bound: number): Promise<Peeked | Refused> {
  const { promise, resolve } = Promise.withResolvers<Peeked | Refused>()
  const prefix: Buffer[] = []
  let size = 0
  let settled = false

  /** Once settled it only keeps what is still under way: the verdict on it is asked for when all has come. */
  function data(chunk: Buffer): void {
    prefix.push(chunk)
    size += chunk.length
    const inspection = inspector.push(chunk)
    if (settled) return
    if (inspection.kind === 'unacceptable') return settle(refuse('upload-unclear', inspection.problem))
    if (inspection.kind === 'known') return settle({ kind: 'peeked', asked: inspection.asked, prefix, inspector })
    if (size > bound) settle(refuse('upload-unclear', `its first ${bound} bytes do not show what it does`))
  }

  function end(): void {
    if (settled) return
    const inspection = inspector.end()
    if (inspection.kind === 'known') settle({ kind: 'peeked', asked: inspection.asked, prefix, inspector })
    else settle(refuse('upload-unclear', inspection.kind === 'undecided' ? 'it is empty' : inspection.problem))
  }

  function settle(result: Peeked | Refused): void {
    settled = true
    exchange.pause()
    resolve(result)
  }

  exchange.onAbort(cause => resolve(refusalOfAbort(cause)))
  exchange.read({ data, end })
  return promise
}

export function refusalOfAbort(cause: AbortCause): Refused {
  switch (cause) {
    case 'gone':
      return refuse('client-gone')
    case 'malformed':
      return refuse('request-malformed', 'the body is not framed as the head says')
    case 'too-slow':
      return refuse('request-too-slow', 'the body made no progress')
  }
}
