import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { describe, test } from 'node:test'
import { promisify } from 'node:util'
import { serve } from './lab/certgate.ts'
import { connectClient } from './lab/client.ts'
import { type Bench, createBench, ENV, GATE } from './lab/configuration.ts'
import { OK, startUpstream } from './lab/upstream.ts'

const GET = 'GET /left-pad HTTP/1.1\r\nHost: registry.test\r\n\r\n'

/** A configuration on a free port, in front of `upstream`. @returns the path of certgate.yaml */
async function configure(bench: Bench, upstream: string, port = 0): Promise<string> {
  const gate = GATE.replace('127.0.0.1:8443', `127.0.0.1:${port}`)
    .replace('https://npm.example.com:8443', 'https://registry.test')
    .replace('http://127.0.0.1:4873', upstream)
  await bench.load({ gate })
  return `${bench.folder}/certgate.yaml`
}

/** Runs the command to its end. */
async function certgate(args: readonly string[], env: Readonly<Record<string, string>> = ENV) {
  const options = { env: { PATH: process.env['PATH'], ...env } }
  const run = promisify(execFile)(process.execPath, ['src/certgate.ts', ...args], options)
  return run.then(
    ({ stdout, stderr }) => ({ code: 0, stdout, stderr }),
    ({ code, stdout, stderr }: { code: number; stdout: string; stderr: string }) => ({ code, stdout, stderr }),
  )
}

describe('certgate serve', () => {
  test('R47 says in one line what runs, on what, and when something ends first', async t => {
    const bench = await createBench(t)
    const { output } = await serve(t, { config: await configure(bench, 'http://127.0.0.1:1'), env: ENV })
    const ready =
      /^certgate \d+\.\d+\.\d+ ready: Node \d+\.\d+\.\d+ \(supported until \d{4}-\d\d-\d\d\), OpenSSL \S+, TLS session resumption off, 1 registry, 2 certificates of 1 account, next expiry 2031-11-24T00:00:00Z \(laptop of alice\)$/m
    assert.match(output(), ready)
    assert.match(output(), /^listening on https:\/\/127\.0\.0\.1:\d+$/m)
  })

  test('R37 SIGTERM: what is under way ends, nothing new begins, the exit code is 0', async t => {
    const upstream = await startUpstream(t, () => {})
    const bench = await createBench(t)
    const gate = await serve(t, { config: await configure(bench, upstream.origin), env: ENV })
    const [busy, idle] = [await connectClient(t, gate), await connectClient(t, gate)]
    busy.send(GET)
    await upstream.until(([first]) => first?.endsWith('\r\n\r\n') === true)
    gate.kill('SIGTERM')
    assert.equal(await idle.closed, '')
    await assert.rejects(connectClient(t, gate))
    for (const socket of upstream.sockets) socket.write(OK)
    const { status, fields } = await busy.response()
    assert.deepEqual([status, fields.get('connection')], [200, 'close'])
    assert.equal(await gate.ended, 0)
  })

  test('R37 a second signal does not wait', async t => {
    const upstream = await startUpstream(t, () => {})
    const bench = await createBench(t)
    const gate = await serve(t, { config: await configure(bench, upstream.origin), env: ENV })
    const busy = await connectClient(t, gate)
    busy.send(GET)
    await upstream.until(([first]) => first?.endsWith('\r\n\r\n') === true)
    gate.kill('SIGTERM')
    await gate.until(/"event":"stopping/)
    gate.kill('SIGTERM')
    assert.equal(await gate.ended, 130)
  })

  test('on a port that is in use: one line, exit code 1', async t => {
    const bench = await createBench(t)
    const first = await serve(t, { config: await configure(bench, 'http://127.0.0.1:1'), env: ENV })
    const second = await certgate(['serve', '--config', await configure(bench, 'http://127.0.0.1:1', first.port)])
    assert.equal(second.code, 1)
    assert.match(second.stderr, /^certgate cannot start: listen EADDRINUSE: [^\n]+\n$/)
  })

  test('R11 with a configuration that is wrong: what is wrong, exit code 1, nothing is started', async t => {
    const bench = await createBench(t)
    const config = await configure(bench, 'http://127.0.0.1:1')
    const { code, stdout, stderr } = await certgate(['serve', '--config', config], {})
    assert.equal(code, 1)
    assert.equal(stdout, '')
    assert.match(stderr, /accounts\.yaml:4:27: .*the environment variable ALICE_NPM_TOKEN is not set\n/)
  })
})

describe('certgate check', () => {
  test('says what a good configuration holds', async t => {
    const config = await configure(await createBench(t), 'http://127.0.0.1:1')
    const { code, stdout } = await certgate(['check', '--config', config])
    assert.equal(code, 0)
    assert.match(
      stdout,
      /: 1 registry, 2 certificates of 1 account, next expiry 2031-11-24T00:00:00Z \(laptop of alice\)\n$/,
    )
  })

  test('tells a script the same as JSON', async t => {
    const config = await configure(await createBench(t), 'http://127.0.0.1:1')
    const good = await certgate(['check', '--json', '--config', config])
    assert.partialDeepStrictEqual(JSON.parse(good.stdout), { ok: true, problems: [], registries: 1, certificates: 2 })
    const bad = await certgate(['check', '--json', '--config', config], {})
    assert.equal(bad.code, 1)
    assert.partialDeepStrictEqual(JSON.parse(bad.stdout), { ok: false, problems: [{ line: 4, column: 27 }] })
  })

  test('an option that does not exist is an error', async () => {
    const { code, stderr } = await certgate(['check', '--config', 'x', '--jsn'])
    assert.equal(code, 1)
    assert.match(stderr, /unknown option '--jsn'/)
  })
})
