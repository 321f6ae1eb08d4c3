// A backend that answers each request with what it saw of it, in an order that is not the order of arrival.

import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { setImmediate as nextTurn } from 'node:timers/promises'
import { atEnd, type Ending } from './temporary.ts'

export interface Seen {
  readonly method: string
  readonly path: string
  readonly authorization: string
  /** SHA-256 of the body, hex */
  readonly digest: string
}

export interface Echo {
  readonly origin: string
  /** the requests that were whole */
  readonly seen: readonly Seen[]
}

/** As it is answered: one line, repeated as often as the query's `lines` says. */
export function lineOf({ method, path, authorization, digest }: Seen): string {
  return `${method} ${path} ${authorization} ${digest}\n`
}

export function linesOf(path: string): number {
  return Number(/[?&]lines=([0-9]+)/.exec(path)?.[1] ?? 1)
}

export function digestOf(body: string | Buffer): string {
  return createHash('sha256').update(body).digest('hex')
}

/** Lets others go first, up to this many times. */
const TURNS = 8
const LINES_AT_ONCE = 500

async function giveWay(): Promise<void> {
  for (let turns = Math.floor(Math.random() * TURNS); turns > 0; turns--) await nextTurn()
}

async function* piecesOf(line: string, count: number): AsyncGenerator<string> {
  for (let left = count; left > 0; left -= LINES_AT_ONCE) {
    yield line.repeat(Math.min(left, LINES_AT_ONCE))
    await giveWay()
  }
}

/** Listens on loopback until the test ends. */
export async function startEcho(t: Ending): Promise<Echo> {
  const seen: Seen[] = []

  async function serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const hash = createHash('sha256')
    for await (const chunk of request) hash.update(chunk)
    const { method = '', url: path = '', headers } = request
    const entry = { method, path, authorization: headers.authorization ?? 'nobody', digest: hash.digest('hex') }
    seen.push(entry)
    await giveWay()
    await pipeline(Readable.from(piecesOf(lineOf(entry), linesOf(path))), response)
  }

  // A request or an answer that was broken off is what some tests want.
  const server = createServer((request, response) => void serve(request, response).catch(() => {}))
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  atEnd(t, () => {
    server.close()
    server.closeAllConnections()
  })
  const address = server.address()
  if (address === null || typeof address === 'string') throw new Error('not a TCP server')
  return { origin: `http://127.0.0.1:${address.port}`, seen }
}
