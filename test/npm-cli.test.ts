// The npm command line as it is, a Verdaccio as it is, and the gate between them. The account's credential is a real
// token of Verdaccio; no npm has one.

import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { mkdir, readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { gunzipSync } from 'node:zlib'
import type { RawResponse } from './lab/client.ts'
import { type NpmResult, placeOf, type RunOptions } from './lab/npm.ts'
import { openScene, type Scene } from './lab/npm-scene.ts'
import { operation } from './lab/table.ts'

const CLOSED =
  /login, token and user endpoints are closed here: the client certificate is the login, no token is needed/

/** Runs npm as alice. @returns what it printed @throws unless it succeeded */
async function npm({ npm, homes }: Scene, args: readonly string[], options?: Partial<RunOptions>): Promise<string> {
  const { code, stdout, stderr } = await npm(homes.alice, args, options)
  assert.equal(code, 0, `npm ${args.join(' ')}: ${stderr}`)
  return stdout
}

function assertRefused({ code, stdout, stderr }: NpmResult, sentence: RegExp): void {
  assert.notEqual(code, 0)
  assert.match(stdout + stderr, sentence)
}

/** Installs into a new folder. @returns the folder */
async function install(scene: Scene, folder: string, args: readonly string[], who = scene.homes.alice) {
  const cwd = join(scene.folder, folder)
  await mkdir(cwd)
  const { code, stderr } = await scene.npm(who, ['install', ...args], { cwd })
  assert.equal(code, 0, stderr)
  return cwd
}

function get(path: string, ...lines: readonly string[]): string {
  return `GET ${path} HTTP/1.1\r\n${lines.map(line => `${line}\r\n`).join('')}\r\n`
}

function put(path: string, body: string): string {
  return `PUT ${path} HTTP/1.1\r\nContent-Type: application/json\r\nContent-Length: ${body.length}\r\n\r\n${body}`
}

/** Requests, by method and target, that have reached Verdaccio. */
function seen({ tap }: Scene, pattern: RegExp): readonly string[] {
  const requests = tap.sent().flatMap(text => [...text.matchAll(/^([A-Z]+ \/\S*) HTTP\/1\.1\r$/gm)])
  return requests.map(([, request = '']) => request).filter(request => pattern.test(request))
}

async function verdaccioVersion(): Promise<string> {
  const manifest: unknown = JSON.parse(await readFile('node_modules/verdaccio/package.json', 'utf8'))
  return typeof manifest === 'object' && manifest !== null && 'version' in manifest ? String(manifest.version) : '?'
}

type Step = readonly [name: string, run: (scene: Scene) => Promise<void>]

const publishing: readonly Step[] = [
  [
    'publishes a scoped and a plain package, and the record names what was published',
    async scene => {
      for (const name of ['@acme/left', 'left']) {
        const cwd = await scene.write(name, '1.0.0')
        assert.equal(await npm(scene, ['publish', '--access=public'], { cwd }), `+ ${name}@1.0.0\n`)
        const integrity = (await npm(scene, ['view', name, 'dist.integrity'])).trim()
        const lines = (await scene.gate.audit()).filter(line => line['package'] === name && line['method'] === 'PUT')
        assert.deepEqual(
          lines.map(line => [line['event'], line['status'], line['version'], line['digest'], line['account']]),
          [
            ['change', undefined, '1.0.0', integrity, 'alice'],
            ['request', 201, '1.0.0', integrity, 'alice'],
          ],
        )
        assert.equal(lines[0]?.['id'], lines[1]?.['id'])
      }
    },
  ],
  [
    'installs elsewhere, with and without a certificate, and the lock file leads to the gate',
    async scene => {
      for (const who of ['alice', 'nobody'] as const) {
        const cwd = await install(scene, `app-of-${who}`, ['@acme/left', 'left'], scene.homes[who])
        assert.match(await readFile(join(cwd, 'node_modules/@acme/left/index.js'), 'utf8'), /1\.0\.0/)
        const lock = await readFile(join(cwd, 'package-lock.json'), 'utf8')
        assert.ok(lock.includes(`"resolved": "${scene.url}@acme/left/-/left-1.0.0.tgz"`), lock)
        assert.ok(lock.includes(`"resolved": "${scene.url}left/-/left-1.0.0.tgz"`), lock)
      }
    },
  ],
  [
    'learns nowhere where the registry behind the gate is',
    async scene => {
      const places = [scene.verdaccio.origin, scene.tap.origin].map(origin => new URL(origin).host)
      const abbreviated = 'Accept: application/vnd.npm.install-v1+json'
      const requests = [
        get('/@acme%2fleft'),
        get('/@acme%2fleft?write=true'),
        get('/@acme%2fleft', abbreviated),
        get('/left', 'Accept-Encoding: gzip'),
        get('/left/1.0.0'),
        get('/left/-/left-1.0.0.tgz'),
        get('/@acme/left/-/left-1.0.0.tgz'),
        get('/-/package/left/dist-tags'),
        get('/-/v1/search?text=left'),
        get('/-/whoami'),
        get('/-/ping'),
        get('/missing'),
        get('/left/-/left-9.9.9.tgz'),
        put('/left', '{'),
        put('/-/package/left/dist-tags/x', '"9.9.9"'),
      ]
      for (const request of requests) {
        const response = await scene.ask(request, scene.alice)
        const text = response.head + bodyOf(response)
        for (const place of places) assert.ok(!text.includes(place), `${request}${text}`)
        assert.doesNotMatch(text, /127\.0\.0\.1/, request)
      }
    },
  ],
  [
    'finds the same packument under each spelling of the name',
    async scene => {
      const [first, ...others] = await Promise.all(
        ['/@acme%2fleft', '/@acme%2Fleft', '/@acme/left', '/%40acme%2Fleft', '/%40acme/left', '/@acme%2fleft/'].map(
          async path => {
            const { status, body } = await scene.ask(get(path))
            assert.equal(status, 200, path)
            return body
          },
        ),
      )
      assert.match(first ?? '', /"name": "@acme\/left"/)
      for (const body of others) assert.equal(body, first)
    },
  ],
  [
    'is told by the registry that a version is there already',
    async scene => {
      const cwd = await scene.write('left', '1.0.0')
      // Without --force npm looks for itself, and does not even ask.
      const again = await scene.npm(scene.homes.alice, ['publish', '--force'], { cwd })
      assertRefused(again, /npm error code E(409|403)[\s\S]*(already present|present)/)
      const [last] = (await scene.gate.audit()).filter(line => line['method'] === 'PUT').slice(-1)
      assert.ok(last?.['status'] === 409 || last?.['status'] === 403)
    },
  ],
  [
    'publishes 20 MB, and installs the very same bytes',
    async scene => {
      const content = randomBytes(20_000_000)
      const cwd = await scene.write('large', '1.0.0', { 'large.bin': content })
      await npm(scene, ['publish'], { cwd })
      const installed = await install(scene, 'large-app', ['large'], scene.homes.nobody)
      assert.ok(content.equals(await readFile(join(installed, 'node_modules/large/large.bin'))))
    },
  ],
]

function bodyOf({ fields, body }: RawResponse): string {
  const bytes = Buffer.from(body, 'latin1')
  const packed = fields.get('content-encoding') === 'gzip' || (bytes[0] === 0x1f && bytes[1] === 0x8b)
  return (packed ? gunzipSync(bytes) : bytes).toString('latin1')
}

const reading: readonly Step[] = [
  [
    'whoami, ping, search, view, owner ls',
    async scene => {
      assert.equal(await npm(scene, ['whoami']), 'alice\n')
      await npm(scene, ['ping'])
      assert.match(await npm(scene, ['search', 'left']), /@acme\/left/)
      assert.equal(await npm(scene, ['view', '@acme/left', 'version']), '1.0.0\n')
      await npm(scene, ['owner', 'ls', 'left'])
    },
  ],
  [
    'reads without a certificate where reads are public, also with a strange or an ended one',
    async ({ npm, homes }) => {
      for (const who of [homes.nobody, homes.stranger, homes.expired]) {
        const { code, stdout } = await npm(who, ['view', 'left', 'version'])
        assert.deepEqual([code, stdout], [0, '1.0.0\n'])
      }
    },
  ],
  [
    'reads with a certificate only where reads are not public',
    async ({ npm, homes, closedUrl }) => {
      const registry = `--registry=${closedUrl}`
      for (const [who, sentence] of [
        [homes.nobody, /needs a client certificate and none was presented/],
        [homes.stranger, /client certificate [0-9a-f]{64} is not enrolled here/],
        [homes.expired, /client certificate [0-9a-f]{64} expired at 20/],
      ] as const) {
        assertRefused(await npm(who, ['view', 'left', registry]), sentence)
      }
      const view = await npm(homes.alice, ['view', 'left', 'version', registry])
      assert.equal(view.stdout, '1.0.0\n', view.stderr)
    },
  ],
  [
    'audit is a read that is forwarded, and an install does not fail with it',
    async scene => {
      const cwd = await install(scene, 'audited', ['left', '--audit'])
      assert.ok((await readdir(join(cwd, 'node_modules'))).includes('left'))
      const bulk = (await scene.gate.audit()).find(({ path }) => path === '/-/npm/v1/security/advisories/bulk')
      assert.deepEqual([bulk?.['action'], bulk?.['decision'], bulk?.['status']], ['read', 'forward', 500])
      assert.ok(seen(scene, /^POST .*advisories\/bulk/).length > 0)
      // Verdaccio itself answers 500 here: it has nobody to ask.
      assertRefused(await scene.npm(scene.homes.alice, ['audit'], { cwd }), /500 Internal Server Error/)
    },
  ],
]

const changing: readonly Step[] = [
  [
    'dist-tag add, ls, rm',
    async scene => {
      await npm(scene, ['dist-tag', 'add', '@acme/left@1.0.0', 'beta'])
      assert.equal(await npm(scene, ['dist-tag', 'ls', '@acme/left']), 'beta: 1.0.0\nlatest: 1.0.0\n')
      await npm(scene, ['dist-tag', 'rm', '@acme/left', 'beta'])
      assert.equal(await npm(scene, ['dist-tag', 'ls', '@acme/left']), 'latest: 1.0.0\n')
    },
  ],
  [
    'deprecate, and take it back',
    async scene => {
      for (const message of ['too old', '']) {
        await npm(scene, ['deprecate', '@acme/left@1.0.0', message])
        assert.equal((await npm(scene, ['view', '@acme/left', 'deprecated'])).trim(), message)
      }
    },
  ],
  [
    'star, and take it back',
    async scene => {
      await npm(scene, ['star', 'left'])
      assert.match((await scene.ask(get('/left'))).body, /"alice": true/)
      await npm(scene, ['unstar', 'left'])
      assert.doesNotMatch((await scene.ask(get('/left'))).body, /"alice": true/)
    },
  ],
  [
    'unpublish of one version, then of the package',
    async scene => {
      const cwd = await scene.write('@acme/left', '1.1.0')
      await npm(scene, ['publish', '--access=public'], { cwd })
      await npm(scene, ['unpublish', '@acme/left@1.0.0'])
      assert.equal(await npm(scene, ['view', '@acme/left', 'versions', '--json']), '[\n  "1.1.0"\n]\n')
      assert.equal((await scene.ask(get('/@acme/left/-/left-1.0.0.tgz'))).status, 404)
      await npm(scene, ['unpublish', '@acme/left', '--force'])
      assertRefused(await scene.npm(scene.homes.alice, ['view', '@acme/left']), /npm error code E404/)
    },
  ],
]

const refusing: readonly Step[] = [
  [
    'a package outside the rights',
    async scene => {
      const cwd = await scene.write('left-pad', '1.0.0')
      const { code, stderr } = await scene.npm(scene.homes.alice, ['publish'], { cwd })
      assert.equal(code, 1)
      assert.match(stderr, /npm error code E403/)
      assert.match(stderr, /account alice has no right to publish left-pad/)
      assert.deepEqual(seen(scene, /^PUT .*left-pad/), [])
    },
  ],
  [
    'an unknown certificate, one that has ended, and none',
    async scene => {
      const { npm, homes, url } = scene
      const cwd = await scene.write('left', '3.0.0')
      assertRefused(await npm(homes.stranger, ['publish'], { cwd }), /certificate [0-9a-f]{64} is not enrolled here/)
      assertRefused(await npm(homes.expired, ['publish'], { cwd }), /certificate [0-9a-f]{64} expired at 20/)
      // npm asks nobody unless it has a certificate or what it takes for a token.
      assertRefused(await npm(homes.nobody, ['publish'], { cwd }), /ENEEDAUTH/)
      const token = `--${placeOf(url)}:_authToken=made-up`
      assertRefused(await npm(homes.nobody, ['publish', token], { cwd }), /client certificate and none was presented/)
      assert.equal((await scene.ask(get('/left/3.0.0'))).status, 404)
    },
  ],
  [
    'login, adduser and tokens: nothing of them reaches the registry',
    async scene => {
      const before = await readFile(join(scene.folder, 'verdaccio/htpasswd'), 'utf8')
      const user = ['bob', 'secret word', 'bob@example.com']
      for (const type of ['web', 'legacy']) {
        const options = { answers: user }
        const login = await scene.npm(scene.homes.alice, ['login', `--auth-type=${type}`], options)
        assertRefused(login, CLOSED)
        assertRefused(await scene.npm(scene.homes.alice, ['adduser', `--auth-type=${type}`], options), CLOSED)
      }
      assertRefused(await scene.npm(scene.homes.alice, ['token', 'list']), CLOSED)
      assert.deepEqual(seen(scene, /user:bob|login|token/), [])
      assert.equal(await readFile(join(scene.folder, 'verdaccio/htpasswd'), 'utf8'), before)
    },
  ],
  [
    'no home has got a token on the way',
    async ({ homes }) => {
      for (const { folder } of Object.values(homes)) {
        assert.doesNotMatch(await readFile(join(folder, '.npmrc'), 'utf8'), /token|_auth|password|secret/i)
      }
    },
  ],
]

test('npm', async t => {
  const scene = await openScene(t)
  const version = (await npm(scene, ['--version'])).trim()
  const backend = `Verdaccio ${await verdaccioVersion()}`
  for (const [name, run] of [...publishing, ...reading, ...refusing, ...changing]) {
    await operation(t, { client: 'npm', version, operation: name, backend }, () => run(scene))
  }
  await t.test('each request of alice’s went upstream with her token, and nothing else did', () => {
    const credentials = scene.tap.sent().flatMap(text => text.match(/^authorization: .*(?=\r$)/gim) ?? [])
    assert.deepEqual([...new Set(credentials)], [`authorization: Bearer ${scene.token}`])
  })
  await t.test('the gate had no trouble', () => assert.deepEqual(scene.gate.logged, []))
})
