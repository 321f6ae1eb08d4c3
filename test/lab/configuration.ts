// The two configuration files, written for a test, with a server certificate beside them.

import { chmod, mkdir, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import type { Config, Loaded } from '../../src/config/config.ts'
import { loadConfig } from '../../src/config/load.ts'
import { formatProblems } from '../../src/config/problem.ts'
import { makeServerIdentity, type TestIdentity } from './identities.ts'
import { type Ending, temporaryFolder } from './temporary.ts'

/** A small certgate.yaml with nothing wrong in it. */
export const GATE = `listen:
  - address: 127.0.0.1:8443
    certificate: server.crt
    key: server.key
registries:
  npm:
    dialect: npm
    public-url: https://npm.example.com:8443
    upstream: http://127.0.0.1:4873
    reads: public
accounts: accounts.yaml
audit: {file: audit.jsonl}
limits:
  idle: 30s
`

export const PRINT_1 = '9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08'
export const PRINT_2 = '2c26b46b68ffc68ff99b453c1d30413413422d706483bfa0f98a5e886266e7ae'

/** A small accounts.yaml with nothing wrong in it. */
export const ACCOUNTS = `accounts:
  alice:
    credentials:
      npm: {bearer: {env: ALICE_NPM_TOKEN}}
    rights:
      npm: {publish: ["@acme/*", left-pad]}
    certificates:
      - fingerprint: ${PRINT_1}
        label: laptop
        added: 2026-11-24
        expires: 2031-11-23
      - fingerprint: ${PRINT_2}
        label: ci
        only: [read, publish]
        revoked: {on: 2027-01-05, reason: leaked}
`

export const ENV = { ALICE_NPM_TOKEN: 'npm_canary' }

let server: Promise<TestIdentity> | undefined

export interface Bench {
  readonly folder: string
  readonly server: TestIdentity
  /** Writes a file into the folder, with its mode whatever the umask is. @returns its path */
  readonly write: (name: string, content: string | Buffer, mode?: number) => Promise<string>
  /** Writes certgate.yaml and accounts.yaml and loads them. */
  readonly load: (files?: {
    gate?: string | Buffer
    accounts?: string | Buffer
    env?: NodeJS.ProcessEnv
    /** ms */
    commandTime?: number
  }) => Promise<Loaded>
}

export async function createBench(t: Ending): Promise<Bench> {
  server ??= makeServerIdentity()
  const folder = await temporaryFolder(t)

  async function write(name: string, content: string | Buffer, mode = 0o600): Promise<string> {
    const path = join(folder, name)
    await mkdir(dirname(path), { recursive: true })
    await writeFile(path, content)
    await chmod(path, mode)
    return path
  }

  await write('server.crt', (await server).certificate)
  await write('server.key', (await server).key)
  return {
    folder,
    server: await server,
    write,
    async load({ gate = GATE, accounts = ACCOUNTS, env = ENV, commandTime } = {}) {
      await write('accounts.yaml', accounts, 0o644)
      return loadConfig(await write('certgate.yaml', gate, 0o644), env, commandTime)
    },
  }
}

export function configOf(loaded: Loaded): Config {
  if (loaded.kind === 'bad') throw new Error(formatProblems(loaded.problems))
  return loaded.config
}

/** `accounts.yaml:4:7 message`; a file as a whole has no position. */
export function problemsOf(loaded: Loaded, folder: string): string[] {
  if (loaded.kind === 'ok') return []
  return loaded.problems.map(({ file, line, column, message }) => {
    const place = line === undefined ? '' : `:${line}:${column}`
    return `${file}${place} ${message}`.replaceAll(`${folder}/`, '')
  })
}
