// A wire between the gate and a real backend that remembers what the gate sent over it: a backend's own log may leave
// things out, and comes late.

import { once } from 'node:events'
import { connect, createServer } from 'node:net'
import { atEnd, type Ending } from './temporary.ts'

export interface Tap {
  /** to be given to the gate in place of the backend's own */
  readonly origin: string
  /** all that was sent to the backend so far, one string (latin1) for each connection */
  readonly sent: () => readonly string[]
}

/** @param origin of the backend, plain http */
export async function startTap(t: Ending, origin: string): Promise<Tap> {
  const { hostname, port } = new URL(origin)
  const texts: string[] = []
  const server = createServer(socket => {
    const index = texts.push('') - 1
    const backend = connect(Number(port), hostname)
    socket.on('data', chunk => {
      texts[index] += chunk.toString('latin1')
    })
    socket.pipe(backend).pipe(socket)
    socket.on('error', () => {}).on('close', () => backend.destroy())
    backend.on('error', () => socket.destroy())
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  atEnd(t, () => void server.close())
  const address = server.address()
  if (address === null || typeof address === 'string') throw new Error('not a TCP server')
  return { origin: `http://127.0.0.1:${address.port}`, sent: () => texts }
}
