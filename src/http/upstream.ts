// The client side of one connection to a backend: one request out, one response in, then perhaps another. It trusts
// the backend to be the right one, and nothing about its framing.

import type { Socket } from 'node:net'
import { type BodyDecoder, CHUNK_END, chunkHeader, createBodyDecoder, LAST_CHUNK } from './body.ts'
import type { Framing, HeadLimits, Method } from './head.ts'
import type { ResponseHead } from './response-head.ts'
import { parseResponseHead } from './response-head.ts'
import type { Sweeper, Watch } from './sweeper.ts'

/**
 * `unreachable`: no connection; `busy`: no connection free; `timeout`: connected, and silent; `malformed`: not HTTP as
 * we accept it; `cut`: closed before the response was whole.
 */
export type UpstreamFault = 'unreachable' | 'busy' | 'timeout' | 'malformed' | 'cut'

export interface UpstreamRequest {
  readonly method: Method
  /** the whole head with its blank line, octets as latin1 */
  readonly head: string
  /** of the body that follows; `close` does not occur */
  readonly framing: Framing
}

export interface UpstreamHandlers {
  readonly onHead: (head: ResponseHead) => void
  readonly onData: (chunk: Buffer) => void
  readonly onEnd: () => void
  /** @param cause for the log: an error code or a constant text */
  readonly onFault: (fault: UpstreamFault, cause: string) => void
  readonly onWritable: () => void
}

/** A request under way. */
export interface UpstreamExchange {
  /** @returns false when the backend reads slower than this is written: wait for `onWritable` */
  readonly write: (chunk: Buffer) => boolean
  /** The request is complete. */
  readonly end: () => void
  /** Stops reading the response. */
  readonly pause: () => void
  readonly resume: () => void
  /** Breaks off: the backend sees a broken request, or nobody to answer to. No handler is called any more. */
  readonly cancel: () => void
}

/** Times in ms. */
export interface UpstreamLimits extends HeadLimits {
  readonly upstreamConnect: number
  readonly upstreamAnswer: number
  readonly upstreamKeepAlive: number
  readonly idle: number
}

export interface UpstreamConnection {
  readonly send: (request: UpstreamRequest, handlers: UpstreamHandlers) => UpstreamExchange
  /** Whether any byte of an answer to the current request has come. */
  readonly isAnswering: () => boolean
  readonly destroy: () => void
}

export interface ConnectionEvents {
  /** Request and response were whole and nothing was left over: the connection may be used again. */
  readonly onIdle: (connection: UpstreamConnection) => void
  readonly onClose: (connection: UpstreamConnection) => void
}

/** 102 and 103 may come in any number; a backend that sends nothing else is broken. */
const INTERIM_RESPONSES = 8

interface Current {
  readonly request: UpstreamRequest
  readonly handlers: UpstreamHandlers
  requestDone: boolean
  head: ResponseHead | undefined
  decoder: BodyDecoder | undefined
  interim: number
}

/** A socket being connected. */
export interface Link {
  readonly socket: Socket
  readonly connected: 'connect' | 'secureConnect'
  /** what carries it: the TCP socket below TLS, else itself */
  readonly transport: Socket
}

/** @param link owned from here on */
export function createUpstreamConnection(
  { socket, connected: connectedEvent, transport }: Link,
  limits: UpstreamLimits,
  sweeper: Sweeper,
  events: ConnectionEvents,
): UpstreamConnection {
  let current: Current | undefined
  let pending: Buffer | undefined
  let connected = false
  let answering = false
  let failure = 'closed by the upstream'
  const watch: Watch = { deadline: sweeper.now() + limits.upstreamConnect, expire }

  function limitTo(ms: number): void {
    if (connected) watch.deadline = sweeper.now() + ms
  }

  function expire(): void {
    if (current === undefined) return void socket.destroy()
    if (!connected) return fail('unreachable', 'connect time-out')
    fail('timeout', answering ? 'no progress in the response' : 'no answer')
  }

  function onConnect(): void {
    connected = true
    if (current?.requestDone === false) limitUpload(!socket.writableNeedDrain)
    else limitTo(limits.upstreamAnswer)
  }

  /** While the upstream takes what comes, it is for the client to be quick: its own limits see to that. */
  function limitUpload(ready: boolean): void {
    limitTo(ready ? Number.POSITIVE_INFINITY : limits.idle)
  }

  function onData(chunk: Buffer): void {
    // Bytes that nobody asked for would be taken for the answer to the next request (R09).
    if (current === undefined) return void socket.destroy()
    answering = true
    limitTo(limits.idle)
    if (current.decoder !== undefined) return decode(current, current.decoder, chunk, 0)
    pending = pending === undefined ? chunk : Buffer.concat([pending, chunk])
    parse(current, pending)
  }

  /** Skips interim responses: we never forward Expect, so they carry nothing (RFC 9110 §15.2). */
  function parse(exchange: Current, bytes: Buffer): void {
    let start = 0
    for (;;) {
      const result = parseResponseHead(bytes, start, exchange.request.method, limits)
      if (result.kind === 'incomplete') {
        pending = bytes.subarray(start)
        return
      }
      if (result.kind === 'fault') return fail('malformed', result.detail)
      if (result.head.status >= 200) return begin(exchange, result.head, bytes, result.end)
      if (result.head.status === 101) return fail('malformed', 'it switched protocols without being asked')
      if (++exchange.interim > INTERIM_RESPONSES) return fail('malformed', 'it sent too many interim responses')
      start = result.end
    }
  }

  function begin(exchange: Current, head: ResponseHead, bytes: Buffer, end: number): void {
    pending = undefined
    exchange.head = head
    const decoder = createBodyDecoder(head.framing, limits)
    exchange.decoder = decoder
    exchange.handlers.onHead(head)
    if (current === exchange) decode(exchange, decoder, bytes, end)
  }

  function decode(exchange: Current, decoder: BodyDecoder, bytes: Buffer, start: number): void {
    const end = decoder.decode(bytes, start, exchange.handlers.onData)
    if (current !== exchange) return
    if (decoder.state() === 'malformed') return fail('malformed', 'the chunked coding is malformed')
    if (decoder.state() === 'done') finish(exchange, end === bytes.length)
  }

  /** Only what is beyond doubt is used again: both messages whole, nothing after them (R09). */
  function finish(exchange: Current, clean: boolean): void {
    current = undefined
    answering = false
    const reusable = clean && exchange.requestDone && exchange.head?.keepAlive === true
    if (reusable) {
      watch.deadline = sweeper.now() + limits.upstreamKeepAlive
      if (socket.isPaused()) socket.resume()
      events.onIdle(connection)
    } else breakOff(exchange)
    exchange.handlers.onEnd()
  }

  /**
   * A connection that is closed in order ends a body early, and some backends take what came for the whole: pypiserver
   * on gunicorn or wsgiref stores the cut file. A reset is an error to every one of them.
   */
  function breakOff(exchange: Current | undefined): void {
    if (connected && exchange?.requestDone === false) transport.resetAndDestroy()
    socket.destroy()
  }

  function fail(fault: UpstreamFault, cause: string): void {
    const exchange = current
    current = undefined
    watch.deadline = Number.POSITIVE_INFINITY
    breakOff(exchange)
    exchange?.handlers.onFault(fault, cause)
  }

  /** A body that lasts until the connection closes ends here; any other is cut short (R36). */
  function onEnd(): void {
    if (current?.head?.framing.kind === 'close') finish(current, false)
    else breakOff(current)
  }

  function onClose(): void {
    sweeper.unwatch(watch)
    events.onClose(connection)
    if (current !== undefined) fail(connected ? 'cut' : 'unreachable', failure)
  }

  function send(request: UpstreamRequest, handlers: UpstreamHandlers): UpstreamExchange {
    const exchange: Current = {
      request,
      handlers,
      requestDone: request.framing.kind === 'none',
      head: undefined,
      decoder: undefined,
      interim: 0,
    }
    current = exchange
    limitTo(exchange.requestDone ? limits.upstreamAnswer : Number.POSITIVE_INFINITY)
    socket.write(request.head, 'latin1')
    return exchangeOf(exchange)
  }

  function exchangeOf(exchange: Current): UpstreamExchange {
    const chunked = exchange.request.framing.kind === 'chunked'
    const isCurrent = (): boolean => current === exchange

    return {
      write(chunk) {
        if (!isCurrent() || chunk.length === 0) return true
        const ready = chunked ? writeChunk(socket, chunk) : socket.write(chunk)
        limitUpload(ready)
        return ready
      },
      end() {
        if (!isCurrent() || exchange.requestDone) return
        if (chunked) socket.write(LAST_CHUNK)
        exchange.requestDone = true
        limitTo(limits.upstreamAnswer)
      },
      pause() {
        if (!isCurrent()) return
        limitTo(Number.POSITIVE_INFINITY)
        socket.pause()
      },
      resume() {
        if (!isCurrent()) return
        limitTo(limits.idle)
        socket.resume()
      },
      cancel() {
        if (!isCurrent()) return
        current = undefined
        breakOff(exchange)
      },
    }
  }

  const connection: UpstreamConnection = { send, isAnswering: () => answering, destroy: () => breakOff(current) }
  sweeper.watch(watch)
  socket.on(connectedEvent, onConnect).on('data', onData).on('end', onEnd).on('close', onClose)
  socket.on('drain', () => {
    if (current?.requestDone === false) limitUpload(true)
    current?.handlers.onWritable()
  })
  socket.on('error', error => {
    failure = 'code' in error && typeof error.code === 'string' ? error.code : error.name
  })
  return connection
}

function writeChunk(socket: Socket, chunk: Buffer): boolean {
  socket.cork()
  socket.write(chunkHeader(chunk.length), 'latin1')
  socket.write(chunk)
  const ready = socket.write(CHUNK_END)
  socket.uncork()
  return ready
}
