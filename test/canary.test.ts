// A credential goes upstream and nowhere else. The gate runs as an operator runs it, is driven through everything that
// can go wrong, and whatever it has given off is searched.

import assert from 'node:assert/strict'
import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { PassThrough } from 'node:stream'
import { finished } from 'node:stream/promises'
import { before, describe, type TestContext, test } from 'node:test'
import { inspect } from 'node:util'
import { checkCommand } from '../src/commands/check.ts'
import { loadConfig } from '../src/config/load.ts'
import { assertClean, assertHadIt, canary, FAULTS, misbehave } from './lab/canary.ts'
import { type Serving, serve } from './lab/certgate.ts'
import { connectClient } from './lab/client.ts'
import { makeIdentity, makeServerIdentity, type TestIdentity } from './lab/identities.ts'
import { freePort, temporaryFolder } from './lab/temporary.ts'
import { startUpstream } from './lab/upstream.ts'

let server: TestIdentity
let alice: TestIdentity
let bob: TestIdentity
let stranger: TestIdentity
let expired: TestIdentity

before(async () => {
  const past = { notBefore: new Date(Date.now() - 100_000_000), notAfter: new Date(Date.now() - 50_000_000) }
  server = await makeServerIdentity()
  ;[alice, bob, stranger, expired] = [
    await makeIdentity(),
    await makeIdentity(),
    await makeIdentity(),
    await makeIdentity(past),
  ]
})

interface Files {
  readonly folder: string
  readonly config: string
  readonly auditFile: string
}

/** JSON is YAML. */
async function writeConfig(folder: string, upstream: string, accounts: unknown): Promise<Files> {
  await writeFile(join(folder, 'server.pem'), server.certificate)
  await writeFile(join(folder, 'server.key'), server.key, { mode: 0o600 })
  await writeFile(join(folder, 'accounts.yaml'), typeof accounts === 'string' ? accounts : JSON.stringify({ accounts }))
  const [config, auditFile] = [join(folder, 'certgate.yaml'), join(folder, 'audit.jsonl')]
  const registry = { dialect: 'npm', 'public-url': 'https://registry.test', upstream }
  const gone = { ...registry, 'public-url': 'https://other.test', upstream: `http://127.0.0.1:${await freePort()}` }
  await writeFile(
    config,
    JSON.stringify({
      listen: [{ address: '127.0.0.1:0', certificate: 'server.pem', key: 'server.key' }],
      registries: { main: registry, gone },
      accounts: 'accounts.yaml',
      audit: { file: 'audit.jsonl' },
      limits: { 'upstream-answer': '1s', head: '1s' },
    }),
  )
  return { folder, config, auditFile }
}

/** Alice's credential comes from the environment, bob's, which is the password of a pair, from a file. */
async function writeGoodConfig(t: TestContext, upstream: string): Promise<Files> {
  const folder = await temporaryFolder(t)
  await writeFile(join(folder, 'password'), `${canary}\n`, { mode: 0o600 })
  const bearer = { bearer: { env: 'ALICE_TOKEN' } }
  const basic = { basic: { username: 'bob', password: { file: 'password' } } }
  const header = { header: { name: 'X-Api-Key', value: { command: ['cat', 'password'] } } }
  const rights = { main: { publish: ['left'], amend: ['**'] }, gone: { amend: ['**'] } }
  return writeConfig(folder, upstream, {
    alice: {
      credentials: { main: bearer, gone: header },
      rights,
      certificates: [
        { fingerprint: alice.fingerprint, label: 'laptop' },
        { fingerprint: expired.fingerprint, label: 'old' },
      ],
    },
    bob: {
      credentials: { main: basic, gone: basic },
      rights,
      certificates: [{ fingerprint: bob.fingerprint, label: 'desk' }],
    },
  })
}

interface Request {
  readonly text: string
  readonly identity?: TestIdentity | undefined
  readonly servername?: string
  /** `cut`: the gate breaks off before the answer is whole; `left`: the client does not wait for one */
  readonly status: number | 'cut' | 'left'
}

function get(path: string, ...lines: readonly string[]): string {
  return `GET ${path} HTTP/1.1\r\nHost: registry.test\r\n${lines.map(line => `${line}\r\n`).join('')}\r\n`
}

function put(path: string, body: string, length = body.length): string {
  return `PUT ${path} HTTP/1.1\r\nHost: registry.test\r\nContent-Type: application/json\r\nContent-Length: ${length}\r\n\r\n${body}`
}

function tag(name: string): string {
  return put(`/-/package/${name}/dist-tags/beta`, '"1.0.0"')
}

function publish(name: string): string {
  const file = `"${name}-1.0.0.tgz":{"data":"AAAA"}`
  return put(`/${name}`, `{"name":"${name}","versions":{"1.0.0":{}},"_attachments":{${file}}}`)
}

/** Everything that a client may meet, as each of those who have a credential. */
function requestsOf(identity: TestIdentity): readonly Request[] {
  const refused: readonly Request[] = [
    { text: publish('right'), status: 403 },
    { text: put('/left', '{"name":"left"'), status: 400 },
    { text: put('/-/user/org.couchdb.user:x', '{}'), status: 403 },
    { text: get('/-/npm/v1/tokens'), status: 403 },
    { text: get('/-/nonsense'), status: 404 },
    { text: get('/a/../left'), status: 400 },
    { text: get('/.certgate/nonsense'), status: 404 },
    { text: get('/left').replace('registry.test', 'evil.test'), status: 421 },
    { text: get('/left').replace('HTTP/1.1', 'HTTP/1.0'), status: 505 },
    { text: get('/left').replace('GET', 'BREW'), status: 501 },
    { text: get('/left', `A: ${'b'.repeat(20_000)}`), status: 431 },
    { text: get('/left').replace('Host:', 'Host :'), status: 400 },
    { text: 'GET /left HTTP/1.1\r\n', status: 408 },
  ]
  const served: readonly Request[] = [
    { text: get('/.certgate/whoami'), status: 200 },
    { text: get('/left'), status: 200 },
    { text: get('/left', 'Authorization: Bearer mine'), status: 200 },
    { text: tag('left'), status: 200 },
    { text: publish('left'), status: 200 },
  ]
  const broken: readonly Request[] = [
    { text: put('/left', '{"name":"left"', 1000), status: 'left' },
    { text: get('/silent'), status: 'left' },
    { text: get('/cut'), status: 'cut' },
    { text: tag('cut'), status: 502 },
    ...[get('/left'), tag('left')].map(text => ({
      text: text.replace('registry.test', 'other.test'),
      servername: 'other.test',
      status: 502,
    })),
  ]
  const faults = Object.keys(FAULTS).filter(name => name !== 'cut')
  const spoilt = faults.flatMap(name =>
    [get(`/${name}`), tag(name)].map(text => ({
      text,
      status: statusAfter(name, text.startsWith('GET')),
    })),
  )
  return [...refused, ...served, ...broken, ...spoilt].map(request => ({ ...request, identity }))
}

/** Of a read, the answer has begun when its body turns out to be bad. */
function statusAfter(fault: string, isRead: boolean): number | 'cut' {
  if (fault === 'silent') return 504
  if (fault === 'echo-chunk' && isRead) return 'cut'
  return ['echo-session', 'echo-field', 'echo-early'].includes(fault) ? 200 : 502
}

/** @returns every byte that the client got */
async function ask(
  t: TestContext,
  { port }: Serving,
  { text, identity, servername, status }: Request,
): Promise<string> {
  const client = await connectClient(t, { port, identity, servername })
  let all = ''
  client.socket.on('data', chunk => {
    all += chunk.toString('latin1')
  })
  client.send(text)
  if (status === 'left') client.socket.destroySoon()
  else if (status === 'cut') await assert.rejects(client.response())
  else await client.response()
  client.socket.destroy()
  await client.closed
  if (typeof status === 'number')
    assert.match(all, new RegExp(`^HTTP/1\\.1 ${status} `), `${text.slice(0, 100)} ${all}`)
  return all
}

function strangersRequests(): readonly Request[] {
  return [undefined, stranger, expired].flatMap(identity => [
    { text: get('/.certgate/whoami'), identity, status: 200 },
    { text: get('/left'), identity, status: 403 },
    { text: publish('left'), identity, status: 403 },
  ])
}

async function reportsIn(folder: string): Promise<string> {
  const names = await readdir(folder)
  assert.equal(names.length, 1)
  return (await Promise.all(names.map(name => readFile(join(folder, name), 'utf8')))).join('')
}

describe('R14 the canary', () => {
  for (const [name, env] of [
    ['', {}],
    [', under NODE_DEBUG', { NODE_DEBUG: 'http,https,net,tls,stream,fs,timer' }],
  ] as const) {
    test(`R14 is in nothing that a running gate gives off${name}`, async t => {
      const upstream = await startUpstream(t, misbehave)
      const { folder, config, auditFile } = await writeGoodConfig(t, upstream.origin)
      const reports = join(folder, 'reports')
      await mkdir(reports)
      const node = ['--report-on-signal', `--report-directory=${reports}`]
      const gate = await serve(t, { config, node, env: { ALICE_TOKEN: canary, ...env } })

      const requests = [...requestsOf(alice), ...requestsOf(bob), ...strangersRequests()]
      const answers = await Promise.all(requests.map(request => ask(t, gate, request)))
      gate.kill('SIGUSR2')
      await gate.until(/Node\.js report completed/)
      gate.kill('SIGTERM')
      assert.equal(await gate.ended, 0, gate.output())

      assertHadIt(upstream)
      for (const [i, answer] of answers.entries()) assertClean(requests[i]?.text ?? '', answer)
      assertClean('output', gate.output())
      assert.match(gate.output(), /upstream-malformed/)
      const audit = await readFile(auditFile, 'utf8')
      assert.match(audit, /upstream-credential-rejected/)
      assertClean('audit', audit)
      assertClean('report', await reportsIn(reports))
    })
  }

  test('R14 is not shown by a configuration that is printed', async t => {
    const { config } = await writeGoodConfig(t, 'http://127.0.0.1:1')
    const loaded = await loadConfig(config, { ...process.env, ALICE_TOKEN: canary })
    assert.equal(loaded.kind, 'ok')
    const inMaps = (_key: string, value: unknown): unknown => (value instanceof Map ? [...value] : value)
    assertClean('inspect', inspect(loaded, { depth: Number.POSITIVE_INFINITY, showHidden: true, getters: true }))
    assertClean('JSON', JSON.stringify(loaded, inMaps))
    assert.match(JSON.stringify(loaded, inMaps), /\[secret\]/)
  })

  test('R14 is not shown by a check of a good configuration', async t => {
    const { config } = await writeGoodConfig(t, 'http://127.0.0.1:1')
    assertClean('check', await check(config, { ...process.env, ALICE_TOKEN: canary }, 0))
  })
})

/** As the command does it, in this process: it is quicker. @returns what it prints, for people and for programs */
async function check(file: string, env: NodeJS.ProcessEnv, expected: 0 | 1): Promise<string> {
  let text = ''
  for (const json of [false, true]) {
    const stdout = new PassThrough().setEncoding('utf8').on('data', chunk => {
      text += chunk
    })
    assert.equal(await checkCommand(file, { json, env, stdout }), expected, text)
    await finished(stdout.end())
  }
  return text
}

/** Where people put a secret by mistake: what stands at `main:` among alice's credentials. */
const MISTAKES: readonly string[] = [
  canary,
  `{bearer: ${canary}}`,
  `{raw: "${canary}"}`,
  `{bearer: {env: ${canary}}}`,
  `{bearer: {command: [${canary}]}}`,
  `{bearer: {command: [sh, -c, "echo ${canary}; exit 1"]}}`,
  `{bearer: {command: [sh, -c, "echo ${canary} >&2; exit 1"]}}`,
  `{bearer: {command: [sh, -c, "echo ${canary}; echo ${canary}"]}}`,
  `{bearer: {command: "echo ${canary}"}}`,
  '{bearer: {env: TWO_LINES}}',
  '{bearer: {file: two-lines}}',
  '{bearer: {file: open-to-all}}',
  `{bearer: {value: ${canary}}}`,
  `{basic: {username: alice, password: ${canary}}}`,
  `{basic: {password: {env: MISSING}, username: "alice:${canary}"}}`,
  `{header: {name: X-Key, value: ${canary}}}`,
  `{token: ${canary}}`,
  `{bearer: "${canary}`,
  `{bearer: ${canary}, bearer: ${canary}}`,
  `|\n        ${canary}`,
  `*${canary}`,
  `!${canary} x`,
]

describe('R14 a secret in the wrong place is not repeated by the message about it', () => {
  for (const mistake of MISTAKES) {
    test(`R14 ${mistake.replaceAll(canary, 'SECRET').replace(/\s+/g, ' ')}`, async t => {
      const folder = await temporaryFolder(t)
      await writeFile(join(folder, 'two-lines'), `${canary}\n${canary}\n`, { mode: 0o600 })
      await writeFile(join(folder, 'open-to-all'), canary, { mode: 0o644 })
      const certificate = `fingerprint: ${alice.fingerprint}, label: laptop`
      const accounts = `accounts:\n  alice:\n    credentials:\n      main: ${mistake}\n    certificates: [{${certificate}}]\n`
      const { config } = await writeConfig(folder, 'http://127.0.0.1:1', accounts)
      const printed = await check(config, { ...process.env, TWO_LINES: `${canary}\n${canary}` }, 1)
      assert.match(printed, /accounts\.yaml/)
      assertClean('check', printed)
    })
  }
})
