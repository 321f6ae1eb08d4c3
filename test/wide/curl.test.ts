// Needs curl: the client that people try things with.

import assert from 'node:assert/strict'
import { writeFile } from 'node:fs/promises'
import { createServer as createHttpServer } from 'node:http'
import { join } from 'node:path'
import { before, type TestContext, test } from 'node:test'
import type { Limits } from '../../src/config/config.ts'
import { enrol, makeAccount, makeRegistry, startTestGate, type TestGate } from '../lab/gate.ts'
import { makeIdentity, type TestIdentity } from '../lab/identities.ts'
import { temporaryFolder } from '../lab/temporary.ts'
import { runTool } from '../lab/tool.ts'
import { type RawUpstream, startUpstream } from '../lab/upstream.ts'

const MEGABYTE = 1_000_000

let alice: TestIdentity
before(async () => {
  alice = await makeIdentity()
})

interface Scene {
  readonly gate: TestGate
  readonly folder: string
  /** arguments with which curl presents alice's certificate */
  readonly present: readonly string[]
}

/** Two registries in one gate: at registry.test and at b.test. */
async function openScene(t: TestContext, upstream: string, limits: Partial<Limits> = {}): Promise<Scene> {
  const folder = await temporaryFolder(t)
  const files = { certificate: join(folder, 'id.pem'), key: join(folder, 'id.key') }
  await writeFile(files.certificate, alice.certificate)
  await writeFile(files.key, alice.key, { mode: 0o600 })
  const gate = await startTestGate(t, {
    upstream,
    enrolments: [enrol(alice, makeAccount({ rights: { publish: ['**'] } }))],
    registry: { dialect: 'generic' },
    others: [
      makeRegistry({
        name: 'b',
        dialect: 'generic',
        publicUrl: new URL('https://b.test'),
        upstream: new URL(upstream),
      }),
    ],
    limits,
  })
  return { gate, folder, present: ['--cert', files.certificate, '--key', files.key] }
}

interface Answer {
  /** curl's exit code */
  readonly code: number | null
  readonly status: string
  readonly version: string
  readonly body: string
  /** what curl -v tells */
  readonly story: string
  /** bytes of the body that it sent */
  readonly sent: number
}

/** Every name leads to the gate; nothing of the machine's configuration, and no proxy. */
async function curl({ gate }: Scene, args: readonly string[]): Promise<Answer> {
  const common = ['--disable', '--noproxy', '*', '--insecure', '--verbose', '--silent', '--max-time', '40']
  const connect = ['--connect-to', `::127.0.0.1:${gate.port}`]
  const write = ['--write-out', '\n%{http_code} %{http_version} %{size_upload}']
  const { code, stdout, stderr } = await runTool('curl', [...common, ...connect, ...write, ...args])
  const last = stdout.lastIndexOf('\n')
  const [status = '', version = '', sent = ''] = stdout.slice(last + 1).split(' ')
  return { code, status, version, body: stdout.slice(0, last), story: stderr, sent: Number(sent) }
}

async function fileOf(folder: string, size: number): Promise<string> {
  const file = join(folder, `${size} bytes`)
  await writeFile(file, Buffer.alloc(size, 'x'))
  return file
}

function countOf(upstream: RawUpstream): number {
  return upstream.received().length
}

const NAMES: readonly [name: string, args: readonly string[], status: string][] = [
  ['the name of the URL', ['https://registry.test/file'], '200'],
  ['the name of another registry', ['https://b.test/file'], '200'],
  ['another spelling of the name', ['https://b.test/file', '-H', 'Host: B.Test.'], '200'],
  ['another spelling in the URL', ['https://B.TEST/file'], '200'],
  ['the name of another registry than the connection', ['https://registry.test/file', '-H', 'Host: B.Test.'], '421'],
  ['the other way round', ['https://b.test/file', '-H', 'Host: registry.test'], '421'],
  ['a name that nobody has', ['https://evil.test/file'], '421'],
  ['a name that nobody has, over a connection for a registry', ['https://b.test/file', '-H', 'Host: evil.test'], '421'],
  ['an address', ['https://127.0.0.1/file'], '421'],
  ['an address, and a Host that has no connection to it', ['https://127.0.0.1/file', '-H', 'Host: b.test'], '421'],
  ['another port', ['https://b.test/file', '-H', 'Host: b.test:8443'], '421'],
]
for (const [name, args, status] of NAMES) {
  test(`R16 ${name}: ${status}`, async t => {
    const upstream = await startUpstream(t)
    const answer = await curl(await openScene(t, upstream.origin), args)
    assert.equal(answer.status, status, answer.story)
    assert.equal(countOf(upstream), status === '200' ? 1 : 0)
  })
}

test('--http2 falls back to HTTP/1.1, which ALPN agrees on', async t => {
  const scene = await openScene(t, (await startUpstream(t)).origin)
  const answer = await curl(scene, ['--http2', 'https://registry.test/file'])
  assert.deepEqual([answer.status, answer.version, answer.body], ['200', '1.1', 'ok'])
  assert.match(answer.story, /ALPN.*(?:server accepted|using) http\/1\.1/i)
})

test('R17 --http1.0 is answered with 505, and a sentence', async t => {
  const upstream = await startUpstream(t)
  const scene = await openScene(t, upstream.origin)
  const answer = await curl(scene, ['--http1.0', '--no-alpn', 'https://registry.test/file'])
  assert.equal(answer.status, '505', answer.story)
  assert.match(answer.body, /only HTTP\/1\.1 is served here/)
  assert.match(answer.story, /< connection: close/)
  assert.equal(countOf(upstream), 0)
})

test('R17 --http1.0 that is also offered in the handshake (ALPN) is answered with 505', async t => {
  const upstream = await startUpstream(t)
  const scene = await openScene(t, upstream.origin)
  const answer = await curl(scene, ['--http1.0', 'https://registry.test/file'])
  assert.equal(answer.status, '505', answer.story)
  assert.equal(countOf(upstream), 0)
})

test('R17 a client that would take HTTP/0.9 gets HTTP/1.1', async t => {
  const scene = await openScene(t, (await startUpstream(t)).origin)
  const answer = await curl(scene, ['--http0.9', '-X', 'GET /file HTTP/0.9\r\nX: ', 'https://registry.test/file'])
  assert.deepEqual([answer.status, answer.version], ['505', '1.1'], answer.story)
})

test('an upload of 20 MB by an enrolled client is invited, and arrives whole', async t => {
  const counter = await startCounter(t)
  const scene = await openScene(t, counter.origin)
  const file = await fileOf(scene.folder, 20 * MEGABYTE)
  const answer = await curl(scene, [
    ...scene.present,
    '-T',
    file,
    '-H',
    'Expect: 100-continue',
    'https://registry.test/file',
  ])
  assert.equal(answer.status, '200', answer.story)
  assert.match(answer.story, /< HTTP\/1\.1 100 Continue/)
  assert.deepEqual(counter.uploads, [20 * MEGABYTE])
})

test('an upload of 20 MB by an unknown client is refused before it begins, and the sentence is read', async t => {
  const upstream = await startUpstream(t)
  const scene = await openScene(t, upstream.origin)
  const file = await fileOf(scene.folder, 20 * MEGABYTE)
  const answer = await curl(scene, ['-T', file, '-H', 'Expect: 100-continue', 'https://registry.test/file'])
  assert.deepEqual([answer.code, answer.status, answer.sent], [0, '403', 0], answer.story)
  assert.match(answer.body, /this needs a client certificate and none was presented/)
  assert.doesNotMatch(answer.story, /100 Continue/)
  assert.equal(countOf(upstream), 0)
})

test('an upload of 20 MB that is sent uninvited by an unknown client is refused, and not read', async t => {
  const upstream = await startUpstream(t)
  const scene = await openScene(t, upstream.origin)
  const file = await fileOf(scene.folder, 20 * MEGABYTE)
  const answer = await curl(scene, ['-T', file, '-H', 'Expect:', 'https://registry.test/file'])
  assert.equal(answer.status, '403', answer.story)
  assert.match(answer.body, /this needs a client certificate and none was presented/)
  assert.ok(answer.sent < 20 * MEGABYTE, `${answer.sent} bytes sent`)
  assert.equal(countOf(upstream), 0)
})

test('R29 an upload that is slow and honest (--limit-rate) takes longer than every limit, and arrives', async t => {
  const counter = await startCounter(t)
  const scene = await openScene(t, counter.origin, {
    idle: 1_000,
    head: 1_000,
    upstreamAnswer: 1_000,
    minimumRate: 20_000,
  })
  const file = await fileOf(scene.folder, 400_000)
  const started = performance.now()
  const answer = await curl(scene, [...scene.present, '-T', file, '--limit-rate', '100k', 'https://registry.test/file'])
  assert.equal(answer.status, '200', answer.story)
  assert.ok(performance.now() - started > 2_500, 'curl did not go slowly')
  assert.deepEqual(counter.uploads, [400_000])
})

test('R29 an upload below the minimum rate (--limit-rate) is refused, and incomplete upstream', async t => {
  const counter = await startCounter(t)
  const scene = await openScene(t, counter.origin, { idle: 1_000, minimumRate: 200_000 })
  const file = await fileOf(scene.folder, 4_000_000)
  const answer = await curl(scene, [...scene.present, '-T', file, '--limit-rate', '50k', 'https://registry.test/file'])
  assert.equal(answer.status, '408', answer.story)
  assert.match(answer.body, /the request came too slowly/)
  assert.deepEqual(counter.uploads, [])
})

/** A backend that counts what it is sent: 20 MB are too many to keep. */
async function startCounter(t: TestContext): Promise<{ readonly origin: string; readonly uploads: readonly number[] }> {
  const uploads: number[] = []
  const server = createHttpServer((request, response) => {
    let size = 0
    request.on('data', (chunk: Buffer) => {
      size += chunk.length
    })
    request.on('end', () => {
      uploads.push(size)
      response.end('ok')
    })
    request.on('error', () => {})
  })
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  t.after(() => {
    server.closeAllConnections()
    server.close()
  })
  const address = server.address()
  assert.ok(address !== null && typeof address === 'object')
  return { origin: `http://127.0.0.1:${address.port}`, uploads }
}
