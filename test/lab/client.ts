// A TLS client that sends exactly the bytes it is given, and reads the answers back without any library's help or
// hindrance.

import type { TestContext } from 'node:test'
import { type ConnectionOptions, connect, type TLSSocket } from 'node:tls'
import type { TestIdentity } from './identities.ts'
import { REGISTRY_HOST } from './identities.ts'

export interface RawResponse {
  readonly status: number
  readonly reason: string
  /** names in lower case; a repeated field's values joined by `, ` */
  readonly fields: ReadonlyMap<string, string>
  readonly body: string
  /** the head as it came */
  readonly head: string
}

export interface RawClient {
  readonly socket: TLSSocket
  readonly send: (bytes: string | Buffer) => void
  /** The next response, 1xx included. @throws when the connection closes first */
  readonly response: (method?: string) => Promise<RawResponse>
  /** Resolves when the connection is closed, with all bytes that were not read as a response. */
  readonly closed: Promise<string>
}

export interface ClientOptions {
  readonly port: number
  readonly identity?: TestIdentity | undefined
  readonly servername?: string | undefined
  readonly tls?: ConnectionOptions
}

/** Connects and waits for the end of the handshake; destroyed after the test. */
export async function connectClient(t: TestContext, options: ClientOptions): Promise<RawClient> {
  const { port, identity, servername = REGISTRY_HOST, tls = {} } = options
  const socket = connect({
    host: '127.0.0.1',
    port,
    servername,
    // The gate's certificate is made by the test; what it proves is tested elsewhere.
    rejectUnauthorized: false,
    ...(identity === undefined ? {} : { cert: identity.certificate, key: identity.key }),
    ...tls,
  })
  t.after(() => socket.destroy())
  await new Promise<void>((resolve, reject) => socket.once('secureConnect', resolve).once('error', reject))

  let text = ''
  let open = true
  let wake = (): void => {}
  socket.on('error', () => {})
  socket.on('data', chunk => {
    text += chunk.toString('latin1')
    wake()
  })
  const closed = new Promise<string>(resolve =>
    socket.on('close', () => {
      open = false
      wake()
      resolve(text)
    }),
  )

  async function response(method = 'GET'): Promise<RawResponse> {
    for (;;) {
      const read = readResponse(text, method, !open)
      if (read !== undefined) {
        text = text.slice(read.end)
        return read.response
      }
      if (!open) throw new Error(`the connection closed in the middle of a response: ${JSON.stringify(text)}`)
      await new Promise<void>(resolve => {
        wake = resolve
      })
    }
  }

  return { socket, send: bytes => void socket.write(bytes), response, closed }
}

interface Read {
  readonly response: RawResponse
  readonly end: number
}

function readResponse(text: string, method: string, atEnd: boolean): Read | undefined {
  const blank = text.indexOf('\r\n\r\n')
  if (blank === -1) return undefined
  const head = text.slice(0, blank + 2)
  const [line = '', ...lines] = head.split('\r\n').slice(0, -1)
  const [, status = '', reason = ''] = /^HTTP\/1\.1 ([0-9]{3}) (.*)$/.exec(line) ?? []
  const fields = new Map<string, string>()
  for (const entry of lines) {
    const colon = entry.indexOf(': ')
    const name = entry.slice(0, colon).toLowerCase()
    const value = entry.slice(colon + 2)
    fields.set(name, fields.has(name) ? `${fields.get(name)}, ${value}` : value)
  }
  const response = { status: Number(status), reason, fields, head }
  const start = blank + 4
  if (method === 'HEAD' || status.startsWith('1') || status === '204' || status === '304') {
    return { response: { ...response, body: '' }, end: start }
  }
  if (fields.get('transfer-encoding') === 'chunked') return readChunks(text, start, response)
  const length = fields.get('content-length')
  if (length === undefined)
    return atEnd ? { response: { ...response, body: text.slice(start) }, end: text.length } : undefined
  const end = start + Number(length)
  return text.length < end ? undefined : { response: { ...response, body: text.slice(start, end) }, end }
}

function readChunks(text: string, start: number, response: Omit<RawResponse, 'body'>): Read | undefined {
  let body = ''
  for (let at = start; ; ) {
    const line = text.indexOf('\r\n', at)
    if (line === -1) return undefined
    const size = Number.parseInt(text.slice(at, line), 16)
    const end = line + 2 + size
    if (text.length < end + 2) return undefined
    body += text.slice(line + 2, end)
    at = end + 2
    if (size === 0) return { response: { ...response, body }, end: at }
  }
}
