// What Node's own HTTP parser makes of some bytes: the second opinion in differential tests.

import { createServer } from 'node:http'
import { duplexPair } from 'node:stream'

export interface SeenRequest {
  readonly method: string
  readonly target: string
  /** name in lower case, value, … */
  readonly fields: readonly string[]
  /** latin1 */
  readonly body: string
}

/** @returns the requests that Node found in `bytes`, whole ones only */
export async function readWithNode(bytes: Buffer): Promise<readonly SeenRequest[]> {
  const seen: SeenRequest[] = []
  const server = createServer({ requireHostHeader: false, keepAliveTimeout: 0, requestTimeout: 0, headersTimeout: 0 })
  const [client, side] = duplexPair()
  const onRequest: Parameters<typeof server.on>[1] = (request, response) => {
    let body = ''
    request.on('error', () => {})
    request.on('data', (chunk: Buffer) => {
      body += chunk.toString('latin1')
    })
    request.on('end', () => {
      const fields = request.rawHeaders.map((text: string, i: number) => (i % 2 === 0 ? text.toLowerCase() : text))
      seen.push({ method: request.method ?? '', target: request.url ?? '', fields, body })
      response.end()
    })
  }
  server.on('request', onRequest).on('checkContinue', onRequest).on('checkExpectation', onRequest)
  server.on('clientError', (_error, socket) => void socket.destroy())
  client.on('error', () => {})
  side.on('error', () => {})
  client.resume()
  server.emit('connection', side)
  const closed = new Promise<void>(resolve => side.on('close', () => resolve()))
  client.end(bytes)
  await closed
  return seen
}
