// A gate that gives tickets, and requests that bring them.

import { createHash } from 'node:crypto'
import type { TestContext } from 'node:test'
import type { Account } from '../../src/accounts/account.ts'
import { connectClient, type RawResponse } from './client.ts'
import { enrol, type GateOptions, makeAccount, startTestGate, type TestGate } from './gate.ts'
import type { TestIdentity } from './identities.ts'
import type { TicketDesk, TicketRequest } from './tickets.ts'
import { answering, OK, type RawUpstream, startUpstream } from './upstream.ts'

export const RIGHTS = { publish: ['acme-*'], withdraw: ['acme-*'], own: ['acme-*'] }
export const SECOND = 1000

export interface TicketBench extends TestGate {
  readonly upstream: RawUpstream
  readonly desk: TicketDesk
}

/** A gate for a cargo registry whose reads need a certificate, and a second one beside it. */
export async function createTicketBench(
  t: TestContext,
  identity: TestIdentity,
  options: Partial<GateOptions> = {},
): Promise<TicketBench> {
  const upstream = await startUpstream(t, answering(OK))
  const gate = await startTestGate(t, {
    upstream: upstream.origin,
    enrolments: [enrol(identity, atBoth(makeAccount({ rights: RIGHTS })))],
    registry: { dialect: 'cargo', reads: 'certificate' },
    others: [
      {
        name: 'other',
        dialect: 'cargo',
        publicUrl: new URL('https://registry.test/other/'),
        upstream: new URL(upstream.origin),
        upstreamCa: undefined,
        upstreamOrigins: [],
        upstreamHeaders: new Map(),
        tokenService: undefined,
        reads: 'certificate',
      },
    ],
    ...options,
  })
  return { ...gate, upstream, desk: { port: gate.port, identity } }
}

function atBoth(account: Account): Account {
  const twice = <T>(map: ReadonlyMap<string, T>) =>
    new Map([...map].flatMap(([, it]) => [['main', it] as const, ['other', it] as const]))
  return { ...account, credentials: twice(account.credentials), rights: twice(account.rights) }
}

export interface Sent {
  readonly authorization?: string
  readonly body?: Buffer
  readonly lines?: readonly string[]
}

export function headOf(line: string, { authorization, body, lines = [] }: Sent): string {
  const all = [`${line} HTTP/1.1`, 'Host: registry.test', ...lines]
  if (authorization !== undefined) all.push(`Authorization: ${authorization}`)
  if (body !== undefined) all.push(`Content-Length: ${body.length}`)
  return `${all.join('\r\n')}\r\n\r\n`
}

/** On a connection of its own, without a certificate. */
export async function request(t: TestContext, { port }: TestGate, line: string, sent: Sent): Promise<RawResponse> {
  const client = await connectClient(t, { port })
  client.send(Buffer.concat([Buffer.from(headOf(line, sent)), sent.body ?? Buffer.alloc(0)]))
  return client.response()
}

export function refusalOf({ body }: RawResponse): string {
  const answer: unknown = JSON.parse(body)
  return typeof answer === 'object' && answer !== null && 'refusal' in answer ? String(answer.refusal) : body
}

export const CRATE = Buffer.from('bytes of a crate')
export const DIGEST = createHash('sha256').update(CRATE).digest('hex')
export const READ = 'GET /se/rd/serde'
export const YANK = 'DELETE /api/v1/crates/acme_tool/1.0.0/yank'
export const PUBLISH = 'PUT /api/v1/crates/new'
export const yank: TicketRequest = { action: 'withdraw', package: 'acme_tool', version: '1.0.0' }
export const publish: TicketRequest = { action: 'publish', package: 'acme_tool', version: '1.0.0', digest: DIGEST }

export function publishBody(name = 'acme_tool', vers = '1.0.0', crate = CRATE): Buffer {
  const metadata = Buffer.from(JSON.stringify({ name, vers, deps: [] }))
  const sizes = [metadata, crate].map(part => {
    const size = Buffer.alloc(4)
    size.writeUInt32LE(part.length)
    return size
  })
  return Buffer.concat([sizes[0] ?? metadata, metadata, sizes[1] ?? crate, crate])
}
