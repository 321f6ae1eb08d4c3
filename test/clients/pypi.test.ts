// pip, twine, uv and curl themselves, with a certificate and no password, through the gate to a pypiserver that takes a
// password only.

import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { readdir, readFile } from 'node:fs/promises'
import { basename, join } from 'node:path'
import { before, test } from 'node:test'
import { connectClient } from '../lab/client.ts'
import { enrol, makeAccount, startTestGate } from '../lab/gate.ts'
import { makeIdentity } from '../lab/identities.ts'
import { createPypiBench, PUBLISHED, type PypiBench } from '../lab/pypi-bench.ts'
import { demand, ensurePython, type Python, run } from '../lab/python.ts'
import { operation } from '../lab/table.ts'
import { freePort } from '../lab/temporary.ts'

let python: Python
let curlVersion = ''
let backend = ''

before(async () => {
  python = await ensurePython()
  backend = `pypiserver ${python.versionOf('pypiserver')}`
  const curl = demand(await run('curl', ['--version'], { PATH: process.env['PATH'] }))
  curlVersion = /^curl (\S+)/.exec(curl)?.[1] ?? ''
})

async function sha256Of(path: string): Promise<string> {
  return `sha256:${createHash('sha256')
    .update(await readFile(path))
    .digest('hex')}`
}

/** The audit lines about changes, by what they say of the request. */
async function changes({ gate }: PypiBench): Promise<readonly Record<string, unknown>[]> {
  return (await gate.audit()).filter(line => line['action'] !== 'read')
}

test('twine', async t => {
  const bench = await createPypiBench(t, python, 'public')
  const what = (operation: string) => ({ client: 'twine', version: python.versionOf('twine'), operation, backend })

  await operation(t, what('upload of a wheel and an sdist'), async () => {
    const { wheel, sdist } = await bench.make({ name: 'my-pkg', version: '1.0' })
    demand(await bench.twine([wheel, sdist]))
    assert.deepEqual((await bench.stored()).toSorted(), [wheel, sdist].map(path => basename(path)).toSorted())
    const stored = await readFile(join(bench.server.store, basename(wheel)))
    assert.deepEqual(stored, await readFile(wheel))
    const digests = (await changes(bench)).map(line => line['digest']).filter(digest => digest !== undefined)
    assert.deepEqual([...new Set(digests)].toSorted(), [await sha256Of(wheel), await sha256Of(sdist)].toSorted())
  })

  await operation(t, what('upload of names spelled in other ways'), async () => {
    for (const [name, version] of [
      ['My_Pkg', '1.1'],
      ['my.pkg', '1.2'],
    ] as const) {
      const { wheel, sdist } = await bench.make({ name, version })
      demand(await bench.twine([wheel, sdist]))
      assert.ok((await bench.stored()).includes(basename(wheel)))
    }
  })

  await operation(t, what('upload with a dummy token, which stays behind'), async () => {
    const { wheel } = await bench.make({ name: 'my-pkg', version: '1.3' })
    demand(await bench.twine([wheel, '-u', '__token__', '-p', 'pypi-unused']))
    assert.ok((await bench.stored()).includes(basename(wheel)))
  })

  await operation(t, what('upload of 20 MB'), async () => {
    const { wheel } = await bench.make({ name: 'big', version: '1.0', size: 20_000_000 })
    demand(await bench.twine([wheel]))
    assert.deepEqual(await readFile(join(bench.server.store, basename(wheel))), await readFile(wheel))
  })

  const refused = async (args: readonly string[], sentence: RegExp, pem?: string): Promise<void> => {
    const before = { lines: (await changes(bench)).length, stored: await bench.stored() }
    const { code, output } = await bench.twine(args, pem)
    assert.equal(code, 1)
    assert.match(output, sentence)
    assert.match(output, /403/)
    assert.deepEqual(await bench.stored(), before.stored)
    // One request, one line: what is refused is not tried again.
    assert.equal((await changes(bench)).length, before.lines + 1)
  }

  await operation(t, what('upload outside rights is refused, and says why'), async () => {
    const { wheel } = await bench.make({ name: 'other', version: '1.0' })
    await refused([wheel], /account alice has no right to publish other/)
  })

  await operation(t, what('upload of 20 MB outside rights is refused, and not tried again'), async () => {
    const { wheel } = await bench.make({ name: 'other', version: '2.0', size: 20_000_000 })
    await refused([wheel], /account alice has no right to publish other/)
  })

  await operation(t, what('upload with an unknown certificate is refused'), async () => {
    const mallory = await makeIdentity()
    const { wheel } = await bench.make({ name: 'my-pkg', version: '2.0' })
    await refused([wheel], /is not enrolled here/, await bench.write('mallory', mallory))
  })

  await operation(t, what('upload with an expired certificate is refused'), async inner => {
    const now = Date.now()
    const expired = await makeIdentity({ notBefore: new Date(now - 120_000), notAfter: new Date(now - 60_000) })
    const port = await freePort()
    const url = `https://localhost:${port}/`
    const account = makeAccount({ credential: bench.server.credential, rights: { publish: PUBLISHED } })
    await startTestGate(inner, {
      upstream: bench.server.origin,
      port,
      enrolments: [enrol(expired, account)],
      registry: { dialect: 'pypi', publicUrl: new URL(url) },
    })
    const { wheel } = await bench.make({ name: 'my-pkg', version: '2.0' })
    const pem = await bench.write('expired', expired)
    const { code, output } = await bench.twine([wheel, '--repository-url', url], pem)
    assert.equal(code, 1)
    assert.match(output, /client certificate \S+ expired at/)
  })
})

test('pip, where reads are public', async t => {
  const bench = await createPypiBench(t, python, 'public')
  const what = (operation: string) => ({ client: 'pip', version: python.versionOf('pip'), operation, backend })
  const { wheel } = await bench.make({ name: 'my-pkg', version: '1.0' })
  demand(await bench.twine([wheel]))

  await operation(t, what('install without a certificate'), async () => {
    const target = join(bench.folder, 'site')
    demand(await bench.pip('install', ['--target', target, 'MY.pkg']))
    assert.ok((await readdir(target)).includes('my_pkg.py'))
  })

  await operation(t, what('install with an unknown certificate'), async () => {
    const pem = await bench.write('stranger', await makeIdentity())
    demand(await bench.pip('install', ['--target', join(bench.folder, 'site2'), '--client-cert', pem, 'my-pkg']))
  })

  await t.test('no answer names the upstream, redirects included', async inner => {
    const client = await connectClient(inner, { port: bench.gate.port, servername: 'localhost' })
    const { port } = bench.gate
    for (const path of ['/simple/', '/simple/my-pkg/', '/simple/My_Pkg/', '/simple/my-pkg', '/simple/absent/']) {
      client.send(`GET ${path} HTTP/1.1\r\nhost: localhost:${port}\r\n\r\n`)
      const { head, body } = await client.response()
      assert.ok(!`${head}${body}`.includes(new URL(bench.server.origin).host), path)
    }
  })
})

test('pip, where reads need a certificate', async t => {
  const bench = await createPypiBench(t, python, 'certificate')
  const what = (operation: string) => ({ client: 'pip', version: python.versionOf('pip'), operation, backend })
  const { wheel } = await bench.make({ name: 'my-pkg', version: '1.0' })
  demand(await bench.twine([wheel]))

  await operation(t, what('install'), async () => {
    const target = join(bench.folder, 'site')
    demand(await bench.pip('install', ['--target', target, '--client-cert', bench.pem, 'my_pkg==1.0']))
    assert.ok((await readdir(target)).includes('my_pkg.py'))
  })

  await operation(t, what('download'), async () => {
    const target = join(bench.folder, 'downloads')
    demand(await bench.pip('download', ['--dest', target, '--client-cert', bench.pem, 'my-pkg']))
    assert.equal(await sha256Of(join(target, basename(wheel))), await sha256Of(wheel))
  })

  await operation(t, what('install without a certificate is refused, and asks for no password'), async () => {
    const { code, output } = await bench.pip('install', ['--target', join(bench.folder, 'none'), 'my-pkg'])
    assert.equal(code, 1)
    assert.match(output, /No matching distribution found for my-pkg/)
    assert.doesNotMatch(output, /User for|Password/)
  })

  await operation(t, what('install with an expired certificate is refused'), async () => {
    const now = Date.now()
    const expired = await makeIdentity({ notBefore: new Date(now - 120_000), notAfter: new Date(now - 60_000) })
    const pem = await bench.write('expired', expired)
    const { code } = await bench.pip('install', ['--target', join(bench.folder, 'no'), '--client-cert', pem, 'my-pkg'])
    assert.equal(code, 1)
  })
})

/** Given and empty: without any, uv looks for some and finds none. */
const UV_CREDENTIALS = ['--username', '', '--password', '']

test('uv', async t => {
  const bench = await createPypiBench(t, python, 'certificate')
  const what = (operation: string) => ({ client: 'uv', version: python.versionOf('uv'), operation, backend })
  const publish = (file: string, env: Record<string, string>) =>
    bench.uv(['publish', '--publish-url', bench.url, '--trusted-publishing', 'never', ...UV_CREDENTIALS, file], env)
  const install = (target: string, env: Record<string, string>) => {
    const index = ['--default-index', `${bench.url}simple/`, '--python', python.command]
    return bench.uv(['pip', 'install', ...index, '--no-deps', '--target', join(bench.folder, target), 'tool'], env)
  }

  await operation(t, what('publish'), async () => {
    const { wheel } = await bench.make({ name: 'tool', version: '1.0' })
    demand(await publish(wheel, { SSL_CLIENT_CERT: bench.pem }))
    assert.ok((await bench.stored()).includes(basename(wheel)))
    const digests = (await changes(bench)).map(line => line['digest'])
    assert.ok(digests.includes(await sha256Of(wheel)))
  })

  await operation(t, what('publish outside rights is refused, and says why'), async () => {
    const { wheel } = await bench.make({ name: 'other', version: '1.0' })
    const { code, output } = await publish(wheel, { SSL_CLIENT_CERT: bench.pem })
    assert.equal(code, 2)
    assert.match(output, /has no right to publish other/)
  })

  await operation(t, what('pip install'), async () => {
    demand(await install('site', { SSL_CLIENT_CERT: bench.pem }))
    assert.ok((await readdir(join(bench.folder, 'site'))).includes('tool.py'))
  })

  await operation(t, what('pip install without a certificate is refused'), async () => {
    const { code, output } = await install('none', {})
    assert.notEqual(code, 0)
    assert.match(output, /403/)
  })
})

test('curl', async t => {
  const bench = await createPypiBench(t, python, 'public')
  const what = (operation: string) => ({ client: 'curl', version: curlVersion, operation, backend })
  const upload = (file: string, fields: Readonly<Record<string, string>>) => {
    const form = Object.entries(fields).flatMap(([name, value]) => ['-F', `${name}=${value}`])
    const options = ['-sS', '-i', '--http1.1', '--cacert', bench.ca, '--cert', bench.pem]
    const content = `content=@${file};type=application/octet-stream`
    return run('curl', [...options, ...form, '-F', content, bench.url], bench.env)
  }
  const named = (name: string, version: string) => ({ ':action': 'file_upload', name, version })

  await operation(t, what('upload of 20 MB, which it asks leave for (Expect)'), async () => {
    const { wheel } = await bench.make({ name: 'big', version: '1.0', size: 20_000_000 })
    assert.match(demand(await upload(wheel, named('big', '1.0'))), /^HTTP\/1\.1 100 Continue\r\n\r\nHTTP\/1\.1 200 /)
    assert.deepEqual(await readFile(join(bench.server.store, basename(wheel))), await readFile(wheel))
  })

  await operation(t, what('upload with the digest of other bytes is refused'), async () => {
    const { wheel } = await bench.make({ name: 'tool', version: '1.0', size: 200_000 })
    const output = demand(await upload(wheel, { ...named('tool', '1.0'), sha256_digest: '0'.repeat(64) }))
    assert.match(output, /HTTP\/1\.1 400 the upload cannot be checked: "sha256_digest" is not the SHA-256 of the file/)
    // Closed in order, the connection would have left a shorter file there.
    await bench.server.until(/ConnectionResetError/)
    assert.ok(!(await bench.stored()).includes(basename(wheel)))
  })

  await operation(t, what('upload of a file that is not of the name is refused'), async () => {
    const { wheel } = await bench.make({ name: 'other', version: '1.0' })
    const output = demand(await upload(wheel, named('tool', '1.0')))
    assert.match(output, /400 the upload cannot be checked: the file other-1\.0-py3-none-any\.whl is not one of "name"/)
    assert.deepEqual(
      (await bench.stored()).filter(name => name.startsWith('other')),
      [],
    )
  })
})
