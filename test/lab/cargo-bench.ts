// What the tests of cargo share: a registry that takes a token only, the gate before it, and cargo with a home of its own.

import assert from 'node:assert/strict'
import { join } from 'node:path'
import type { TestContext } from 'node:test'
import type { Account, Enrolment } from '../../src/accounts/account.ts'
import type { TicketBinding } from '../../src/lane/tickets.ts'
import {
  CARGO_REGISTRY,
  type CargoHome,
  type CargoResult,
  type CrateSource,
  createCargoHome,
  packCrate,
  runCargo,
  writeCrate,
} from './cargo.ts'
import { type CargoRegistry, type CargoRegistryOptions, startCargoRegistry } from './cargo-registry.ts'
import { enrol, type GateOptions, makeAccount, startTestGate, type TestGate } from './gate.ts'
import { makeIdentity, type TestIdentity } from './identities.ts'
import { atEnd, freePort, temporaryFolder } from './temporary.ts'
import type { TicketDesk } from './tickets.ts'

/** whole, as the registry wants it in `Authorization` */
export const TOKEN = 'token-of-alice'
const RIGHTS = { publish: ['acme-*'], withdraw: ['acme-*'], own: ['acme-*'] }
export const PUBLISH = ['publish', '--registry', CARGO_REGISTRY, '--no-verify']

export interface CargoBench {
  readonly folder: string
  readonly gate: TestGate
  /** public URL of the registry, with a slash at the end */
  readonly url: string
  readonly home: CargoHome
  readonly registry: CargoRegistry
  readonly desk: TicketDesk
}

export interface CargoBenchOptions {
  /** undefined: enrolled, for `acme-*` */
  readonly enrolled?: (alice: TestIdentity) => Enrolment
  readonly backend?: Partial<CargoRegistryOptions>
  readonly gate?: Partial<GateOptions>
  readonly reads?: 'public' | 'certificate'
}

/** The registry stands below a path, and the gate serves it below another. */
export async function createCargoBench(t: TestContext, options: CargoBenchOptions = {}): Promise<CargoBench> {
  const folder = await temporaryFolder(t)
  const registry = await startCargoRegistry({ tokens: { [TOKEN]: 'alice' }, base: '/registry', ...options.backend })
  atEnd(t, registry.stop)
  const alice = await makeIdentity()
  const enrolled = options.enrolled ?? (identity => enrol(identity, cargoAccount()))
  const port = await freePort()
  const url = `https://localhost:${port}/cargo/`
  const gate = await startTestGate(t, {
    upstream: registry.url,
    port,
    enrolments: [enrolled(alice)],
    registry: { dialect: 'cargo', publicUrl: new URL(url), reads: options.reads ?? 'public' },
    ...options.gate,
  })
  const home = await createCargoHome(join(folder, 'home'), `${url}index/`, gate.certificate)
  return { folder, gate, url, home, registry, desk: { port, url, identity: alice } }
}

export function cargoAccount(): Account {
  return makeAccount({ credential: TOKEN, rights: RIGHTS })
}

export interface Packed {
  /** the crate's folder */
  readonly cwd: string
  /** of a ticket for exactly this publish */
  readonly binding: TicketBinding
}

export async function pack({ folder, home }: CargoBench, source: CrateSource): Promise<Packed> {
  const { name, version } = source
  const cwd = await writeCrate(join(folder, `${name}-${version}`), source)
  const digest = await packCrate(home, cwd, source)
  return { cwd, binding: { registry: 'main', action: 'publish', package: name, version, digest } }
}

export function publish({ home }: CargoBench, { cwd }: Packed, token: string): Promise<CargoResult> {
  return runCargo(home, PUBLISH, { cwd, token })
}

export function assertWorked({ code, stderr }: CargoResult): void {
  assert.equal(code, 0, stderr)
}

/** cargo wraps no lines where its output is no terminal. It has to have failed, with this in its words. */
export function assertRefused({ code, stderr }: CargoResult, sentence: string | RegExp): void {
  assert.notEqual(code, 0, stderr)
  if (typeof sentence === 'string') assert.ok(stderr.includes(sentence), stderr)
  else assert.match(stderr, sentence)
}

export async function cargoVersion(t: TestContext): Promise<string> {
  const folder = await temporaryFolder(t)
  const { stdout } = await runCargo({ folder }, ['--version'], { cwd: folder })
  return /^cargo ([0-9.]+)/.exec(stdout)?.[1] ?? 'unknown'
}

export function app(dependency: string): CrateSource {
  const main = `fn main() {\n    println!("{}", ${dependency}::version());\n}\n`
  return { name: 'app', version: '0.0.0', dependencies: { [dependency]: '1.0' }, files: { 'src/main.rs': main } }
}
