import assert from 'node:assert/strict'
import { connect as connectTcp, createServer as createTcpServer } from 'node:net'
import { before, describe, test } from 'node:test'
import { createServer as createTlsServer } from 'node:tls'
import type { Limits } from '../src/config/config.ts'
import { connectClient } from './lab/client.ts'
import { enrol, makeAccount, startTestGate } from './lab/gate.ts'
import { makeIdentity, type TestIdentity } from './lab/identities.ts'
import { answering, OK, type RawUpstream, startUpstream } from './lab/upstream.ts'

let alice: TestIdentity
before(async () => {
  alice = await makeIdentity()
})

const publisher = makeAccount({ rights: { publish: ['**'] } })
const GET = 'GET /file HTTP/1.1\r\nHost: registry.test\r\n\r\n'

function gateFor(t: Parameters<typeof startTestGate>[0], upstream: RawUpstream, limits: Partial<Limits>) {
  return startTestGate(t, {
    upstream: upstream.origin,
    enrolments: [enrol(alice, publisher)],
    registry: { dialect: 'generic' },
    limits,
  })
}

function upload(length: number, ...lines: string[]): string {
  return `PUT /file HTTP/1.1\r\nHost: registry.test\r\nContent-Length: ${length}\r\n${lines.join('')}\r\n`
}

describe('R28 before anybody is known', () => {
  test('R28 a connection that never begins its handshake is closed', async t => {
    const { port } = await gateFor(t, await startUpstream(t), { handshake: 100 })
    const sockets = Array.from({ length: 50 }, () => connectTcp(port, '127.0.0.1'))
    await Promise.all(
      sockets.map(
        socket =>
          new Promise(resolve =>
            socket
              .on('error', () => {})
              .on('close', resolve)
              .resume(),
          ),
      ),
    )
  })

  test('R28 a connection that asks nothing is closed', async t => {
    const { port } = await gateFor(t, await startUpstream(t), { head: 100 })
    const client = await connectClient(t, { port })
    assert.equal(await client.closed, '')
  })

  test('R28 a head that trickles in is refused when its time is over', async t => {
    const { port } = await gateFor(t, await startUpstream(t), { head: 200 })
    const client = await connectClient(t, { port })
    const drip = setInterval(() => client.send('a'), 20)
    t.after(() => clearInterval(drip))
    client.send('GET /file HTTP/1.1\r\nX: ')
    assert.equal((await client.response()).status, 408)
    clearInterval(drip)
  })

  test('R28 a connection that asks nothing more is closed', async t => {
    const { port } = await gateFor(t, await startUpstream(t), { keepAlive: 100 })
    const client = await connectClient(t, { port })
    client.send(GET)
    await client.response()
    assert.equal(await client.closed, '')
  })

  test('R28 of 2 GiB from an unknown client no more than 64 KiB are read', async t => {
    const upstream = await startUpstream(t)
    const gate = await gateFor(t, upstream, { drainTime: 300 })
    const client = await connectClient(t, { port: gate.port })
    client.send(upload(2 ** 31))
    const chunk = Buffer.alloc(65_536)
    let open = true
    const closed = client.closed.then(() => {
      open = false
    })
    // What the kernel's buffers take is not read by the gate; what is more than that waits.
    while (open && client.socket.writableLength < 8 * 1024 * 1024) client.socket.write(chunk)
    const { status, fields } = await client.response()
    assert.deepEqual([status, fields.get('connection')], [403, 'close'])
    await closed
    assert.deepEqual(upstream.received(), [])
    assert.ok(client.socket.bytesWritten < 2 ** 31)
  })

  test('R28 an enrolled client whose upload is refused may send it to the end, and sees the refusal', async t => {
    const gate = await startTestGate(t, {
      upstream: (await startUpstream(t)).origin,
      enrolments: [enrol(alice, makeAccount())],
    })
    const client = await connectClient(t, { port: gate.port, identity: alice })
    client.send(upload(5_000_000).replace('/file', '/left-pad'))
    const sent = new Promise<void>(resolve => client.socket.write(Buffer.alloc(5_000_000), () => resolve()))
    const [{ status, reason }] = await Promise.all([client.response(), sent])
    assert.equal(status, 403)
    assert.equal(reason, 'account alice has no right to publish left-pad')
  })

  test('R28 after the answer that closes a connection next to nothing is read from a client that goes on sending', async t => {
    const upstream = await startUpstream(
      t,
      answering(`HTTP/1.1 200 OK\r\nContent-Length: 60000\r\n\r\n${'x'.repeat(60_000)}`),
    )
    const { port } = await gateFor(t, upstream, {})
    const client = await connectClient(t, { port })
    client.socket.pause()
    const other = await connectClient(t, { port })
    const answered = (): number => upstream.received().join('').match(/^GET /gm)?.length ?? 0

    // Each round trip of another client gives the gate the time to do what it is going to do.
    async function roundTrips(count: number, isEnough: () => boolean): Promise<void> {
      for (let i = 0; i < count && !isEnough(); i++) {
        other.send(GET.replace('/file', '/.certgate/whoami'))
        await other.response()
      }
    }

    let asked = 0
    do {
      client.send(GET)
      asked++
      await roundTrips(50, () => answered() >= asked)
    } while (answered() >= asked && asked < 1000)
    assert.ok(asked < 1000, 'the gate went on answering somebody who does not read')

    const junk = Buffer.alloc(65_536, 'a')
    let written = 0
    await roundTrips(300, () => {
      while (client.socket.writableLength < 2 ** 20) {
        client.socket.write(junk)
        written += junk.length
      }
      return false
    })
    const taken = written - client.socket.writableLength
    assert.ok(taken < 2 ** 24, `the gate took ${taken} bytes`)
  })

  test('more connections than the limit are closed at once', async t => {
    const { port } = await gateFor(t, await startUpstream(t), { connections: 2 })
    await connectClient(t, { port })
    await connectClient(t, { port })
    await assert.rejects(connectClient(t, { port }))
  })
})

describe('R29 an upload', () => {
  test('R29 that makes no progress is refused', async t => {
    const { port } = await gateFor(t, await startUpstream(t), { idle: 150 })
    const client = await connectClient(t, { port, identity: alice })
    client.send(`${upload(1000)}abc`)
    assert.equal((await client.response()).status, 408)
  })

  test('R29 that trickles below the minimum rate is refused', async t => {
    const { port } = await gateFor(t, await startUpstream(t), { idle: 200, minimumRate: 10_000 })
    const client = await connectClient(t, { port, identity: alice })
    client.send(upload(1_000_000))
    const drip = setInterval(() => client.send('abc'), 10)
    t.after(() => clearInterval(drip))
    assert.equal((await client.response()).status, 408)
    clearInterval(drip)
  })

  test('R29 that is slow and honest may take longer than any limit', async t => {
    const { port } = await gateFor(t, await startUpstream(t), {
      idle: 200,
      minimumRate: 100,
      head: 100,
      upstreamAnswer: 150,
    })
    const client = await connectClient(t, { port, identity: alice })
    client.send(upload(600))
    let sent = 0
    await new Promise<void>(resolve => {
      const drip = setInterval(() => {
        client.send('x'.repeat(10))
        sent += 10
        if (sent < 600) return
        clearInterval(drip)
        resolve()
      }, 10)
    })
    assert.equal((await client.response()).status, 200)
  })

  test('R08 whose chunks are malformed is refused, and incomplete upstream', async t => {
    const upstream = await startUpstream(t)
    const { port } = await gateFor(t, upstream, {})
    const client = await connectClient(t, { port, identity: alice })
    client.send('PUT /file HTTP/1.1\r\nHost: registry.test\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\nX')
    assert.equal((await client.response()).status, 400)
    await client.closed
    assert.doesNotMatch(upstream.received().join(''), /0\r\n\r\n/)
  })
})

describe('R30 the upstream', () => {
  test('R30 that cannot be reached is a 502, at once', async t => {
    const upstream = await startUpstream(t)
    const gate = await startTestGate(t, { upstream: 'http://127.0.0.1:1' })
    const client = await connectClient(t, { port: gate.port })
    client.send(GET)
    const { status, body } = await client.response()
    assert.equal(status, 502)
    assert.doesNotMatch(body, /127\.0\.0\.1|ECONNREFUSED/, 'R38 the client learns nothing of the upstream')
    assert.ok(gate.logged.some(({ facts }) => facts['cause'] === 'ECONNREFUSED'))
    assert.deepEqual(upstream.received(), [])
  })

  test('R30 R32 that cannot be reached over TLS is a 502, too', async t => {
    const gate = await startTestGate(t, { upstream: 'https://127.0.0.1:1', registry: { dialect: 'generic' } })
    const client = await connectClient(t, { port: gate.port })
    client.send(GET)
    assert.equal((await client.response()).status, 502)
    assert.ok(gate.logged.some(({ facts }) => facts['cause'] === 'ECONNREFUSED'))
  })

  test('R30 that accepts and stays silent is a 504', async t => {
    const upstream = await startUpstream(t, () => {})
    const { port } = await gateFor(t, upstream, { upstreamAnswer: 100 })
    const client = await connectClient(t, { port, identity: alice })
    for (const request of [GET, `${upload(3)}abc`]) {
      client.send(request)
      assert.equal((await client.response()).status, 504)
    }
    await upstream.until(() => upstream.sockets.size === 0)
  })

  test('R30 that stops in the middle of its answer is cut', async t => {
    const upstream = await startUpstream(t, answering('HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf'))
    const { port } = await gateFor(t, upstream, { idle: 100 })
    const client = await connectClient(t, { port })
    client.send(GET)
    assert.match(await client.closed, /half$/)
  })

  test('R30 is left at once when the client goes away', async t => {
    const upstream = await startUpstream(t, () => {})
    const { port } = await gateFor(t, upstream, {})
    const client = await connectClient(t, { port })
    client.send(GET)
    await upstream.until(received => received.length === 1 && received[0] !== '')
    client.socket.destroy()
    await upstream.until(() => upstream.sockets.size === 0)
  })

  test('R30 gets no more connections than its limit; the next request is told', async t => {
    const upstream = await startUpstream(t, () => {})
    const { port } = await gateFor(t, upstream, { upstreamConnections: 1 })
    const first = await connectClient(t, { port })
    first.send(GET)
    await upstream.until(received => received.length === 1 && received[0] !== '')
    const second = await connectClient(t, { port })
    second.send(GET)
    assert.equal((await second.response()).status, 503)
  })

  test('an idle connection of one account gives way to another', async t => {
    const upstream = await startUpstream(t)
    const { port } = await gateFor(t, upstream, { upstreamConnections: 1 })
    for (const identity of [alice, undefined, alice]) {
      const client = await connectClient(t, { port, identity })
      client.send(GET)
      assert.equal((await client.response()).status, 200)
    }
    assert.equal(upstream.received().length, 3)
  })

  test('an idle connection is closed before the upstream would', async t => {
    const upstream = await startUpstream(t)
    const { port } = await gateFor(t, upstream, { upstreamKeepAlive: 50, upstreamAnswer: 200 })
    const client = await connectClient(t, { port })
    client.send(GET)
    await client.response()
    await upstream.until(() => upstream.sockets.size === 0)
  })
})

describe('TLS', () => {
  test('R31 renegotiation is refused', async t => {
    const { port } = await gateFor(t, await startUpstream(t), {})
    const client = await connectClient(t, { port, tls: { maxVersion: 'TLSv1.2' } })
    let renegotiated = false
    client.socket.renegotiate({ rejectUnauthorized: false }, error => {
      renegotiated = error === null
    })
    client.send(GET)
    const answer = await Promise.race([client.response(), client.closed])
    assert.equal(renegotiated, false, JSON.stringify(answer))
  })

  test('R41 only AEAD with ECDHE is offered', async t => {
    const { port } = await gateFor(t, await startUpstream(t), {})
    for (const ciphers of ['ECDHE-ECDSA-AES128-SHA', 'AES128-GCM-SHA256', 'ECDHE-ECDSA-AES256-SHA384']) {
      await assert.rejects(connectClient(t, { port, tls: { maxVersion: 'TLSv1.2', ciphers } }))
    }
    await connectClient(t, { port, tls: { maxVersion: 'TLSv1.2', ciphers: 'ECDHE-ECDSA-AES128-GCM-SHA256' } })
  })

  test('R41 TLS 1.1 is refused, and TLS 1.2 where the operator says so', async t => {
    const upstream = await startUpstream(t)
    const { port } = await gateFor(t, upstream, {})
    await assert.rejects(
      connectClient(t, { port, tls: { minVersion: 'TLSv1.1', maxVersion: 'TLSv1.1', ciphers: 'DEFAULT@SECLEVEL=0' } }),
    )
    const strict = await startTestGate(t, { upstream: upstream.origin, minimumTls: 'TLSv1.3' })
    await assert.rejects(connectClient(t, { port: strict.port, tls: { maxVersion: 'TLSv1.2' } }))
  })

  test('R32 a handshake of nonsense closes one connection and nothing else', async t => {
    const { port } = await gateFor(t, await startUpstream(t), {})
    for (const bytes of [
      Buffer.from('GET / HTTP/1.1\r\n\r\n'),
      Buffer.alloc(1000, 0x16),
      Buffer.from('160301ffff', 'hex'),
    ]) {
      const socket = connectTcp(port, '127.0.0.1')
      await new Promise(resolve =>
        socket
          .on('error', () => {})
          .on('close', resolve)
          .resume()
          .end(bytes),
      )
    }
    const client = await connectClient(t, { port })
    client.send(GET)
    assert.equal((await client.response()).body, 'ok')
  })

  test('a client that offers nothing but HTTP/2 is refused by ALPN', async t => {
    const { port } = await gateFor(t, await startUpstream(t), {})
    await assert.rejects(connectClient(t, { port, tls: { ALPNProtocols: ['h2'] } }))
  })

  test('R15 a TLS upstream is verified: by the given CA, for its name', async t => {
    const server = await makeIdentity({ keyType: 'p256', use: { names: ['127.0.0.1'] } })
    const tls = createTlsServer({ cert: server.certificate, key: server.key }, socket => {
      socket.on('error', () => {}).on('data', () => socket.write(OK))
    })
    await new Promise<void>(resolve => tls.listen(0, '127.0.0.1', resolve))
    t.after(() => tls.close())
    const address = tls.address()
    const port = address !== null && typeof address === 'object' ? address.port : 0
    const cases = [
      [`https://127.0.0.1:${port}`, Buffer.from(server.certificate), 200],
      [`https://127.0.0.1:${port}`, undefined, 502],
      [`https://localhost:${port}`, Buffer.from(server.certificate), 502],
    ] as const
    for (const [upstream, upstreamCa, status] of cases) {
      const gate = await startTestGate(t, { upstream, registry: { upstreamCa, dialect: 'generic' } })
      const client = await connectClient(t, { port: gate.port })
      client.send(GET)
      assert.equal((await client.response()).status, status)
      await gate.gate.stop()
    }
  })
})

test('R42 the certificate request names no authorities', async t => {
  const { port } = await gateFor(t, await startUpstream(t), {})
  // TLS 1.2 sends the request in clear: type 13, certificate types, signature algorithms, then the list of names.
  const bytes: Buffer[] = []
  const tap = createTcpServer(socket => {
    const onward = connectTcp(port, '127.0.0.1')
    onward.on('data', (chunk: Buffer) => void bytes.push(chunk)).on('error', () => {})
    socket
      .on('error', () => {})
      .pipe(onward)
      .pipe(socket)
  })
  await new Promise<void>(resolve => tap.listen(0, '127.0.0.1', resolve))
  t.after(() => tap.close())
  const address = tap.address()
  assert.ok(address !== null && typeof address === 'object')
  const client = await connectClient(t, { port: address.port, tls: { maxVersion: 'TLSv1.2' } })
  client.socket.destroy()
  const request = handshakeMessage(Buffer.concat(bytes), 13)
  assert.ok(request !== undefined)
  const types = request[0] ?? 0
  const algorithms = request.readUInt16BE(1 + types)
  assert.equal(request.readUInt16BE(1 + types + 2 + algorithms), 0)
})

/** The body of a plaintext handshake message in a stream of TLS records. */
function handshakeMessage(stream: Buffer, type: number): Buffer | undefined {
  const records: Buffer[] = []
  for (let at = 0; at + 5 <= stream.length && stream[at] === 22; at += 5 + stream.readUInt16BE(at + 3)) {
    records.push(stream.subarray(at + 5, at + 5 + stream.readUInt16BE(at + 3)))
  }
  const messages = Buffer.concat(records)
  for (let at = 0; at + 4 <= messages.length; at += 4 + messages.readUIntBE(at + 1, 3)) {
    if (messages[at] === type) return messages.subarray(at + 4, at + 4 + messages.readUIntBE(at + 1, 3))
  }
  return undefined
}
