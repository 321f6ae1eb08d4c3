// Needs Debian's slowhttptest: clients that hold on to as much as they can and give as little as they may. Fifty
// connections and some seconds each; honest clients are served all the while.

import assert from 'node:assert/strict'
import { once } from 'node:events'
import { connect as connectTcp, createServer } from 'node:net'
import { before, type TestContext, test } from 'node:test'
import { connect as connectTls } from 'node:tls'
import { connectClient } from '../lab/client.ts'
import { type GateProcess, startGateProcess } from '../lab/gate-process.ts'
import { makeIdentity, type TestIdentity } from '../lab/identities.ts'
import { freePort } from '../lab/temporary.ts'
import { runTool } from '../lab/tool.ts'
import { answering, OK, type RawUpstream, startUpstream } from '../lab/upstream.ts'

const CONNECTIONS = 50
/** seconds after which slowhttptest gives up */
const LENGTH = 8
/** the gate's patience in these tests, ms */
const PATIENCE = 2_000
const LARGE = `HTTP/1.1 200 OK\r\ncontent-length: 8000000\r\n\r\n${'x'.repeat(8_000_000)}`

let alice: TestIdentity
before(async () => {
  alice = await makeIdentity()
})

interface Scene {
  readonly gate: GateProcess
  readonly upstream: RawUpstream
  /** the registry's public address; slowhttptest sends no name but that of its URL */
  readonly url: string
}

async function openScene(t: TestContext): Promise<Scene> {
  const upstream = await startUpstream(
    t,
    answering(head => (head.startsWith('GET /large ') ? LARGE : OK)),
  )
  const port = await freePort()
  const url = `https://127.0.0.1:${port}`
  const gate = await startGateProcess(t, {
    upstream: upstream.origin,
    port,
    publicUrl: url,
    reads: 'public',
    dialect: 'generic',
    enrolled: [{ identity: alice, account: { rights: { publish: ['**'] } } }],
    limits: { handshake: PATIENCE, head: PATIENCE, idle: PATIENCE },
  })
  return { gate, upstream, url }
}

interface Attack {
  /** all that slowhttptest printed, without colours */
  readonly output: string
  /** ms */
  readonly took: number
}

async function slowHttpTest(args: readonly string[], url: string): Promise<Attack> {
  const started = performance.now()
  const common = ['-c', `${CONNECTIONS}`, '-r', '100', '-i', '1', '-x', '10', '-p', '2', '-l', `${LENGTH}`, '-v', '1']
  const { stdout } = await runTool('slowhttptest', [...args, ...common, '-u', url])
  const took = performance.now() - started
  // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is to be removed
  return { output: stdout.replace(/\u001b\[[0-9;]*[A-Za-z]/g, ''), took }
}

/** Asks on new connections, one after the other, until `other` is over: every answer is right, and none is late. */
async function serveHonestWhile<T>(t: TestContext, { gate }: Scene, other: Promise<T>): Promise<T> {
  let over = false
  const ended = other.finally(() => {
    over = true
  })
  let served = 0
  while (!over) {
    const started = performance.now()
    const client = await connectClient(t, { port: gate.port, identity: alice, servername: '' })
    client.send(`GET /small HTTP/1.1\r\nHost: 127.0.0.1:${gate.port}\r\nConnection: close\r\n\r\n`)
    assert.equal((await client.response()).body, 'ok')
    await client.closed
    assert.ok(performance.now() - started < 1_000, 'an honest client had to wait')
    served++
  }
  const result = await ended
  gate.assertWell()
  assert.ok(served > 0)
  return result
}

function assertAllClosed({ output, took }: Attack, within: number): void {
  assert.match(output, /No open connections left/)
  assert.doesNotMatch(output, /service available: +NO/)
  assert.ok(took < within, `took ${took} ms`)
}

test('R28 slow heads (-H) are cut off when their time is over', async t => {
  const scene = await openScene(t)
  const attack = await serveHonestWhile(t, scene, slowHttpTest(['-H'], `${scene.url}/file`))
  assertAllClosed(attack, 2 * PATIENCE + 2_000)
  await scene.gate.stop()
  const refused = (await scene.gate.auditText()).match(/"refusal":"request-too-slow","status":408/g)
  assert.equal(refused?.length, CONNECTIONS)
})

test('R28 slow bodies (-B) of unknown clients are not waited for', async t => {
  const scene = await openScene(t)
  const attack = await serveHonestWhile(t, scene, slowHttpTest(['-B', '-t', 'PUT'], `${scene.url}/file`))
  assertAllClosed(attack, PATIENCE + 1_000)
  assert.doesNotMatch(scene.upstream.received().join(''), /PUT/)
})

test('R29 slow bodies (-B) of an enrolled client are refused, and incomplete upstream', async t => {
  const scene = await openScene(t)
  const bridge = await startBridge(t, scene)
  const attack = await serveHonestWhile(t, scene, slowHttpTest(['-B', '-t', 'PUT'], `${bridge}/file`))
  assertAllClosed(attack, 2 * PATIENCE + 2_000)
  await scene.gate.stop()
  const audit = await scene.gate.auditText()
  const refused = audit.match(/"account":"alice".*"refusal":"request-too-slow","status":408/g)
  assert.equal(refused?.length, CONNECTIONS)
})

test('R28 slow readers (-X) are cut off, and their upstream connections with them', async t => {
  const scene = await openScene(t)
  const { upstream } = scene
  // Pipelined, from a window of half a kilobyte, five bytes at a time.
  const args = ['-X', '-k', '3', '-w', '512', '-y', '1024', '-z', '5', '-n', '1']
  const asked = upstream.until(received => received.join('').split('GET /large ').length > CONNECTIONS)
  const attack = slowHttpTest(args, `${scene.url}/large`)
  const released = asked.then(async () => {
    const started = performance.now()
    // The kernel may hold on to what the client does not read; the gate has let go of it.
    await upstream.until(() => upstream.sockets.size <= 2)
    return performance.now() - started
  })
  await serveHonestWhile(
    t,
    scene,
    released.then(took => assert.ok(took < 2 * PATIENCE + 2_000, `took ${took} ms`)),
  )
  assert.doesNotMatch((await attack).output, /service available: +NO/)
  scene.gate.assertWell()
})

test('R28 500 silent connections are closed when the time for a handshake is over', async t => {
  const scene = await openScene(t)
  const started = performance.now()
  const sockets = Array.from({ length: 500 }, () =>
    connectTcp(scene.gate.port, '127.0.0.1')
      .on('error', () => {})
      .resume(),
  )
  t.after(() => {
    for (const socket of sockets) socket.destroy()
  })
  const closings = Promise.all(sockets.map(socket => new Promise(resolve => socket.once('close', resolve))))
  await Promise.all(sockets.map(socket => once(socket, 'connect')))
  await serveHonestWhile(t, scene, closings)
  const took = performance.now() - started
  assert.ok(took > PATIENCE - 100 && took < 2 * PATIENCE + 2_000, `took ${took} ms`)
})

/** slowhttptest has no certificate: this presents alice's for whatever it sends. */
async function startBridge(t: TestContext, { gate }: Scene): Promise<string> {
  const server = createServer(socket => {
    const onward = connectTls({
      host: '127.0.0.1',
      port: gate.port,
      cert: alice.certificate,
      key: alice.key,
      rejectUnauthorized: false,
    })
    socket.on('error', () => onward.destroy()).on('close', () => onward.destroy())
    onward.on('error', () => socket.destroy()).on('close', () => socket.destroy())
    socket.once('data', chunk => {
      // The bridge has another port than the registry.
      onward.write(chunk.toString('latin1').replace(/^Host: .*$/m, `Host: 127.0.0.1:${gate.port}`), 'latin1')
      socket.pipe(onward).pipe(socket)
    })
  })
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  t.after(() => server.close())
  const address = server.address()
  assert.ok(address !== null && typeof address === 'object')
  return `http://127.0.0.1:${address.port}`
}
