// Bodies of any size, made and thrown away on the fly: a backend that gives and takes them, and a client that does.

import { once } from 'node:events'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { Readable, Writable } from 'node:stream'
import { connect, type TLSSocket } from 'node:tls'
import { REGISTRY_HOST, type TestIdentity } from './identities.ts'
import { atEnd, type Ending } from './temporary.ts'

const BLOCK = Buffer.alloc(256 * 1024, 'A')

/** Writes a body as fast as it is taken. @param onTaken gets the sizes of what the stream has room for */
export async function pump(to: Writable, size: number, onTaken: (bytes: number) => void = () => {}): Promise<void> {
  for (let left = size; left > 0; left -= BLOCK.length) {
    const piece = left < BLOCK.length ? BLOCK.subarray(0, left) : BLOCK
    if (!to.write(piece)) await once(to, 'drain')
    onTaken(piece.length)
  }
}

export interface Volume {
  readonly origin: string
  /** body bytes that have been taken from the backend, or given to it, since the last request to `/many` */
  readonly moved: () => number
  /** From now on nothing is read of an upload until the function returned is called. */
  readonly holdUploads: () => () => void
}

/** `GET /many?size=…` gives that many bytes, `PUT` takes them and answers with their number, `GET /few` says ok. */
export async function startVolume(t: Ending): Promise<Volume> {
  let moved = 0
  let held = Promise.resolve()

  const count = (bytes: number): void => {
    moved += bytes
  }

  async function serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const { pathname, searchParams } = new URL(request.url ?? '', 'http://any')
    if (pathname === '/few') return void response.end('ok')
    moved = 0
    if (request.method === 'GET') {
      const size = Number(searchParams.get('size'))
      response.writeHead(200, { 'content-length': size })
      await pump(response, size, count)
    } else {
      await held
      for await (const chunk of request) count(chunk.length)
      response.write(`${moved}`)
    }
    response.end()
  }

  const server = createServer((request, response) => void serve(request, response).catch(() => response.destroy()))
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  atEnd(t, () => {
    server.close()
    server.closeAllConnections()
  })
  const address = server.address()
  if (address === null || typeof address === 'string') throw new Error('not a TCP server')
  return {
    origin: `http://127.0.0.1:${address.port}`,
    moved: () => moved,
    holdUploads() {
      const { promise, resolve } = Promise.withResolvers<void>()
      held = promise
      return resolve
    },
  }
}

/** Connects, in the manner of `connectClient`, but reads nothing by itself. */
export async function connectStream(t: Ending, port: number, identity: TestIdentity): Promise<TLSSocket> {
  const { certificate: cert, key } = identity
  const socket = connect({ host: '127.0.0.1', port, servername: REGISTRY_HOST, rejectUnauthorized: false, cert, key })
  atEnd(t, () => socket.destroy())
  await once(socket, 'secureConnect')
  return socket
}

/** Reads a response head and throws it away. @returns the head */
export async function readHead(from: Readable): Promise<string> {
  let bytes = Buffer.alloc(0)
  for (;;) {
    const end = bytes.indexOf('\r\n\r\n')
    if (end !== -1) {
      from.unshift(bytes.subarray(end + 4))
      return bytes.subarray(0, end).toString('latin1')
    }
    const chunk: Buffer | null = from.read()
    if (chunk === null) await once(from, 'readable')
    else bytes = Buffer.concat([bytes, chunk])
  }
}

/** Reads so many bytes and counts them. */
export async function skip(from: Readable, size: number): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>()
  let left = size
  from.on('data', (chunk: Buffer) => {
    left -= chunk.length
    if (left === 0) resolve()
    else if (left < 0) reject(new Error(`${-left} bytes too many`))
  })
  from.once('close', () => reject(new Error(`closed ${left} bytes too early`)))
  try {
    await promise
  } finally {
    from.removeAllListeners('data')
  }
}
