import assert from 'node:assert/strict'
import { before, describe, test } from 'node:test'
import { connectClient } from './lab/client.ts'
import { ACCOUNTS, createBench, GATE, problemsOf } from './lab/configuration.ts'
import type { TestIdentity } from './lab/identities.ts'
import { answer, CREDENTIAL, causesOf, challenge, gateFor, request, startBackend, users } from './lab/token-backend.ts'
import { answering, startUpstream } from './lab/upstream.ts'

const READ = '/v2/acme/tool/manifests/1.0'

let alice: TestIdentity
let bob: TestIdentity
before(async () => {
  ;[alice, bob] = await users
})

describe('what a registry wants to be shown', () => {
  test('a token of its service, with the account and its scope', async t => {
    const backend = await startBackend(t)
    const { port } = await gateFor(t, backend)
    const client = await connectClient(t, { port, identity: alice })
    const { status, head } = await request(client, `GET ${READ}`)
    assert.equal(status, 200)
    assert.doesNotMatch(head, /www-authenticate|Bearer|canary/i)
    assert.deepEqual(backend.asked(), ['GET /token?scope=repository:acme/tool:pull&service=lab'])
    const [sent = ''] = backend.service.received()
    assert.match(sent, new RegExp(`\r\nauthorization: ${CREDENTIAL}\r\n`))
    assert.match(sent, new RegExp(`\r\nhost: ${new URL(backend.service.origin).host}\r\n`))
    // The password is for the token service alone.
    assert.doesNotMatch(backend.upstream.received().join(''), /Basic/)
    assert.match(backend.upstream.received().join(''), /\r\nauthorization: Bearer t0\r\n/)
  })

  for (const [what, probe] of [
    ['a password', answer(401, '', 'www-authenticate: Basic realm="lab"')],
    ['nothing', answer(200)],
  ] as const) {
    test(`${what}: the credential goes as it is, and no token is asked for`, async t => {
      const backend = await startBackend(t, { probe, takes: it => it === CREDENTIAL })
      const { port } = await gateFor(t, backend)
      const client = await connectClient(t, { port, identity: alice })
      assert.equal((await request(client, `GET ${READ}`)).status, 200)
      assert.equal((await request(client, 'POST /v2/acme/tool/blobs/uploads/')).status, 200)
      assert.deepEqual([backend.asked(), backend.probes()], [[], 1])
    })
  }

  for (const [what, probe, cause] of [
    ['an error', answer(503), 'the upstream answered 503 to GET /v2/'],
    ['a redirect', answer(307, '', 'location: http://127.0.0.1:1/'), 'the upstream answered 307 to GET /v2/'],
    ['an unknown scheme', answer(401, '', 'www-authenticate: Negotiate'), /neither a token nor a password/],
    ['no challenge', answer(401), /neither a token nor a password/],
    ['a realm that is no URL', challenge('/token'), /not the URL of a token service/],
    ['a realm of another scheme', challenge('file:///etc/passwd'), /not the URL of a token service/],
    ['a realm with a password', challenge('http://a:b@127.0.0.1/'), /not the URL of a token service/],
    ['too long an answer', answer(401, 'x'.repeat(65_537)), /longer than 65536 bytes/],
  ] as const) {
    test(`${what}: 502, with the cause in the log, and asked anew the next time`, async t => {
      const backend = await startBackend(t, { probe })
      const gate = await gateFor(t, backend)
      const client = await connectClient(t, { port: gate.port, identity: alice })
      assert.equal((await request(client, `GET ${READ}`)).status, 502)
      assert.equal((await request(client, `GET ${READ}`)).status, 502)
      assert.equal(backend.probes(), 2)
      const [said] = causesOf(gate)
      if (typeof cause === 'string') assert.equal(said, cause)
      else assert.match(String(said), cause)
      assert.doesNotMatch(backend.upstream.received().join(''), /canary|Basic/)
    })
  }
})

describe('R15 the password goes to the upstream and to the configured token service only', () => {
  test('R15 a realm anywhere else gets nothing', async t => {
    const elsewhere = await startUpstream(t)
    for (const realm of [
      elsewhere.origin,
      elsewhere.origin.replace('127.0.0.1', 'localhost'),
      'http://registry.test.evil/',
    ]) {
      const backend = await startBackend(t, { realm: () => `${realm}/token` })
      const gate = await gateFor(t, backend)
      const client = await connectClient(t, { port: gate.port, identity: alice })
      const { status, body } = await request(client, `GET ${READ}`)
      assert.equal(status, 502)
      assert.match(body, /"refusal":"upstream-malformed"/)
      assert.match(String(causesOf(gate)[0]), /which is neither the upstream nor the configured token-service/)
      assert.deepEqual([backend.asked(), elsewhere.received()], [[], []])
    }
  })

  test('R15 without a configured service, only the upstream itself is asked', async t => {
    const backend = await startBackend(t)
    const gate = await gateFor(t, backend, { tokenService: undefined })
    const client = await connectClient(t, { port: gate.port, identity: alice })
    assert.equal((await request(client, `GET ${READ}`)).status, 502)
    assert.deepEqual(backend.asked(), [])
  })

  const own: readonly [what: string, realm: (upstream: string) => string, target: string, origins?: string[]][] = [
    ['by its own address', upstream => `${upstream}/token?a=b`, '/token?a=b&scope='],
    ['by the address of the gate, as Gitea does', () => 'https://registry.test/v2/token', '/v2/token?scope='],
    ['by a further origin', () => 'http://backend.test/v2/token', '/v2/token?scope=', ['http://backend.test']],
  ]
  for (const [what, realm, target, upstreamOrigins = []] of own) {
    test(`R15 an upstream that is its own token service, ${what}`, async t => {
      const backend = await startBackend(t, {
        realm: (_, upstream) => realm(upstream),
        takes: it => it === CREDENTIAL,
      })
      const gate = await gateFor(t, backend, { tokenService: undefined, upstreamOrigins })
      const client = await connectClient(t, { port: gate.port, identity: alice })
      // It answers what is no token: here it only matters where the password went.
      assert.equal((await request(client, `GET ${READ}`)).status, 502)
      const [, sent = ''] = backend.upstream
        .received()
        .join('')
        .split(/^(?=GET )/m)
      assert.ok(sent.startsWith(`GET ${target}`), sent)
      assert.match(sent, new RegExp(`authorization: ${CREDENTIAL}`))
      assert.match(sent, /host: registry\.test/)
    })
  }

  test('R15 a redirect of the token service is not followed', async t => {
    const elsewhere = await startUpstream(t)
    const token = () => answer(307, '', `location: ${elsewhere.origin}/`)
    const backend = await startBackend(t, { token })
    const gate = await gateFor(t, backend)
    const client = await connectClient(t, { port: gate.port, identity: alice })
    assert.equal((await request(client, `GET ${READ}`)).status, 502)
    assert.deepEqual([causesOf(gate), elsewhere.received()], [['the token service answered 307'], []])
  })

  test('R15 a token service on another host is not to be reached in clear', async t => {
    const { folder, load } = await createBench(t)
    const oci = (more: string) =>
      GATE.replace('    dialect: npm\n', `    dialect: oci\n    token-service: http://auth.example.com\n${more}`)
    const [problem = '', ...others] = problemsOf(await load({ gate: oci(''), accounts: ACCOUNTS }), folder)
    assert.match(problem, /^certgate\.yaml:8:20 registries\.npm\.token-service: "auth\.example\.com" is another host/)
    assert.deepEqual(others, [])
    const unsafe = await load({ gate: oci('    unsafe-plain-upstream: true\n'), accounts: ACCOUNTS })
    assert.deepEqual(problemsOf(unsafe, folder), [])
  })
})

describe('a token is kept', () => {
  test('for its account and its scope', async t => {
    const backend = await startBackend(t)
    const { port } = await gateFor(t, backend)
    const [first, second] = await Promise.all([
      connectClient(t, { port, identity: alice }),
      connectClient(t, { port, identity: bob }),
    ])
    const push = 'POST /v2/acme/tool/blobs/uploads/'
    for (const line of [`GET ${READ}`, `HEAD ${READ}`, push, push, `GET /v2/acme/other/manifests/1.0`]) {
      assert.equal((await request(first, line)).status, 200)
    }
    assert.equal((await request(second, `GET ${READ}`)).status, 200)
    assert.deepEqual(
      backend.asked().map(line => /scope=(.*)&/.exec(line)?.[1]),
      [
        'repository:acme/tool:pull',
        'repository:acme/tool:pull,push',
        'repository:acme/other:pull',
        'repository:acme/tool:pull',
      ],
    )
    assert.equal(backend.probes(), 1)
    assert.match(backend.service.received().join(''), /authorization: Basic Ym9iOmI=/)
  })

  test('until it ends, less a margin', async t => {
    const token = (n: number) => answer(200, `{"token":"t${n}","expires_in":0.02}`)
    const backend = await startBackend(t, { token })
    const { port } = await gateFor(t, backend)
    const client = await connectClient(t, { port, identity: alice })
    for (let i = 0; i < 2; i++) {
      assert.equal((await request(client, `GET ${READ}`)).status, 200)
      await new Promise(resolve => setTimeout(resolve, 30))
    }
    assert.equal(backend.asked().length, 2)
  })

  test('and fetched once, however many wait for it', async t => {
    const waiting: (() => void)[] = []
    const backend = await startBackend(t)
    const slow = await startUpstream(t, (socket, text) => {
      if (text.endsWith('\r\n\r\n')) waiting.push(() => socket.write(answer(200, '{"access_token":"t"}')))
    })
    const behind = await startUpstream(
      t,
      answering(head => (/Bearer t\r\n/.test(head) ? answer(200) : challenge(`${slow.origin}/token`))),
    )
    const both = { ...backend, upstream: behind, service: slow }
    const { port } = await gateFor(t, both)
    const clients = await Promise.all([1, 2, 3].map(() => connectClient(t, { port, identity: alice })))
    const answers = clients.map(client => request(client, `GET ${READ}`))
    await slow.until(([first]) => first?.endsWith('\r\n\r\n') === true)
    // Let the others come as far, too: there is nothing of theirs that could be seen to arrive.
    await new Promise(resolve => setTimeout(resolve, 50))
    for (const go of waiting) go()
    for (const { status } of await Promise.all(answers)) assert.equal(status, 200)
    assert.equal(waiting.length, 1)
    assert.equal(
      behind
        .received()
        .join('')
        .match(/^GET \/v2\/ /gm)?.length,
      1,
    )
  })

  test('until the registry rejects it: 502, then a new probe and a new token', async t => {
    const backend = await startBackend(t, { takes: it => it === 'Bearer t1' })
    const gate = await gateFor(t, backend)
    const client = await connectClient(t, { port: gate.port, identity: alice })
    const { status, body, head } = await request(client, `GET ${READ}`)
    assert.equal(status, 502)
    assert.match(body, /"refusal":"upstream-credential-rejected"/)
    assert.doesNotMatch(head, /www-authenticate/i)
    assert.equal((await request(client, `GET ${READ}`)).status, 200)
    assert.deepEqual([backend.asked().length, backend.probes()], [2, 2])
  })
})

describe('where reads are public', () => {
  test('a token is fetched without a credential, and kept apart from those of accounts', async t => {
    const backend = await startBackend(t)
    const { port } = await gateFor(t, backend, { reads: 'public' })
    const anybody = await connectClient(t, { port })
    assert.equal((await request(anybody, 'GET /v2/')).status, 200)
    assert.equal((await request(anybody, `GET ${READ}`)).status, 200)
    assert.equal((await request(anybody, `GET ${READ}`)).status, 200)
    assert.deepEqual(backend.asked(), [
      'GET /token?service=lab',
      'GET /token?scope=repository:acme/tool:pull&service=lab',
    ])
    assert.doesNotMatch(backend.service.received().join(''), /authorization/)
    const client = await connectClient(t, { port, identity: alice })
    assert.equal((await request(client, `GET ${READ}`)).status, 200)
    assert.equal(backend.asked().length, 3)
  })

  test('a service that gives nobody a token means that a certificate is needed; that is no news', async t => {
    const backend = await startBackend(t, { token: () => answer(401) })
    const gate = await gateFor(t, backend, { reads: 'public' })
    const client = await connectClient(t, { port: gate.port })
    const { status, body, fields } = await request(client, 'GET /v2/')
    assert.deepEqual([status, fields.has('www-authenticate')], [401, false])
    assert.match(body, /"refusal":"certificate-required"/)
    assert.equal((await request(client, `GET ${READ}`)).status, 403)
    assert.deepEqual(causesOf(gate), [])
  })
})
