// The server side of one client connection: bytes in, exchanges out, strictly one after the other. It knows HTTP/1.1
// and sockets, and nothing of registries or accounts.

import type { Duplex } from 'node:stream'
import type { Exchange, Response } from './exchange.ts'
import { type Active, createExchange, type Ending, type ExchangeLimits, type Wire } from './exchange-h1.ts'
import { type HeadFault, NO_BODY, parseRequestHead, type RequestHead } from './head.ts'
import type { Sweeper, Watch } from './sweeper.ts'

/** Times in ms. */
export interface ConnectionLimits extends ExchangeLimits {
  readonly head: number
  readonly keepAlive: number
  readonly drainTime: number
}

/** A complete answer to a head that could not be read. */
export interface FaultAnswer {
  readonly response: Response
  readonly body: Buffer
}

export interface ConnectionHandlers {
  readonly onExchange: (exchange: Exchange) => void
  /** A head that cannot be read, or was not complete in time: what to answer before the connection closes. */
  readonly onFault: (fault: HeadFault | 'too-slow', detail: string) => FaultAnswer
  readonly onClose: () => void
}

export interface Connection {
  /** No further request: closes at once when idle, after the response when not. */
  readonly drain: () => void
  readonly destroy: () => void
}

/** `draining`: answered, reading what is left of a request; `over`: closing. */
type Phase = 'idle' | 'head' | 'exchange' | 'draining' | 'over'

/**
 * Serves one connection until it closes.
 *
 * @param socket connected, past its handshake; owned from here on
 */
export function serveConnection(
  socket: Duplex,
  limits: ConnectionLimits,
  sweeper: Sweeper,
  handlers: ConnectionHandlers,
): Connection {
  let phase: Phase = 'idle'
  let pending: Buffer | undefined
  let current: Active | undefined
  let closing = false
  let advancing = false
  let drainLeft = 0
  let unsent = 0
  // The first request is expected at once: waiting is for clients that have already asked something.
  const watch: Watch = { deadline: sweeper.now() + limits.head, expire }
  const wire: Wire = { socket, limits, limitTo, isClosing: () => closing, done }

  function limitTo(ms: number): void {
    watch.deadline = sweeper.now() + ms
  }

  function expire(): void {
    if (phase === 'head') return refuse('too-slow', 'the request head was not complete in time')
    if (phase === 'exchange' && current !== undefined) return current.expire()
    if (isSending()) return limitTo(limits.idle)
    socket.destroy()
  }

  /** A client that reads its last answer slowly is not cut off, as long as it reads. */
  function isSending(): boolean {
    const left = socket.writableLength
    const progressed = left > 0 && left !== unsent
    unsent = left
    return progressed
  }

  function onData(chunk: Buffer): void {
    switch (phase) {
      case 'idle':
      case 'head':
        pending = pending === undefined ? chunk : Buffer.concat([pending, chunk])
        return advance()
      case 'exchange':
        return current?.receive(chunk)
      case 'draining':
      case 'over':
        drainLeft -= chunk.length
        if (drainLeft <= 0) socket.pause()
        return
    }
  }

  /**
   * Starts the exchanges that have arrived, in order, and not before the client reads: one that pipelines and never
   * reads would otherwise fill our memory with answers. A loop, because an exchange may be over before `begin` returns.
   */
  function advance(): void {
    if (advancing) return
    advancing = true
    let progress = true
    while (progress && pending !== undefined && isBetween() && !socket.writableNeedDrain) progress = begin(pending)
    advancing = false
    if (!isBetween()) return
    // A client that does not read its answers is not read from either: what it sends would pile up here.
    if (socket.writableNeedDrain) socket.pause()
    else if (socket.isPaused()) socket.resume()
  }

  function isBetween(): boolean {
    return phase === 'idle' || phase === 'head'
  }

  /** @returns false when more bytes are needed */
  function begin(bytes: Buffer): boolean {
    const result = parseRequestHead(bytes, 0, limits)
    switch (result.kind) {
      case 'incomplete':
        if (phase === 'idle') limitTo(limits.head)
        phase = 'head'
        return false
      case 'fault':
        refuse(result.fault, result.detail)
        return true
      case 'head':
        start(result.head, result.end < bytes.length ? bytes.subarray(result.end) : undefined)
        return true
    }
  }

  function start(head: RequestHead, rest: Buffer | undefined): void {
    pending = undefined
    phase = 'exchange'
    watch.deadline = Number.POSITIVE_INFINITY
    current = createExchange(wire, head, rest)
    handlers.onExchange(current.exchange)
  }

  function done(ending: Ending): void {
    current = undefined
    if (!ending.reusable) return close(ending.drained, ending.drain)
    phase = 'idle'
    pending = ending.rest
    limitTo(limits.keepAlive)
    advance()
  }

  /**
   * Half-closes, then reads on for a while: closing with unread bytes makes the kernel send a reset, which takes the
   * answer away from a client that is still uploading.
   */
  function close(drained: boolean, drain: number): void {
    phase = drained ? 'over' : 'draining'
    drainLeft = Math.max(drain, drained ? LINGER : 0)
    limitTo(limits.drainTime)
    socket.end()
    if (drained || drain > 0) socket.resume()
  }

  function refuse(fault: HeadFault | 'too-slow', detail: string): void {
    pending = undefined
    const { response, body } = handlers.onFault(fault, detail)
    const active = createExchange({ ...wire, isClosing: () => true }, UNREADABLE, undefined)
    active.exchange.respond(response)
    active.exchange.write(body)
    active.exchange.end()
  }

  function onEnd(): void {
    if (phase !== 'over') socket.destroy()
  }

  function onDrain(): void {
    if (phase === 'exchange') current?.writable()
    else advance()
  }

  function onClose(): void {
    sweeper.unwatch(watch)
    phase = 'over'
    pending = undefined
    current?.abort('gone')
    handlers.onClose()
  }

  sweeper.watch(watch)
  socket.on('data', onData).on('end', onEnd).on('drain', onDrain).on('close', onClose)
  // Every failure of a socket ends in `close`; without this listener it would end the process (R32).
  socket.on('error', () => {})

  return {
    drain: () => {
      closing = true
      if (isBetween()) close(true, 0)
    },
    destroy: () => socket.destroy(),
  }
}

/** What is read after the last answer, to see the client close, bytes: nobody has more to say than that. */
const LINGER = 65_536

/** Stands in for the head of a request that had none. */
const UNREADABLE: RequestHead = Object.freeze({
  method: 'GET',
  target: '/',
  host: '',
  fields: [],
  framing: NO_BODY,
  nominated: [],
  expectsContinue: false,
  keepAlive: false,
})
