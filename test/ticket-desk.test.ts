import assert from 'node:assert/strict'
import { before, describe, test } from 'node:test'
import { connectClient } from './lab/client.ts'
import { enrol, makeAccount } from './lab/gate.ts'
import { makeIdentity, type TestIdentity } from './lab/identities.ts'
import {
  createTicketBench,
  headOf,
  PUBLISH,
  publish,
  publishBody,
  RIGHTS,
  refusalOf,
  request,
  SECOND,
  YANK,
  yank,
} from './lab/ticket-bench.ts'
import { askForTicket, ticketFor } from './lab/tickets.ts'

let alice: TestIdentity
before(async () => {
  alice = await makeIdentity()
})

describe('a ticket stands for the certificate that asked for it', () => {
  test('and ends with it', async t => {
    let now = Date.now()
    const brief = await makeIdentity({ notAfter: new Date(now + 2 * SECOND) })
    const bench = await createTicketBench(t, brief, { wall: () => now })
    const authorization = await ticketFor(t, bench.desk, yank)
    now += 2 * SECOND
    const response = await request(t, bench, YANK, { authorization })
    assert.equal(response.status, 403)
    assert.match(response.body, new RegExp(`client certificate ${brief.fingerprint} expired at `))
  })

  test('and ends with its enrolment', async t => {
    let now = Date.now()
    const enrolled = enrol(alice, makeAccount({ rights: RIGHTS }), { expires: now + SECOND })
    const bench = await createTicketBench(t, alice, { wall: () => now, enrolments: [enrolled] })
    const authorization = await ticketFor(t, bench.desk, yank)
    now += SECOND
    assert.equal(refusalOf(await request(t, bench, YANK, { authorization })), 'enrolment-expired')
  })

  test('which may be revoked while an upload is under way', async t => {
    let revoked: { on: string; reason: string } | undefined
    const enrolled = {
      ...enrol(alice, makeAccount({ rights: RIGHTS })),
      get revoked() {
        return revoked
      },
    }
    const bench = await createTicketBench(t, alice, { enrolments: [enrolled] })
    const body = publishBody()
    const authorization = await ticketFor(t, bench.desk, publish)
    const client = await connectClient(t, { port: bench.port })
    client.send(headOf(PUBLISH, { authorization, body, lines: ['Expect: 100-continue'] }))
    assert.equal((await client.response()).status, 100)
    revoked = { on: '2026-11-24', reason: 'laptop lost' }
    client.send(body)
    assert.match((await client.response()).body, /was revoked on 2026-11-24: laptop lost/)
    assert.deepEqual(bench.upstream.received(), [])
  })

  test('and does no more than that may do now', async t => {
    let only: ReadonlySet<'read' | 'publish'> | undefined
    const enrolled = {
      ...enrol(alice, makeAccount({ rights: RIGHTS })),
      get only() {
        return only
      },
    }
    const bench = await createTicketBench(t, alice, { enrolments: [enrolled] })
    const authorization = await ticketFor(t, bench.desk, yank)
    only = new Set(['read', 'publish'])
    assert.equal(refusalOf(await request(t, bench, YANK, { authorization })), 'certificate-restricted')
  })
})

describe('the desk', () => {
  test('gives a ticket for what its holder may do, and says how long it is good', async t => {
    const bench = await createTicketBench(t, alice)
    const { status, body, fields } = await askForTicket(t, bench.desk, publish)
    assert.equal(status, 201)
    assert.equal(fields.get('cache-control'), 'no-store')
    const { ticket, expires, ...binding } = JSON.parse(body) as Record<string, string>
    assert.match(ticket ?? '', /^certgate_[A-Za-z0-9_-]{43}$/)
    assert.ok(Date.parse(expires ?? '') > Date.now())
    assert.deepEqual(binding, { registry: 'main', ...publish, package: 'acme-tool' })
  })

  test('gives no ticket for a ticket', async t => {
    const bench = await createTicketBench(t, alice)
    for (const asked of [yank, { action: 'read' as const }, { action: 'account' as const }]) {
      const authorization = asked.action === 'account' ? undefined : await ticketFor(t, bench.desk, asked)
      const line = authorization === undefined ? [] : [`Authorization: ${authorization}`]
      const response = await askForTicket(t, { port: bench.port }, yank, ...line)
      assert.equal(refusalOf(response), 'certificate-required')
    }
  })

  const refused: readonly [name: string, request: object, refusal: string, sentence: RegExp][] = [
    ['outside the rights', { ...yank, package: 'left-pad' }, 'right-missing', /no right to withdraw left-pad/],
    ['for any package', { action: 'publish' }, 'right-missing', /no right to publish all packages of main/],
    ['for accounts', { action: 'account' }, 'account-endpoint-closed', /closed here/],
    ['for no registry', { ...yank, registry: 'none' }, 'ticket-malformed', /there is no such registry/],
    ['for __proto__', { ...yank, registry: '__proto__' }, 'ticket-malformed', /there is no such registry/],
    ['without an action', { package: 'acme-tool' }, 'ticket-malformed', /cannot be read: action /],
    ['for no action', { action: 'steal' }, 'ticket-malformed', /cannot be read: action /],
    ['with an empty name', { ...yank, package: '' }, 'ticket-malformed', /cannot be read: package /],
    ['with an endless name', { ...yank, package: 'a'.repeat(257) }, 'ticket-malformed', /cannot be read: package /],
    ['with a number', { ...yank, version: 1 }, 'ticket-malformed', /cannot be read: version /],
    ['with more than it knows', { ...yank, lifetime: '1y' }, 'ticket-malformed', /lifetime/],
    ['that is endless', { ...yank, more: 'a'.repeat(20_000) }, 'ticket-malformed', /longer than 16384 bytes/],
  ]
  for (const [name, asked, refusal, sentence] of refused) {
    test(`gives no ticket ${name}`, async t => {
      const bench = await createTicketBench(t, alice)
      const response = await askForTicket(t, bench.desk, asked)
      assert.equal(refusalOf(response), refusal)
      assert.match(response.body, sentence)
    })
  }

  test('gives no ticket to a stranger, and none to nobody', async t => {
    const bench = await createTicketBench(t, alice)
    const stranger = await makeIdentity()
    assert.equal(refusalOf(await askForTicket(t, { ...bench.desk, identity: stranger }, yank)), 'certificate-unknown')
    assert.equal(refusalOf(await askForTicket(t, { port: bench.port }, yank)), 'certificate-required')
  })
})
