// A backend that is nothing but a socket: records every byte it gets, and answers what the test says. What a lenient
// server would make of a request cannot be hidden from it.

import { createServer, type Socket } from 'node:net'
import type { TestContext } from 'node:test'

export interface RawUpstream {
  readonly origin: string
  /** everything received, one string (latin1) for each connection, in order */
  readonly received: () => readonly string[]
  /** Resolves when `condition` holds for what has been received; the test's own time-out is the limit. */
  readonly until: (condition: (received: readonly string[]) => boolean) => Promise<void>
  readonly sockets: ReadonlySet<Socket>
}

/** Called for each connection and each time bytes arrive; `text` is all that this connection has sent so far. */
export type Answerer = (socket: Socket, text: string) => void

export const OK = 'HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: 2\r\n\r\nok'

/**
 * Answers each complete request (head and, where framed by length, body) with `answer`.
 */
export function answering(answer: string | ((head: string) => string)): Answerer {
  const answered = new WeakMap<Socket, number>()
  return (socket, text) => {
    for (let at = answered.get(socket) ?? 0; ; ) {
      const end = endOfRequest(text, at)
      if (end === undefined) return
      const head = text.slice(at, end)
      at = end
      answered.set(socket, end)
      socket.write(typeof answer === 'string' ? answer : answer(head), 'latin1')
    }
  }
}

function endOfRequest(text: string, from: number): number | undefined {
  const blank = text.indexOf('\r\n\r\n', from)
  if (blank === -1) return undefined
  const head = text.slice(from, blank).toLowerCase()
  if (head.includes('\r\ntransfer-encoding: chunked')) {
    const last = text.indexOf('0\r\n\r\n', blank)
    return last === -1 ? undefined : last + 5
  }
  const length = Number(/\r\ncontent-length: ([0-9]+)/.exec(head)?.[1] ?? 0)
  return text.length >= blank + 4 + length ? blank + 4 + length : undefined
}

/** Listens on loopback until the test ends. */
export async function startUpstream(t: TestContext, answerer: Answerer = answering(OK)): Promise<RawUpstream> {
  const texts: string[] = []
  const sockets = new Set<Socket>()
  let wake = (): void => {}

  const server = createServer(socket => {
    const index = texts.push('') - 1
    sockets.add(socket)
    socket.setNoDelay(true)
    socket.on('error', () => {})
    socket.on('close', () => {
      sockets.delete(socket)
      wake()
    })
    socket.on('data', chunk => {
      texts[index] = (texts[index] ?? '') + chunk.toString('latin1')
      wake()
      answerer(socket, texts[index] ?? '')
    })
    wake()
  })
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  t.after(() => {
    for (const socket of sockets) socket.destroy()
    server.close()
  })
  const address = server.address()
  if (address === null || typeof address === 'string') throw new Error('not a TCP server')

  async function until(condition: (received: readonly string[]) => boolean): Promise<void> {
    while (!condition(texts)) {
      await new Promise<void>(resolve => {
        wake = resolve
      })
    }
  }

  return { origin: `http://127.0.0.1:${address.port}`, received: () => texts, until, sockets }
}
