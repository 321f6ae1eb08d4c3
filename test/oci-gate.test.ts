import assert from 'node:assert/strict'
import { before, describe, test } from 'node:test'
import { connectClient } from './lab/client.ts'
import { enrol, type GateOptions, makeAccount, startTestGate } from './lab/gate.ts'
import { makeIdentity, type TestIdentity } from './lab/identities.ts'
import { answering, type RawUpstream, startUpstream } from './lab/upstream.ts'

const DIGEST = `sha256:${'a'.repeat(64)}`

describe('OCI through the gate', () => {
  let alice: TestIdentity
  before(async () => {
    alice = await makeIdentity()
  })

  const publisher = makeAccount({ rights: { publish: ['acme/*'], withdraw: ['acme/*'] } })
  const owner = makeAccount({ rights: { own: ['**'] } })
  const OPEN = 'HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n'

  function gateFor(t: Parameters<typeof startTestGate>[0], upstream: RawUpstream, more: Partial<GateOptions> = {}) {
    const registry = { dialect: 'oci', reads: 'certificate' } as const
    return startTestGate(t, { upstream: upstream.origin, enrolments: [enrol(alice, publisher)], registry, ...more })
  }

  function head(line: string, ...fields: string[]): string {
    return [`${line} HTTP/1.1`, 'Host: registry.test', ...fields, '', ''].join('\r\n')
  }

  test('gotcha 18: /v2/ without a certificate is a 401 that demands nothing, and the audit log says so', async t => {
    const upstream = await startUpstream(t)
    const gate = await gateFor(t, upstream)
    const client = await connectClient(t, { port: gate.port })
    client.send(head('GET /v2/'))
    const { status, fields, body } = await client.response()
    assert.deepEqual([status, fields.has('www-authenticate')], [401, false])
    assert.match(body, /"code":"DENIED","message":"this needs a client certificate/)
    client.send(head('GET /v2/acme/tool/manifests/1.0'))
    assert.equal((await client.response()).status, 403)
    await gate.gate.stop()
    assert.deepEqual(
      (await gate.audit()).map(line => line['status']),
      [401, 403],
    )
    assert.deepEqual(upstream.received(), [])
  })

  test('the query of an upload passes byte for byte', async t => {
    const upstream = await startUpstream(t, answering(OPEN))
    const { port } = await gateFor(t, upstream)
    const client = await connectClient(t, { port, identity: alice })
    const target = `/v2/acme/tool/blobs/uploads/5d?_state=a-_%3d%3D&b=+%20'!()*&&c&digest=${DIGEST}`
    client.send(head(`PUT ${target}`, 'Content-Length: 0'))
    assert.equal((await client.response()).status, 200)
    assert.ok(upstream.received().some(sent => sent.startsWith(`PUT ${target} HTTP/1.1\r\n`)))
  })

  test('gotcha 15: both names of a mount are in the audit log', async t => {
    const upstream = await startUpstream(t, answering(OPEN))
    const gate = await gateFor(t, upstream)
    const client = await connectClient(t, { port: gate.port, identity: alice })
    client.send(head(`POST /v2/acme/tool/blobs/uploads/?mount=${DIGEST}&from=other/base`, 'Content-Length: 0'))
    assert.equal((await client.response()).status, 200)
    for (const line of await gate.audit()) {
      assert.deepEqual([line['package'], line['mounted_from'], line['digest']], ['acme/tool', 'other/base', DIGEST])
    }
  })

  for (const reads of ['certificate', 'public'] as const) {
    for (const from of ['&from=acme/base', '']) {
      test(`gotcha 15: who may not read does not mount, where reads are: ${reads}${from && ', by name'}`, async t => {
        const upstream = await startUpstream(t, answering(OPEN))
        const enrolments = [enrol(alice, publisher, { only: new Set(['publish'] as const) })]
        const { port } = await gateFor(t, upstream, { enrolments, registry: { dialect: 'oci', reads } })
        const client = await connectClient(t, { port, identity: alice })
        client.send(head(`POST /v2/acme/tool/blobs/uploads/?mount=${DIGEST}${from}`, 'Content-Length: 0'))
        const { status, body } = await client.response()
        assert.equal(status, 403)
        assert.match(body, /enrolled only to publish, not to read/)
        assert.deepEqual(upstream.received(), [])
      })
    }
  }

  test('R28 a ticket is for one repository, so it does not mount from another', async t => {
    const upstream = await startUpstream(t, answering(OPEN))
    const { port } = await gateFor(t, upstream)
    const holder = await connectClient(t, { port, identity: alice })
    const wanted = JSON.stringify({ registry: 'main', action: 'publish', package: 'acme/tool' })
    holder.send(head('POST /.certgate/tickets', `Content-Length: ${wanted.length}`) + wanted)
    const { ticket } = JSON.parse((await holder.response()).body) as { ticket: string }
    const client = await connectClient(t, { port })
    const target = `/v2/acme/tool/blobs/uploads/?mount=${DIGEST}&from=acme/base`
    client.send(head(`POST ${target}`, `Authorization: Bearer ${ticket}`, 'Content-Length: 0'))
    const { status, body } = await client.response()
    assert.equal(status, 403)
    assert.match(body, /for package acme\/tool, and the request is for content of acme\/base too/)
  })

  test('the list of all repositories is for those who own all of them', async t => {
    const upstream = await startUpstream(t, answering(OPEN))
    const other = await makeIdentity()
    const enrolments = [enrol(alice, owner), enrol(other, publisher)]
    const { port } = await gateFor(t, upstream, { enrolments, registry: { dialect: 'oci', reads: 'public' } })
    for (const [identity, expected] of [
      [undefined, 403],
      [other, 403],
      [alice, 200],
    ] as const) {
      const client = await connectClient(t, { port, identity })
      client.send(head('GET /v2/_catalog'))
      assert.equal((await client.response()).status, expected)
    }
  })

  test('a manifest whose path names another digest does not reach the registry', async t => {
    const upstream = await startUpstream(t, answering(OPEN))
    const { port } = await gateFor(t, upstream)
    const client = await connectClient(t, { port, identity: alice })
    client.send(`${head(`PUT /v2/acme/tool/manifests/${DIGEST}`, 'Content-Length: 2')}{}`)
    const { status, body } = await client.response()
    assert.equal(status, 400)
    assert.match(body, /the digest of the manifest is sha256:44136fa3/)
    assert.deepEqual(upstream.received(), [])
  })
})

describe('OCI Locations', () => {
  const rows: readonly [what: string, location: (upstream: string) => string, expected: string | undefined][] = [
    ['a relative one', () => '/v2/a/blobs/uploads/5d?_state=a%3D%3D', '/v2/a/blobs/uploads/5d?_state=a%3D%3D'],
    [
      'one by the address of the upstream',
      upstream => `${upstream}/v2/a/blobs/uploads/5d?_state=a%3D%3D`,
      'https://registry.test/v2/a/blobs/uploads/5d?_state=a%3D%3D',
    ],
    ['one by the public address', () => 'https://registry.test/v2/a', 'https://registry.test/v2/a'],
    ['one that does not know of TLS', () => 'http://registry.test/v2/a', 'https://registry.test/v2/a'],
    ['one of a blob store', () => 'https://blobs.example/a?X-Amz-Signature=%2B', undefined],
    ['one of a metadata service', () => 'http://169.254.169.254/', undefined],
  ]
  for (const [what, location, expected] of rows) {
    test(`R15 ${what}`, async t => {
      const alice = await makeIdentity()
      const upstream = await startUpstream(t, (socket, text) => {
        const probe = text.startsWith('GET /v2/ HTTP')
        const said = probe ? '' : `location: ${location(upstream.origin)}\r\n`
        if (text.endsWith('\r\n\r\n')) {
          socket.end(`HTTP/1.1 ${probe ? 200 : 307} X\r\n${said}content-length: 0\r\nconnection: close\r\n\r\n`)
        }
      })
      const registry = { dialect: 'oci', reads: 'certificate' } as const
      const enrolments = [enrol(alice, makeAccount())]
      const { port } = await startTestGate(t, { upstream: upstream.origin, enrolments, registry })
      const client = await connectClient(t, { port, identity: alice })
      client.send(`GET /v2/a/blobs/${DIGEST} HTTP/1.1\r\nHost: registry.test\r\n\r\n`)
      const { status, fields, head } = await client.response()
      assert.deepEqual([status, fields.get('location')], [307, expected ?? location('')])
      assert.doesNotMatch(head, /token-of-alice/)
    })
  }
})
