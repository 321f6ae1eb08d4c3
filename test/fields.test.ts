import assert from 'node:assert/strict'
import { before, describe, test } from 'node:test'
import { publicLocation } from '../src/lane/upstream-head.ts'
import { connectClient } from './lab/client.ts'
import { enrol, makeAccount, startTestGate } from './lab/gate.ts'
import { makeIdentity, type TestIdentity } from './lab/identities.ts'
import { answering, OK, startUpstream } from './lab/upstream.ts'

let alice: TestIdentity
before(async () => {
  alice = await makeIdentity()
})

const account = makeAccount({ rights: { publish: ['**'], amend: ['**'] } })

function get(...lines: string[]): string {
  return `GET /left-pad HTTP/1.1\r\nHost: registry.test\r\n${lines.map(line => `${line}\r\n`).join('')}\r\n`
}

/** Sends requests over one connection and tells the heads that the upstream got. */
async function headsUpstream(t: Parameters<typeof startUpstream>[0], requests: readonly string[], identity = alice) {
  const upstream = await startUpstream(t)
  const { port } = await startTestGate(t, { upstream: upstream.origin, enrolments: [enrol(alice, account)] })
  const client = await connectClient(t, { port, identity })
  for (const request of requests) {
    client.send(request)
    await client.response()
  }
  return upstream.received().join('')
}

describe('R06 R13 what a client says of who it is', () => {
  const names = [
    'Authorization',
    'Proxy-Authorization',
    'Cookie',
    'Forwarded',
    'X-Forwarded-For',
    'X-Forwarded-User',
    'X-Forwarded-Host',
    'X-Real-IP',
    'X-Remote-User',
    'Remote-User',
    'X-WEBAUTH-USER',
    'X-SSL-Client-Cert',
    'X-SSL-Client-Fingerprint',
    'SSL-Client-Cert',
    'Client-Cert',
    'X-Client-Cert',
    'X-JFrog-Override-Base-Url',
    'X-Outside-Url',
    'X-Auth-Request-User',
    'X-Api-Key',
    'Private-Token',
    'X-HTTP-Method-Override',
    'X-Original-URL',
    'X-Explode-Archive',
    'Certgate-Account',
  ]
  test('R06 never arrives, in any spelling', async t => {
    const spellings = names.flatMap(name => [
      name,
      name.toLowerCase(),
      name.toUpperCase(),
      name.replaceAll('-', '_'),
      name.replace('-', '_'),
      name.replaceAll('-', '.'),
    ])
    const sent = await headsUpstream(
      t,
      spellings.flatMap(name => [get(`${name}: forged`), get(`${name}:forged `, `${name}: \tforged`)]),
    )
    assert.equal(sent.match(/^GET /gm)?.length, spellings.length * 2)
    assert.doesNotMatch(sent, /forged/)
  })

  test('R06 the credential is there exactly once, whatever the client sent', async t => {
    const sent = await headsUpstream(t, [get('Authorization: Basic x', 'authorization: Bearer y', 'Authorization:')])
    assert.deepEqual(sent.match(/^authorization:.*$/gim), ['authorization: Bearer token-of-alice'])
  })

  test('R06 without a certificate there is none', async t => {
    const upstream = await startUpstream(t)
    const { port } = await startTestGate(t, { upstream: upstream.origin, enrolments: [enrol(alice, account)] })
    const client = await connectClient(t, { port })
    client.send(get('Authorization: Bearer stolen'))
    await client.response()
    assert.doesNotMatch(upstream.received().join(''), /authorization/i)
  })

  test('R06 fields of the ecosystem pass as they are', async t => {
    const sent = await headsUpstream(t, [get('npm-command: install', 'Pacote-Version: 21', 'If-None-Match: "a"')])
    assert.match(sent, /\r\nnpm-command: install\r\npacote-version: 21\r\nif-none-match: "a"\r\n/)
  })

  test('the backend is told its public address, and the address of the client', async t => {
    const sent = await headsUpstream(t, [get()])
    assert.match(
      sent,
      /^GET \/left-pad HTTP\/1\.1\r\nhost: registry\.test\r\nx-forwarded-proto: https\r\nx-forwarded-host: registry\.test\r\nx-forwarded-port: 443\r\nx-forwarded-for: 127\.0\.0\.1\r\n/,
    )
  })
})

describe('R10 hop-by-hop fields', () => {
  test('R10 end here, with all that Connection names', async t => {
    const sent = await headsUpstream(t, [
      get('Connection: keep-alive, X-Secret', 'X-Secret: hop', 'Keep-Alive: hop', 'TE: trailers', 'Trailer: hop'),
      get('Proxy-Connection: hop', 'Upgrade: hop', 'Connection: Upgrade, HTTP2-Settings', 'HTTP2-Settings: hop'),
    ])
    assert.doesNotMatch(sent, /hop|connection|trailers/i)
  })

  for (const name of ['Authorization', 'Host', 'X-Forwarded-For']) {
    test(`R10 Connection may not name ${name}, which the gate sets`, async t => {
      const upstream = await startUpstream(t)
      const { port } = await startTestGate(t, { upstream: upstream.origin, enrolments: [enrol(alice, account)] })
      const client = await connectClient(t, { port, identity: alice })
      client.send(get(`Connection: close, ${name}`))
      assert.equal((await client.response()).status, 400)
      assert.deepEqual(upstream.received(), [])
    })
  }

  test('R10 of the upstream end here, too, with its session and its challenge', async t => {
    const upstream = await startUpstream(
      t,
      answering(
        OK.replace(
          '\r\n\r\n',
          '\r\nConnection: keep-alive, X-Hop\r\nX-Hop: a\r\nKeep-Alive: timeout=5\r\nSet-Cookie: session=1\r\n' +
            'WWW-Authenticate: Bearer realm="http://backend/"\r\nAlt-Svc: h2=":1"\r\nETag: "kept"\r\n\r\n',
        ),
      ),
    )
    const { port } = await startTestGate(t, { upstream: upstream.origin })
    const client = await connectClient(t, { port })
    client.send(get())
    const { head } = await client.response()
    assert.doesNotMatch(head, /x-hop|keep-alive|set-cookie|www-authenticate|alt-svc/i)
    assert.match(head, /etag: "kept"/)
  })
})

describe('R15 redirects', () => {
  const registry = {
    publicUrl: new URL('https://registry.test:8443'),
    upstream: new URL('http://127.0.0.1:4873'),
    upstreamOrigins: [],
    basePath: '',
  }
  const cases: readonly [location: string, expected: string][] = [
    ['http://127.0.0.1:4873/a?b=c', 'https://registry.test:8443/a?b=c'],
    ['//127.0.0.1:4873/a', 'https://registry.test:8443/a'],
    ['http://registry.test:8443/a', 'https://registry.test:8443/a'],
    ['https://registry.test:8443/a', 'https://registry.test:8443/a'],
    ['/a/b', '/a/b'],
    ['a/b', 'a/b'],
    ['http://127.0.0.1:48730/a', 'http://127.0.0.1:48730/a'],
    ['https://blobs.example/a?signature=b', 'https://blobs.example/a?signature=b'],
    ['//evil/a', '//evil/a'],
    ['http://[bad', 'http://[bad'],
  ]
  for (const [location, expected] of cases) {
    test(`R15 ${location} becomes ${expected}`, () => assert.equal(publicLocation(location, registry), expected))
  }

  for (const status of [301, 302, 307, 308]) {
    test(`R15 a ${status} to another host is passed on, never followed`, async t => {
      const elsewhere = await startUpstream(t)
      const location = `${elsewhere.origin}/blob`
      const upstream = await startUpstream(
        t,
        answering(`HTTP/1.1 ${status} Moved\r\nLocation: ${location}\r\nContent-Length: 0\r\n\r\n`),
      )
      const { port } = await startTestGate(t, { upstream: upstream.origin, enrolments: [enrol(alice, account)] })
      const client = await connectClient(t, { port, identity: alice })
      client.send(get())
      const response = await client.response()
      assert.equal(response.status, status)
      assert.equal(response.fields.get('location'), location)
      assert.doesNotMatch(response.head, /token-of-alice/)
      assert.deepEqual(elsewhere.received(), [])
    })
  }
})

describe('R19 upgrades', () => {
  test('R19 an offer of h2c is ignored, as cargo sends it', async t => {
    const sent = await headsUpstream(t, [
      get('Connection: Upgrade, HTTP2-Settings', 'Upgrade: h2c', 'HTTP2-Settings: AAMAAABkAAQAAP__'),
    ])
    assert.doesNotMatch(sent, /upgrade|http2-settings/i)
  })

  test('R19 a 101 from the upstream is a 502, and what follows it reaches nobody', async t => {
    const upstream = await startUpstream(
      t,
      answering('HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\ntunnel'),
    )
    const { port } = await startTestGate(t, { upstream: upstream.origin })
    const client = await connectClient(t, { port })
    client.send(get('Connection: Upgrade', 'Upgrade: websocket'))
    const { status, body } = await client.response()
    assert.equal(status, 502)
    assert.doesNotMatch(body, /tunnel/)
    await upstream.until(() => upstream.sockets.size === 0)
  })
})

describe('R40 caches', () => {
  async function cacheControl(t: Parameters<typeof startUpstream>[0], target: string, identity?: TestIdentity) {
    const upstream = await startUpstream(
      t,
      answering(OK.replace('\r\n\r\n', '\r\nCache-Control: public, max-age=300\r\n\r\n')),
    )
    const { port } = await startTestGate(t, { upstream: upstream.origin, enrolments: [enrol(alice, account)] })
    const client = await connectClient(t, { port, identity })
    client.send(get().replace('/left-pad', target))
    return (await client.response()).fields.get('cache-control')
  }

  test('R40 an answer to a credential is private', async t => {
    assert.equal(await cacheControl(t, '/left-pad', alice), 'public, max-age=300, private')
  })
  test('R40 an answer about the account is not stored', async t => {
    assert.equal(await cacheControl(t, '/-/whoami', alice), 'no-store')
  })
  test('R40 a public answer stays what it is', async t => {
    assert.equal(await cacheControl(t, '/left-pad'), 'public, max-age=300')
  })
})

describe('the upstream rejects', () => {
  test('R14 the credential of an account: 502, an event in the log, no challenge for the client', async t => {
    const upstream = await startUpstream(
      t,
      answering(
        'HTTP/1.1 401 No\r\nWWW-Authenticate: Basic realm="x"\r\nContent-Length: 20\r\n\r\nBearer token-of-alice',
      ),
    )
    const gate = await startTestGate(t, { upstream: upstream.origin, enrolments: [enrol(alice, account)] })
    const client = await connectClient(t, { port: gate.port, identity: alice })
    client.send(get())
    const { status, head, body } = await client.response()
    assert.equal(status, 502)
    assert.doesNotMatch(head + body, /www-authenticate|token-of-alice/i)
    assert.match(body, /rejected the credential that the gate holds for account alice/)
    assert.ok(gate.logged.some(({ facts }) => facts['refusal'] === 'upstream-credential-rejected'))
  })

  test('a read without a credential: a certificate is asked for', async t => {
    const upstream = await startUpstream(t, answering('HTTP/1.1 401 No\r\nContent-Length: 0\r\n\r\n'))
    const { port } = await startTestGate(t, { upstream: upstream.origin })
    const client = await connectClient(t, { port })
    client.send(get())
    const { status, reason } = await client.response()
    assert.equal(status, 403)
    assert.match(reason, /needs a client certificate/)
  })
})
