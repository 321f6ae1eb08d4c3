// cargo itself, which can present no certificate: its token is a ticket that the certificate's holder asked for. Behind
// the gate is a registry that takes a token only.

import assert from 'node:assert/strict'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { CARGO_REGISTRY, createCargoHome, runCargo, writeCrate } from '../lab/cargo.ts'
import {
  app,
  assertRefused,
  assertWorked,
  type CargoBench,
  cargoVersion,
  createCargoBench,
  PUBLISH,
  pack,
  TOKEN,
} from '../lab/cargo-bench.ts'
import type { CargoRegistry } from '../lab/cargo-registry.ts'
import { connectClient, type RawResponse } from '../lab/client.ts'
import { operation } from '../lab/table.ts'
import { ticketFor } from '../lab/tickets.ts'

test('cargo through the gate', { timeout: 300_000 }, async t => {
  const version = await cargoVersion(t)
  const row = (what: string) => ({ client: 'cargo', version, operation: what, backend: 'a sparse registry' })
  const bench = await createCargoBench(t)
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

test('cargo reads with a ticket', { timeout: 300_000 }, async t => {
  const version = await cargoVersion(t)
  const row = (what: string) => ({ client: 'cargo', version, operation: what, backend: 'a private sparse registry' })
  const dl = '/crates/{crate}-{version}.crate'
  const bench = await createCargoBench(t, { reads: 'certificate', backend: { authRequired: true, dl } })
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

async function fetchThrough(t: TestContext, { desk, url }: CargoBench, line: string): Promise<RawResponse> {
  const client = await connectClient(t, { ...desk, servername: 'localhost' })
  client.send(`${line} HTTP/1.1\r\nHost: ${new URL(url).host}\r\n\r\n`)
  return client.response()
}

/** Puts `acme_tool` into the registry, past the gate. */
async function publishDirectly({ folder, registry }: CargoBench): Promise<void> {
  const home = await createCargoHome(join(folder, 'direct'), `${registry.url}index/`, '')
  const cwd = await writeCrate(join(folder, 'tool'), { name: 'acme_tool', version: '1.0.0' })
  assertWorked(await runCargo(home, PUBLISH, { cwd, token: TOKEN }))
}
