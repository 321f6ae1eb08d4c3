// Everything that the demo needs, started in order: a registry, a user with a token, certificates, a configuration,
// the gate. What is started is stopped again, whichever way the demo ends.

import { X509Certificate } from 'node:crypto'
import { access, mkdir, readFile, writeFile } from 'node:fs/promises'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { fingerprintOf } from '../src/accounts/fingerprint.ts'
import {
  type CertificateOptions,
  type IdentityFiles,
  makeCertificate,
  writeIdentity,
} from '../src/certfp/certificate.ts'
import { loadConfig } from '../src/config/load.ts'
import { formatProblems } from '../src/config/problem.ts'
import { createLog } from '../src/ops/log.ts'
import { startGate } from '../src/wire.ts'
import { atEnd, type Ending, temporaryFolder } from '../test/lab/temporary.ts'
import { startVerdaccio } from '../test/lab/verdaccio.ts'

export interface StageOptions {
  readonly say: (line: string) => void
  /** wanted; another one is taken when it is in use */
  readonly port: number
  /** in certs/, to be used again the next time, or in a folder that is removed */
  readonly keepCertificates: boolean
}

export interface Stage {
  /** of the gate, with a slash at the end */
  readonly url: string
  readonly registryOrigin: string
  /** PEM file of the server's certificate */
  readonly server: string
  readonly alice: IdentityFiles
  /** not enrolled */
  readonly stranger: IdentityFiles
  /** enrolled, and past its end */
  readonly expired: IdentityFiles
  /** for the demo's own files */
  readonly folder: string
  readonly auditFile: string
  readonly close: () => Promise<void>
}

const CERTS = fileURLToPath(new URL('../certs', import.meta.url))
const YEAR = 365 * 86_400_000
const STDERR = 2

/** @throws when one of the parts cannot start; those before it are stopped then */
export async function openStage(options: StageOptions): Promise<Stage> {
  const undo: (() => Promise<void>)[] = []
  const ending: Ending = { after: step => void undo.push(step) }
  const close = async (): Promise<void> => {
    for (const step of undo.splice(0)) await step()
  }
  try {
    return { ...(await setUp(options, ending)), close }
  } catch (error) {
    await close()
    throw error
  }
}

async function setUp({ say, port, keepCertificates }: StageOptions, ending: Ending): Promise<Omit<Stage, 'close'>> {
  const folder = await temporaryFolder(ending)

  say('Starting Verdaccio, a real npm registry …')
  const verdaccio = await startVerdaccio({ folder: join(folder, 'verdaccio') })
  atEnd(ending, verdaccio.stop)
  say(`Verdaccio runs on ${verdaccio.origin}`)
  const token = await verdaccio.createUser('alice', 'correct horse')
  say('Registered user alice there; her token goes to the gate, and to nobody else')

  const certs = keepCertificates ? CERTS : join(folder, 'certs')
  await mkdir(certs, { recursive: true, mode: 0o700 })
  const server = await identity(
    certs,
    'localhost',
    { use: { names: ['localhost', '127.0.0.1', '::1'] }, keyType: 'p256' },
    say,
  )
  const alice = await identity(certs, 'alice', {}, say)
  const stranger = await identity(certs, 'stranger', {}, say)
  const past = { notBefore: new Date(Date.now() - 2 * YEAR), notAfter: new Date(Date.now() - YEAR) }
  const expired = await identity(join(folder, 'certs'), 'expired', past, () => {})

  const chosen = await freePortNear(port)
  if (port !== 0 && chosen !== port) say(`Port ${port} is in use, so the gate takes ${chosen}`)
  const url = `https://localhost:${chosen}/`
  const auditFile = join(folder, 'audit.jsonl')
  const config = await writeConfiguration(folder, {
    url,
    upstream: verdaccio.origin,
    server,
    alice,
    expired,
    auditFile,
  })
  say(`Wrote ${config} and accounts.yaml beside it: alice's certificate, and what she may publish`)

  const loaded = await loadConfig(config, { ALICE_NPM_TOKEN: token })
  if (loaded.kind === 'bad') throw new Error(formatProblems(loaded.problems))
  const log = createLog(STDERR)
  const gate = await startGate(loaded.config, log)
  atEnd(ending, gate.stop)
  say(`The gate runs on ${url}`)
  return {
    url,
    registryOrigin: verdaccio.origin,
    server: server.certificate,
    alice,
    stranger,
    expired,
    folder,
    auditFile,
  }
}

/** The identity of that name, made when there is none or when it is about to end. */
async function identity(
  folder: string,
  name: string,
  options: Partial<CertificateOptions>,
  say: (line: string) => void,
): Promise<IdentityFiles> {
  const files = { certificate: join(folder, `${name}.pem`), key: join(folder, `${name}.key`) }
  const exists = await access(files.key).then(
    () => true,
    () => false,
  )
  if (exists) {
    say(`Found ${files.certificate}`)
    return files
  }
  const now = Date.now()
  const made = await makeCertificate({
    commonName: name,
    keyType: 'ed25519',
    // Clocks differ a little.
    notBefore: new Date(now - 60_000),
    notAfter: new Date(now + 5 * YEAR),
    use: 'client',
    ...options,
  })
  const written = await writeIdentity(folder, name, made)
  say(`Made ${written.certificate}, self-signed`)
  return written
}

interface ConfigurationFacts {
  readonly url: string
  readonly upstream: string
  readonly server: IdentityFiles
  readonly alice: IdentityFiles
  readonly expired: IdentityFiles
  readonly auditFile: string
}

/** JSON is YAML, too; paths need no care about quoting. @returns the path of certgate.yaml */
async function writeConfiguration(folder: string, facts: ConfigurationFacts): Promise<string> {
  const { url, upstream, server, alice, expired, auditFile } = facts
  const { port, origin } = new URL(url)
  const file = join(folder, 'certgate.yaml')
  const config = {
    listen: [{ address: `127.0.0.1:${port}`, certificate: server.certificate, key: server.key }],
    registries: { npm: { dialect: 'npm', 'public-url': origin, upstream, reads: 'public' } },
    accounts: 'accounts.yaml',
    audit: { file: auditFile },
  }
  const mine = ['hello', '@alice/*']
  const accounts = {
    alice: {
      credentials: { npm: { bearer: { env: 'ALICE_NPM_TOKEN' } } },
      rights: { npm: { publish: mine, amend: mine, withdraw: mine } },
      certificates: [
        { fingerprint: await fingerprintOfFile(alice.certificate), label: 'laptop' },
        { fingerprint: await fingerprintOfFile(expired.certificate), label: 'old laptop' },
      ],
    },
  }
  await writeFile(join(folder, 'accounts.yaml'), `${JSON.stringify({ accounts }, undefined, 2)}\n`)
  await writeFile(file, `${JSON.stringify(config, undefined, 2)}\n`)
  return file
}

async function fingerprintOfFile(path: string): Promise<string> {
  return fingerprintOf(new X509Certificate(await readFile(path)).raw)
}

/** @returns `port` itself when nobody listens there */
async function freePortNear(port: number): Promise<number> {
  const server = createServer()
  const bound = await new Promise<number | undefined>(resolve => {
    server.once('error', () => resolve(undefined))
    server.listen(port, '127.0.0.1', () => {
      const address = server.address()
      resolve(address !== null && typeof address === 'object' ? address.port : undefined)
    })
  })
  if (bound === undefined) return freePortNear(0)
  await new Promise(resolve => server.close(resolve))
  return bound
}
