// The real cargo, in a home of its own: nothing of the machine's configuration and no token reaches it, and no registry
// but the one it is given.

import { spawn } from 'node:child_process'
import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { homedir } from 'node:os'
import { dirname, join } from 'node:path'
import { text } from 'node:stream/consumers'

/** The name by which crates and commands call the registry. */
export const CARGO_REGISTRY = 'gate'

export interface CargoHome {
  readonly folder: string
}

export interface CargoResult {
  /** null: killed by a signal */
  readonly code: number | null
  readonly stdout: string
  readonly stderr: string
}

export interface CargoOptions {
  readonly cwd: string
  /** sent as it is in `Authorization` */
  readonly token?: string
}

/**
 * @param index URL of the sparse index, with a slash at the end
 * @param ca PEM: whom to trust as server
 */
export async function createCargoHome(folder: string, index: string, ca: string): Promise<CargoHome> {
  await mkdir(folder, { recursive: true })
  const lines = [
    `[registries.${CARGO_REGISTRY}]`,
    `index = "sparse+${index}"`,
    // Where reads take a token, cargo asks for this to be said.
    '[registry]',
    'global-credential-providers = ["cargo:token"]',
    '[net]',
    'retry = 0',
    '',
  ]
  await writeFile(join(folder, 'config.toml'), lines.join('\n'))
  await writeFile(join(folder, 'ca.pem'), ca)
  return { folder }
}

/** Runs cargo to its end. @throws when there is none */
export async function runCargo(
  { folder }: CargoHome,
  args: readonly string[],
  { cwd, token }: CargoOptions,
): Promise<CargoResult> {
  const child = spawn('cargo', args, {
    cwd,
    env: {
      PATH: process.env['PATH'],
      HOME: folder,
      CARGO_HOME: folder,
      // Where `cargo` is rustup's, this is where the real one is.
      RUSTUP_HOME: process.env['RUSTUP_HOME'] ?? join(homedir(), '.rustup'),
      CARGO_HTTP_CAINFO: join(folder, 'ca.pem'),
      CARGO_TERM_COLOR: 'never',
      CARGO_TERM_PROGRESS_WHEN: 'never',
      ...(token === undefined ? {} : { [`CARGO_REGISTRIES_${CARGO_REGISTRY.toUpperCase()}_TOKEN`]: token }),
    },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  const closed = once(child, 'close')
  const [stdout, stderr] = await Promise.all([text(child.stdout), text(child.stderr), closed])
  return { code: child.exitCode, stdout, stderr }
}

export interface CrateSource {
  readonly name: string
  readonly version: string
  /** requirements by name, of crates of the registry */
  readonly dependencies?: Readonly<Record<string, string>>
  /** by path; a library is there anyway */
  readonly files?: Readonly<Record<string, string | Uint8Array>>
}

/** Writes a crate whose library has `pub fn version() -> &'static str`. @returns its folder */
export async function writeCrate(
  folder: string,
  { name, version, dependencies = {}, files = {} }: CrateSource,
): Promise<string> {
  const manifest = [
    '[package]',
    `name = "${name}"`,
    `version = "${version}"`,
    'edition = "2021"',
    'license = "Apache-2.0"',
    'description = "of a test"',
    `publish = ["${CARGO_REGISTRY}"]`,
    '[dependencies]',
    ...Object.entries(dependencies).map(
      ([it, req]) => `${it} = { version = "${req}", registry = "${CARGO_REGISTRY}" }`,
    ),
    // Not a member of a workspace that happens to be above.
    '[workspace]',
    '',
  ]
  const library = `pub fn version() -> &'static str {\n    "${version}"\n}\n`
  for (const [path, content] of Object.entries({
    'src/lib.rs': library,
    ...files,
    'Cargo.toml': manifest.join('\n'),
  })) {
    await mkdir(dirname(join(folder, path)), { recursive: true })
    await writeFile(join(folder, path), content)
  }
  return folder
}

/** Makes the `.crate` file, the same that a publish of this folder sends. @returns its SHA-256 in hex */
export async function packCrate(home: CargoHome, cwd: string, { name, version }: CrateSource): Promise<string> {
  const { code, stderr } = await runCargo(home, ['package', '--no-verify', '--registry', CARGO_REGISTRY], { cwd })
  if (code !== 0) throw new Error(`cargo package failed:\n${stderr}`)
  const file = await readFile(join(cwd, 'target', 'package', `${name}-${version}.crate`))
  return createHash('sha256').update(file).digest('hex')
}
