import assert from 'node:assert/strict'
import { before, describe, test } from 'node:test'
import { fingerprintOf, keyPinOf } from '../src/accounts/fingerprint.ts'
import { DEFAULT_LIMITS } from '../src/config/limits.ts'
import { createTicketOffice, type Ticket, type TicketBinding } from '../src/lane/tickets.ts'
import { connectClient, type RawClient } from './lab/client.ts'
import { makeIdentity, type TestIdentity } from './lab/identities.ts'
import {
  CRATE,
  createTicketBench,
  DIGEST,
  headOf,
  PUBLISH,
  publish,
  publishBody,
  READ,
  refusalOf,
  request,
  SECOND,
  YANK,
  yank,
} from './lab/ticket-bench.ts'
import { askForTicket, type TicketRequest, ticketFor } from './lab/tickets.ts'

let alice: TestIdentity
before(async () => {
  alice = await makeIdentity()
})

describe('a ticket', () => {
  const forms: readonly [name: string, form: (ticket: string) => string][] = [
    ['as it is', ticket => ticket],
    ['as a Bearer token', ticket => `Bearer ${ticket}`],
    ['as a bearer token', ticket => `bearer  ${ticket}`],
    ['as the password of Basic', ticket => `Basic ${Buffer.from(`alice:${ticket}`).toString('base64')}`],
    ['as the password of nobody', ticket => `Basic ${Buffer.from(`:${ticket}`).toString('base64')}`],
  ]
  for (const [name, form] of forms) {
    test(`is taken ${name}, and never sent on`, async t => {
      const bench = await createTicketBench(t, alice)
      const ticket = await ticketFor(t, bench.desk, yank)
      assert.equal((await request(t, bench, YANK, { authorization: form(ticket) })).status, 200)
      const [sent = ''] = bench.upstream.received()
      assert.match(sent, /\r\nauthorization: Bearer token-of-alice\r\n/)
      assert.ok(!sent.includes(ticket) && !sent.includes(form(ticket)))
      const line = (await bench.audit()).find(it => it['event'] === 'change')
      assert.deepEqual([line?.['ticket'], line?.['account'], line?.['fingerprint']], [true, 'alice', alice.fingerprint])
      assert.ok(!JSON.stringify(await bench.audit()).includes(ticket))
    })
  }

  const none: readonly [name: string, form: (ticket: string) => string][] = [
    ['with a letter more', ticket => `${ticket}a`],
    ['as a user name', ticket => `Basic ${Buffer.from(`${ticket}:`).toString('base64')}`],
    ['in another scheme', ticket => `Token ${ticket}`],
    ['twice', ticket => `${ticket}, ${ticket}`],
  ]
  for (const [name, form] of none) {
    test(`is none ${name}`, async t => {
      const bench = await createTicketBench(t, alice)
      const authorization = form(await ticketFor(t, bench.desk, yank))
      assert.equal(refusalOf(await request(t, bench, YANK, { authorization })), 'certificate-required')
      assert.deepEqual(bench.upstream.received(), [])
    })
  }

  test('that nobody was given is unknown', async t => {
    const bench = await createTicketBench(t, alice)
    const response = await request(t, bench, YANK, { authorization: `certgate_${'a'.repeat(43)}` })
    assert.equal(response.status, 403)
    assert.match(response.body, /this ticket is not known here, or was forgotten; ask for a new one/)
  })

  test('is good once, whatever came of it', async t => {
    const bench = await createTicketBench(t, alice)
    const authorization = await ticketFor(t, bench.desk, publish)
    const wrong = { authorization, body: publishBody('acme_tool', '1.0.0', Buffer.from('other bytes')) }
    assert.equal(refusalOf(await request(t, bench, PUBLISH, wrong)), 'ticket-differs')
    const again = await request(t, bench, PUBLISH, { authorization, body: publishBody() })
    assert.equal(again.status, 403)
    assert.match(again.body, /this ticket was used before; each is good for one request/)
  })

  test('that is used twice at the same time is good for one of both', async t => {
    const bench = await createTicketBench(t, alice)
    const authorization = await ticketFor(t, bench.desk, publish)
    const body = publishBody()
    const clients: RawClient[] = []
    for (let i = 0; i < 5; i++) {
      const client = await connectClient(t, { port: bench.port })
      client.send(headOf(PUBLISH, { authorization, body, lines: ['Expect: 100-continue'] }))
      assert.equal((await client.response()).status, 100)
      clients.push(client)
    }
    // Each was judged by now, and found good.
    for (const client of clients) client.send(body)
    const responses = await Promise.all(clients.map(client => client.response()))
    assert.deepEqual(responses.map(({ status }) => status).toSorted(), [200, 403, 403, 403, 403])
    assert.deepEqual(new Set(responses.filter(({ status }) => status === 403).map(refusalOf)), new Set(['ticket-used']))
    assert.equal(
      bench.upstream
        .received()
        .join('')
        .match(/PUT \/api/g)?.length,
      1,
    )
  })

  test('to read is good again and again', async t => {
    const bench = await createTicketBench(t, alice)
    const authorization = await ticketFor(t, bench.desk, { action: 'read' })
    for (let i = 0; i < 3; i++) assert.equal((await request(t, bench, READ, { authorization })).status, 200)
    assert.equal((await request(t, bench, READ, {})).status, 403)
  })

  test('ends when it was said to', async t => {
    let now = Date.now()
    const bench = await createTicketBench(t, alice, { wall: () => now })
    const { body } = await askForTicket(t, bench.desk, yank)
    const { expires, ticket } = JSON.parse(body) as { expires: string; ticket: string }
    const other = await ticketFor(t, bench.desk, yank)
    assert.equal(Date.parse(expires), now + DEFAULT_LIMITS.ticket)
    now = Date.parse(expires) - 1
    assert.equal((await request(t, bench, YANK, { authorization: ticket })).status, 200)
    now += 1
    const late = await request(t, bench, YANK, { authorization: other })
    assert.equal(late.status, 403)
    assert.match(late.body, /this ticket has expired; ask for a new one/)
    now -= SECOND
    assert.equal(refusalOf(await request(t, bench, YANK, { authorization: other })), 'ticket-expired')
  })

  test('is ignored where the connection has a certificate, and is good still', async t => {
    const bench = await createTicketBench(t, alice)
    const ticket = await ticketFor(t, bench.desk, yank)
    const bob = await makeIdentity()
    const stranger = await connectClient(t, { port: bench.port, identity: bob })
    stranger.send(headOf(YANK, { authorization: ticket }))
    assert.equal(refusalOf(await stranger.response()), 'certificate-unknown')
    const holder = await connectClient(t, { port: bench.port, identity: alice })
    holder.send(headOf('DELETE /api/v1/crates/acme_tool/2.0.0/yank', { authorization: ticket }))
    assert.equal((await holder.response()).status, 200)
    assert.ok(!bench.upstream.received().join('').includes(ticket))
    assert.equal((await request(t, bench, YANK, { authorization: ticket })).status, 200)
  })
})

describe('a ticket is for what it names:', () => {
  interface Row {
    readonly bound: TicketRequest
    readonly line: string
    readonly body?: Buffer
    readonly sentence: string
  }
  const rows: Readonly<Record<string, Row>> = {
    registry: {
      bound: yank,
      line: YANK.replace('/api', '/other/api'),
      sentence: 'this ticket is for registry main, and the request is for other',
    },
    'action, of a request without a body': {
      bound: { ...yank, action: 'own' },
      line: YANK,
      sentence: 'this ticket is for action own, and the request is for withdraw',
    },
    'action, of an upload': {
      bound: { ...publish, action: 'withdraw' },
      line: PUBLISH,
      body: publishBody(),
      sentence: 'this ticket is for action withdraw, and the request is for publish',
    },
    'action, of a read': {
      bound: yank,
      line: READ,
      sentence: 'this ticket is for action withdraw, and the request is for read',
    },
    package: {
      bound: { ...yank, package: 'acme_other' },
      line: YANK,
      sentence: 'this ticket is for package acme-other, and the request is for acme-tool',
    },
    'package, of a request about none': {
      bound: { action: 'read', package: 'serde' },
      line: 'GET /api/v1/crates?q=a',
      sentence: 'this ticket is for package serde, and the request is for none',
    },
    'package, of an upload': {
      bound: { ...publish, package: 'acme-other' },
      line: PUBLISH,
      body: publishBody(),
      sentence: 'this ticket is for package acme-other, and the request is for acme-tool',
    },
    version: {
      bound: { ...yank, version: '1.0.1' },
      line: YANK,
      sentence: 'this ticket is for version 1.0.1, and the request is for 1.0.0',
    },
    'version, of an upload': {
      bound: { ...publish, version: '1.0.1' },
      line: PUBLISH,
      body: publishBody(),
      sentence: 'this ticket is for version 1.0.1, and the request is for 1.0.0',
    },
    digest: {
      bound: { ...publish, digest: 'ab'.repeat(32) },
      line: PUBLISH,
      body: publishBody(),
      sentence: `this ticket is for digest ${'ab'.repeat(32)}, and the request is for ${DIGEST}`,
    },
    'digest, in another spelling': {
      bound: { ...publish, digest: DIGEST.toUpperCase() },
      line: PUBLISH,
      body: publishBody(),
      sentence: `this ticket is for digest ${DIGEST.toUpperCase()}, and the request is for ${DIGEST}`,
    },
    'digest, of a request that has none': {
      bound: { ...yank, digest: DIGEST },
      line: YANK,
      sentence: `this ticket is for digest ${DIGEST}, and the request is for an unknown one`,
    },
  }
  for (const [name, { bound, line, body, sentence }] of Object.entries(rows)) {
    test(name, async t => {
      const bench = await createTicketBench(t, alice)
      const authorization = await ticketFor(t, bench.desk, bound)
      const response = await request(t, bench, line, { authorization, ...(body === undefined ? {} : { body }) })
      assert.equal(response.status, 403)
      assert.ok(response.body.includes(sentence), response.body)
      // An upload may have been under way, but never to its end.
      for (const sent of bench.upstream.received()) assert.ok(!sent.includes(CRATE.toString()), sent)
    })
  }

  test('what it does not name it leaves open', async t => {
    const bench = await createTicketBench(t, alice)
    const authorization = await ticketFor(t, bench.desk, { action: 'publish', package: 'Acme_Tool' })
    const response = await request(t, bench, PUBLISH, { authorization, body: publishBody('acme-tool', '7.0.0') })
    assert.equal(response.status, 200)
  })

  test('R28 an upload that its head denies is not looked at', async t => {
    const bench = await createTicketBench(t, alice)
    const authorization = await ticketFor(t, bench.desk, { action: 'read' })
    const client = await connectClient(t, { port: bench.port })
    client.send(headOf(PUBLISH, { authorization, body: publishBody(), lines: ['Expect: 100-continue'] }))
    assert.equal((await client.response()).status, 403)
    await client.closed
    await bench.gate.stop()
    const line = (await bench.audit()).at(-1)
    assert.deepEqual([line?.['refusal'], line?.['bytes_in']], ['ticket-differs', 0])
  })
})

describe('the office', () => {
  const binding: TicketBinding = {
    registry: 'main',
    action: 'publish',
    package: 'a',
    version: undefined,
    digest: undefined,
  }
  const ticket: Ticket = {
    kind: 'ticket',
    peer: {
      kind: 'certificate',
      fingerprint: fingerprintOf(Buffer.from('a certificate')),
      keyPin: keyPinOf(Buffer.from('a key')),
      notBefore: 0,
      notAfter: 2,
      key: 'Ed25519',
    },
    binding,
    expires: 2,
  }

  test('forgets the oldest tickets first, and says that it knows them no more', () => {
    const office = createTicketOffice(2)
    const [first = '', second = '', third = ''] = [ticket, ticket, ticket].map(office.issue)
    const found = (text: string) => {
      const presented = office.find(['authorization', text], 1)
      return presented?.kind === 'refused' ? presented.refusal : presented?.kind
    }
    assert.deepEqual([first, second, third].map(found), ['ticket-unknown', 'ticket', 'ticket'])
    assert.equal(office.use(['authorization', first]), false)
    assert.equal(office.use(['authorization', third]), true)
    assert.equal(office.use(['authorization', third]), false)
    assert.equal(found(third), 'ticket-used')
    assert.equal(new Set([first, second, third]).size, 3)
  })

  test('does not look at a request with two of them', () => {
    const office = createTicketOffice(2)
    const text = office.issue(ticket)
    assert.equal(office.find(['authorization', text, 'authorization', text], 1), undefined)
    assert.equal(office.find([], 1), undefined)
  })
})
