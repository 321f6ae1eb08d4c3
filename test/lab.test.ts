// The laboratory itself: a real Verdaccio and a real npm, with no gate between them.

import assert from 'node:assert/strict'
import { fork } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { readdir, readFile, stat, writeFile } from 'node:fs/promises'
import { request } from 'node:http'
import { connect } from 'node:net'
import { join } from 'node:path'
import { json } from 'node:stream/consumers'
import { suite, type TestContext, test } from 'node:test'
import { setTimeout as delay } from 'node:timers/promises'
import { createNpmHome, placeOf, runNpm, writePackage } from './lab/npm.ts'
import { atEnd, freePort, temporaryFolder } from './lab/temporary.ts'
import { startVerdaccio, type Verdaccio } from './lab/verdaccio.ts'

async function start(t: TestContext, options: { folder?: string; maxBodySize?: string } = {}): Promise<Verdaccio> {
  const verdaccio = await startVerdaccio({ folder: await temporaryFolder(t), ...options })
  atEnd(t, verdaccio.stop)
  return verdaccio
}

suite('Verdaccio', () => {
  test('is ready when it is started, and gone when it is stopped', async t => {
    const verdaccio = await start(t)
    assert.equal(verdaccio.url, `${verdaccio.origin}/`)
    assert.equal((await fetch(`${verdaccio.origin}/-/ping`)).status, 200)
    await verdaccio.stop()
    await assert.rejects(connected(verdaccio.origin), { code: 'ECONNREFUSED' })
    await verdaccio.stop()
  })

  test('gives a user a token, and no other the name', async t => {
    const verdaccio = await start(t)
    const token = await verdaccio.createUser('alice', 'secret word')
    assert.deepEqual(await get(`${verdaccio.origin}/-/whoami`, { authorization: `Bearer ${token}` }), {
      username: 'alice',
    })
    await assert.rejects(verdaccio.createUser('alice', 'other word'), /did not register alice: 401/)
    await assert.rejects(verdaccio.createUser('alice', 'secret word'), /did not register alice: 409/)
    assert.match(verdaccio.output(), /PUT.*\/-\/user\/org\.couchdb\.user:alice/)
  })

  test('keeps its tokens over a restart', async t => {
    const folder = await temporaryFolder(t)
    const first = await start(t, { folder })
    const token = await first.createUser('alice', 'secret word')
    await first.stop()
    const second = await start(t, { folder })
    assert.deepEqual(await get(`${second.origin}/-/whoami`, { authorization: `Bearer ${token}` }), {
      username: 'alice',
    })
  })

  test('says why it does not start', async t => {
    const folder = await temporaryFolder(t)
    const first = await start(t)
    const port = Number(new URL(first.origin).port)
    await assert.rejects(startVerdaccio({ folder, port }), /Verdaccio ended with 2:[\s\S]*EADDRINUSE/)
  })

  test('does not outlive its parent, even one that is killed', async t => {
    const program = join(await temporaryFolder(t), 'parent.mjs')
    const lab = new URL('./lab/verdaccio.ts', import.meta.url)
    const options = JSON.stringify({ folder: await temporaryFolder(t) })
    await writeFile(
      program,
      `import { startVerdaccio } from '${lab}'\nprocess.send((await startVerdaccio(${options})).origin)`,
    )
    const parent = fork(program, { execArgv: [] })
    atEnd(t, () => parent.kill('SIGKILL'))
    const [origin] = await once(parent, 'message')
    await connected(String(origin))
    parent.kill('SIGKILL')
    await refused(String(origin))
  })
})

suite('npm', () => {
  test('publishes with a token, installs without one, from the host that it asked', async t => {
    const folder = await temporaryFolder(t)
    const verdaccio = await start(t)
    const token = await verdaccio.createUser('alice', 'secret word')
    const home = await createNpmHome(join(folder, 'home'), { registry: verdaccio.url })
    await writePackage(join(folder, 'left'), { name: '@acme/left', version: '1.2.3', files: { 'lib/pad.js': '1\n' } })
    await writePackage(join(folder, 'app'), { name: 'app', version: '0.0.0' })

    const bare = await runNpm(home, ['publish', '--access=public'], { cwd: join(folder, 'left') })
    assert.equal(bare.code, 1)
    assert.match(bare.stderr, /npm error code ENEEDAUTH/)

    const published = await runNpm(
      home,
      ['publish', '--access=public', `--${placeOf(verdaccio.url)}:_authToken=${token}`],
      {
        cwd: join(folder, 'left'),
      },
    )
    assert.equal(published.code, 0, published.stderr)
    assert.equal(published.stdout, '+ @acme/left@1.2.3\n')

    const installed = await runNpm(home, ['install', '@acme/left@1.2.3'], { cwd: join(folder, 'app') })
    assert.equal(installed.code, 0, installed.stderr)
    assert.equal(await readFile(join(folder, 'app/node_modules/@acme/left/lib/pad.js'), 'utf8'), '1\n')
    const lock = await readFile(join(folder, 'app/package-lock.json'), 'utf8')
    assert.ok(lock.includes(`"resolved": "${verdaccio.origin}/@acme/left/-/left-1.2.3.tgz"`), lock)

    const headers = { host: 'npm.example.com:8443', 'x-forwarded-proto': 'https' }
    const document = JSON.stringify(await get(`${verdaccio.origin}/@acme%2fleft`, headers))
    assert.ok(document.includes('"tarball":"https://npm.example.com:8443/@acme/left/-/left-1.2.3.tgz"'), document)
    assert.ok(!document.includes(verdaccio.origin), document)
  })

  test('reads a private scope with a token only', async t => {
    const folder = await temporaryFolder(t)
    const verdaccio = await start(t)
    const token = `--${placeOf(verdaccio.url)}:_authToken=${await verdaccio.createUser('alice', 'secret word')}`
    const home = await createNpmHome(join(folder, 'home'), { registry: verdaccio.url })
    await writePackage(join(folder, 'plan'), { name: '@private/plan', version: '1.0.0' })
    const cwd = join(folder, 'plan')
    assert.equal((await runNpm(home, ['publish', token], { cwd })).code, 0)
    const bare = await runNpm(home, ['view', '@private/plan', 'version'], { cwd: folder })
    assert.equal(bare.code, 1)
    assert.match(bare.stderr, /npm error code E401/)
    assert.equal((await runNpm(home, ['view', '@private/plan', 'version', token], { cwd: folder })).stdout, '1.0.0\n')
  })

  test('publishes up to the limit that Verdaccio was given', async t => {
    const folder = await temporaryFolder(t)
    const large = { 'large.bin': randomBytes(9_000_000) }
    await writePackage(join(folder, 'large'), { name: 'large', version: '1.0.0', files: large })
    // 9 MB are 12 MB of base64: above the 10 MB that Verdaccio takes by default.
    for (const [maxBodySize, code] of [
      ['13mb', 0],
      ['11mb', 1],
    ] as const) {
      const verdaccio = await start(t, { maxBodySize })
      const token = `--${placeOf(verdaccio.url)}:_authToken=${await verdaccio.createUser('alice', 'secret word')}`
      const npmHome = await createNpmHome(join(folder, maxBodySize), { registry: verdaccio.url })
      const result = await runNpm(npmHome, ['publish', token], { cwd: join(folder, 'large') })
      assert.equal(result.code, code, result.stderr)
      if (code !== 0) assert.match(result.stderr, /npm error code E413/)
    }
  })

  test('has a home that holds what it was given and nothing else', async t => {
    const folder = await temporaryFolder(t)
    await createNpmHome(join(folder, 'home'), {
      registry: 'https://npm.example.com:8443/',
      scopes: { '@acme': 'https://acme.example.com/npm/' },
      cafile: '/tmp/ca.pem',
      certfile: '/tmp/id.pem',
      keyfile: '/tmp/id.key',
    })
    assert.deepEqual(await readdir(join(folder, 'home')), ['.npmrc'])
    assert.equal((await stat(join(folder, 'home/.npmrc'))).mode & 0o777, 0o600)
    assert.deepEqual((await readFile(join(folder, 'home/.npmrc'), 'utf8')).split('\n'), [
      'registry=https://npm.example.com:8443/',
      '@acme:registry=https://acme.example.com/npm/',
      'cafile=/tmp/ca.pem',
      '//npm.example.com:8443/:certfile=/tmp/id.pem',
      '//npm.example.com:8443/:keyfile=/tmp/id.key',
      '//acme.example.com/npm/:certfile=/tmp/id.pem',
      '//acme.example.com/npm/:keyfile=/tmp/id.key',
      '',
    ])
  })

  test('takes nothing over from outside, and runs on the Node of the tests', async t => {
    const folder = await temporaryFolder(t)
    const home = await createNpmHome(join(folder, 'home'), { registry: 'http://127.0.0.1:1/' })
    await writePackage(join(folder, 'app'), {
      name: 'app',
      version: '0.0.0',
      manifest: { scripts: { show: 'node -p "JSON.stringify([process.version, process.env.OUTSIDE])"' } },
    })
    process.env['OUTSIDE'] = 'x'
    process.env['npm_config_registry'] = 'http://127.0.0.1:2/'
    t.after(() => {
      delete process.env['OUTSIDE']
      delete process.env['npm_config_registry']
    })
    const cwd = join(folder, 'app')
    assert.equal((await runNpm(home, ['config', 'get', 'registry'], { cwd })).stdout, 'http://127.0.0.1:1/\n')
    const shown = await runNpm(home, ['run', '-s', 'show'], { cwd })
    assert.deepEqual(JSON.parse(shown.stdout), [process.version, null])
  })

  test('fails at once when nobody listens', async t => {
    const folder = await temporaryFolder(t)
    const home = await createNpmHome(join(folder, 'home'), { registry: `http://127.0.0.1:${await freePort()}/` })
    const { code, stderr } = await runNpm(home, ['view', 'left-pad'], { cwd: folder })
    assert.equal(code, 1)
    assert.match(stderr, /ECONNREFUSED/)
  })
})

test('what a test has to undo is undone from the last to the first, whatever fails', async () => {
  const hooks: (() => Promise<void>)[] = []
  const order: string[] = []
  const t = { after: (hook: () => Promise<void>) => void hooks.push(hook) }
  atEnd(t, () => order.push('folder'))
  atEnd(t, () => Promise.reject(new Error('stuck')))
  atEnd(t, () => order.push('server'))
  assert.equal(hooks.length, 1)
  await assert.rejects(Promise.all(hooks.map(hook => hook())), /stuck/)
  assert.deepEqual(order, ['server', 'folder'])
})

/** With node:http: fetch would not send another `Host`. */
async function get(url: string, headers: Record<string, string>): Promise<unknown> {
  const sent = request(url, { headers: { accept: 'application/json', ...headers } }).end()
  const [response] = await once(sent, 'response')
  return json(response)
}

async function connected(origin: string): Promise<void> {
  const { hostname, port } = new URL(origin)
  const socket = connect(Number(port), hostname)
  await once(socket, 'connect')
  socket.destroy()
}

/** Resolves when nobody listens there any more; the test's own time limit ends the wait. */
async function refused(origin: string): Promise<void> {
  for (;;) {
    const open = await connected(origin).then(
      () => true,
      () => false,
    )
    if (!open) return
    await delay(20)
  }
}
