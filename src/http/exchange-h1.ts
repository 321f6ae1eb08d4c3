// An exchange over HTTP/1.1: reads one request's body from the connection's bytes, writes one response.

import type { Duplex } from 'node:stream'
import { CHUNK_END, chunkHeader, createBodyDecoder, LAST_CHUNK } from './body.ts'
import type { AbortCause, BodySink, Exchange, Response } from './exchange.ts'
import type { Framing, HeadLimits, RequestHead } from './head.ts'

/** Times in ms, `minimumRate` in bytes per second. */
export interface ExchangeLimits extends HeadLimits {
  readonly idle: number
  readonly minimumRate: number
}

/** How an exchange was left. */
export interface Ending {
  /** the connection can carry another request */
  readonly reusable: boolean
  /** the whole request has been read */
  readonly drained: boolean
  /** bytes that came after the request */
  readonly rest: Buffer | undefined
  /** what is still to be read and thrown away at the most, bytes */
  readonly drain: number
}

/** What the exchange needs of its connection. */
export interface Wire {
  readonly socket: Duplex
  readonly limits: ExchangeLimits
  /** Sets the time after which `expire` is called; Infinity: none. */
  readonly limitTo: (ms: number) => void
  /** Whether this response is the connection's last. */
  readonly isClosing: () => boolean
  readonly done: (ending: Ending) => void
}

/** The connection's view of an exchange. */
export interface Active {
  readonly exchange: Exchange
  readonly receive: (chunk: Buffer) => void
  /** The time set by `limitTo` has passed. */
  readonly expire: () => void
  /** The socket takes more. */
  readonly writable: () => void
  readonly abort: (cause: AbortCause) => void
}

/** Window over which the rate of an upload is averaged, ms. */
const RATE_WINDOW = 10_000
/** Up to this size a piece of a response is copied behind what precedes it, so that both leave in one write. */
const COPY_SIZE = 16_384
const CONTINUE = 'HTTP/1.1 100 Continue\r\n\r\n'

/**
 * @param head of the request
 * @param rest bytes that have arrived after it
 */
export function createExchange(wire: Wire, head: RequestHead, rest: Buffer | undefined): Active {
  const { socket, limits } = wire
  const decoder = head.framing.kind === 'none' ? undefined : createBodyDecoder(head.framing, limits)
  let requestDone = decoder === undefined
  let held: Buffer | undefined
  let sink: BodySink | undefined
  let paused = false
  let invited = !head.expectsContinue
  let bytesIn = 0
  let windowBytes = 0
  let stalled = false

  let unsent: string | undefined
  let framing: Framing | undefined
  let left = 0
  let bytesOut = 0
  let keepAlive = head.keepAlive
  let over = false

  let cause: AbortCause | undefined
  let onAbort: ((cause: AbortCause) => void) | undefined
  let onWritable: (() => void) | undefined

  function receive(chunk: Buffer): void {
    if (over) return
    if (requestDone || sink === undefined || decoder === undefined) return hold(chunk)
    const end = decoder.decode(chunk, 0, emit)
    if (decoder.state() === 'malformed') return abort('malformed')
    if (decoder.state() === 'more') return
    requestDone = true
    wire.limitTo(Number.POSITIVE_INFINITY)
    if (end < chunk.length) hold(chunk.subarray(end))
    sink.end()
  }

  function emit(chunk: Buffer): void {
    bytesIn += chunk.length
    sink?.data(chunk)
  }

  /** Bytes nobody has asked for yet: the body before `read`, or the next request. The client has to wait. */
  function hold(chunk: Buffer): void {
    held = held === undefined ? chunk : Buffer.concat([held, chunk])
    socket.pause()
  }

  function read(to: BodySink): void {
    sink = to
    if (over || cause !== undefined) return
    if (requestDone) return to.end()
    invite()
    watchRate()
    const early = held
    held = undefined
    paused = false
    if (early !== undefined) receive(early)
    if (!requestDone && !paused) resume()
  }

  function invite(): void {
    if (!invited && held === undefined) socket.write(CONTINUE, 'latin1')
    invited = true
  }

  function pause(): void {
    paused = true
    stalled = true
    socket.pause()
  }

  function resume(): void {
    paused = false
    if (held === undefined) socket.resume()
  }

  /** A slow but honest upload of any size may take as long as it takes; one that trickles may not (R29). */
  function watchRate(): void {
    windowBytes = bytesIn
    stalled = paused
    wire.limitTo(Math.min(RATE_WINDOW, limits.idle))
  }

  function isTooSlow(): boolean {
    const window = Math.min(RATE_WINDOW, limits.idle)
    return !stalled && bytesIn - windowBytes < Math.max(1, (limits.minimumRate * window) / 1000)
  }

  function expire(): void {
    if (requestDone || framing !== undefined) return abort('gone')
    if (isTooSlow()) return abort('too-slow')
    watchRate()
  }

  function respond(response: Response): void {
    if (over || framing !== undefined) return
    framing = response.framing
    left = framing.kind === 'length' ? framing.length : 0
    keepAlive = keepAlive && requestDone && cause === undefined && !wire.isClosing()
    unsent = headText(response, keepAlive)
  }

  function write(chunk: Buffer): boolean {
    if (over || framing === undefined || chunk.length === 0) return true
    bytesOut += chunk.length
    left -= chunk.length
    const before = takeUnsent() + (framing.kind === 'chunked' ? chunkHeader(chunk.length) : '')
    const ready = writeAll(before, chunk, framing.kind === 'chunked' ? CHUNK_END : undefined)
    if (!ready) wire.limitTo(limits.idle)
    return ready
  }

  function takeUnsent(): string {
    const text = unsent ?? ''
    unsent = undefined
    return text
  }

  function writeAll(before: string, chunk: Buffer, after: Buffer | undefined): boolean {
    if (before === '' && after === undefined) return socket.write(chunk)
    if (chunk.length <= COPY_SIZE) return socket.write(joined(before, chunk, after))
    socket.cork()
    if (before !== '') socket.write(before, 'latin1')
    const ready = socket.write(chunk)
    const still = after === undefined ? ready : socket.write(after)
    socket.uncork()
    return still
  }

  function end(drain = 0): void {
    if (over) return
    if (framing === undefined || (framing.kind === 'length' && left !== 0)) return cut()
    const before = takeUnsent()
    if (framing.kind === 'chunked') writeAll(before, LAST_CHUNK, undefined)
    else if (before !== '') socket.write(before, 'latin1')
    over = true
    wire.done({ reusable: keepAlive, drained: requestDone, rest: held, drain })
  }

  function cut(): void {
    if (over) return
    over = true
    socket.destroy()
  }

  function abort(why: AbortCause): void {
    if (over || cause !== undefined) return
    cause = why
    wire.limitTo(Number.POSITIVE_INFINITY)
    if (why === 'gone') cut()
    else socket.pause()
    onAbort?.(why)
  }

  function writable(): void {
    wire.limitTo(Number.POSITIVE_INFINITY)
    onWritable?.()
  }

  const exchange: Exchange = {
    head,
    bytesIn: () => bytesIn,
    bytesOut: () => bytesOut,
    aborted: () => cause,
    onAbort: listener => {
      onAbort = listener
    },
    read,
    pause,
    resume,
    respond,
    responded: () => framing !== undefined,
    write,
    onWritable: listener => {
      onWritable = listener
    },
    end,
    cut,
  }
  if (rest !== undefined) hold(rest)
  else if (decoder !== undefined) socket.pause()
  return { exchange, receive, expire, writable, abort }
}

function joined(before: string, chunk: Buffer, after: Buffer | undefined): Buffer {
  const all = Buffer.allocUnsafe(before.length + chunk.length + (after?.length ?? 0))
  all.write(before, 0, 'latin1')
  chunk.copy(all, before.length)
  after?.copy(all, before.length + chunk.length)
  return all
}

function headText(response: Response, keepAlive: boolean): string {
  const { status, reason, fields, framing } = response
  let text = `HTTP/1.1 ${status} ${reason}\r\n`
  for (let i = 0; i < fields.length; i += 2) text += `${fields[i]}: ${fields[i + 1]}\r\n`
  if (framing.kind === 'length') text += `content-length: ${framing.length}\r\n`
  if (framing.kind === 'chunked') text += 'transfer-encoding: chunked\r\n'
  return keepAlive ? `${text}\r\n` : `${text}connection: close\r\n\r\n`
}
