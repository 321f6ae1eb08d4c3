// A small cargo registry on loopback, in memory: sparse index, downloads, search, publish, yank, owners. Written from
// the Cargo Book (registry-index, registry-web-api, registry-authentication); stricter than it has to be, so that what
// passes here was right.

import { createHash } from 'node:crypto'
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import { buffer } from 'node:stream/consumers'
import { type Crates, createCrates, type Failure } from './cargo-crates.ts'

export interface CargoRegistryOptions {
  /** whose tokens these are, by token: as they stand in `Authorization`, whole */
  readonly tokens: Readonly<Record<string, string>>
  /** path under which all of it stands, without a slash at its end */
  readonly base?: string
  /** reads take a token, too, and config.json says so */
  readonly authRequired?: boolean
  /** what config.json says of downloads, behind origin and base; undefined: `/api/v1/crates` */
  readonly dl?: string
}

export interface AskedOfRegistry {
  readonly method: string
  readonly target: string
  readonly authorization: string | undefined
  readonly ifNoneMatch: string | undefined
  readonly status: number
}

export interface CargoRegistry {
  readonly origin: string
  /** of the whole of it; ends in a slash */
  readonly url: string
  /** requests so far */
  readonly asked: () => readonly AskedOfRegistry[]
  readonly stop: () => Promise<void>
}

interface Answer {
  readonly status?: number
  readonly body: Buffer
  readonly type?: string
  readonly tag?: string
}

const API = '/api/v1/crates'

export async function startCargoRegistry(options: CargoRegistryOptions): Promise<CargoRegistry> {
  const { base = '' } = options
  const asked: AskedOfRegistry[] = []
  const crates = createCrates()
  const server = createServer((request, response) => {
    void serve(request).then(
      answer => send(request, response, answer),
      (error: unknown) => {
        // An upload that was broken off asked for nothing.
        if (request.complete) send(request, response, failed({ status: 500, detail: String(error) }))
      },
    )
  })
  const origin = await listen(server)

  async function serve(request: IncomingMessage): Promise<Answer> {
    const body = await buffer(request)
    const { pathname, searchParams } = new URL(request.url ?? '', origin)
    const { authorization } = request.headers
    const user = authorization === undefined ? undefined : options.tokens[authorization]
    const method = request.method ?? ''
    if (!pathname.startsWith(`${base}/`)) return failed({ status: 404, detail: 'Not Found' })
    const path = pathname.slice(base.length)
    if (user === undefined && (authorization !== undefined || options.authRequired === true)) return UNAUTHORIZED
    const reads = method === 'GET' && !path.endsWith('/owners')
    if (reads) return read(path, searchParams)
    return user === undefined ? UNAUTHORIZED : change(crates, method, path, user, body)
  }

  function read(path: string, query: URLSearchParams): Answer {
    if (path === '/index/config.json') return tagged(jsonOf(configOf(`${origin}${base}`, options)))
    if (path.startsWith('/index/')) return fromIndex(crates, path.slice('/index/'.length))
    if (path === API) return ok(crates.search(query.get('q') ?? '', Number(query.get('per_page') ?? 10)))
    const file = crates.download(path.replace(/^\/(?:api\/v1\/)?crates\//, ''))
    return file === undefined
      ? failed({ status: 404, detail: 'no such file' })
      : { body: file, type: 'application/gzip' }
  }

  function send(request: IncomingMessage, response: ServerResponse, answer: Answer): void {
    const { tag, body, type = 'application/json' } = answer
    const ifNoneMatch = request.headers['if-none-match']
    const fresh = tag !== undefined && ifNoneMatch === tag
    const status = fresh ? 304 : (answer.status ?? 200)
    const { method = '', url: target = '', headers } = request
    asked.push({ method, target, authorization: headers.authorization, ifNoneMatch, status })
    response.writeHead(status, {
      ...(tag === undefined ? {} : { etag: tag }),
      ...(fresh ? {} : { 'content-type': type, 'content-length': body.length }),
      ...(status === 401 ? { 'www-authenticate': `Cargo login_url="${origin}/me"` } : {}),
    })
    response.end(fresh ? undefined : body)
  }

  return {
    origin,
    url: `${origin}${base}/`,
    asked: () => asked,
    async stop() {
      server.closeAllConnections()
      await new Promise(resolve => server.close(resolve))
    },
  }
}

async function listen(server: Server): Promise<string> {
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  const address = server.address()
  if (address === null || typeof address === 'string') throw new Error('not a TCP server')
  return `http://127.0.0.1:${address.port}`
}

function configOf(root: string, { authRequired = false, dl = API }: CargoRegistryOptions): object {
  return { dl: `${root}${dl}`, api: root, ...(authRequired ? { 'auth-required': true } : {}) }
}

function fromIndex(crates: Crates, path: string): Answer {
  const lines = crates.index(path)
  return lines === undefined ? failed({ status: 404, detail: 'no such crate' }) : tagged(Buffer.from(lines))
}

function change(crates: Crates, method: string, path: string, user: string, body: Buffer): Answer {
  if (method === 'PUT' && path === `${API}/new`) return answered(crates.publish(user, body), PUBLISHED)
  const [, name = '', version, what] =
    /^\/api\/v1\/crates\/([^/]+)(?:\/([^/]+)\/(yank|unyank)|\/owners)$/.exec(path) ?? []
  const route = `${method} ${what ?? (name === '' ? path : 'owners')}`
  switch (route) {
    case 'DELETE yank':
    case 'PUT unyank':
      return answered(crates.yank(user, name, version ?? '', what === 'yank'), { ok: true })
    case 'GET owners':
      return answered(undefined, { users: crates.owners(name).map((login, i) => ({ id: i + 1, login, name: null })) })
    case 'PUT owners':
    case 'DELETE owners':
      return answered(crates.changeOwners(user, name, body, method === 'PUT'), { ok: true, msg: 'owners changed' })
    default:
      return failed({ status: 404, detail: `no such route: ${route}` })
  }
}

const PUBLISHED = { warnings: { invalid_categories: [], invalid_badges: [], other: [] } }
const UNAUTHORIZED = failed({ status: 401, detail: 'a token is needed' })

function answered(failure: Failure | undefined, value: object): Answer {
  return failure === undefined ? ok(value) : failed(failure)
}

function ok(value: object): Answer {
  return { body: jsonOf(value) }
}

function failed({ status, detail }: Failure): Answer {
  return { status, body: jsonOf({ errors: [{ detail }] }) }
}

function tagged(body: Buffer): Answer {
  return { body, type: 'text/plain', tag: `"${createHash('sha256').update(body).digest('hex').slice(0, 16)}"` }
}

function jsonOf(value: object): Buffer {
  return Buffer.from(JSON.stringify(value))
}
