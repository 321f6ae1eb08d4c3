// A registry and its token service, made of sockets: each says what the test wants, and shows all that it was sent.

import type { TestContext } from 'node:test'
import type { Limits } from '../../src/config/config.ts'
import type { RawClient } from './client.ts'
import { enrol, makeAccount, startTestGate, type TestGate } from './gate.ts'
import { makeIdentity } from './identities.ts'
import { type Answerer, answering, type RawUpstream, startUpstream } from './upstream.ts'

/** Those who are enrolled at every gate made here: alice and bob. */
export const users = Promise.all([makeIdentity(), makeIdentity()])

/** of alice */
export const CREDENTIAL = 'Basic YWxpY2U6Y2FuYXJ5LXBhc3N3b3Jk'

export function answer(status: number, body = '', ...fields: string[]): string {
  const lines = [`HTTP/1.1 ${status} X`, `content-length: ${body.length}`, ...fields]
  return `${lines.join('\r\n')}\r\n\r\n${body}`
}

export function challenge(realm: string): string {
  return answer(401, '', `www-authenticate: Bearer realm="${realm}",service="lab"`)
}

/** A registry that takes the tokens of `token`, and the service that gives them, in one backend. */
export interface Backend {
  readonly upstream: RawUpstream
  readonly service: RawUpstream
  /** lines of all requests for a token, with the credential */
  readonly asked: () => readonly string[]
  readonly probes: () => number
}

interface BackendOptions {
  /** the answer of the token service to its n-th request; undefined: none at all */
  readonly token?: (n: number, head: string) => string | undefined
  /** whether the registry takes an Authorization */
  readonly takes?: (authorization: string) => boolean
  readonly realm?: (service: string, upstream: string) => string
  readonly probe?: string
}

export async function startBackend(t: TestContext, options: BackendOptions = {}): Promise<Backend> {
  const { token = n => answer(200, `{"token":"t${n}"}`), takes = it => it.startsWith('Bearer t') } = options
  let count = 0
  const serve: Answerer = (socket, text) => {
    if (!text.endsWith('\r\n\r\n')) return
    const said = token(count++, text)
    if (said !== undefined) socket.write(said)
  }
  const service = await startUpstream(t, serve)
  const upstream: RawUpstream = await startUpstream(
    t,
    answering(head => {
      const realm = options.realm?.(service.origin, upstream.origin) ?? `${service.origin}/token`
      const [, authorization = ''] = /\r\nauthorization: (.*)\r\n/.exec(head) ?? []
      if (/^GET \/v2\/ /.test(head) && authorization === '') return options.probe ?? challenge(realm)
      return takes(authorization) ? answer(200, 'ok') : challenge(realm)
    }),
  )
  const lines = (backend: RawUpstream) => backend.received().flatMap(text => text.match(/^GET .*$/gm) ?? [])
  return {
    upstream,
    service,
    asked: () => lines(service).map(line => decodeURIComponent(line.replace(/ HTTP.*/s, ''))),
    probes: () => lines(upstream).filter(line => line.startsWith('GET /v2/ ')).length,
  }
}

interface GateOptions {
  readonly reads?: 'public' | 'certificate'
  readonly tokenService?: string | undefined
  readonly limits?: Partial<Limits>
  readonly upstreamOrigins?: readonly string[]
}

export async function gateFor(t: TestContext, backend: Backend, options: GateOptions = {}): Promise<TestGate> {
  const { reads = 'certificate', limits = {}, upstreamOrigins = [] } = options
  const tokenService = 'tokenService' in options ? options.tokenService : backend.service.origin
  const rights = { publish: ['**'], withdraw: ['**'], own: ['**'] }
  const [alice, bob] = await users
  const account = makeAccount({ credential: CREDENTIAL, rights })
  const other = makeAccount({ name: 'bob', credential: 'Basic Ym9iOmI=', rights })
  return startTestGate(t, {
    upstream: backend.upstream.origin,
    enrolments: [enrol(alice, account), enrol(bob, other)],
    registry: { dialect: 'oci', reads, tokenService, upstreamOrigins },
    limits,
  })
}

export async function request(client: RawClient, line: string, body = '') {
  const framing = body === '' ? '' : `Content-Length: ${body.length}\r\n`
  client.send(`${line} HTTP/1.1\r\nHost: registry.test\r\n${framing}\r\n${body}`)
  return client.response(line.split(' ')[0])
}

export function causesOf(gate: TestGate): unknown[] {
  return gate.logged.filter(line => line.event === 'request spoilt by the upstream').map(line => line.facts['cause'])
}
