// Many clients of many accounts at once: nobody gets another's credential, and nobody another's answer.

import assert from 'node:assert/strict'
import { randomInt } from 'node:crypto'
import { type TestContext, test } from 'node:test'
import { connectClient, type RawClient } from './lab/client.ts'
import { digestOf, type Echo, lineOf, linesOf, type Seen, startEcho } from './lab/echo.ts'
import { enrol, makeAccount, startTestGate, type TestGate } from './lab/gate.ts'
import { makeIdentity, type TestIdentity } from './lab/identities.ts'

const ACCOUNTS = 20

interface Crowd {
  readonly echo: Echo
  readonly gate: TestGate
  readonly identities: readonly TestIdentity[]
}

/** Reads need a certificate, so that each request goes upstream with a credential. */
async function openCrowd(t: TestContext): Promise<Crowd> {
  const echo = await startEcho(t)
  const identities = await Promise.all(Array.from({ length: ACCOUNTS }, () => makeIdentity()))
  const enrolments = identities.map((identity, i) =>
    enrol(identity, makeAccount({ name: nameOf(i), rights: { publish: ['**'] } })),
  )
  const registry = { dialect: 'generic', reads: 'certificate' } as const
  return { echo, identities, gate: await startTestGate(t, { upstream: echo.origin, enrolments, registry }) }
}

/** The account of a client, by the client's number. */
function nameOf(client: number): string {
  return `account-${client % ACCOUNTS}`
}

/** Clients by number: `/17/…` is asked by client 17, and by nobody else. */
function tokenFor(path: string): string {
  return `Bearer token-of-${nameOf(Number(path.split('/')[1]))}`
}

function connect(t: TestContext, { gate, identities }: Crowd, client: number): Promise<RawClient> {
  return connectClient(t, { port: gate.port, identity: identities[client % ACCOUNTS] })
}

interface Wish {
  readonly method: 'GET' | 'PUT'
  readonly path: string
  readonly body: string
  readonly chunked: boolean
}

/** @param serial of the request among its client's */
function randomWish(client: number, serial: number, lines: number): Wish {
  const method = randomInt(2) === 0 ? 'GET' : 'PUT'
  const body = method === 'GET' ? '' : `${client} `.repeat(randomInt(20_000))
  return { method, path: `/${client}/${serial}?lines=${randomInt(1, lines)}`, body, chunked: randomInt(2) === 0 }
}

function textOf({ method, path, body, chunked }: Wish): string {
  const start = `${method} ${path} HTTP/1.1\r\nHost: registry.test\r\n`
  if (method === 'GET') return `${start}\r\n`
  if (!chunked) return `${start}Content-Length: ${body.length}\r\n\r\n${body}`
  const chunks = body.match(/.{1,5000}/g) ?? []
  const coded = chunks.map(chunk => `${chunk.length.toString(16)}\r\n${chunk}\r\n`).join('')
  return `${start}Transfer-Encoding: chunked\r\n\r\n${coded}0\r\n\r\n`
}

function answerTo({ method, path, body }: Wish): string {
  const line = lineOf({ method, path, authorization: tokenFor(path), digest: digestOf(body) })
  return line.repeat(linesOf(path))
}

async function ask(client: RawClient, wish: Wish): Promise<void> {
  client.send(textOf(wish))
  const { status, body } = await client.response()
  assert.equal(status, 200)
  // Not assert.equal: its message would hold both, and they are long.
  assert.ok(body === answerTo(wish), `${wish.method} ${wish.path} was answered ${body.slice(0, 200)}`)
}

function assertOwnTokens(seen: readonly Seen[]): void {
  for (const { path, authorization } of seen) assert.equal(authorization, tokenFor(path), path)
}

test('R01 200 clients of 20 accounts: each request goes with its own credential, each answer to who asked', async t => {
  const [clients, requests] = [200, 10]
  const crowd = await openCrowd(t)

  async function play(number: number): Promise<void> {
    const client = await connect(t, crowd, number)
    for (let i = 0; i < requests; i++) await ask(client, randomWish(number, i, 50))
    client.socket.destroy()
  }

  await Promise.all(Array.from({ length: clients }, (_, number) => play(number)))
  const { seen } = crowd.echo
  assert.equal(new Set(seen.map(({ path }) => path.replace(/\?.*/, ''))).size, clients * requests)
  assert.equal(seen.length, clients * requests)
  assertOwnTokens(seen)
  assert.deepEqual(crowd.gate.logged, [])
})

/** What a client may do: all of it leaves the gate with connections in every state. */
type Turn = (client: RawClient, wish: Wish) => Promise<void>

/** Sends a part of an upload, at most all but a byte. */
const breakUpload: Turn = async (client, wish) => {
  const text = textOf({ ...wish, method: 'PUT', path: `${wish.path}&broken`, body: wish.body || 'x' })
  const part = text.slice(0, randomInt(1, text.length))
  await new Promise<unknown>(resolve => client.socket.write(part, resolve))
  client.socket.destroy()
  await client.closed
}

/** Reads the beginning of a long answer. */
const breakDownload: Turn = async (client, wish) => {
  client.send(textOf({ ...wish, path: wish.path.replace(/lines=.*/, 'lines=20000') }))
  await new Promise(resolve => client.socket.once('data', resolve))
  client.socket.destroy()
  await client.closed
}

/** Asks, and does not wait at all. */
const leaveAtOnce: Turn = async (client, wish) => {
  client.send(textOf(wish))
  client.socket.destroy()
  await client.closed
}

const BREAKS = [breakUpload, breakDownload, leaveAtOnce]

test('R09 50 clients of which some break off: the others get their own answers, and no half request counts', async t => {
  const [clients, turns] = [50, 12]
  const crowd = await openCrowd(t)
  let broken = 0

  async function play(number: number): Promise<void> {
    let client = await connect(t, crowd, number)
    for (let i = 0; i < turns; i++) {
      const wish = randomWish(number, i, 3000)
      const breakOff = BREAKS[randomInt(BREAKS.length * 2)]
      if (breakOff === undefined) {
        await ask(client, wish)
        continue
      }
      broken++
      await breakOff(client, wish)
      client = await connect(t, crowd, number)
    }
    // Whatever was left half done before, the last answer is the right one.
    await ask(client, { method: 'GET', path: `/${number}/last`, body: '', chunked: false })
    client.socket.destroy()
  }

  await Promise.all(Array.from({ length: clients }, (_, number) => play(number)))
  const { seen } = crowd.echo
  assertOwnTokens(seen)
  assert.deepEqual(
    seen.filter(({ path }) => path.endsWith('broken')),
    [],
  )
  t.diagnostic(`${broken} of ${clients * turns} requests were broken off`)
  await crowd.gate.gate.stop()
  assert.deepEqual(
    crowd.gate.logged.filter(({ level }) => level === 'error'),
    [],
  )
})
