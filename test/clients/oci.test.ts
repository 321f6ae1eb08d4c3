// skopeo and podman, with a certificate and no login, through the gate to docker-registry: once with passwords, once
// with a token service, whose tokens the gate fetches for them.

import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import type { RegistryConfig } from '../../src/config/config.ts'
import { connectClient, type RawResponse } from '../lab/client.ts'
import { type DockerRegistry, type RegistryAuth, startDockerRegistry } from '../lab/docker-registry.ts'
import { enrol, makeAccount, startTestGate, type TestGate } from '../lab/gate.ts'
import { makeIdentity, type TestIdentity } from '../lab/identities.ts'
import { type Image, writeImage } from '../lab/oci-layout.ts'
import { type Ran, run, writeCertificates } from '../lab/skopeo.ts'
import { type Operation, operation } from '../lab/table.ts'
import { freePort, temporaryFolder } from '../lab/temporary.ts'
import { startTokenService, type TokenService } from '../lab/token-service.ts'

/** bcrypt of the password, as htpasswd writes it */
const HTPASSWD = 'alice:$2y$04$KI6z/Zs7LSoyCh7xhQ6D3OqBWoGoU1sqsde2Eh4mDdiIWqiMcbIEW\n'
const PASSWORD = 'secret of alice'
const CREDENTIAL = `Basic ${Buffer.from(`alice:${PASSWORD}`).toString('base64')}`

interface Bench {
  readonly folder: string
  readonly registry: DockerRegistry
  readonly gate: TestGate
  readonly port: number
  readonly alice: TestIdentity
  readonly ci: TestIdentity
  readonly stranger: TestIdentity
  /** image layouts */
  readonly small: string
  readonly image: Image
}

async function createBench(t: TestContext, auth: RegistryAuth, more: Partial<RegistryConfig>): Promise<Bench> {
  const folder = await temporaryFolder(t)
  const registry = await startDockerRegistry(t, join(folder, 'registry'), auth)
  const [alice, ci, stranger] = await Promise.all([makeIdentity(), makeIdentity(), makeIdentity()])
  const names = ['acme/**', 'public/**']
  const account = makeAccount({ credential: CREDENTIAL, rights: { publish: names, withdraw: names } })
  const port = await freePort()
  const gate = await startTestGate(t, {
    upstream: registry.origin,
    port,
    enrolments: [enrol(alice, account), enrol(ci, account, { label: 'ci', only: new Set(['publish']) })],
    registry: { dialect: 'oci', publicUrl: new URL(`https://localhost:${port}`), reads: 'certificate', ...more },
  })
  const small = join(folder, 'small')
  const image = await writeImage(small, Buffer.from('hello\n'))
  return { folder, registry, gate, port, alice, ci, stranger, small, image }
}

let runs = 0

/** Runs skopeo with a home of its own, so that it remembers nothing of what other runs have seen. */
async function skopeo(
  { folder, gate }: Bench,
  identity: TestIdentity | undefined,
  command: 'copy-to' | 'copy-from' | 'inspect' | 'list-tags' | 'delete',
  ...args: string[]
): Promise<Ran> {
  const home = join(folder, `home-${++runs}`)
  const certificates = await writeCertificates(join(home, 'certificates'), gate.certificate, identity)
  const [verb, option] =
    command === 'copy-to'
      ? ['copy', '--dest-cert-dir']
      : command === 'copy-from'
        ? ['copy', '--src-cert-dir']
        : [command, '--cert-dir']
  return run(home, 'skopeo', ['--insecure-policy', verb, option, certificates, ...args])
}

function mustSucceed({ code, output }: Ran): void {
  assert.equal(code, 0, output)
}

/** A request of no client's making. */
async function ask(t: TestContext, { port }: Bench, identity: TestIdentity | undefined, head: string, body = '') {
  const client = await connectClient(t, { port, identity, servername: 'localhost' })
  const framing = body === '' ? '' : `Content-Length: ${body.length}\r\n`
  client.send(`${head} HTTP/1.1\r\nHost: localhost:${port}\r\n${framing}\r\n${body}`)
  return client.response(head.split(' ')[0])
}

function sentenceOf({ body }: RawResponse): string {
  const parsed: unknown = JSON.parse(body)
  assert.ok(typeof parsed === 'object' && parsed !== null && 'message' in parsed)
  return String(parsed.message)
}

type Row = (what: string) => Operation

/** What works alike, whatever the backend wants to be shown. */
async function pushAndPull(t: TestContext, bench: Bench, row: Row): Promise<void> {
  const { alice, folder, gate, image, small, port } = bench
  const tool = `docker://localhost:${port}/acme/tool`

  await operation(t, row('push'), async () => {
    mustSucceed(await skopeo(bench, alice, 'copy-to', `oci:${small}:latest`, `${tool}:1.0`))
    const lines = await gate.audit()
    const put = lines.find(line => line['event'] === 'change' && line['version'] === '1.0')
    assert.deepEqual([put?.['action'], put?.['package'], put?.['digest']], ['publish', 'acme/tool', image.manifest])
  })

  await operation(t, row('inspect'), async () => {
    const ran = await skopeo(bench, alice, 'inspect', `${tool}:1.0`)
    mustSucceed(ran)
    const { Digest, Layers } = JSON.parse(ran.stdout) as { Digest: string; Layers: string[] }
    assert.deepEqual([Digest, Layers], [image.manifest, [image.layer]])
  })

  await operation(t, row('pull: the layers are the same to a byte'), async () => {
    const copy = join(folder, 'copy')
    mustSucceed(await skopeo(bench, alice, 'copy-from', `${tool}:1.0`, `oci:${copy}:latest`))
    const blob = await readFile(join(copy, 'blobs', 'sha256', image.layer.replace('sha256:', '')))
    assert.ok(blob.equals(image.layerBytes))
  })

  await operation(t, row('push and pull a layer of 20 MB'), async () => {
    const [large, back] = [join(folder, 'large'), join(folder, 'back')]
    const { layer, layerBytes } = await writeImage(large, randomBytes(20_000_000))
    mustSucceed(await skopeo(bench, alice, 'copy-to', `oci:${large}:latest`, `${tool}:large`))
    mustSucceed(await skopeo(bench, alice, 'copy-from', `${tool}:large`, `oci:${back}:latest`))
    assert.ok((await readFile(join(back, 'blobs', 'sha256', layer.replace('sha256:', '')))).equals(layerBytes))
  })

  await operation(t, row('list-tags'), async () => {
    const ran = await skopeo(bench, alice, 'list-tags', tool)
    mustSucceed(ran)
    const { Tags } = JSON.parse(ran.stdout) as { Tags: string[] }
    assert.deepEqual(Tags.toSorted(), ['1.0', 'large'])
  })
}

async function mounts(t: TestContext, bench: Bench, row: Row): Promise<void> {
  const { alice, ci, gate, image, port } = bench
  const tool = `docker://localhost:${port}/acme/tool:1.0`
  const mount = `?from=acme%2Ftool&mount=${encodeURIComponent(image.layer)}`

  await operation(t, row('copy to another repository, which mounts'), async () => {
    const home = join(bench.folder, 'home-mount')
    const certificates = await writeCertificates(join(home, 'certificates'), gate.certificate, alice)
    const directories = ['--src-cert-dir', certificates, '--dest-cert-dir', certificates]
    const target = tool.replace('tool:1.0', 'other:1.0')
    mustSucceed(await run(home, 'skopeo', ['--insecure-policy', 'copy', ...directories, tool, target]))
    const mounted = (await gate.audit()).filter(line => line['mounted_from'] === 'acme/tool')
    assert.ok(mounted.some(line => line['package'] === 'acme/other' && line['status'] === 201))
  })

  await t.test('a mount is a mount at the registry, too', async () => {
    const { status, fields } = await ask(t, bench, alice, `POST /v2/acme/third/blobs/uploads/${mount}`)
    assert.deepEqual([status, fields.get('docker-content-digest')], [201, image.layer])
    assert.equal(fields.get('location'), `https://localhost:${port}/v2/acme/third/blobs/${image.layer}`)
  })

  await t.test('a certificate that may not read does not mount either', async () => {
    const response = await ask(t, bench, ci, `POST /v2/acme/third/blobs/uploads/${mount}`)
    assert.equal(response.status, 403)
    assert.match(sentenceOf(response), /\(ci\) is enrolled only to publish, not to read/)
  })

  await t.test('a mount in a form, which docker-registry would obey, is refused', async () => {
    const head = 'POST /v2/acme/fourth/blobs/uploads/'
    const form = `from=acme/tool&mount=${image.layer}`
    const client = await connectClient(t, { port, identity: ci, servername: 'localhost' })
    const type = 'Content-Type: application/x-www-form-urlencoded'
    const lines = [`${head} HTTP/1.1`, `Host: localhost:${port}`, type, `Content-Length: ${form.length}`]
    client.send(`${lines.join('\r\n')}\r\n\r\n${form}`)
    assert.equal((await client.response()).status, 404)
    // What it would have done, had it got there:
    const authorization = await tokenFor(bench, 'acme/fourth', 'acme/tool')
    const url = `${bench.registry.origin}/v2/acme/fourth/blobs/uploads/`
    const headers = { authorization, 'content-type': 'application/x-www-form-urlencoded' }
    const direct = await fetch(url, { method: 'POST', headers, body: form })
    assert.equal(direct.status, 201)
  })
}

/** What docker-registry takes from somebody who is not the gate. */
async function tokenFor({ registry }: Bench, ...names: string[]): Promise<string> {
  const probe = await fetch(`${registry.origin}/v2/`)
  const [, realm] = /realm="(http[^"]+)",service="[^"]+"/.exec(probe.headers.get('www-authenticate') ?? '') ?? []
  if (realm === undefined) return CREDENTIAL
  const query = new URLSearchParams(names.map(name => ['scope', `repository:${name}:pull,push`]))
  query.set('service', 'lab registry')
  const answer = await fetch(`${realm}?${query}`, { headers: { authorization: CREDENTIAL } })
  const { token } = (await answer.json()) as { token: string }
  return `Bearer ${token}`
}

async function refusals(t: TestContext, bench: Bench, row: Row): Promise<void> {
  const { alice, stranger, small, folder, registry, port } = bench
  const at = (name: string) => `docker://localhost:${port}/${name}`

  await operation(t, row('push outside rights: refused with the sentence'), async () => {
    const { code, output } = await skopeo(bench, alice, 'copy-to', `oci:${small}:latest`, at('other/tool:1.0'))
    assert.notEqual(code, 0)
    assert.match(output, /account alice has no right to publish other\/tool/)
    assert.ok(!registry.requests().some(request => request.startsWith('POST /v2/other')))
  })

  await operation(t, row('push with an unknown certificate: refused with the sentence'), async () => {
    const { code, output } = await skopeo(bench, stranger, 'copy-to', `oci:${small}:latest`, at('acme/tool:2.0'))
    assert.notEqual(code, 0)
    assert.match(output, new RegExp(`client certificate ${stranger.fingerprint} is not enrolled here`))
  })

  await operation(t, row('pull without a certificate: refused with the sentence'), async () => {
    const { code, output } = await skopeo(bench, undefined, 'copy-from', at('acme/tool:1.0'), `oci:${folder}/no:latest`)
    assert.notEqual(code, 0)
    assert.match(output, /this needs a client certificate and none was presented/)
  })

  await t.test('the list of all repositories is for those who own them', async () => {
    const response = await ask(t, bench, alice, 'GET /v2/_catalog')
    assert.equal(response.status, 403)
    assert.match(sentenceOf(response), /account alice has no right to own all packages/)
  })
}

async function deletion(t: TestContext, bench: Bench, row: Row): Promise<void> {
  const { alice, port, gate, image } = bench
  const tool = `docker://localhost:${port}/acme/tool:1.0`
  await operation(t, row('delete'), async () => {
    mustSucceed(await skopeo(bench, alice, 'delete', tool))
    const gone = await skopeo(bench, alice, 'inspect', tool)
    assert.match(gone.output, /manifest unknown/)
    const line = (await gate.audit()).find(it => it['action'] === 'withdraw')
    assert.deepEqual([line?.['package'], line?.['version']], ['acme/tool', image.manifest])
  })
}

async function podman(t: TestContext, bench: Bench, backend: string): Promise<void> {
  const { folder, gate, alice, port, image } = bench
  const home = join(folder, 'podman')
  const certificates = await writeCertificates(join(home, 'certificates'), gate.certificate, alice)
  const policy = join(home, 'policy.json')
  await writeFile(policy, JSON.stringify({ default: [{ type: 'insecureAcceptAnything' }] }))
  const places = ['--root', join(home, 'root'), '--runroot', join(home, 'runroot')]
  const own = ['--storage-driver', 'vfs', '--cgroup-manager', 'cgroupfs', '--events-backend', 'none', ...places]
  const [, version = ''] = /version ([0-9.]+)/.exec((await run(home, 'podman', ['--version'])).output) ?? []
  const row: Row = what => ({ client: 'podman', version, operation: what, backend })
  const at = (name: string) => `localhost:${port}/acme/${name}`
  const options = ['-q', '--cert-dir', certificates, '--signature-policy', policy]

  await operation(t, row('pull'), async () => {
    const pulled = await run(home, 'podman', [...own, 'pull', ...options, at('tool:1.0')])
    mustSucceed(pulled)
    assert.equal(`sha256:${pulled.stdout.trim()}`, image.config)
  })

  await operation(t, row('push'), async () => {
    mustSucceed(await run(home, 'podman', [...own, 'push', ...options, at('tool:1.0'), at('podman:1.0')]))
    const ran = await skopeo(bench, alice, 'inspect', '--format', '{{.Digest}}', `docker://${at('podman:1.0')}`)
    mustSucceed(ran)
    const put = (await gate.audit()).find(
      line => line['event'] === 'change' && line['package'] === 'acme/podman' && line['version'],
    )
    assert.deepEqual([put?.['version'], put?.['digest']], ['1.0', ran.stdout.trim()])
  })

  await operation(t, row('push outside rights: refused with the sentence'), async () => {
    const target = `localhost:${port}/other/tool:1.0`
    const { code, output } = await run(home, 'podman', [...own, 'push', ...options, at('tool:1.0'), target])
    assert.notEqual(code, 0)
    assert.match(output, /account alice has no right to publish other\/tool/)
  })
}

async function versionsOf(t: TestContext): Promise<{ readonly skopeo: string; readonly backend: string }> {
  const home = await temporaryFolder(t)
  const [, client = ''] = /version ([0-9.]+)/.exec((await run(home, 'skopeo', ['--version'])).output) ?? []
  const [, server = ''] = /([0-9][0-9.]+)/.exec((await run(home, 'docker-registry', ['--version'])).output) ?? []
  return { skopeo: client, backend: `docker-registry ${server}` }
}

test('OCI clients through the gate to docker-registry with passwords', { timeout: 300_000 }, async t => {
  const versions = await versionsOf(t)
  const backend = `${versions.backend}, htpasswd`
  const row: Row = what => ({ client: 'skopeo', version: versions.skopeo, operation: what, backend })
  const bench = await createBench(t, { kind: 'htpasswd', htpasswd: HTPASSWD }, {})
  await pushAndPull(t, bench, row)
  await mounts(t, bench, row)
  await refusals(t, bench, row)
  await podman(t, bench, backend)
  await deletion(t, bench, row)
})

test('OCI clients through the gate to docker-registry with a token service', { timeout: 300_000 }, async t => {
  const versions = await versionsOf(t)
  const backend = `${versions.backend}, token service`
  const row: Row = what => ({ client: 'skopeo', version: versions.skopeo, operation: what, backend })
  const service = await startTokenService(t, { users: { alice: PASSWORD } })
  const bench = await createBench(t, { kind: 'token', ...service }, { tokenService: service.origin })
  await pushAndPull(t, bench, row)
  await t.test('each scope is asked for once, in the name of the account', () => onceEach(service))
  await mounts(t, bench, row)
  await refusals(t, bench, row)
  await podman(t, bench, backend)
  await deletion(t, bench, row)
})

function onceEach(service: TokenService): void {
  const asked = service.requests().map(({ user, scopes }) => `${user} ${scopes.join(' ')}`)
  assert.deepEqual(asked.toSorted(), [
    'alice ',
    'alice repository:acme/tool:pull',
    'alice repository:acme/tool:pull,push',
  ])
}

test('OCI clients through the gate where reads are public', { timeout: 300_000 }, async t => {
  const versions = await versionsOf(t)
  const backend = `${versions.backend}, token service`
  const row: Row = what => ({ client: 'skopeo', version: versions.skopeo, operation: what, backend })
  const service = await startTokenService(t, { users: { alice: PASSWORD } })
  const more: Partial<RegistryConfig> = { tokenService: service.origin, reads: 'public' }
  const bench = await createBench(t, { kind: 'token', ...service }, more)
  const { alice, stranger, small, folder, port } = bench
  const at = (name: string) => `docker://localhost:${port}/${name}`
  mustSucceed(await skopeo(bench, alice, 'copy-to', `oci:${small}:latest`, at('public/tool:1.0')))
  mustSucceed(await skopeo(bench, alice, 'copy-to', `oci:${small}:latest`, at('acme/tool:1.0')))

  for (const [who, identity] of [
    ['without a certificate', undefined],
    ['with an unknown certificate', stranger],
  ] as const) {
    await operation(t, row(`pull ${who} what is public`), async () => {
      const target = `oci:${join(folder, `public ${who}`)}:latest`
      mustSucceed(await skopeo(bench, identity, 'copy-from', at('public/tool:1.0'), target))
      assert.ok(service.requests().some(({ user, status }) => user === undefined && status === 200))
    })
  }

  await operation(t, row('pull without a certificate what is not public: refused with the sentence'), async () => {
    const { code, output } = await skopeo(bench, undefined, 'inspect', at('acme/tool:1.0'))
    assert.notEqual(code, 0)
    assert.match(output, /this needs a client certificate and none was presented/)
  })

  await operation(t, row('push without a certificate: refused with the sentence'), async () => {
    const { code, output } = await skopeo(bench, undefined, 'copy-to', `oci:${small}:latest`, at('public/tool:2.0'))
    assert.notEqual(code, 0)
    assert.match(output, /this needs a client certificate and none was presented/)
  })
})
