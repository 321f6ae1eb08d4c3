import assert from 'node:assert/strict'
import { before, describe, test } from 'node:test'
import { connectClient } from './lab/client.ts'
import { enrol, type GateOptions, makeAccount, startTestGate } from './lab/gate.ts'
import { makeIdentity, type TestIdentity } from './lab/identities.ts'
import { answering, OK, type RawUpstream, startUpstream } from './lab/upstream.ts'

let alice: TestIdentity
before(async () => {
  alice = await makeIdentity()
})

const publisher = makeAccount({ rights: { publish: ['**'] } })
const GET = 'GET /file HTTP/1.1\r\nHost: registry.test\r\n\r\n'

/** A gate for the generic dialect, whose uploads are no documents. */
function gateFor(t: Parameters<typeof startTestGate>[0], upstream: RawUpstream, more: Partial<GateOptions> = {}) {
  return startTestGate(t, {
    upstream: upstream.origin,
    enrolments: [enrol(alice, publisher)],
    registry: { dialect: 'generic' },
    ...more,
  })
}

function put(body: string, ...lines: string[]): string {
  const framing = lines.length === 0 ? [`Content-Length: ${body.length}`] : lines
  return `PUT /file HTTP/1.1\r\nHost: registry.test\r\n${framing.map(line => `${line}\r\n`).join('')}\r\n${body}`
}

describe('R08 framing is made anew', () => {
  test('R08 a chunked upload leaves extensions and trailers behind', async t => {
    const upstream = await startUpstream(t)
    const { port } = await gateFor(t, upstream)
    const client = await connectClient(t, { port, identity: alice })
    client.send(
      put('3;a=b\r\nabc\r\n2\r\nde\r\n0\r\nX-Trailer: c\r\n\r\n', 'Transfer-Encoding: chunked', 'Trailer: X-Trailer'),
    )
    assert.equal((await client.response()).status, 200)
    const [sent = ''] = upstream.received()
    assert.match(sent, /\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n$/)
    assert.doesNotMatch(sent, /trailer|a=b/i)
  })

  test('R08 an upload without a body says so upstream', async t => {
    const upstream = await startUpstream(t)
    const { port } = await gateFor(t, upstream)
    const client = await connectClient(t, { port, identity: alice })
    client.send('PUT /file HTTP/1.1\r\nHost: registry.test\r\n\r\n')
    assert.equal((await client.response()).status, 200)
    assert.match(upstream.received()[0] ?? '', /content-length: 0\r\n\r\n$/)
  })

  const smuggled = 'GET /smuggled HTTP/1.1\r\nHost: registry.test\r\n\r\n'
  const tricks: readonly [name: string, request: string][] = [
    ['both framings', put(`0\r\n\r\n${smuggled}`, 'Content-Length: 5', 'Transfer-Encoding: chunked')],
    ['gzip, chunked', put(`0\r\n\r\n${smuggled}`, 'Transfer-Encoding: gzip, chunked')],
    ['an empty coding', put(`0\r\n\r\n${smuggled}`, 'Transfer-Encoding: ,chunked')],
    ['white space before the colon', put(`0\r\n\r\n${smuggled}`, 'Transfer-Encoding : chunked', 'Content-Length: 5')],
    ['a vertical tab', put(`0\r\n\r\n${smuggled}`, 'Transfer-Encoding: \x0bchunked', 'Content-Length: 5')],
    ['two lengths', put(smuggled, 'Content-Length: 0', `Content-Length: ${smuggled.length}`)],
    ['an octal length', put(smuggled, 'Content-Length: 00')],
    ['a body on a GET', `${GET.slice(0, -2)}Content-Length: ${smuggled.length}\r\n\r\n${smuggled}`],
    ['a chunk line with a bare LF', put(`1\n\r\nA\r\n0\r\n\r\n${smuggled}`, 'Transfer-Encoding: chunked')],
    ['a chunk extension with a bare LF', put(`1;\n\r\nA\r\n0\r\n\r\n${smuggled}`, 'Transfer-Encoding: chunked')],
    ['a chunk that is longer than it says', put(`1\r\nAB\r\n0\r\n\r\n${smuggled}`, 'Transfer-Encoding: chunked')],
    ['101 field lines', put(smuggled, ...Array.from({ length: 100 }, (_, i) => `A${i}: b`), 'Content-Length: 5')],
    ['an underscore in Content-Length', put(smuggled, 'Content_Length: 50', 'Content-Length: 0')],
    ['an underscore in Transfer-Encoding', put(smuggled, 'Transfer_Encoding: chunked', 'Content-Length: 0')],
  ]
  for (const [name, request] of tricks) {
    test(`R08 R09 ${name}: nothing is smuggled past the gate`, async t => {
      const upstream = await startUpstream(t)
      const { port } = await gateFor(t, upstream, {
        enrolments: [enrol(alice, makeAccount({ rights: { publish: ['file'] } }))],
      })
      const client = await connectClient(t, { port, identity: alice })
      client.send(request)
      const { status } = await client.response()
      if (status === 400 || status === 431) await client.closed
      else await client.response()
      // What was let through was judged: each request upstream carries our credential, and none hides in another.
      for (const sent of upstream.received()) {
        const heads = sent.match(/^(?:GET|PUT) \/\w+ HTTP\/1\.1\r$/gm) ?? []
        assert.equal(sent.match(/^authorization: Bearer token-of-alice\r$/gm)?.length, heads.length)
        assert.equal(sent.match(/^host: registry\.test\r$/gm)?.length, heads.length)
        if (status !== 200) assert.doesNotMatch(sent, /smuggled/)
      }
    })
  }
})

describe('R09 after doubt, connections are not used again', () => {
  test('R09 an early answer passes, the upload stops, both connections close', async t => {
    const refusal = 'HTTP/1.1 413 Too Large\r\nContent-Length: 3\r\n\r\nno!'
    const refused = new WeakSet<object>()
    const upstream = await startUpstream(t, (socket, text) => {
      if (!text.includes('\r\n\r\n') || refused.has(socket)) return
      refused.add(socket)
      socket.write(refusal)
    })
    const { port } = await gateFor(t, upstream)
    const client = await connectClient(t, { port, identity: alice })
    client.send(put('x'.repeat(1000), 'Content-Length: 1000000'))
    const { status, body, fields } = await client.response()
    assert.deepEqual([status, body, fields.get('connection')], [413, 'no!', 'close'])
    await upstream.until(() => upstream.sockets.size === 0)
  })

  test('R09 a client that stops in mid-upload leaves no complete request behind', async t => {
    for (const sent of [0, 1, 499, 999]) {
      const upstream = await startUpstream(t)
      const { port } = await gateFor(t, upstream)
      const client = await connectClient(t, { port, identity: alice })
      client.send(put('x'.repeat(sent), 'Content-Length: 1000'))
      await upstream.until(([first]) => first?.includes('\r\n\r\n') === true)
      client.socket.destroy()
      await upstream.until(() => upstream.sockets.size === 0)
      const [text = ''] = upstream.received()
      assert.ok(text.length - text.indexOf('\r\n\r\n') - 4 < 1000)
    }
  })

  test('R09 a chunked upload that is cut never gets its last chunk', async t => {
    const upstream = await startUpstream(t)
    const { port } = await gateFor(t, upstream)
    const client = await connectClient(t, { port, identity: alice })
    client.send(put('5\r\nabcde\r\n5\r\nabcde\r\n', 'Transfer-Encoding: chunked'))
    await upstream.until(([first]) => first?.includes('abcde') === true)
    client.socket.destroy()
    await upstream.until(() => upstream.sockets.size === 0)
    assert.doesNotMatch(upstream.received()[0] ?? '', /0\r\n\r\n/)
  })

  test('R09 a second answer is nobody’s answer', async t => {
    const stray = 'HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nstray'
    let connections = 0
    const upstream = await startUpstream(t, (socket, text) => {
      if (text.endsWith('\r\n\r\n')) socket.write(++connections === 1 ? OK + stray : OK)
    })
    const { port } = await gateFor(t, upstream)
    const client = await connectClient(t, { port, identity: alice })
    for (let i = 0; i < 3; i++) {
      client.send(GET)
      assert.equal((await client.response()).body, 'ok')
    }
    assert.equal(upstream.received()[0]?.match(/GET/g)?.length, 1)
  })

  test('R09 bytes that come while a connection is idle end it', async t => {
    const upstream = await startUpstream(t)
    const { port } = await gateFor(t, upstream)
    const client = await connectClient(t, { port, identity: alice })
    client.send(GET)
    await client.response()
    const [idle] = upstream.sockets
    idle?.write('HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nstray')
    await upstream.until(() => upstream.sockets.size === 0)
    client.send(GET)
    assert.equal((await client.response()).body, 'ok')
  })

  test('R09 idle connections are shared within an account and not between two', async t => {
    const bob = await makeIdentity()
    const upstream = await startUpstream(t)
    const { port } = await gateFor(t, upstream, {
      enrolments: [enrol(alice, publisher), enrol(bob, makeAccount({ name: 'bob' }))],
    })
    for (const identity of [alice, bob, undefined, alice]) {
      const client = await connectClient(t, { port, identity })
      client.send(GET)
      await client.response()
    }
    assert.equal(upstream.received().length, 3)
    for (const text of upstream.received()) {
      assert.equal(new Set(text.match(/^authorization:.*$/gm) ?? ['none']).size, 1)
    }
  })

  test('R30 a GET on a kept-alive connection that had gone is sent again; a change is never', async t => {
    const upstream = await startUpstream(t, (socket, text) => {
      const requests = text.split('\r\n\r\n').length - 1
      if (text.startsWith('GET') && requests === 2) socket.destroy()
      else if (text.startsWith('PUT')) socket.destroy()
      else socket.write(OK)
    })
    const { port } = await gateFor(t, upstream)
    const client = await connectClient(t, { port, identity: alice })
    client.send(GET)
    assert.equal((await client.response()).status, 200)
    client.send(GET)
    assert.equal((await client.response()).status, 200)
    client.send('PUT /file HTTP/1.1\r\nHost: registry.test\r\n\r\n')
    assert.equal((await client.response()).status, 502)
    assert.equal(upstream.received().join('').match(/PUT/g)?.length, 1)
  })
})

describe('a change is recorded before the upstream can act on it', () => {
  test('a DELETE whose body never comes: the line is there before the head is sent', async t => {
    let linesAtHead: readonly Record<string, unknown>[] | undefined
    const upstream = await startUpstream(t, socket => {
      if (linesAtHead !== undefined) return
      linesAtHead = []
      void gate.audit().then(lines => {
        linesAtHead = lines
        socket.write(OK)
      })
    })
    const gate = await gateFor(t, upstream)
    const client = await connectClient(t, { port: gate.port, identity: alice })
    client.send('DELETE /file HTTP/1.1\r\nHost: registry.test\r\nContent-Length: 5\r\n\r\n')
    assert.equal((await client.response()).status, 200)
    assert.deepEqual(
      linesAtHead?.map(({ event }) => event),
      ['change'],
    )
  })
})

describe('R36 a body that is not whole never looks whole', () => {
  const cuts: readonly [name: string, head: string][] = [
    ['by length', 'HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nhalf'],
    ['in chunks', 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n'],
    ['in the middle of a chunk', 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nff\r\nhalf'],
  ]
  for (const [name, head] of cuts) {
    for (const how of ['end', 'resetAndDestroy'] as const) {
      test(`R36 an upstream that stops ${name} (${how}) cuts the client's connection`, async t => {
        const upstream = await startUpstream(t, answering(head))
        const { port } = await gateFor(t, upstream)
        const client = await connectClient(t, { port })
        client.send(GET)
        await upstream.until(([first]) => first?.endsWith('\r\n\r\n') === true)
        await new Promise<void>(resolve => client.socket.once('data', () => resolve()))
        for (const socket of upstream.sockets) socket[how]()
        const rest = await client.closed
        assert.match(rest, /half/)
        assert.doesNotMatch(rest, /\r\n0\r\n\r\n$/)
      })
    }
  }

  test('R36 an upstream that stops before its answer is a 502', async t => {
    const upstream = await startUpstream(t, socket => void socket.end())
    const { port } = await gateFor(t, upstream)
    const client = await connectClient(t, { port })
    client.send(GET)
    assert.equal((await client.response()).status, 502)
  })

  test('a body until close is passed on in chunks', async t => {
    const upstream = await startUpstream(t, socket => void socket.end('HTTP/1.0 200 OK\r\n\r\nall of it'))
    const { port } = await gateFor(t, upstream)
    const client = await connectClient(t, { port })
    client.send(GET)
    const { fields, body } = await client.response()
    assert.deepEqual([fields.get('transfer-encoding'), body], ['chunked', 'all of it'])
  })
})

describe('answers', () => {
  const malformed: readonly [name: string, answer: string][] = [
    ['no HTTP', 'SSH-2.0-OpenSSH\r\n\r\n'],
    ['both framings', 'HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n'],
    ['101 field lines', `HTTP/1.1 200 OK\r\n${'A: b\r\n'.repeat(101)}\r\n`],
    ['a head without end', `HTTP/1.1 200 OK\r\nA: ${'b'.repeat(20_000)}`],
    ['interim responses without end', 'HTTP/1.1 103 Early Hints\r\n\r\n'.repeat(20)],
  ]
  for (const [name, answer] of malformed) {
    test(`R07 ${name} is a 502`, async t => {
      const upstream = await startUpstream(t, answering(answer))
      const { port } = await gateFor(t, upstream)
      const client = await connectClient(t, { port })
      client.send(GET)
      assert.equal((await client.response()).status, 502)
    })
  }

  test('interim responses are skipped', async t => {
    const interim = 'HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n'
    const upstream = await startUpstream(t, answering(interim + OK))
    const { port } = await gateFor(t, upstream)
    const client = await connectClient(t, { port })
    client.send(GET)
    assert.equal((await client.response()).body, 'ok')
  })

  test('HEAD keeps the length of the body that GET would have had', async t => {
    const upstream = await startUpstream(t, answering('HTTP/1.1 200 OK\r\nContent-Length: 1234\r\n\r\n'))
    const { port } = await gateFor(t, upstream)
    const client = await connectClient(t, { port })
    for (let i = 0; i < 2; i++) {
      client.send(GET.replace('GET', 'HEAD'))
      assert.equal((await client.response('HEAD')).fields.get('content-length'), '1234')
    }
  })

  test('204 and 304 have no body and keep the connection', async t => {
    const upstream = await startUpstream(
      t,
      answering('HTTP/1.1 304 Not Modified\r\nETag: "a"\r\nContent-Length: 99\r\n\r\n'),
    )
    const { port } = await gateFor(t, upstream)
    const client = await connectClient(t, { port })
    for (let i = 0; i < 2; i++) {
      client.send(GET)
      const { status, fields } = await client.response()
      assert.deepEqual([status, fields.get('etag'), fields.get('content-length')], [304, '"a"', '99'])
    }
  })

  test('pipelined requests are answered in order, by one decision each', async t => {
    const upstream = await startUpstream(
      t,
      answering(head => {
        const name = /^GET \/(\w+)/.exec(head)?.[1] ?? ''
        return `HTTP/1.1 200 OK\r\nContent-Length: ${name.length}\r\n\r\n${name}`
      }),
    )
    const { port } = await gateFor(t, upstream)
    const client = await connectClient(t, { port })
    const names = Array.from({ length: 50 }, (_, i) => `n${i}`)
    client.send(names.map(name => GET.replace('file', name)).join(''))
    for (const name of names) assert.equal((await client.response()).body, name)
  })

  test('Expect: 100-continue is decided before the body is invited', async t => {
    const upstream = await startUpstream(t)
    const { port } = await gateFor(t, upstream)
    const expecting = put('', 'Content-Length: 5', 'Expect: 100-continue')

    const stranger = await connectClient(t, { port })
    stranger.send(expecting)
    assert.equal((await stranger.response()).status, 403)
    assert.deepEqual(upstream.received(), [])

    const client = await connectClient(t, { port, identity: alice })
    client.send(expecting)
    assert.equal((await client.response()).status, 100)
    client.send('abcde')
    assert.equal((await client.response()).status, 200)
    assert.doesNotMatch(upstream.received()[0] ?? '', /expect/i)
  })

  test('a request that asks to close is the last', async t => {
    const upstream = await startUpstream(t)
    const { port } = await gateFor(t, upstream)
    const client = await connectClient(t, { port })
    client.send(GET.replace('\r\n\r\n', '\r\nConnection: close\r\n\r\n'))
    assert.equal((await client.response()).fields.get('connection'), 'close')
    assert.equal(await client.closed, '')
  })
})
