// cargo itself, which can present no certificate: its token is a ticket that the certificate's holder asked for. Behind
// the gate is a registry that takes a token only.

import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import type { Enrolment } from '../../src/accounts/account.ts'
import type { TicketBinding } from '../../src/lane/tickets.ts'
import {
  CARGO_REGISTRY,
  type CargoHome,
  type CargoResult,
  type CrateSource,
  createCargoHome,
  packCrate,
  runCargo,
  writeCrate,
} from '../lab/cargo.ts'
import { type CargoRegistry, type CargoRegistryOptions, startCargoRegistry } from '../lab/cargo-registry.ts'
import { connectClient, type RawResponse } from '../lab/client.ts'
import { enrol, type GateOptions, makeAccount, startTestGate, type TestGate } from '../lab/gate.ts'
import { makeIdentity, type TestIdentity } from '../lab/identities.ts'
import { operation } from '../lab/table.ts'
import { atEnd, freePort, temporaryFolder } from '../lab/temporary.ts'
import { askForTicket, type TicketDesk, ticketFor } from '../lab/tickets.ts'

const TOKEN = 'token-of-alice'
const RIGHTS = { publish: ['acme-*'], withdraw: ['acme-*'], own: ['acme-*'] }
const PUBLISH = ['publish', '--registry', CARGO_REGISTRY, '--no-verify']

interface Bench {
  readonly folder: string
  readonly gate: TestGate
  readonly url: string
  readonly home: CargoHome
  readonly registry: CargoRegistry
  readonly desk: TicketDesk
}

interface BenchOptions {
  readonly enrolled?: (alice: TestIdentity) => Enrolment
  readonly backend?: Partial<CargoRegistryOptions>
  readonly gate?: Partial<GateOptions>
  readonly reads?: 'public' | 'certificate'
}

/** The registry stands below a path, and the gate serves it below another. */
async function createBench(t: TestContext, options: BenchOptions = {}): Promise<Bench> {
  const folder = await temporaryFolder(t)
  const registry = await startCargoRegistry({ tokens: { [TOKEN]: 'alice' }, base: '/registry', ...options.backend })
  atEnd(t, registry.stop)
  const alice = await makeIdentity()
  const enrolled = options.enrolled ?? (identity => enrol(identity, account()))
  const port = await freePort()
  const url = `https://localhost:${port}/cargo/`
  const gate = await startTestGate(t, {
    upstream: registry.url,
    port,
    enrolments: [enrolled(alice)],
    registry: { dialect: 'cargo', publicUrl: new URL(url), reads: options.reads ?? 'public' },
    ...options.gate,
  })
  const home = await createCargoHome(join(folder, 'home'), `${url}index/`, gate.serverCertificate)
  return { folder, gate, url, home, registry, desk: { port, url, identity: alice } }
}

function account() {
  return makeAccount({ credential: TOKEN, rights: RIGHTS })
}

interface Packed {
  readonly cwd: string
  readonly binding: TicketBinding
}

async function pack({ folder, home }: Bench, source: CrateSource): Promise<Packed> {
  const { name, version } = source
  const cwd = await writeCrate(join(folder, `${name}-${version}`), source)
  const digest = await packCrate(home, cwd, source)
  return { cwd, binding: { registry: 'main', action: 'publish', package: name, version, digest } }
}

function publish({ home }: Bench, { cwd }: Packed, token: string): Promise<CargoResult> {
  return runCargo(home, PUBLISH, { cwd, token })
}

function assertWorked({ code, stderr }: CargoResult): void {
  assert.equal(code, 0, stderr)
}

/** cargo wraps no lines where its output is no terminal. */
function assertRefused({ code, stderr }: CargoResult, sentence: string | RegExp): void {
  assert.notEqual(code, 0, stderr)
  if (typeof sentence === 'string') assert.ok(stderr.includes(sentence), stderr)
  else assert.match(stderr, sentence)
}

function published({ registry }: Bench): number {
  return registry.asked().filter(({ method, target }) => method === 'PUT' && target.endsWith('/new')).length
}

async function cargoVersion(t: TestContext): Promise<string> {
  const folder = await temporaryFolder(t)
  const { stdout } = await runCargo({ folder }, ['--version'], { cwd: folder })
  return /^cargo ([0-9.]+)/.exec(stdout)?.[1] ?? 'unknown'
}

function app(dependency: string): CrateSource {
  const main = `fn main() {\n    println!("{}", ${dependency}::version());\n}\n`
  return { name: 'app', version: '0.0.0', dependencies: { [dependency]: '1.0' }, files: { 'src/main.rs': main } }
}

test('cargo through the gate', { timeout: 300_000 }, async t => {
  const version = await cargoVersion(t)
  const row = (what: string) => ({ client: 'cargo', version, operation: what, backend: 'a sparse registry' })
  const bench = await createBench(t)
  const { folder, gate, url, home, registry, desk } = bench
  const tool = await pack(bench, { name: 'acme_tool', version: '1.0.0' })
  const ticket = await ticketFor(t, desk, tool.binding)

  await operation(t, row('publish'), async () => {
    assertWorked(await runCargo(home, PUBLISH.slice(0, 3), { cwd: tool.cwd, token: ticket }))
    const line = (await gate.audit()).find(it => it['event'] === 'change')
    const { account: who, ticket: byTicket, action, package: name, version: vers, digest } = line ?? {}
    assert.deepEqual(
      [who, byTicket, action, name, vers, digest],
      ['alice', true, 'publish', 'acme-tool', '1.0.0', tool.binding.digest],
    )
    assert.ok(registry.asked().every(({ authorization }) => authorization === undefined || authorization === TOKEN))
  })

  await operation(t, row('build and run a crate that depends on it'), async () => {
    const cwd = await writeCrate(join(folder, 'app'), app('acme_tool'))
    const ran = await runCargo(home, ['run', '--quiet'], { cwd })
    assertWorked(ran)
    assert.equal(ran.stdout, '1.0.0\n')
    const lock = await readFile(join(cwd, 'Cargo.lock'), 'utf8')
    assert.ok(lock.includes(`source = "sparse+${url}index/"`), lock)
    assert.ok(lock.includes(`checksum = "${tool.binding.digest}"`), lock)
    const download = registry.asked().find(({ target }) => target.endsWith('/download'))
    assert.deepEqual([download?.status, download?.authorization], [200, undefined])
  })

  await operation(t, row('update from an unchanged index'), async () => {
    const before = registry.asked().length
    assertWorked(await runCargo(home, ['update'], { cwd: join(folder, 'app') }))
    const asked = registry.asked().slice(before)
    // cargo never asks whether it still has the config.json of an index.
    const statuses = asked.map(({ target, status }) => [target, status])
    assert.deepEqual(statuses, [
      ['/registry/index/config.json', 200],
      ['/registry/index/ac/me/acme_tool', 304],
    ])
  })

  await operation(t, row('search'), async () => {
    const found = await runCargo(home, ['search', '--registry', CARGO_REGISTRY, 'acme'], { cwd: folder })
    assertWorked(found)
    assert.match(found.stdout, /^acme_tool = "1\.0\.0"\s+# of a test$/m)
  })

  await operation(t, row('yank'), async () => {
    const token = await ticketFor(t, desk, { action: 'withdraw', package: 'acme_tool', version: '1.0.0' })
    assertWorked(
      await runCargo(home, ['yank', '--registry', CARGO_REGISTRY, 'acme_tool@1.0.0'], { cwd: folder, token }),
    )
    assert.match(await indexOf(registry, 'ac/me/acme_tool'), /"yanked":true/)
  })

  await operation(t, row('unyank'), async () => {
    const token = await ticketFor(t, desk, { action: 'withdraw', package: 'acme-tool', version: '1.0.0' })
    const args = ['yank', '--undo', '--registry', CARGO_REGISTRY, 'acme_tool@1.0.0']
    assertWorked(await runCargo(home, args, { cwd: folder, token }))
    assert.match(await indexOf(registry, 'ac/me/acme_tool'), /"yanked":false/)
  })

  await operation(t, row('owner --add, --list, --remove'), async () => {
    const owner = (token: string, ...args: string[]) =>
      runCargo(home, ['owner', '--registry', CARGO_REGISTRY, ...args, 'acme_tool'], { cwd: folder, token })
    const own = () => ticketFor(t, desk, { action: 'own', package: 'acme_tool' })
    assertWorked(await owner(await own(), '--add', 'bob'))
    const list = await owner(await ticketFor(t, desk, { action: 'read' }), '--list')
    assertWorked(list)
    assert.deepEqual(list.stdout.trim().split('\n'), ['alice', 'bob'])
    assertWorked(await owner(await own(), '--remove', 'bob'))
  })

  await operation(t, row('login finds nothing to log in to'), async () => {
    const asked = registry.asked().length
    const response = await fetchThrough(t, bench, 'GET /cargo/me')
    assert.equal(response.status, 403)
    assert.match(response.body, /the client certificate is the login, no token is needed/)
    assert.equal(registry.asked().length, asked)
  })
})

test('cargo is refused by the gate', { timeout: 300_000 }, async t => {
  const version = await cargoVersion(t)
  const row = (what: string) => ({ client: 'cargo', version, operation: what, backend: 'a sparse registry' })
  let shift = 0
  let revoked: Enrolment['revoked']
  const bench = await createBench(t, {
    gate: { wall: () => Date.now() + shift },
    // What the directory says of a certificate may change while its ticket is good.
    enrolled: alice => ({
      ...enrol(alice, account()),
      get revoked() {
        return revoked
      },
    }),
  })
  const { folder, gate, home, desk } = bench
  const tool = await pack(bench, { name: 'acme_tool', version: '1.0.0' })

  await operation(t, row('publish without a token'), async () => {
    const { code, stderr } = await runCargo(home, PUBLISH, { cwd: tool.cwd })
    assert.notEqual(code, 0)
    assert.match(stderr, /no token found/)
  })

  await operation(t, row('publish with a token of its own'), async () => {
    assertRefused(await publish(bench, tool, TOKEN), 'this needs a client certificate and none was presented')
  })

  await operation(t, row('publish of other bytes than the ticket is for'), async () => {
    const digest = 'ab'.repeat(32)
    const token = await ticketFor(t, desk, { ...tool.binding, digest })
    const sentence = `this ticket is for digest ${digest}, and the request is for ${tool.binding.digest}`
    assertRefused(await publish(bench, tool, token), sentence)
  })

  await operation(t, row('publish of another version than the ticket is for'), async () => {
    const token = await ticketFor(t, desk, { ...tool.binding, version: '1.0.1' })
    assertRefused(await publish(bench, tool, token), 'this ticket is for version 1.0.1, and the request is for 1.0.0')
  })

  await operation(t, row('publish with a ticket that has expired'), async () => {
    const token = await ticketFor(t, desk, tool.binding)
    shift += 3_600_000
    assertRefused(await publish(bench, tool, token), 'this ticket has expired; ask for a new one')
  })

  await operation(t, row('publish with a ticket to read'), async () => {
    const token = await ticketFor(t, desk, { action: 'read' })
    assertRefused(await publish(bench, tool, token), 'this ticket is for action read, and the request is for publish')
  })

  await operation(t, row('publish outside the rights'), async () => {
    const { status, body } = await askForTicket(t, desk, { ...tool.binding, package: 'left_pad' })
    assert.equal(status, 403)
    assert.match(body, /account alice has no right to publish left-pad/)
    const other = await pack(bench, { name: 'left_pad', version: '1.0.0' })
    const token = await ticketFor(t, desk, tool.binding)
    assertRefused(await publish(bench, other, token), 'account alice has no right to publish left-pad')
  })

  assert.equal(published(bench), 0)
  const used = await ticketFor(t, desk, tool.binding)

  await operation(t, row('publish with a ticket that was used'), async () => {
    assertWorked(await publish(bench, tool, used))
    const next = await pack(bench, { name: 'acme_tool', version: '1.1.0' })
    assertRefused(await publish(bench, next, used), 'this ticket was used before')
    assert.equal(published(bench), 1)
  })

  await operation(t, row('publish of 20 MB, refused before its body'), async () => {
    const files = { 'noise.bin': randomBytes(20_000_000) }
    const large = await pack(bench, { name: 'acme_large', version: '1.0.0', files })
    assertRefused(await publish(bench, large, used), 'this ticket was used before')
    const line = (await gate.audit()).at(-1)
    assert.deepEqual([line?.['refusal'], line?.['bytes_in']], ['ticket-used', 0])
    assertWorked(await publish(bench, large, await ticketFor(t, desk, large.binding)))
    assert.equal(published(bench), 2)
  })

  await operation(t, row('publish after the certificate was revoked'), async () => {
    const next = await pack(bench, { name: 'acme_tool', version: '1.1.0' })
    const token = await ticketFor(t, desk, next.binding)
    revoked = { on: '2026-11-24', reason: 'laptop lost' }
    assertRefused(await publish(bench, next, token), 'was revoked on 2026-11-24: laptop lost')
    const search = await runCargo(home, ['search', '--registry', CARGO_REGISTRY, 'acme'], { cwd: folder })
    assertWorked(search)
    assert.equal(published(bench), 2)
  })
})

test('cargo reads with a ticket', { timeout: 300_000 }, async t => {
  const version = await cargoVersion(t)
  const row = (what: string) => ({ client: 'cargo', version, operation: what, backend: 'a private sparse registry' })
  const dl = '/crates/{crate}-{version}.crate'
  const bench = await createBench(t, { reads: 'certificate', backend: { authRequired: true, dl } })
  const { folder, home, registry, desk } = bench
  await publishDirectly(bench)
  const cwd = await writeCrate(join(folder, 'app'), app('acme_tool'))

  await operation(t, row('read without a ticket'), async () => {
    const before = registry.asked().length
    assertRefused(await runCargo(home, ['fetch'], { cwd }), /no token found for `gate`/)
    assert.equal(registry.asked().length, before)
  })

  await operation(t, row('read with a token of its own'), async () => {
    const refused = await runCargo(home, ['fetch'], { cwd, token: TOKEN })
    assertRefused(refused, 'this needs a client certificate and none was presented')
  })

  await operation(t, row('build and run with a ticket to read'), async () => {
    const token = await ticketFor(t, desk, { action: 'read' })
    const ran = await runCargo(home, ['run', '--quiet'], { cwd, token })
    assertWorked(ran)
    assert.equal(ran.stdout, '1.0.0\n')
    const download = registry.asked().find(({ target }) => target.endsWith('/crates/acme_tool-1.0.0.crate'))
    assert.deepEqual([download?.status, download?.authorization], [200, TOKEN])
    const again = await runCargo(home, ['search', '--registry', CARGO_REGISTRY, 'acme'], { cwd, token })
    assertWorked(again)
    assert.match(again.stdout, /^acme_tool = "1\.0\.0"/)
  })
})

/** The index as the registry itself gives it. */
async function indexOf({ url }: CargoRegistry, path: string): Promise<string> {
  return (await fetch(`${url}index/${path}`)).text()
}

async function fetchThrough(t: TestContext, { desk, url }: Bench, line: string): Promise<RawResponse> {
  const client = await connectClient(t, { ...desk, servername: 'localhost' })
  client.send(`${line} HTTP/1.1\r\nHost: ${new URL(url).host}\r\n\r\n`)
  return client.response()
}

/** Puts `acme_tool` into the registry, past the gate. */
async function publishDirectly({ folder, registry }: Bench): Promise<void> {
  const home = await createCargoHome(join(folder, 'direct'), `${registry.url}index/`, '')
  const cwd = await writeCrate(join(folder, 'tool'), { name: 'acme_tool', version: '1.0.0' })
  assertWorked(await runCargo(home, PUBLISH, { cwd, token: TOKEN }))
}
