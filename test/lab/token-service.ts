// A token service as distribution wants it: checks a user's password, and signs what that user may do (RFC 7519, ES256,
// its certificate in `x5c`). Everybody may pull what is below `public/`, and a user whatever the test says.

import { createPrivateKey, randomUUID, sign, X509Certificate } from 'node:crypto'
import { createServer, type IncomingMessage } from 'node:http'
import { makeIdentity } from './identities.ts'
import { atEnd, type Ending } from './temporary.ts'

export interface TokenService {
  readonly origin: string
  readonly realm: string
  readonly service: string
  readonly issuer: string
  /** PEM, by which its tokens are verified */
  readonly certificate: string
  readonly requests: () => readonly TokenRequest[]
}

export interface TokenRequest {
  /** undefined: none was given */
  readonly user: string | undefined
  readonly scopes: readonly string[]
  readonly status: number
}

export interface TokenServiceOptions {
  /** passwords by name */
  readonly users: Readonly<Record<string, string>>
  /** `repository:acme/tool` → the actions of those asked for that a user gets; without it, all of them */
  readonly grant?: (user: string, resource: string, actions: readonly string[]) => readonly string[]
}

const SERVICE = 'lab registry'
const ISSUER = 'lab issuer'
const LIFETIME = 300

interface Access {
  readonly type: string
  readonly name: string
  readonly actions: readonly string[]
}

export async function startTokenService(t: Ending, options: TokenServiceOptions): Promise<TokenService> {
  const { certificate, key } = await makeIdentity({ keyType: 'p256', commonName: ISSUER })
  const requests: TokenRequest[] = []

  function answer(request: IncomingMessage): readonly [status: number, body: object] {
    const { searchParams } = new URL(request.url ?? '', 'http://token.test')
    const user = userOf(request, options.users)
    const scopes = searchParams.getAll('scope')
    const status = user === null || searchParams.get('service') !== SERVICE ? 401 : 200
    requests.push({ user: user ?? undefined, scopes, status })
    if (user === null || status !== 200) return [401, { errors: [{ code: 'UNAUTHORIZED' }] }]
    const access = scopes.map(scope => accessOf(scope, user, options))
    return [200, { token: signToken(access, user, certificate, key), expires_in: LIFETIME }]
  }

  const server = createServer((request, response) => {
    const [status, body] = answer(request)
    response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body))
  })
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  atEnd(t, () => {
    server.closeAllConnections()
    server.close()
  })
  const address = server.address()
  if (address === null || typeof address === 'string') throw new Error('not a TCP server')
  const origin = `http://127.0.0.1:${address.port}`
  return {
    origin,
    realm: `${origin}/token`,
    service: SERVICE,
    issuer: ISSUER,
    certificate,
    requests: () => requests,
  }
}

/** @returns undefined without credentials, null with wrong ones */
function userOf({ headers }: IncomingMessage, users: Readonly<Record<string, string>>): string | undefined | null {
  const { authorization } = headers
  if (authorization === undefined) return undefined
  const [, encoded = ''] = /^Basic (.+)$/.exec(authorization) ?? []
  const [name = '', password = ''] = Buffer.from(encoded, 'base64').toString().split(/:(.*)/s)
  return users[name] !== undefined && users[name] === password ? name : null
}

function accessOf(scope: string, user: string | undefined, { grant }: TokenServiceOptions): Access {
  const [, type = '', name = '', text = ''] = /^([a-z]+):(.+):([a-z*,]+)$/.exec(scope) ?? []
  const wanted = text.split(',')
  if (user !== undefined) return { type, name, actions: grant?.(user, `${type}:${name}`, wanted) ?? wanted }
  return { type, name, actions: name.startsWith('public/') ? wanted.filter(action => action === 'pull') : [] }
}

function signToken(access: readonly Access[], user: string | undefined, certificate: string, key: string): string {
  const now = Math.floor(Date.now() / 1000)
  const x5c = [new X509Certificate(certificate).raw.toString('base64')]
  const claims = { iss: ISSUER, aud: SERVICE, sub: user ?? '', jti: randomUUID() }
  const times = { iat: now, nbf: now - 10, exp: now + LIFETIME }
  const parts = [
    { typ: 'JWT', alg: 'ES256', x5c },
    { ...claims, ...times, access },
  ]
  const text = parts.map(part => Buffer.from(JSON.stringify(part)).toString('base64url')).join('.')
  const signature = sign('sha256', Buffer.from(text), { key: createPrivateKey(key), dsaEncoding: 'ieee-p1363' })
  return `${text}.${signature.toString('base64url')}`
}
