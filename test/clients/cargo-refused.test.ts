// What cargo shows of the gate's refusals, and that nothing reaches the registry.

import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { test } from 'node:test'
import { setTimeout as delay } from 'node:timers/promises'
import type { Enrolment } from '../../src/accounts/account.ts'
import { CARGO_REGISTRY, runCargo } from '../lab/cargo.ts'
import {
  assertRefused,
  assertWorked,
  type CargoBench,
  cargoAccount,
  cargoVersion,
  createCargoBench,
  PUBLISH,
  pack,
  publish,
  TOKEN,
} from '../lab/cargo-bench.ts'
import { enrol, type TestGate } from '../lab/gate.ts'
import { operation } from '../lab/table.ts'
import { askForTicket, ticketFor } from '../lab/tickets.ts'

test('cargo is refused by the gate', { timeout: 300_000 }, async t => {
  const version = await cargoVersion(t)
  const row = (what: string) => ({ client: 'cargo', version, operation: what, backend: 'a sparse registry' })
  let shift = 0
  let revoked: Enrolment['revoked']
  const bench = await createCargoBench(t, {
    gate: { wall: () => Date.now() + shift },
    // What the directory says of a certificate may change while its ticket is good.
    enrolled: alice => ({
      ...enrol(alice, cargoAccount()),
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
    await recorded(gate, line => line['refusal'] === 'ticket-used' && line['bytes_in'] === 0)
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

function published({ registry }: CargoBench): number {
  return registry
    .asked()
    .filter(({ method, target, status }) => `${method} ${status}` === 'PUT 200' && target.endsWith('/new')).length
}

/** Waits for the record of a request, which is written after its answer. */
async function recorded(gate: TestGate, is: (line: Record<string, unknown>) => boolean): Promise<void> {
  while (!(await gate.audit()).some(is)) await delay(20)
}
