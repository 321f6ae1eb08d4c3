// A gate in front of a real pypiserver, an account with a certificate, and the Python clients set up for them.

import { readdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { TestContext } from 'node:test'
import { enrol, makeAccount, startTestGate, type TestGate } from './gate.ts'
import { makeIdentity, type TestIdentity } from './identities.ts'
import { type Distribution, makeDistributions, type Pypiserver, startPypiserver } from './pypiserver.ts'
import { cleanEnvironment, type Python, type Ran, run } from './python.ts'
import { freePort, temporaryFolder } from './temporary.ts'

export interface PypiBench {
  readonly folder: string
  readonly gate: TestGate
  /** with a slash at the end */
  readonly url: string
  readonly server: Pypiserver
  readonly alice: TestIdentity
  /** path of one PEM file with certificate and key */
  readonly pem: string
  /** path of the PEM file of whom to trust */
  readonly ca: string
  readonly env: Record<string, string>
  /** @returns the path of a PEM file */
  readonly write: (name: string, identity: TestIdentity) => Promise<string>
  /** the names of the files that the backend has */
  readonly stored: () => Promise<readonly string[]>
  readonly make: (distribution: Distribution) => ReturnType<typeof makeDistributions>
  readonly twine: (args: readonly string[], pem?: string) => Promise<Ran>
  /** with `--index-url` and whom to trust */
  readonly pip: (command: string, args: readonly string[]) => Promise<Ran>
  readonly uv: (args: readonly string[], env?: Record<string, string>) => Promise<Ran>
}

/** What its account may publish. */
export const PUBLISHED = ['my-pkg', 'tool', 'big']

export async function createPypiBench(
  t: TestContext,
  python: Python,
  reads: 'public' | 'certificate',
): Promise<PypiBench> {
  const folder = await temporaryFolder(t)
  const authenticate = reads === 'public' ? ['update'] : ['update', 'list', 'download']
  const server = await startPypiserver(t, python, { folder: join(folder, 'backend'), authenticate })
  const alice = await makeIdentity()
  const account = makeAccount({ credential: server.credential, rights: { publish: PUBLISHED } })
  const port = await freePort()
  const url = `https://localhost:${port}/`
  const gate = await startTestGate(t, {
    upstream: server.origin,
    port,
    enrolments: [enrol(alice, account)],
    registry: { dialect: 'pypi', publicUrl: new URL(url), reads },
  })
  const ca = join(folder, 'ca.pem')
  await writeFile(ca, gate.certificate)
  const env = cleanEnvironment(folder)

  async function write(name: string, { certificate, key }: TestIdentity): Promise<string> {
    const path = join(folder, `${name}.pem`)
    await writeFile(path, `${certificate}\n${key}`, { mode: 0o600 })
    return path
  }

  const pem = await write('alice', alice)
  // Neither a user nor a password, and nobody to ask for them.
  const twineOptions = ['--repository-url', url, '--cert', ca, '-u', '', '-p', '', '--non-interactive']
  const pipOptions = ['--index-url', `${url}simple/`, '--cert', ca, '--retries', '0', '--no-deps']
  return {
    folder,
    gate,
    url,
    server,
    alice,
    pem,
    ca,
    env,
    write,
    stored: () => readdir(server.store),
    make: distribution => makeDistributions(python, join(folder, 'dist'), distribution),
    twine: (args, client = pem) =>
      run(python.command, ['-m', 'twine', 'upload', ...twineOptions, '--client-cert', client, ...args], env),
    pip: (command, args) => run(python.command, ['-m', 'pip', command, ...pipOptions, ...args], env, folder),
    uv: (args, more = {}) => run(python.uv, args, { ...env, SSL_CERT_FILE: ca, ...more }, folder),
  }
}
