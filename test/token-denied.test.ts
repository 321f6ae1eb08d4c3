import assert from 'node:assert/strict'
import { before, describe, test } from 'node:test'
import { connectClient } from './lab/client.ts'
import type { TestIdentity } from './lab/identities.ts'
import { freePort } from './lab/temporary.ts'
import { answer, causesOf, gateFor, request, startBackend, users } from './lab/token-backend.ts'

const READ = '/v2/acme/tool/manifests/1.0'

let alice: TestIdentity
before(async () => {
  ;[alice] = await users
})

describe('a token that is not to be had', () => {
  for (const status of [401, 403]) {
    test(`because the password is rejected with ${status}`, async t => {
      const backend = await startBackend(t, { token: () => answer(status, '{"details":"canary"}') })
      const gate = await gateFor(t, backend)
      const client = await connectClient(t, { port: gate.port, identity: alice })
      const { body, ...said } = await request(client, `GET ${READ}`)
      assert.equal(said.status, 502)
      assert.match(body, /"refusal":"upstream-credential-rejected"/)
      assert.match(body, /for account alice/)
      assert.doesNotMatch(body, /canary/)
      assert.deepEqual(causesOf(gate), [`the token service answered ${status}`])
    })
  }

  for (const [what, body] of [
    ['no JSON', 'token'],
    ['no object', '["t"]'],
    ['no token', '{"expires_in":60}'],
    ['a token that is no text', '{"token":1}'],
    ['a token that would be two fields', '{"token":"t\\r\\nX-Evil: 1"}'],
    ['an end that is no number', '{"token":"t","expires_in":"soon"}'],
    ['an end in the past', '{"token":"t","expires_in":-1}'],
    ['more than 64 KiB', `{"token":"t","padding":"${'x'.repeat(65_536)}"}`],
  ] as const) {
    test(`because the answer is unreadable: ${what}`, async t => {
      const backend = await startBackend(t, { token: () => answer(200, body) })
      const gate = await gateFor(t, backend)
      const client = await connectClient(t, { port: gate.port, identity: alice })
      const said = await request(client, `GET ${READ}`)
      assert.equal(said.status, 502)
      assert.match(said.body, /"refusal":"upstream-malformed"/)
      assert.match(String(causesOf(gate)[0]), /no token that can be read|longer than 65536 bytes/)
    })
  }

  test('because the service is silent, or never comes to an end', async t => {
    const trickle = 'HTTP/1.1 200 X\r\ncontent-length: 100\r\n\r\n{'
    for (const said of [undefined, trickle]) {
      const backend = await startBackend(t, { token: () => said })
      const gate = await gateFor(t, backend, { limits: { upstreamAnswer: 150 } })
      const client = await connectClient(t, { port: gate.port, identity: alice })
      assert.equal((await request(client, `GET ${READ}`)).status, 504)
      assert.match(String(causesOf(gate)[0]), /^token service: no (?:whole )?answer/)
    }
  })

  test('because the service is not there', async t => {
    const gone = `http://127.0.0.1:${await freePort()}`
    const backend = await startBackend(t, { realm: () => `${gone}/token` })
    const gate = await gateFor(t, backend, { tokenService: gone })
    const client = await connectClient(t, { port: gate.port, identity: alice })
    const { status, body } = await request(client, `GET ${READ}`)
    assert.equal(status, 502)
    assert.match(body, /"refusal":"upstream-unreachable"/)
  })

  test('ends an upload before its body is asked for, and nothing of it is recorded as a change', async t => {
    const backend = await startBackend(t, { token: () => answer(500) })
    const gate = await gateFor(t, backend)
    const client = await connectClient(t, { port: gate.port, identity: alice })
    const lines = ['PATCH /v2/acme/tool/blobs/uploads/5d HTTP/1.1', 'Host: registry.test', 'Content-Length: 100000000']
    client.send(`${[...lines, 'Expect: 100-continue'].join('\r\n')}\r\n\r\n`)
    assert.equal((await client.response()).status, 502)
    await client.closed
    await gate.gate.stop()
    assert.deepEqual(
      (await gate.audit()).map(line => [line['event'], line['cause']]),
      [['request', 'the token service answered 500']],
    )
    assert.doesNotMatch(backend.upstream.received().join(''), /PATCH/)
  })

  test('a client that goes while a token is fetched leaves no change behind', async t => {
    const backend = await startBackend(t, { token: () => undefined })
    const gate = await gateFor(t, backend, { limits: { upstreamAnswer: 300 } })
    const client = await connectClient(t, { port: gate.port, identity: alice })
    client.send('POST /v2/acme/tool/blobs/uploads/ HTTP/1.1\r\nHost: registry.test\r\n\r\n')
    await backend.service.until(([first]) => first?.endsWith('\r\n\r\n') === true)
    client.socket.destroy()
    await backend.service.until(() => backend.service.sockets.size === 0)
    await gate.gate.stop()
    assert.deepEqual(
      (await gate.audit()).map(line => [line['event'], line['refusal']]),
      [['request', 'client-gone']],
    )
  })
})
