// The real npm command line, in a home of its own: nothing of the machine's configuration, no variable of an outer npm
// and no token reaches it.

import { type ChildProcessWithoutNullStreams, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdir, realpath, writeFile } from 'node:fs/promises'
import { delimiter, dirname, join } from 'node:path'
import { text } from 'node:stream/consumers'

export interface NpmOptions {
  readonly registry: string
  /** registries of single scopes, by scope with its `@`: `{ '@acme': 'https://…' }` */
  readonly scopes?: Readonly<Record<string, string>>
  /** path of a PEM file: whom to trust as server */
  readonly cafile?: string
  /** path of a PEM file; presented to every registry given here */
  readonly certfile?: string
  /** path of a PEM file */
  readonly keyfile?: string
}

export interface NpmHome {
  readonly folder: string
}

export interface NpmResult {
  /** null: killed by a signal */
  readonly code: number | null
  readonly stdout: string
  readonly stderr: string
}

export interface Package {
  readonly name: string
  readonly version: string
  /** by path in the package; `index.js` is there anyway */
  readonly files?: Readonly<Record<string, string | Uint8Array>>
  /** more fields of package.json */
  readonly manifest?: Readonly<Record<string, unknown>>
}

/**
 * Makes a home whose `.npmrc` holds what `options` says and nothing else: no token, no dummy for one.
 *
 * @param folder must be new or empty
 */
export async function createNpmHome(folder: string, options: NpmOptions): Promise<NpmHome> {
  await mkdir(folder, { recursive: true })
  await writeFile(join(folder, '.npmrc'), npmrcOf(options), { flag: 'wx', mode: 0o600 })
  return { folder }
}

function npmrcOf({ registry, scopes = {}, cafile, certfile, keyfile }: NpmOptions): string {
  const places = new Set([registry, ...Object.values(scopes)].map(placeOf))
  const lines = [`registry=${registry}`, ...Object.entries(scopes).map(([scope, url]) => `${scope}:registry=${url}`)]
  if (cafile !== undefined) lines.push(`cafile=${cafile}`)
  for (const place of places) {
    if (certfile !== undefined) lines.push(`${place}:certfile=${certfile}`)
    if (keyfile !== undefined) lines.push(`${place}:keyfile=${keyfile}`)
  }
  return `${lines.join('\n')}\n`
}

/** How npm names a registry in its settings: `//host:port/path/`. Without the slash at the end npm finds nothing. */
export function placeOf(registry: string): string {
  const { host, pathname } = new URL(registry)
  return `//${host}${pathname.endsWith('/') ? pathname : `${pathname}/`}`
}

export interface RunOptions {
  readonly cwd: string
  readonly env?: Readonly<Record<string, string>>
  /** what a user types, one line at each question of npm; undefined: there is nobody to ask */
  readonly answers?: readonly string[]
}

/**
 * Runs npm to its end. Arguments go before the settings made here, which keep it quiet and its failures quick.
 *
 * @throws when there is no npm
 */
export async function runNpm(home: NpmHome, args: readonly string[], options: RunOptions): Promise<NpmResult> {
  const [command, ...first] = await findNpm()
  const child = spawn(command, [...first, ...args], {
    cwd: options.cwd,
    env: { ...environmentOf(home), ...options.env },
    stdio: ['pipe', 'pipe', 'pipe'],
  })
  answerQuestions(child, options.answers ?? [])
  const closed = once(child, 'close')
  const [stdout, stderr] = await Promise.all([text(child.stdout), text(child.stderr), closed])
  return { code: child.exitCode, stdout, stderr }
}

/** One line at a time: what npm has read beyond the answer to one question is lost to the next. */
function answerQuestions({ stdin, stdout }: ChildProcessWithoutNullStreams, answers: readonly string[]): void {
  const left = [...answers]
  // npm may end before it asks.
  stdin.on('error', () => {})
  if (left.length === 0) return void stdin.end()
  stdout.on('data', (chunk: Buffer) => {
    if (chunk.toString().endsWith(' ')) stdin.write(`${left.shift() ?? ''}\n`)
    if (left.length === 0) stdin.end()
  })
}

function environmentOf({ folder }: NpmHome): Record<string, string> {
  return {
    PATH: [dirname(process.execPath), process.env['PATH']].filter(Boolean).join(delimiter),
    HOME: folder,
    USERPROFILE: folder,
    // Both default to a place beside npm, and the machine's settings may be there.
    npm_config_globalconfig: join(folder, 'etc', 'npmrc'),
    npm_config_prefix: join(folder, 'global'),
    npm_config_cache: join(folder, '.npm'),
    npm_config_update_notifier: 'false',
    npm_config_audit: 'false',
    npm_config_fund: 'false',
    npm_config_progress: 'false',
    npm_config_color: 'false',
    npm_config_fetch_retries: '0',
  }
}

type Command = readonly [string, ...string[]]

/** The npm that runs the tests, else the first on PATH; on the Node that runs the tests wherever it is a script. */
async function findNpm(): Promise<Command> {
  const outer = process.env['npm_execpath']
  if (outer !== undefined && /npm-cli\.c?js$/.test(outer)) return [process.execPath, outer]
  for (const folder of (process.env['PATH'] ?? '').split(delimiter).filter(Boolean)) {
    const found = await realpath(join(folder, 'npm')).catch(() => undefined)
    if (found !== undefined) return /\.c?js$/.test(found) ? [process.execPath, found] : [found]
  }
  throw new Error('npm is not on PATH')
}

/**
 * Writes a package that can be published.
 *
 * @param folder made when it is missing
 */
export async function writePackage(folder: string, { name, version, files, manifest }: Package): Promise<void> {
  const document = JSON.stringify({ name, version, main: 'index.js', license: 'Apache-2.0', ...manifest }, undefined, 2)
  const all = { 'index.js': `module.exports = ${JSON.stringify(version)}\n`, ...files, 'package.json': `${document}\n` }
  for (const [path, content] of Object.entries(all)) {
    await mkdir(dirname(join(folder, path)), { recursive: true })
    await writeFile(join(folder, path), content)
  }
}
