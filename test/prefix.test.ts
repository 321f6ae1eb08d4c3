// Several registries on one listener, told apart by host name and by path.

import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { before, describe, type TestContext, test } from 'node:test'
import { fileURLToPath } from 'node:url'
import type { RegistryConfig } from '../src/config/config.ts'
import { connectClient } from './lab/client.ts'
import { createBench, GATE } from './lab/configuration.ts'
import { enrol, makeAccount, startTestGate, type TestGate } from './lab/gate.ts'
import { makeIdentity, type TestIdentity } from './lab/identities.ts'
import { createNpmHome, runNpm, writePackage } from './lab/npm.ts'
import { atEnd, freePort, temporaryFolder } from './lab/temporary.ts'
import { answering, OK, type RawUpstream, startUpstream } from './lab/upstream.ts'
import { startVerdaccio } from './lab/verdaccio.ts'

let alice: TestIdentity
before(async () => {
  alice = await makeIdentity({ keyType: 'p256' })
})

function registry(name: string, publicUrl: string, upstream: string): RegistryConfig {
  return {
    name,
    dialect: name === 'images' ? 'oci' : 'generic',
    publicUrl: new URL(publicUrl),
    upstream: new URL(upstream),
    upstreamCa: undefined,
    upstreamOrigins: [],
    upstreamHeaders: new Map(),
    tokenService: undefined,
    reads: 'public',
  }
}

interface Bench {
  readonly gate: TestGate
  readonly upstreams: Readonly<Record<string, RawUpstream>>
  /** Asks for a target; the answer names the registry whose upstream gave it. */
  readonly get: (target: string, options?: { host?: string; identity?: TestIdentity }) => Promise<Got>
}

interface Got {
  readonly status: number
  readonly body: string
}

/** JSON, since npm's documents are read. */
function answerOf(name: string): string {
  const body = JSON.stringify({ of: name })
  return OK.replace(/2\r\n\r\nok$/, `${body.length}\r\n\r\n${body}`)
}

/** The main registry is `npm`, of the npm dialect; the others are generic, but for `images`. */
async function createPrefixes(t: TestContext, urls: Readonly<Record<string, string>>): Promise<Bench> {
  const upstreams: Record<string, RawUpstream> = {}
  for (const name of ['npm', ...Object.keys(urls)]) {
    upstreams[name] = await startUpstream(t, answering(answerOf(name)))
  }
  const origin = (name: string) => upstreams[name]?.origin ?? ''
  const gate = await startTestGate(t, {
    upstream: `${origin('npm')}/base/repository/`,
    registry: { publicUrl: new URL('https://registry.test/npm/') },
    others: Object.entries(urls).map(([name, url]) => registry(name, url, `${origin(name)}/`)),
    enrolments: [enrol(alice, makeAccount())],
  })

  async function get(
    target: string,
    { host = 'registry.test', identity }: { host?: string; identity?: TestIdentity } = {},
  ) {
    const client = await connectClient(t, { port: gate.port, servername: host, identity })
    client.send(`GET ${target} HTTP/1.1\r\nHost: ${host}\r\n\r\n`)
    const { status, body } = await client.response()
    client.socket.destroy()
    const [, of = body] = /^\{"of":"(.*)"/.exec(body) ?? []
    return { status, body: of }
  }

  return { gate, upstreams, get }
}

function refusalIn({ body }: Got): unknown {
  const answer: unknown = JSON.parse(body)
  return typeof answer === 'object' && answer !== null && 'refusal' in answer ? answer.refusal : undefined
}

describe('registries under paths', () => {
  const urls = {
    pypi: 'https://registry.test/pypi/',
    deep: 'https://registry.test/npm/deep/',
    other: 'https://other.test/',
    elsewhere: 'https://other.test/npm/',
  }

  test('the longest prefix wins, within the host', async t => {
    const { get } = await createPrefixes(t, urls)
    const served: readonly [target: string, host: string, name: string][] = [
      ['/npm/left-pad', 'registry.test', 'npm'],
      ['/npm/deeper', 'registry.test', 'npm'],
      ['/npm/deep/x', 'registry.test', 'deep'],
      ['/npm/deep', 'registry.test', 'deep'],
      ['/npm/deep?a=b', 'registry.test', 'deep'],
      ['/pypi/x', 'registry.test', 'pypi'],
      ['/pypi', 'registry.test', 'pypi'],
      ['/pypi/', 'registry.test', 'pypi'],
      ['/pypi/npm/x', 'registry.test', 'pypi'],
      ['/npm/x', 'other.test', 'elsewhere'],
      ['/npmx', 'other.test', 'other'],
      ['/pypi/x', 'other.test', 'other'],
    ]
    for (const [target, host, name] of served) {
      const { status, body } = await get(target, { host })
      assert.deepEqual([status, body], [200, name], `${host}${target}`)
    }
  })

  test('the exact bytes of the rest go upstream, behind the base path of the upstream', async t => {
    const { get, upstreams } = await createPrefixes(t, urls)
    const sent: readonly [target: string, name: string, upstream: string][] = [
      ['/npm/@acme%2ftool', 'npm', '/base/repository/@acme%2ftool'],
      ['/npm/%40acme/tool?write=%74rue', 'npm', '/base/repository/%40acme/tool?write=%74rue'],
      ['/npm/-/ping', 'npm', '/base/repository/-/ping'],
      ['/pypi', 'pypi', '/'],
      ['/pypi?a=b', 'pypi', '/?a=b'],
      ['/pypi/', 'pypi', '/'],
      ['/pypi/%7Ea/?b=/pypi/', 'pypi', '/%7Ea/?b=/pypi/'],
      ['/pypi/pypi/a', 'pypi', '/pypi/a'],
    ]
    for (const [target, name, upstream] of sent) {
      await get(target)
      const last = upstreams[name]
        ?.received()
        .join('')
        .match(/^GET .*$/gm)
        ?.at(-1)
      assert.equal(last, `GET ${upstream} HTTP/1.1`, target)
    }
  })

  test('the backend is told of the prefix', async t => {
    const { get, upstreams } = await createPrefixes(t, urls)
    await get('/npm/deep/x')
    await get('/x', { host: 'other.test' })
    assert.match(upstreams['deep']?.received().join('') ?? '', /\r\nx-forwarded-prefix: \/npm\/deep\r\n/)
    assert.doesNotMatch(upstreams['other']?.received().join('') ?? '', /x-forwarded-prefix/)
  })

  test('R18 what is not a prefix, to the letter, is served by nobody', async t => {
    const { get, upstreams } = await createPrefixes(t, urls)
    const refused: readonly [target: string, status: number, refusal: string][] = [
      ['/', 404, 'path-unserved'],
      ['/npmx', 404, 'path-unserved'],
      ['/npm.x/y', 404, 'path-unserved'],
      ['/NPM/x', 404, 'path-unserved'],
      ['/%6epm/x', 404, 'path-unserved'],
      ['/npm%2fx', 404, 'path-unserved'],
      ['/x/npm/y', 404, 'path-unserved'],
      ['/?/npm/', 404, 'path-unserved'],
      ['/npm/../pypi/x', 400, 'path-ambiguous'],
      ['/npm/%2e%2e/pypi/x', 400, 'path-ambiguous'],
      ['/npm/..%2fpypi/x', 400, 'path-ambiguous'],
      ['/npm//deep/x', 400, 'path-ambiguous'],
      ['//npm/x', 400, 'path-ambiguous'],
      ['/./npm/x', 400, 'path-ambiguous'],
      ['/npm;a/x', 400, 'path-ambiguous'],
      ['/npm', 404, 'route-unknown'],
      ['/npm/', 404, 'route-unknown'],
    ]
    for (const [target, status, refusal] of refused) {
      const got = await get(target)
      assert.deepEqual([got.status, refusalIn(got)], [status, refusal], target)
    }
    for (const [name, upstream] of Object.entries(upstreams)) assert.deepEqual(upstream.received(), [], name)
  })

  test('R18 an encoded spelling of a segment of a longer prefix is judged and sent as part of the shorter one', async t => {
    const { get, upstreams } = await createPrefixes(t, { ...urls, deep: 'https://registry.test/pypi/deep/' })
    assert.equal((await get('/pypi/%64eep/x')).body, 'pypi')
    assert.match(upstreams['pypi']?.received().join('') ?? '', /^GET \/%64eep\/x /m)
  })

  test('the desk is under each public URL, and at the root', async t => {
    const { get } = await createPrefixes(t, urls)
    for (const prefix of ['', '/npm', '/npm/deep', '/pypi']) {
      const { status, body } = await get(`${prefix}/.certgate/whoami`, { identity: alice })
      assert.equal(status, 200, prefix)
      assert.match(body, /"account": "alice"/, prefix)
    }
    assert.equal((await get('/other/.certgate/whoami')).status, 404)
    assert.equal((await get('/npm/x/.certgate/whoami')).status, 404)
  })

  test('R16 the name of the TLS connection counts, whatever the path', async t => {
    const { gate } = await createPrefixes(t, urls)
    const client = await connectClient(t, { port: gate.port, servername: 'other.test' })
    client.send('GET /pypi/x HTTP/1.1\r\nHost: registry.test\r\n\r\n')
    assert.equal((await client.response()).status, 421)
  })

  test('R15 a redirect on the wire stays within the prefix', async t => {
    const moved = await startUpstream(
      t,
      answering('HTTP/1.1 302 Found\r\nLocation: /base/x\r\nContent-Length: 0\r\n\r\n'),
    )
    const gate = await startTestGate(t, {
      upstream: `${moved.origin}/base/`,
      registry: { publicUrl: new URL('https://registry.test/npm/') },
    })
    const client = await connectClient(t, { port: gate.port })
    client.send('GET /npm/y HTTP/1.1\r\nHost: registry.test\r\n\r\n')
    assert.equal((await client.response()).fields.get('location'), '/npm/x')
  })

  test('/v2/ at the root is the OCI registry’s, beside the others', async t => {
    const { get } = await createPrefixes(t, { pypi: urls.pypi, images: 'https://registry.test/' })
    assert.equal((await get('/v2/', { identity: alice })).body, 'images')
    assert.equal((await get('/v2/team/app/manifests/latest')).body, 'images')
    assert.equal((await get('/pypi/v2/')).body, 'pypi')
    assert.equal((await get('/npm/left-pad')).body, 'npm')
    assert.equal(refusalIn(await get('/npmx')), 'route-unknown')
  })
})

describe('certgate check', () => {
  const PROGRAM = fileURLToPath(new URL('../src/certgate.ts', import.meta.url))
  const refused: readonly [name: string, registry: string, problem: RegExp][] = [
    [
      'an OCI registry with a path',
      '{dialect: oci, public-url: "https://oci.example.com/images", upstream: "http://127.0.0.1:2"}',
      /registries\.two\.public-url: OCI clients ask for \/v2\/ at the root of a host/,
    ],
    [
      'two registries with one URL',
      '{dialect: npm, public-url: "https://npm.example.com:8443/", upstream: "http://127.0.0.1:2"}',
      /registries\.two\.public-url: "https:\/\/npm\.example\.com:8443\/" is already the public URL of registry npm/,
    ],
  ]
  for (const [name, two, problem] of refused) {
    test(`refuses ${name}`, async t => {
      const { folder, write, load } = await createBench(t)
      await load()
      const file = await write('certgate.yaml', GATE.replace('accounts:', `  two: ${two}\naccounts:`))
      const child = spawn(process.execPath, [PROGRAM, 'check', '--config', file], {
        cwd: folder,
        env: { ...process.env, ALICE_NPM_TOKEN: 'token' },
        stdio: ['ignore', 'pipe', 'inherit'],
      })
      const closed = once(child, 'close')
      assert.match(await text(child.stdout), problem)
      assert.deepEqual(await closed, [1, null])
    })
  }
})

test('npm publishes to and installs from an unchanged Verdaccio under /npm/, even the package npm', async t => {
  const folder = await temporaryFolder(t)
  const verdaccio = await startVerdaccio({ folder: join(folder, 'verdaccio') })
  atEnd(t, verdaccio.stop)
  const token = await verdaccio.createUser('alice', 'secret word')
  const port = await freePort()
  const url = `https://localhost:${port}/npm/`
  const account = makeAccount({ credential: `Bearer ${token}`, rights: { publish: ['@acme/*', 'npm'] } })
  const gate = await startTestGate(t, {
    port,
    upstream: verdaccio.origin,
    registry: { publicUrl: new URL(url) },
    enrolments: [enrol(alice, account)],
  })
  await mkdir(folder, { recursive: true })
  const path = (name: string) => join(folder, name)
  await writeFile(path('ca.pem'), gate.certificate)
  await writeFile(path('id.pem'), alice.certificate)
  await writeFile(path('id.key'), alice.key, { mode: 0o600 })
  const files = { cafile: path('ca.pem'), certfile: path('id.pem'), keyfile: path('id.key') }
  const home = await createNpmHome(path('home'), { registry: url, ...files })

  for (const name of ['@acme/tool', 'npm']) {
    await writePackage(path(`package/${name}`), { name, version: '1.2.3' })
    const { code, stderr } = await runNpm(home, ['publish', '--access=public'], { cwd: path(`package/${name}`) })
    assert.equal(code, 0, stderr)
  }
  await writePackage(path('app'), { name: 'app', version: '0.0.0' })
  const { code, stderr } = await runNpm(home, ['install', '@acme/tool', 'npm'], { cwd: path('app') })
  assert.equal(code, 0, stderr)
  const lock = await readFile(path('app/package-lock.json'), 'utf8')
  assert.deepEqual(lock.match(/(?<="resolved": ").*(?=")/g), [
    `${url}@acme/tool/-/tool-1.2.3.tgz`,
    `${url}npm/-/npm-1.2.3.tgz`,
  ])
  assert.equal(await readFile(path('app/node_modules/npm/index.js'), 'utf8'), 'module.exports = "1.2.3"\n')
  assert.ok(!lock.includes(verdaccio.origin))
})
