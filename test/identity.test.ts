import assert from 'node:assert/strict'
import { X509Certificate } from 'node:crypto'
import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { before, describe, test } from 'node:test'
import type { SecureVersion } from 'node:tls'
import { fingerprintOf } from '../src/accounts/fingerprint.ts'
import { keyUsageAllowsSigning } from '../src/lane/key-usage.ts'
import { peerOf } from '../src/lane/peer.ts'
import { connectClient } from './lab/client.ts'
import { enrol, makeAccount, makeRegistry, startTestGate } from './lab/gate.ts'
import { makeIdentity, makeOddCertificate, type TestIdentity } from './lab/identities.ts'
import { answering, OK, startUpstream } from './lab/upstream.ts'

const DAY = 86_400_000
const GET = 'GET /left-pad HTTP/1.1\r\nHost: registry.test\r\n\r\n'
const PUT_TAG =
  'PUT /-/package/left-pad/dist-tags/beta HTTP/1.1\r\nHost: registry.test\r\nContent-Length: 7\r\n\r\n"1.0.0"'

let alice: TestIdentity
let mallory: TestIdentity
let ended: TestIdentity

before(async () => {
  alice = await makeIdentity()
  mallory = await makeIdentity()
  ended = await makeIdentity({ notBefore: new Date(Date.now() - 2 * DAY), notAfter: new Date(Date.now() - DAY) })
})

const amender = makeAccount({ rights: { amend: ['**'] } })

describe('R01 without an enrolled certificate', () => {
  const requests: readonly [name: string, request: string][] = [
    ['a read', GET],
    ['a HEAD', GET.replace('GET', 'HEAD')],
    ['an unknown route', GET.replace('/left-pad', '/-/nonsense')],
    ['an ambiguous path', GET.replace('/left-pad', '/a/../left-pad')],
    ['a publish', 'PUT /left-pad HTTP/1.1\r\nHost: registry.test\r\nContent-Length: 2\r\n\r\n{}'],
    ['a dist-tag', PUT_TAG],
    ['an unpublish', 'DELETE /left-pad/-rev/1 HTTP/1.1\r\nHost: registry.test\r\n\r\n'],
    ['a login', 'PUT /-/user/org.couchdb.user:x HTTP/1.1\r\nHost: registry.test\r\nContent-Length: 2\r\n\r\n{}'],
    ['tokens', GET.replace('/left-pad', '/-/npm/v1/tokens')],
    ['health', GET.replace('/left-pad', '/healthz')],
    ['metrics', GET.replace('/left-pad', '/metrics')],
    ['whoami', GET.replace('/left-pad', '/.certgate/whoami')],
    ['an unknown desk', GET.replace('/left-pad', '/.certgate/nonsense')],
    ['an unknown host', GET.replace('registry.test', 'evil.test')],
    ['a malformed request', 'GET\r\n\r\n'],
  ]
  for (const [name, request] of requests) {
    test(`R01 R26 ${name} causes not one byte upstream`, async t => {
      const upstream = await startUpstream(t)
      const { port } = await startTestGate(t, {
        upstream: upstream.origin,
        enrolments: [enrol(alice, amender)],
        registry: { reads: 'certificate' },
      })
      for (const identity of [undefined, mallory]) {
        const client = await connectClient(t, { port, identity })
        client.send(request)
        const { status } = await client.response(request.startsWith('HEAD') ? 'HEAD' : 'GET')
        assert.ok(name === 'whoami' ? status === 200 : status >= 400, `${status}`)
        client.socket.destroy()
      }
      assert.deepEqual(upstream.received(), [])
    })
  }
})

describe('R02 R03 the leaf that this connection presented is the identity', () => {
  const cases: readonly [name: string, identity: () => TestIdentity | undefined, refusal: string | undefined][] = [
    ['no certificate', () => undefined, 'certificate-required'],
    ['an unknown one', () => mallory, 'certificate-unknown'],
    ['an enrolled one', () => alice, undefined],
    ['an enrolled one that has expired', () => ended, 'certificate-expired'],
    [
      'an unknown leaf with an enrolled one behind it',
      () => ({ ...mallory, certificate: mallory.certificate + alice.certificate }),
      'certificate-unknown',
    ],
  ]
  for (const version of ['TLSv1.2', 'TLSv1.3'] satisfies SecureVersion[]) {
    for (const [name, identity, refusal] of cases) {
      test(`${name}, over ${version}, on a fresh connection and with the session of another`, async t => {
        const upstream = await startUpstream(t)
        const { port } = await startTestGate(t, {
          upstream: upstream.origin,
          enrolments: [enrol(alice, amender), enrol(ended, amender)],
        })
        const enrolled = await connectClient(t, { port, identity: alice, tls: { maxVersion: version } })
        enrolled.send(PUT_TAG)
        assert.equal((await enrolled.response()).status, 200)
        const session = enrolled.socket.getSession()

        for (const resume of [undefined, session]) {
          const tls = { minVersion: version, maxVersion: version, ...(resume === undefined ? {} : { session: resume }) }
          const client = await connectClient(t, { port, identity: identity(), tls })
          assert.equal(client.socket.isSessionReused(), false)
          client.send(PUT_TAG)
          const { status, body } = await client.response()
          if (refusal === undefined) assert.equal(status, 200)
          else assert.equal((JSON.parse(body) as { refusal: string }).refusal, refusal)
        }
      })
    }
  }

  test('R02 the source never asks Node whether a peer is authorized', async () => {
    for (const file of await readdir('src', { recursive: true })) {
      if (!file.endsWith('.ts')) continue
      const text = await readFile(join('src', file), 'utf8')
      assert.doesNotMatch(text, /\.authorized|authorizationError|getPeerCertificate\(\)\.|toLegacyObject\(/, file)
    }
  })
})

describe('R04 every request is judged, on a connection that stays open', () => {
  test('R04 a certificate that ends between two requests', async t => {
    const upstream = await startUpstream(t)
    let now = Date.now()
    const { port } = await startTestGate(t, {
      upstream: upstream.origin,
      enrolments: [enrol(alice, amender)],
      wall: () => now,
    })
    const client = await connectClient(t, { port, identity: alice })
    client.send(PUT_TAG)
    assert.equal((await client.response()).status, 200)
    now += 365 * DAY
    client.send(PUT_TAG)
    const refused = await client.response()
    assert.equal(refused.status, 403)
    assert.match(refused.reason, /^client certificate [0-9a-f]{64} expired at /)
    assert.equal(upstream.received().join('').match(/PUT/g)?.length, 1)
  })

  test('R04 an enrolment that ends between two requests, at the millisecond', async t => {
    const upstream = await startUpstream(t)
    let now = Date.now()
    const expires = now + DAY
    const { port } = await startTestGate(t, {
      upstream: upstream.origin,
      enrolments: [enrol(alice, amender, { expires })],
      wall: () => now,
    })
    const client = await connectClient(t, { port, identity: alice })
    now = expires - 1
    client.send(PUT_TAG)
    assert.equal((await client.response()).status, 200)
    now = expires
    client.send(PUT_TAG)
    assert.match((await client.response()).reason, /^the enrolment of client certificate/)
  })

  test('R04 an upload outlasts its certificate by ten minutes, and no more', async t => {
    for (const [late, status] of [
      [599_000, 200],
      [600_000, 403],
    ] as const) {
      const upstream = await startUpstream(t)
      let now = Date.now()
      const expires = now + DAY
      const { port } = await startTestGate(t, {
        upstream: upstream.origin,
        enrolments: [enrol(alice, amender, { expires })],
        wall: () => now,
      })
      const client = await connectClient(t, { port, identity: alice })
      client.send(PUT_TAG.slice(0, -3))
      await upstream.until(([first]) => first?.includes('\r\n\r\n') === true)
      now = expires + late
      client.send(PUT_TAG.slice(-3))
      const response = await client.response()
      assert.equal(response.status, status)
      if (status === 403) assert.match(response.reason, /^the enrolment of client certificate .* ended at/)
    }
  })

  test('R22 a clock that is set back revives nothing, and is told of', async t => {
    const upstream = await startUpstream(t)
    let now = Date.now()
    const gate = await startTestGate(t, {
      upstream: upstream.origin,
      enrolments: [enrol(alice, amender, { expires: now + DAY })],
      wall: () => now,
    })
    const client = await connectClient(t, { port: gate.port, identity: alice })
    for (const [time, status] of [
      [now, 200],
      [now + DAY, 403],
      [now, 403],
    ] as const) {
      now = time
      const fresh = await connectClient(t, { port: gate.port, identity: alice })
      fresh.send(PUT_TAG)
      assert.equal((await fresh.response()).status, status)
    }
    client.socket.destroy()
    assert.ok(gate.logged.some(({ event }) => event.startsWith('the clock was set back')))
  })
})

describe('R05 a key pin', () => {
  test('R05 lets a renewed certificate in, and stops at the date of the enrolment', async t => {
    const upstream = await startUpstream(t)
    const renewed = await renew(alice)
    let now = Date.now()
    const expires = now + DAY
    const pinned = enrol(alice, amender, { pinned: { kind: 'key', pin: alice.keyPin }, expires })
    const { port } = await startTestGate(t, { upstream: upstream.origin, enrolments: [pinned], wall: () => now })
    for (const [time, status] of [
      [now, 200],
      [expires, 403],
    ] as const) {
      now = time
      const client = await connectClient(t, { port, identity: renewed })
      client.send(PUT_TAG)
      assert.equal((await client.response()).status, status)
    }
  })

  test('R05 a renewed certificate is unknown where the certificate is pinned', async t => {
    const upstream = await startUpstream(t)
    const renewed = await renew(alice)
    const { port } = await startTestGate(t, { upstream: upstream.origin, enrolments: [enrol(alice, amender)] })
    const client = await connectClient(t, { port, identity: renewed })
    client.send(PUT_TAG)
    assert.match((await client.response()).reason, /is not enrolled here/)
  })

  function renew(identity: TestIdentity): Promise<TestIdentity> {
    return makeIdentity({ privateKey: identity.key, notAfter: new Date(Date.now() + 1000 * DAY) })
  }
})

describe('R21 the certificate and its key', () => {
  const DIGITAL_SIGNATURE = 1
  const KEY_ENCIPHERMENT = 4
  const cases: readonly [
    name: string,
    options: Parameters<typeof makeOddCertificate>[0],
    problem: RegExp | undefined,
  ][] = [
    ['RSA of 1024 bits', { modulusLength: 1024 }, /its key is not RSA of at least 2048 bits/],
    ['RSA with exponent 3', { publicExponent: 3 }, /its key is not RSA/],
    ['only for servers', { purposes: ['1.3.6.1.5.5.7.3.1'] }, /extended key usage/],
    ['for servers and clients', { purposes: ['1.3.6.1.5.5.7.3.1', '1.3.6.1.5.5.7.3.2'] }, undefined],
    ['not for signing', { usage: KEY_ENCIPHERMENT }, /digital signature/],
    ['for signing and more', { usage: DIGITAL_SIGNATURE | KEY_ENCIPHERMENT }, undefined],
    ['without extensions', {}, undefined],
    ['larger than 16 KiB', { padding: 17_000 }, /larger than 16 KiB/],
  ]
  for (const [name, options, problem] of cases) {
    test(`R21 R34 a certificate ${name} is ${problem === undefined ? 'taken' : 'unusable'}`, async () => {
      const der = await makeOddCertificate(options)
      const peer = peerOf(new X509Certificate(der), fingerprintOf(der))
      if (problem === undefined) assert.equal(peer.kind, 'certificate')
      else assert.match(peer.kind === 'unusable' ? peer.problem : '', problem)
    })
  }

  for (const keyType of ['ed25519', 'p256', 'p384', 'p521', 'rsa2048', 'rsa3072'] as const) {
    test(`R21 a key of type ${keyType} is taken`, async t => {
      const identity = await makeIdentity({ keyType })
      const upstream = await startUpstream(t)
      const { port } = await startTestGate(t, { upstream: upstream.origin, enrolments: [enrol(identity, amender)] })
      const client = await connectClient(t, { port, identity })
      client.send(PUT_TAG)
      assert.equal((await client.response()).status, 200)
    })
  }

  test('R27 no mutation of a certificate makes the walk over its DER throw or say yes by accident', async () => {
    const der = await makeOddCertificate({ usage: KEY_ENCIPHERMENT })
    assert.equal(keyUsageAllowsSigning(der), false)
    for (let i = 0; i < der.length; i++) {
      for (const octet of [0x00, 0x7f, 0x80, 0x84, 0xff]) {
        const mutated = Buffer.from(der)
        mutated[i] = octet
        assert.equal(typeof keyUsageAllowsSigning(mutated), 'boolean')
      }
      assert.equal(keyUsageAllowsSigning(der.subarray(0, i)), false)
    }
  })
})

test('R23 a client that goes away at once is not taken for nobody', async t => {
  const upstream = await startUpstream(t, answering(OK))
  const gate = await startTestGate(t, { upstream: upstream.origin, enrolments: [enrol(alice, amender)] })
  const client = await connectClient(t, { port: gate.port, identity: alice })
  client.socket.end(PUT_TAG)
  await client.closed
  await gate.gate.stop()
  const lines = await gate.audit()
  assert.ok(lines.length > 0)
  for (const line of lines) assert.equal(line['account'], 'alice')
})

describe('R16 the name of the TLS connection, the Host field and the registry', () => {
  const cases: readonly [name: string, servername: string, host: string, status: number][] = [
    ['agree', 'registry.test', 'registry.test', 200],
    ['agree but for case', 'REGISTRY.test', 'Registry.TEST', 200],
    ['agree but for a trailing dot', 'registry.test', 'registry.test.', 200],
    ['agree, with the port spelled out', 'registry.test', 'registry.test:443', 200],
    ['differ in the port', 'registry.test', 'registry.test:444', 421],
    ['differ in the name', 'other.test', 'registry.test', 421],
    ['differ in the name the other way', 'registry.test', 'other.test', 421],
    ['are unknown', 'evil.test', 'evil.test', 421],
    ['leave SNI out', '', 'registry.test', 421],
  ]
  for (const [name, servername, host, status] of cases) {
    test(`R16 that ${name}: ${status}`, async t => {
      const upstream = await startUpstream(t)
      const { port } = await startTestGate(t, {
        upstream: upstream.origin,
        others: [
          makeRegistry({
            name: 'other',
            dialect: 'generic',
            publicUrl: new URL('https://other.test'),
            upstream: new URL(upstream.origin),
          }),
        ],
      })
      const client = await connectClient(t, { port, servername })
      client.send(GET.replace('registry.test', host))
      assert.equal((await client.response()).status, status)
    })
  }
})
