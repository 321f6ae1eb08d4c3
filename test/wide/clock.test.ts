// Needs Debian's libfaketime: the clock of a gate's process runs faster, or is set while it runs; its monotonic clock
// does not notice.

import assert from 'node:assert/strict'
import { rename, writeFile } from 'node:fs/promises'
import { connect } from 'node:net'
import { join } from 'node:path'
import { before, test } from 'node:test'
import { connectClient, type RawClient, type RawResponse } from '../lab/client.ts'
import { type GateProcess, startGateProcess } from '../lab/gate-process.ts'
import { makeIdentity, type TestIdentity } from '../lab/identities.ts'
import { type Ending, temporaryFolder } from '../lab/temporary.ts'
import { mustRun } from '../lab/tool.ts'
import { startUpstream } from '../lab/upstream.ts'

/** The loader puts the machine's own folder in place of `$LIB`. */
const FAKETIME = { LD_PRELOAD: '/usr/$LIB/faketime/libfaketimeMT.so.1', DONT_FAKE_MONOTONIC: '1' }
const DAY = 86_400_000
const READ = 'GET /left-pad HTTP/1.1\r\nHost: registry.test\r\n\r\n'

let alice: TestIdentity

// The loader only warns of a library that is missing, and the clock would be the true one.
before(async () => {
  const shown = await mustRun(process.execPath, ['-p', 'new Date().toISOString()'], {
    env: { ...FAKETIME, FAKETIME: '@2031-05-06 07:08:09' },
  })
  assert.match(shown, /^2031-05-06T07:08:/, 'libfaketime is not in force')
})

before(async () => {
  alice = await makeIdentity()
})

async function ask(client: RawClient, request = READ): Promise<RawResponse> {
  client.send(request)
  return await client.response()
}

/** The whole audit log: of what changes nothing, a line is written when there is time. */
async function linesOf(gate: GateProcess): Promise<readonly Record<string, unknown>[]> {
  gate.assertWell()
  await gate.stop()
  const text = await gate.auditText()
  return text
    .split('\n')
    .slice(0, -1)
    .map(line => JSON.parse(line) as Record<string, unknown>)
}

/** A clock that can be set while a program runs. */
async function makeClock(t: Ending): Promise<{ env: Record<string, string>; set: (offset: string) => Promise<void> }> {
  const file = join(await temporaryFolder(t), 'offset')

  /** A reader must never see half of it. */
  async function set(offset: string): Promise<void> {
    await writeFile(`${file}.new`, offset)
    await rename(`${file}.new`, file)
  }

  await set('+0')
  return { env: { ...FAKETIME, FAKETIME_TIMESTAMP_FILE: file, FAKETIME_NO_CACHE: '1' }, set }
}

test('R04 a certificate ends by the clock while its connection stays open', { timeout: 60_000 }, async t => {
  const start = Date.UTC(2031, 4, 6)
  const notAfter = start + 300_000
  const identity = await makeIdentity({ notBefore: new Date(start - DAY), notAfter: new Date(notAfter) })
  // A hundred seconds in each: the certificate is good for three.
  const gate = await startGateProcess(t, {
    upstream: (await startUpstream(t)).origin,
    enrolled: [{ identity, account: {} }],
    env: { ...FAKETIME, FAKETIME: '@2031-05-06 00:00:00 x100' },
  })
  const client = await connectClient(t, { port: gate.port, identity })

  let answer = await ask(client)
  assert.equal(answer.status, 200)
  while (answer.status === 200) answer = await ask(client)
  assert.equal(answer.status, 403)
  assert.match(answer.reason, /^client certificate [0-9a-f]{64} expired at 2031-05-06T00:05:00Z;/)
  assert.equal((await ask(client)).status, 403)

  const lines = await linesOf(gate)
  for (const { time, status } of lines)
    assert.equal(status, Date.parse(String(time)) < notAfter ? 200 : 403, String(time))
  assert.deepEqual(
    lines.slice(-3).map(({ status }) => status),
    [200, 403, 403],
  )
})

test('R04 an upload under way when its certificate ends is finished, and is the last', async t => {
  const clock = await makeClock(t)
  const gate = await startGateProcess(t, {
    upstream: (await startUpstream(t)).origin,
    dialect: 'generic',
    enrolled: [{ identity: alice, account: { rights: { publish: ['**'] } } }],
    env: clock.env,
  })
  const client = await connectClient(t, { port: gate.port, identity: alice })
  const upload = 'PUT /file HTTP/1.1\r\nHost: registry.test\r\nContent-Length: 6\r\nExpect: 100-continue\r\n\r\n'
  assert.equal((await ask(client, upload)).status, 100)
  client.send('abc')
  // A year and a minute, in seconds: past the end of the certificate, within what an upload may outlast it by.
  await clock.set('+31536060')
  const other = await connectClient(t, { port: gate.port, identity: alice })
  assert.match((await ask(other)).reason, / expired at /)
  assert.equal((await ask(client, 'def')).status, 200)
  assert.match((await ask(client, upload)).reason, / expired at /)
  const lines = await linesOf(gate)
  const statuses = lines.filter(({ event }) => event === 'request').map(({ method, status }) => `${method} ${status}`)
  assert.deepEqual(statuses, ['GET 403', 'PUT 200', 'PUT 403'])
})

test('R22 a clock that jumps past the end of a certificate and back revives nothing', async t => {
  const clock = await makeClock(t)
  const gate = await startGateProcess(t, {
    upstream: (await startUpstream(t)).origin,
    enrolled: [{ identity: alice, account: {} }],
    env: clock.env,
  })
  const open = await connectClient(t, { port: gate.port, identity: alice })
  assert.equal((await ask(open)).status, 200)

  for (const offset of ['+400d', '+0', '-400d', '+0']) {
    await clock.set(offset)
    const fresh = await connectClient(t, { port: gate.port, identity: alice })
    for (const client of [open, fresh]) {
      const { status, reason } = await ask(client)
      assert.equal(status, 403, offset)
      assert.match(reason, / expired at /, offset)
    }
  }
  const { facts } = await gate.logs(/^the clock was set back/)
  assert.ok(Number(facts['ms']) > 399 * DAY, JSON.stringify(facts))
  gate.assertWell()
})

test('R22 a clock set back by some seconds is no event', async t => {
  const clock = await makeClock(t)
  const gate = await startGateProcess(t, {
    upstream: (await startUpstream(t)).origin,
    enrolled: [{ identity: alice, account: {} }],
    env: clock.env,
  })
  const client = await connectClient(t, { port: gate.port, identity: alice })
  for (const offset of ['+30', '+0', '+10']) {
    await clock.set(offset)
    assert.equal((await ask(client)).status, 200)
  }
  assert.deepEqual(gate.logged, [])
})

test('R22 no time-out is shortened or prolonged by a clock that jumps', { timeout: 60_000 }, async t => {
  const clock = await makeClock(t)
  const upstream = await startUpstream(t)
  const limits = { keepAlive: 600, handshake: 600 }
  const gate = await startGateProcess(t, {
    upstream: upstream.origin,
    reads: 'public',
    enrolled: [{ identity: alice, account: {} }],
    limits,
    env: clock.env,
  })
  for (const offset of ['+400d', '-400d']) {
    const asked = await connectClient(t, { port: gate.port, identity: alice })
    await ask(asked)
    const silent = connect(gate.port, '127.0.0.1')
      .on('error', () => {})
      .resume()
    t.after(() => silent.destroy())
    const started = performance.now()
    await clock.set(offset)
    // Reads the clock, so that the jump has been seen.
    assert.equal((await ask(await connectClient(t, { port: gate.port }))).status, 200)
    await Promise.all([asked.closed, new Promise(resolve => silent.once('close', resolve))])
    const took = performance.now() - started
    assert.ok(took > 400 && took < 5_000, `${offset}: closed after ${took} ms`)
    await clock.set('+0')
  }
  gate.assertWell()
})
