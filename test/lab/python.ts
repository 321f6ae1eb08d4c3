// A Python of the tests' own, with the clients that Python people use: pip, twine, uv; and pypiserver. Made once, from
// pinned versions, and kept.

import { spawn } from 'node:child_process'
import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { access, mkdir, mkdtemp, readFile, rename, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { fileURLToPath } from 'node:url'

export interface Python {
  /** path of the interpreter */
  readonly command: string
  /** path of uv, which is a program of its own */
  readonly uv: string
  /** of the package, as it is installed */
  readonly versionOf: (name: string) => string
}

const REQUIREMENTS = fileURLToPath(new URL('python-requirements.txt', import.meta.url))
const FOLDER = fileURLToPath(new URL('.venv', import.meta.url))

/** Makes the environment unless it is there. It takes half a minute, and the network. @throws when there is no Python 3 */
export async function ensurePython(): Promise<Python> {
  const requirements = await readFile(REQUIREMENTS, 'utf8')
  const folder = join(FOLDER, createHash('sha256').update(requirements).digest('hex').slice(0, 12))
  if (!(await exists(folder))) await makeEnvironment(folder)

  function versionOf(name: string): string {
    const version = new RegExp(`^${name}==(.+)$`, 'm').exec(requirements)?.[1]
    if (version === undefined) throw new Error(`${name} is not among the requirements`)
    return version
  }

  return { command: join(folder, 'bin', 'python'), uv: join(folder, 'bin', 'uv'), versionOf }
}

/** Whole or not at all: another test file may be at it, too. */
async function makeEnvironment(folder: string): Promise<void> {
  await mkdir(FOLDER, { recursive: true })
  await writeFile(join(FOLDER, '.gitignore'), '*\n')
  const made = await mkdtemp(join(FOLDER, 'new-'))
  // The machine's own settings hold here: they lead to the package index.
  const env = { ...process.env, PIP_DISABLE_PIP_VERSION_CHECK: '1' }
  await demand(await run('python3', ['-m', 'venv', made], env))
  await demand(await run(join(made, 'bin', 'python'), ['-m', 'pip', 'install', '-q', '-r', REQUIREMENTS], env))
  try {
    await rename(made, folder)
  } catch (error) {
    await rm(made, { recursive: true, force: true })
    if (!(await exists(folder))) throw error
  }
}

function exists(path: string): Promise<boolean> {
  return access(path).then(
    () => true,
    () => false,
  )
}

export interface Ran {
  /** null: killed by a signal */
  readonly code: number | null
  /** of both streams */
  readonly output: string
}

/** Runs a program to its end. @throws when it is not there */
export async function run(
  command: string,
  args: readonly string[],
  env: Readonly<NodeJS.ProcessEnv>,
  cwd?: string,
): Promise<Ran> {
  const child = spawn(command, args, { cwd, env, stdio: ['ignore', 'pipe', 'pipe'] })
  const closed = once(child, 'close')
  const [stdout, stderr] = await Promise.all([text(child.stdout), text(child.stderr), closed])
  return { code: child.exitCode, output: `${stdout}${stderr}` }
}

/** @throws with all that a program wrote, unless it succeeded */
export function demand(ran: Ran): string {
  if (ran.code !== 0) throw new Error(`ended with ${ran.code}:\n${ran.output}`)
  return ran.output
}

/**
 * For a client: REQUESTS_CA_BUNDLE, PIP_CERT, SSL_CERT_FILE and the like of the machine's would beat its options, and
 * so would its configuration.
 *
 * @param home a folder
 */
export function cleanEnvironment(home: string): Record<string, string> {
  return {
    PATH: process.env['PATH'] ?? '',
    HOME: home,
    PIP_CONFIG_FILE: '/dev/null',
    PIP_DISABLE_PIP_VERSION_CHECK: '1',
    PIP_NO_CACHE_DIR: '1',
    UV_NO_CONFIG: '1',
    UV_CACHE_DIR: join(home, 'uv-cache'),
    UV_PYTHON_DOWNLOADS: 'never',
    NO_COLOR: '1',
    // Else rich, which twine writes with, breaks sentences into lines.
    COLUMNS: '1000',
  }
}
