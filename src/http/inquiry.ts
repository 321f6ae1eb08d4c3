// A small question of the gate's own to a backend: one GET, and its whole answer, bounded in size and time.

import type { Origin } from './origin.ts'
import type { ResponseHead } from './response-head.ts'
import type { Sweeper, Watch } from './sweeper.ts'
import type { UpstreamExchange, UpstreamFault } from './upstream.ts'

export interface Inquiry {
  readonly origin: Origin
  readonly pool: string
  /** the whole head with its blank line */
  readonly head: string
}

export interface InquiryLimits {
  /** of the answer's body, bytes */
  readonly size: number
  /** until the answer is whole, ms */
  readonly time: number
}

export type Reply =
  | { readonly kind: 'reply'; readonly head: ResponseHead; readonly body: Buffer }
  | { readonly kind: 'fault'; readonly fault: UpstreamFault; readonly cause: string }

export function inquire({ origin, pool, head }: Inquiry, limits: InquiryLimits, sweeper: Sweeper): Promise<Reply> {
  const { promise, resolve } = Promise.withResolvers<Reply>()
  const chunks: Buffer[] = []
  let size = 0
  let answer: ResponseHead | undefined
  const watch: Watch = {
    deadline: sweeper.now() + limits.time,
    expire: () => breakOff('timeout', 'no whole answer in time'),
  }

  function settle(reply: Reply): void {
    sweeper.unwatch(watch)
    resolve(reply)
  }

  function breakOff(fault: UpstreamFault, cause: string): void {
    exchange.cancel()
    settle({ kind: 'fault', fault, cause })
  }

  const exchange: UpstreamExchange = origin.send(
    pool,
    { method: 'GET', head, framing: { kind: 'none' } },
    {
      onHead(head) {
        answer = head
      },
      onData(chunk) {
        size += chunk.length
        if (size > limits.size) return breakOff('malformed', `its answer is longer than ${limits.size} bytes`)
        chunks.push(chunk)
      },
      onEnd() {
        if (answer !== undefined) settle({ kind: 'reply', head: answer, body: Buffer.concat(chunks) })
      },
      onFault: (fault, cause) => settle({ kind: 'fault', fault, cause }),
      onWritable() {},
    },
  )
  sweeper.watch(watch)
  return promise
}
