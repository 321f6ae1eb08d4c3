// A gate in this process, on a free port, for registries named registry.test; with a log and an audit file that the
// test can read.

import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { TestContext } from 'node:test'
import type { Account, Enrolment, Rights } from '../../src/accounts/account.ts'
import { compileRights } from '../../src/accounts/rights.ts'
import { Secret } from '../../src/accounts/secret.ts'
import type { Config, Limits, RegistryConfig } from '../../src/config/config.ts'
import { DEFAULT_LIMITS } from '../../src/config/limits.ts'
import type { Action } from '../../src/dialects/dialect.ts'
import type { Facts, Level, Log } from '../../src/ops/log.ts'
import { type RunningGate, startGate } from '../../src/wire.ts'
import { makeServerIdentity, REGISTRY_HOST, type TestIdentity } from './identities.ts'
import { temporaryFolder } from './temporary.ts'

export interface AccountOptions {
  readonly name?: string
  readonly suspended?: boolean
  /** the whole value of Authorization; null: the account has none */
  readonly credential?: string | null
  readonly rights?: Partial<Record<Action, readonly string[]>>
}

const REGISTRY = 'main'

/** An account of the registry that `startTestGate` serves. */
export function makeAccount(options: AccountOptions = {}): Account {
  const { name = 'alice', suspended = false, credential = `Bearer token-of-${name}`, rights = {} } = options
  const compiled: Rights = Object.fromEntries(
    Object.entries(rights).map(([action, patterns]) => [action, { patterns, covers: compileRights(patterns) }]),
  )
  return {
    name,
    suspended,
    credentials: new Map(
      credential === null ? [] : [[REGISTRY, { field: 'authorization', value: new Secret(credential) }]],
    ),
    rights: new Map([[REGISTRY, compiled]]),
  }
}

export function enrol(identity: TestIdentity, account: Account, more: Partial<Enrolment> = {}): Enrolment {
  return {
    account,
    pinned: { kind: 'certificate', fingerprint: identity.fingerprint },
    label: 'laptop',
    expires: Number.POSITIVE_INFINITY,
    only: undefined,
    revoked: undefined,
    ...more,
  }
}

/** A registry at registry.test with public reads, but for what `options` says. */
export function makeRegistry(options: Pick<RegistryConfig, 'upstream'> & Partial<RegistryConfig>): RegistryConfig {
  return {
    name: REGISTRY,
    dialect: 'npm',
    publicUrl: new URL(`https://${REGISTRY_HOST}`),
    upstreamCa: undefined,
    upstreamOrigins: [],
    upstreamHeaders: new Map(),
    tokenService: undefined,
    reads: 'public',
    ...options,
  }
}

export interface GateOptions {
  /** origin of the backend */
  readonly upstream: string
  readonly enrolments?: readonly Enrolment[]
  readonly registry?: Partial<RegistryConfig>
  /** further registries beside the one at registry.test */
  readonly others?: readonly RegistryConfig[]
  readonly limits?: Partial<Limits>
  readonly minimumTls?: Config['minimumTls']
  readonly publicReads?: boolean
  readonly auditFile?: string
  /** undefined: a free one. Where a client reaches the gate by its public URL, which has to name the port. */
  readonly port?: number
  /** ms since the epoch */
  readonly wall?: () => number
}

export interface LogLine {
  readonly level: Level
  readonly event: string
  readonly facts: Facts
}

export interface TestGate {
  readonly port: number
  /** PEM, for a client that verifies the gate: the server's own certificate */
  readonly certificate: string
  readonly gate: RunningGate
  readonly logged: readonly LogLine[]
  /** The audit lines so far; closes nothing. */
  readonly audit: () => Promise<readonly Record<string, unknown>[]>
  readonly auditFile: string
}

let serverIdentity: Promise<TestIdentity> | undefined

export async function startTestGate(t: TestContext, options: GateOptions): Promise<TestGate> {
  serverIdentity ??= makeServerIdentity()
  const server = await serverIdentity
  const auditFile = options.auditFile ?? join(await temporaryFolder(t), 'audit.jsonl')
  const logged: LogLine[] = []
  const log: Log = { write: (level, event, facts) => void logged.push({ level, event, facts }), flush() {} }
  const enrolments = options.enrolments ?? []
  const main = makeRegistry({ upstream: new URL(options.upstream), ...options.registry })
  const gate = await startGate(
    {
      listen: [
        {
          host: '127.0.0.1',
          port: options.port ?? 0,
          certificate: Buffer.from(server.certificate),
          key: Buffer.from(server.key),
        },
      ],
      minimumTls: options.minimumTls ?? 'TLSv1.2',
      registries: [main, ...(options.others ?? [])],
      accounts: [...new Set(enrolments.map(enrolment => enrolment.account))],
      enrolments,
      audit: { file: auditFile, publicReads: options.publicReads ?? false },
      limits: { ...DEFAULT_LIMITS, ...options.limits },
    },
    log,
    options.wall,
  )
  t.after(() => gate.kill())
  const [address] = gate.addresses
  if (address === undefined) throw new Error('the gate listens nowhere')
  const { port } = address
  return { port, certificate: server.certificate, gate, logged, auditFile, audit: () => readLines(auditFile) }
}

async function readLines(file: string): Promise<readonly Record<string, unknown>[]> {
  const text = await readFile(file, 'utf8')
  return text
    .split('\n')
    .slice(0, -1)
    .map(line => JSON.parse(line) as Record<string, unknown>)
}
