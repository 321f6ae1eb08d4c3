// Bodies far larger than memory, through a gate in a process of its own: what it holds stays small, however fast or
// slow its neighbours are.

import assert from 'node:assert/strict'
import { readFile } from 'node:fs/promises'
import { performance } from 'node:perf_hooks'
import { before, suite, type TestContext, test } from 'node:test'
import { connectClient } from './lab/client.ts'
import { type GateProcess, startGateProcess } from './lab/gate-process.ts'
import { makeIdentity, type TestIdentity } from './lab/identities.ts'
import { connectStream, pump, readHead, skip, startVolume, type Volume } from './lab/volume.ts'

const MIB = 1024 * 1024
const GIB = 1024 * MIB

let alice: TestIdentity
before(async () => {
  alice = await makeIdentity()
})

interface Scene {
  readonly volume: Volume
  readonly gate: GateProcess
  /** memory that the gate's process holds when it has nothing to do, bytes */
  readonly idle: number
}

async function open(t: TestContext, dialect: 'generic' | 'npm' = 'generic'): Promise<Scene> {
  const volume = await startVolume(t)
  const account = { rights: { publish: ['**'] } }
  const enrolled = [{ identity: alice, account }]
  const gate = await startGateProcess(t, { upstream: volume.origin, dialect, reads: 'public', enrolled })
  await askFew(t, gate, 10)
  return { volume, gate, idle: await memoryOf(gate, 'VmRSS') }
}

/** @returns bytes */
async function memoryOf({ pid }: GateProcess, name: 'VmRSS' | 'VmHWM'): Promise<number> {
  const status = await readFile(`/proc/${pid}/status`, 'utf8')
  return Number(new RegExp(`^${name}:\\s+([0-9]+) kB$`, 'm').exec(status)?.[1]) * 1024
}

/** Small requests, one after the other: the gate has had its turns meanwhile. */
async function askFew(t: TestContext, { port }: GateProcess, times: number): Promise<void> {
  const client = await connectClient(t, { port })
  for (let i = 0; i < times; i++) {
    client.send('GET /few HTTP/1.1\r\nHost: registry.test\r\n\r\n')
    assert.equal((await client.response()).body, 'ok')
  }
  client.socket.destroy()
}

function get(size: number): string {
  return `GET /many?size=${size} HTTP/1.1\r\nHost: registry.test\r\n\r\n`
}

function put(framing: string): string {
  return `PUT /many HTTP/1.1\r\nHost: registry.test\r\n${framing}\r\n\r\n`
}

/** The most that the gate's process has held at any time, over what it held when idle. */
async function assertGrowth(t: TestContext, { gate, idle }: Scene, took?: readonly [size: number, ms: number]) {
  const growth = (await memoryOf(gate, 'VmHWM')) - idle
  const speed = took === undefined ? '' : `${Math.round(took[0] / MIB / (took[1] / 1000))} MiB/s, `
  t.diagnostic(`${speed}${Math.round(idle / MIB)} MiB when idle, at most ${Math.round(growth / MIB)} MiB more`)
  assert.ok(growth < GROWTH, `${growth}`)
  gate.assertWell()
}

/** A stream that is stuck may take what the kernel's buffers hold, on either side of the gate, and what the gate's do. */
const STUCK = 48 * MIB
const GROWTH = 150 * MIB
/** Small requests that pass without a byte being moved: then nothing will move. */
const QUIET = 50

/** Resolves when bytes have stopped to move. @returns how many have moved until then */
async function stuck(t: TestContext, { gate, volume }: Scene, moved = volume.moved): Promise<number> {
  for (;;) {
    const before = moved()
    await askFew(t, gate, QUIET)
    if (before > 0 && moved() === before) return before
  }
}

const skipped = process.platform === 'linux' ? false : 'reads the peak of a process’s memory from /proc'

suite('R35 memory is bounded', { skip: skipped }, () => {
  test('R35 2 GiB down', async t => {
    const scene = await open(t)
    const socket = await connectStream(t, scene.gate.port, alice)
    const started = performance.now()
    socket.write(get(2 * GIB))
    assert.match(await readHead(socket), /^HTTP\/1\.1 200 /)
    await skip(socket, 2 * GIB)
    await assertGrowth(t, scene, [2 * GIB, performance.now() - started])
  })

  test('R35 2 GiB up', async t => {
    const scene = await open(t)
    const socket = await connectStream(t, scene.gate.port, alice)
    const started = performance.now()
    socket.write(put(`Content-Length: ${2 * GIB}`))
    await pump(socket, 2 * GIB)
    assert.match(await readHead(socket), /^HTTP\/1\.1 200 /)
    assert.equal(scene.volume.moved(), 2 * GIB)
    await assertGrowth(t, scene, [2 * GIB, performance.now() - started])
  })

  test('R35 a package of 384 MiB, whose document is judged as it passes', async t => {
    const scene = await open(t, 'npm')
    const socket = await connectStream(t, scene.gate.port, alice)
    const size = 512 * MIB
    const start = `{"name":"many","versions":{"1.0.0":{}},"_attachments":{"many-1.0.0.tgz":{"data":"`
    const started = performance.now()
    socket.write(
      put(`Content-Type: application/json\r\nContent-Length: ${start.length + size + '"}}}'.length}`) + start,
    )
    await pump(socket, size)
    socket.write('"}}}')
    assert.match(await readHead(socket), /^HTTP\/1\.1 200 /)
    await assertGrowth(t, scene, [size, performance.now() - started])
  })

  test('R35 a client that does not read: the backend is not read either', async t => {
    const scene = await open(t)
    const size = 512 * MIB
    const socket = await connectStream(t, scene.gate.port, alice)
    socket.write(get(size))
    const taken = await stuck(t, scene)
    t.diagnostic(`${Math.round(taken / MIB)} MiB had left the backend`)
    assert.ok(taken < STUCK, `${taken}`)
    assert.match(await readHead(socket), /^HTTP\/1\.1 200 /)
    await skip(socket, size)
    await assertGrowth(t, scene)
  })

  test('R35 a backend that does not read: the client is not read either', async t => {
    const scene = await open(t)
    const size = 512 * MIB
    const release = scene.volume.holdUploads()
    const socket = await connectStream(t, scene.gate.port, alice)
    socket.write(put(`Content-Length: ${size}`))
    let given = 0
    const upload = pump(socket, size, bytes => {
      given += bytes
    })
    const taken = await stuck(t, scene, () => given)
    t.diagnostic(`${Math.round(taken / MIB)} MiB had left the client`)
    assert.ok(taken < STUCK, `${taken}`)
    release()
    await upload
    assert.match(await readHead(socket), /^HTTP\/1\.1 200 /)
    assert.equal(scene.volume.moved(), size)
    await assertGrowth(t, scene)
  })
})
