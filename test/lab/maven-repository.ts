// A small Maven repository on loopback, for want of one that starts in less than minutes: keeps what is PUT in a
// folder, checks a user's password, and serves files with their entity tags. What Maven makes of it is Maven's own.

import { createHash } from 'node:crypto'
import { mkdir, readFile, rm, writeFile } from 'node:fs/promises'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import { dirname, join } from 'node:path'
import { buffer } from 'node:stream/consumers'
import { atEnd, type Ending } from './temporary.ts'

export interface MavenRepositoryOptions {
  /** what is stored, as a tree of paths; made when it is missing */
  readonly folder: string
  /** where the repository begins, such as `/repository/releases` */
  readonly basePath: string
  readonly user: string
  readonly password: string
}

export interface MavenRepository {
  readonly origin: string
  /** with the base path */
  readonly url: string
  /** `PUT /com/acme/…`, in order, whatever was answered */
  readonly requests: () => readonly string[]
  /** the whole value of Authorization that it takes */
  readonly credential: string
}

export async function startMavenRepository(t: Ending, options: MavenRepositoryOptions): Promise<MavenRepository> {
  const { folder, basePath, user, password } = options
  const credential = `Basic ${Buffer.from(`${user}:${password}`).toString('base64')}`
  const requests: string[] = []

  async function serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const { method = '', url = '' } = request
    requests.push(`${method} ${url.slice(basePath.length)}`)
    const body = await buffer(request)
    if (request.headers.authorization !== credential) return end(response, 401)
    if (!url.startsWith(`${basePath}/`) || /\/\.|%/.test(url)) return end(response, 404)
    const path = join(folder, url.slice(basePath.length))
    if (method === 'PUT') return end(response, await store(path, body))
    if (method === 'DELETE') return end(response, await remove(path))
    if (method === 'GET' || method === 'HEAD') return send(request, response, path)
    end(response, 405)
  }

  const server = createServer((request, response) => {
    serve(request, response).catch(() => end(response, 500))
  })
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  atEnd(t, () => {
    server.closeAllConnections()
    server.close()
  })
  const address = server.address()
  if (address === null || typeof address === 'string') throw new Error('not a TCP server')
  const origin = `http://127.0.0.1:${address.port}`
  return { origin, url: `${origin}${basePath}/`, requests: () => requests, credential }
}

function end(response: ServerResponse, status: number): void {
  response.writeHead(status, { 'content-length': 0 }).end()
}

async function store(path: string, body: Buffer): Promise<number> {
  await mkdir(dirname(path), { recursive: true })
  await writeFile(path, body)
  return 201
}

async function remove(path: string): Promise<number> {
  const gone = await rm(path).then(
    () => true,
    () => false,
  )
  return gone ? 204 : 404
}

async function send(request: IncomingMessage, response: ServerResponse, path: string): Promise<void> {
  const content = await readFile(path).catch(() => undefined)
  if (content === undefined) return end(response, 404)
  const etag = `"${createHash('sha1').update(content).digest('hex')}"`
  if (request.headers['if-none-match'] === etag) return void response.writeHead(304, { etag }).end()
  const type = path.endsWith('.xml') || path.endsWith('.pom') ? 'text/xml' : 'application/octet-stream'
  response.writeHead(200, { 'content-type': type, 'content-length': content.length, etag })
  // Of a HEAD, node:http leaves the body out.
  response.end(content)
}
