// One request and its response, as the lane sees them: nothing here tells which version of HTTP carries them.

import type { Fields, Framing, RequestHead } from './head.ts'

/**
 * Why a request cannot be carried on. After `gone` nothing can be answered any more; after the others the client can
 * still be told.
 */
export type AbortCause = 'gone' | 'malformed' | 'too-slow'

/** Takes a body, piece by piece. Back-pressure goes the other way, by `pause` and `resume` of the source. */
export interface BodySink {
  data(chunk: Buffer): void
  end(): void
}

export interface Response {
  readonly status: number
  /** reason phrase: visible ASCII, spaces and obs-text */
  readonly reason: string
  /** without framing and Connection fields, which the engine sets */
  readonly fields: Fields
  /** of the body that follows; `none` also for HEAD and 304 */
  readonly framing: Framing
}

export interface Exchange {
  readonly head: RequestHead
  /** body bytes so far, without framing */
  readonly bytesIn: () => number
  readonly bytesOut: () => number
  /** undefined while all is well */
  readonly aborted: () => AbortCause | undefined
  /** Called once, when the request cannot be carried on. */
  readonly onAbort: (listener: (cause: AbortCause) => void) => void

  /**
   * Directs the request's body into `sink`, inviting it first where the client waits to be asked (RFC 9110 §10.1.1).
   * A later call redirects what is still to come.
   */
  readonly read: (sink: BodySink) => void
  readonly pause: () => void
  readonly resume: () => void

  readonly respond: (response: Response) => void
  /** whether `respond` was called: there can be no other answer */
  readonly responded: () => boolean
  /** @returns false when the client reads slower than this is written: wait for `onWritable` */
  readonly write: (chunk: Buffer) => boolean
  readonly onWritable: (listener: () => void) => void
  /**
   * The response is complete. What has not been read of the request is drained, so that the client gets to see the
   * answer, and the connection closed.
   *
   * @param drain bytes of the request still to be read and thrown away at the most
   */
  readonly end: (drain?: number) => void
  /** Breaks the connection off: a body that is not whole never looks whole (R36). */
  readonly cut: () => void
}
