// Maven itself, with a certificate and no password, through the gate to a repository that takes a password only.

import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { copyFile, readFile, realpath, rm, writeFile } from 'node:fs/promises'
import { delimiter, dirname, join } from 'node:path'
import { text } from 'node:stream/consumers'
import { type TestContext, test } from 'node:test'
import { enrol, makeAccount, startTestGate, type TestGate } from '../lab/gate.ts'
import { makeIdentity, type TestIdentity } from '../lab/identities.ts'
import { type MavenRepository, startMavenRepository } from '../lab/maven-repository.ts'
import { operation } from '../lab/table.ts'
import { freePort, temporaryFolder } from '../lab/temporary.ts'

const DEPLOY = 'org.apache.maven.plugins:maven-deploy-plugin:2.8.2:deploy-file'
const GET = 'org.apache.maven.plugins:maven-dependency-plugin:3.1.1:get'
const PASSWORD = 'changeit'

interface Bench {
  readonly folder: string
  readonly gate: TestGate
  readonly url: string
  readonly repository: MavenRepository
  /** where the repository keeps its files */
  readonly store: string
  readonly alice: TestIdentity
}

async function createBench(t: TestContext): Promise<Bench> {
  const folder = await temporaryFolder(t)
  const store = join(folder, 'store')
  const options = { folder: store, basePath: '/repository/releases', user: 'alice', password: 'secret' }
  const repository = await startMavenRepository(t, options)
  const alice = await makeIdentity({ keyType: 'p256' })
  const rights = { publish: ['com/acme/tool', 'com/acme/lib/*'] }
  const account = makeAccount({ credential: repository.credential, rights })
  const port = await freePort()
  const url = `https://localhost:${port}/maven/`
  const gate = await startTestGate(t, {
    upstream: repository.url,
    port,
    enrolments: [enrol(alice, account)],
    registry: { dialect: 'maven', publicUrl: new URL(url), reads: 'certificate' },
  })
  await makeTruststore(folder, gate.certificate)
  await writeFile(join(folder, 'settings.xml'), '<settings/>\n')
  await writeFile(join(folder, 'tool.jar'), 'not really a jar, but Maven only carries it')
  return { folder, gate, url, repository, store, alice }
}

interface Ran {
  readonly code: number | null
  readonly output: string
}

async function run(command: string, args: readonly string[], env: Record<string, string> = {}): Promise<Ran> {
  const child = spawn(command, args, {
    env: { PATH: process.env['PATH'], ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  // Throws, too, where the command is missing.
  const closed = once(child, 'close')
  const [stdout, stderr] = await Promise.all([text(child.stdout), text(child.stderr), closed])
  return { code: child.exitCode, output: stdout + stderr }
}

async function mustRun(command: string, args: readonly string[]): Promise<string> {
  const { code, output } = await run(command, args)
  assert.equal(code, 0, `${command} ${args.join(' ')}\n${output}`)
  return output
}

/** Java's own authorities, by which Maven Central is known, and the gate's certificate. */
async function makeTruststore(folder: string, certificate: string): Promise<void> {
  const store = join(folder, 'trust.jks')
  await copyFile(join(await javaHome(), 'lib', 'security', 'cacerts'), store)
  await writeFile(join(folder, 'gate.pem'), certificate)
  const args = ['-importcert', '-noprompt', '-alias', 'gate', '-file', join(folder, 'gate.pem')]
  await mustRun('keytool', [...args, '-keystore', store, '-storepass', PASSWORD])
}

async function javaHome(): Promise<string> {
  for (const folder of (process.env['PATH'] ?? '').split(delimiter).filter(Boolean)) {
    const found = await realpath(join(folder, 'java')).catch(() => undefined)
    if (found !== undefined) return dirname(dirname(found))
  }
  throw new Error('java is not on PATH')
}

/** @returns what Maven is told of a client's key; nothing for a client without one */
async function keyOptions(folder: string, identity: TestIdentity | undefined): Promise<string[]> {
  if (identity === undefined) return []
  const path = join(folder, `${identity.fingerprint}.p12`)
  await writeFile(`${path}.pem`, identity.certificate + identity.key, { mode: 0o600 })
  const args = ['pkcs12', '-export', '-in', `${path}.pem`, '-name', 'id', '-passout', `pass:${PASSWORD}`]
  await mustRun('openssl', [...args, '-out', path])
  return [`keyStore=${path}`, `keyStorePassword=${PASSWORD}`, 'keyStoreType=PKCS12']
}

/** What Maven needs of its own comes from Maven Central, once for all runs of a bench. */
async function maven(bench: Bench, identity: TestIdentity | undefined, ...args: string[]): Promise<Ran> {
  const { folder } = bench
  const trust = [`trustStore=${join(folder, 'trust.jks')}`, `trustStorePassword=${PASSWORD}`]
  const options = [...trust, ...(await keyOptions(folder, identity))].map(it => `-Djavax.net.ssl.${it}`)
  const settings = join(folder, 'settings.xml')
  const own = ['-B', '-e', '-s', settings, '-gs', settings, `-Dmaven.repo.local=${join(folder, 'local')}`]
  return run('mvn', [...own, ...args], { HOME: folder, MAVEN_OPTS: [`-Duser.home=${folder}`, ...options].join(' ') })
}

function deploy(bench: Bench, identity: TestIdentity | undefined, coordinates: string): Promise<Ran> {
  const [group, artifact, version] = coordinates.split(':')
  const what = [`-DgroupId=${group}`, `-DartifactId=${artifact}`, `-Dversion=${version}`, '-Dpackaging=jar']
  const where = [`-Dfile=${join(bench.folder, 'tool.jar')}`, `-Durl=${bench.url}`, '-DrepositoryId=gate']
  return maven(bench, identity, DEPLOY, ...what, ...where)
}

/** Of what was resolved before, Maven asks no more. */
async function resolve(bench: Bench, identity: TestIdentity | undefined, coordinates: string): Promise<Ran> {
  await rm(join(bench.folder, 'local', 'com', 'acme'), { recursive: true, force: true })
  const options = [`-DremoteRepositories=gate::default::${bench.url}`, '-Dtransitive=false']
  return maven(bench, identity, GET, `-Dartifact=${coordinates}`, ...options)
}

test('Maven through the gate', { timeout: 300_000 }, async t => {
  const [, version = ''] = /Apache Maven ([0-9.]+)/.exec(await mustRun('mvn', ['-B', '-v'])) ?? []
  const bench = await createBench(t)
  const { alice, store, folder, repository, gate } = bench
  const stranger = await makeIdentity({ keyType: 'p256' })
  const row = (what: string) => ({ client: 'mvn', version, operation: what, backend: 'a Maven repository' })
  const stored = (path: string) => readFile(join(store, path), 'utf8')
  const jar = await readFile(join(folder, 'tool.jar'), 'utf8')

  await operation(t, row('deploy'), async () => {
    const { code, output } = await deploy(bench, alice, 'com.acme:tool:1.0.0')
    assert.equal(code, 0, output)
    assert.equal(await stored('com/acme/tool/1.0.0/tool-1.0.0.jar'), jar)
    assert.match(await stored('com/acme/tool/maven-metadata.xml'), /<version>1\.0\.0<\/version>/)
    const put = (await gate.audit()).filter(line => line['action'] === 'publish')
    assert.ok(put.some(line => line['package'] === 'com/acme/tool' && line['version'] === '1.0.0'))
  })

  await operation(t, row('deploy a second version'), async () => {
    const { code, output } = await deploy(bench, alice, 'com.acme:tool:1.1.0')
    assert.equal(code, 0, output)
    const metadata = await stored('com/acme/tool/maven-metadata.xml')
    assert.match(metadata, /<version>1\.0\.0<\/version>\s*<version>1\.1\.0<\/version>/)
  })

  await operation(t, row('deploy a snapshot'), async () => {
    const { code, output } = await deploy(bench, alice, 'com.acme.lib:core:2.0-SNAPSHOT')
    assert.equal(code, 0, output)
    const metadata = await stored('com/acme/lib/core/2.0-SNAPSHOT/maven-metadata.xml')
    const [, value = ''] = /<value>(2\.0-[0-9.]+-1)<\/value>/.exec(metadata) ?? []
    assert.equal(await stored(`com/acme/lib/core/2.0-SNAPSHOT/core-${value}.jar`), jar)
  })

  await operation(t, row('resolve'), async () => {
    const { code, output } = await resolve(bench, alice, 'com.acme:tool:1.0.0')
    assert.equal(code, 0, output)
    assert.equal(await readFile(join(folder, 'local/com/acme/tool/1.0.0/tool-1.0.0.jar'), 'utf8'), jar)
    assert.ok(repository.requests().includes('GET /com/acme/tool/1.0.0/tool-1.0.0.jar'))
  })

  await operation(t, row('deploy outside rights: refused with the sentence'), async () => {
    const before = repository.requests().filter(line => line.startsWith('PUT')).length
    const { code, output } = await deploy(bench, alice, 'com.acme:other:1.0.0')
    assert.notEqual(code, 0)
    assert.match(output, /account alice has no right to publish com\/acme\/other/)
    assert.equal(repository.requests().filter(line => line.startsWith('PUT')).length, before)
  })

  await operation(t, row('deploy with an unknown certificate: refused with the sentence'), async () => {
    const { code, output } = await deploy(bench, stranger, 'com.acme:tool:9.0.0')
    assert.notEqual(code, 0)
    assert.match(output, new RegExp(`client certificate ${stranger.fingerprint} is not enrolled here`))
  })

  await operation(t, row('resolve with an unknown certificate: refused with the sentence'), async () => {
    const { code, output } = await resolve(bench, stranger, 'com.acme:tool:1.0.0')
    assert.notEqual(code, 0)
    assert.match(output, new RegExp(`client certificate ${stranger.fingerprint} is not enrolled here`))
  })

  await operation(t, row('resolve without a certificate: refused with the sentence'), async () => {
    const { code, output } = await resolve(bench, undefined, 'com.acme:tool:1.0.0')
    assert.notEqual(code, 0)
    assert.match(output, /this needs a client certificate and none was presented/)
  })
})
