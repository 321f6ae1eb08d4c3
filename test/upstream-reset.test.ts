// A change that is not let through to its end must not look like a shorter one.

import assert from 'node:assert/strict'
import { createServer, type Socket } from 'node:net'
import { describe, type TestContext, test } from 'node:test'
import { createServer as createTlsServer } from 'node:tls'
import { connectClient } from './lab/client.ts'
import { enrol, makeAccount, startTestGate, type TestGate } from './lab/gate.ts'
import { makeIdentity, makeServerIdentity, type TestIdentity } from './lab/identities.ts'
import { startUpstream } from './lab/upstream.ts'

interface Bench {
  readonly gate: TestGate
  readonly alice: TestIdentity
  /** how the upstream's first connection ended; settles with it */
  readonly ended: Promise<string>
  /** Resolves when the upstream has had some of a body. */
  readonly reached: Promise<void>
}

async function createBench(t: TestContext, tls: boolean): Promise<Bench> {
  const ended = Promise.withResolvers<string>()
  const reached = Promise.withResolvers<void>()

  function serve(socket: Socket): void {
    let text = ''
    socket.on('data', chunk => {
      text += chunk.toString('latin1')
      if (/\r\n\r\n./.test(text)) reached.resolve()
    })
    socket.on('end', () => ended.resolve('end'))
    socket.on('error', error => ended.resolve('code' in error ? String(error.code) : error.name))
  }

  const identity = await makeServerIdentity()
  const server = tls ? createTlsServer({ cert: identity.certificate, key: identity.key }, serve) : createServer(serve)
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  t.after(() => server.close())
  const address = server.address()
  assert.ok(address !== null && typeof address === 'object')
  const alice = await makeIdentity()
  const gate = await startTestGate(t, {
    upstream: `${tls ? 'https' : 'http'}://localhost:${address.port}`,
    enrolments: [enrol(alice, makeAccount({ rights: { publish: ['**'] } }))],
    registry: { dialect: 'generic', upstreamCa: tls ? Buffer.from(identity.certificate) : undefined },
  })
  return { gate, alice, ended: ended.promise, reached: reached.promise }
}

/** Of a change the last piece waits in the gate, so there are two. */
const PUT = 'PUT /a HTTP/1.1\r\nhost: registry.test\r\n'

describe('the upstream sees a reset, and not the end of a shorter body', () => {
  for (const tls of [false, true]) {
    const over = tls ? 'TLS' : 'TCP'

    test(`over ${over}, when the client goes away`, async t => {
      const { gate, alice, ended, reached } = await createBench(t, tls)
      const client = await connectClient(t, { port: gate.port, identity: alice })
      client.send(`${PUT}content-length: 1000000\r\n\r\n`)
      await sendUntil(reached, () => client.send('_'))
      client.socket.destroy()
      assert.equal(await ended, 'ECONNRESET')
    })

    test(`over ${over}, when the body is malformed`, async t => {
      const { gate, alice, ended, reached } = await createBench(t, tls)
      const client = await connectClient(t, { port: gate.port, identity: alice })
      client.send(`${PUT}transfer-encoding: chunked\r\n\r\n`)
      await sendUntil(reached, () => client.send('1\r\n_\r\n'))
      client.send('no chunk\r\n')
      assert.equal((await client.response()).status, 400)
      assert.equal(await ended, 'ECONNRESET')
    })

    test(`over ${over}, when the gate is stopped`, async t => {
      const { gate, alice, ended, reached } = await createBench(t, tls)
      const client = await connectClient(t, { port: gate.port, identity: alice })
      client.send(`${PUT}content-length: 1000000\r\n\r\n`)
      await sendUntil(reached, () => client.send('_'))
      await gate.gate.kill()
      assert.equal(await ended, 'ECONNRESET')
    })
  }

  test('a connection whose request is whole is closed in order', async t => {
    const upstream = await startUpstream(t, () => {})
    const gate = await startTestGate(t, { upstream: upstream.origin, registry: { dialect: 'generic' } })
    const client = await connectClient(t, { port: gate.port })
    client.send('GET /a HTTP/1.1\r\nhost: registry.test\r\n\r\n')
    await upstream.until(([text]) => text?.endsWith('\r\n\r\n') === true)
    const [socket] = upstream.sockets
    assert.ok(socket !== undefined)
    const ended = new Promise<string>(resolve =>
      socket.on('end', () => resolve('end')).on('error', () => resolve('error')),
    )
    client.socket.destroy()
    assert.equal(await ended, 'end')
  })
})

/** Pieces that arrive at once are one piece to the gate: more are sent until the first has got through. */
async function sendUntil(reached: Promise<void>, send: () => void): Promise<void> {
  let done = false
  void reached.then(() => {
    done = true
  })
  while (!done) {
    send()
    await new Promise(resolve => setImmediate(resolve))
  }
}
