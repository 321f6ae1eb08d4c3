// Runs the tests with real clients and prints what worked as a table; with `--readme` the manual's table is made anew.

import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { z } from 'zod'

const FOLDER = fileURLToPath(new URL('.', import.meta.url))
const README = fileURLToPath(new URL('../../README.md', import.meta.url))

/** A line of the file that `operation()` writes. */
const line = z.object({
  client: z.string(),
  version: z.string(),
  operation: z.string(),
  backend: z.string(),
  result: z.string(),
})
type Line = z.infer<typeof line>

async function main(args: readonly string[]): Promise<number> {
  const folder = await mkdtemp(join(tmpdir(), 'certgate-table-'))
  try {
    const file = join(folder, 'table.jsonl')
    await writeFile(file, '')
    const code = await runTests(file)
    const lines = (await readLines(file)).toSorted(byClient)
    process.stdout.write(`\n${tableOf(lines)}`)
    if (code === 0 && args.includes('--readme')) await rewriteReadme(lines)
    return code
  } finally {
    await rm(folder, { recursive: true })
  }
}

async function runTests(table: string): Promise<number> {
  const names = (await readdir(FOLDER)).filter(name => name.endsWith('.test.ts'))
  const files = names.toSorted().map(name => join(FOLDER, name))
  const child = spawn(process.execPath, ['--test', ...files], {
    stdio: 'inherit',
    env: { ...process.env, CERTGATE_CLIENT_TABLE: table },
  })
  const [code] = await once(child, 'close')
  return typeof code === 'number' ? code : 1
}

async function readLines(file: string): Promise<readonly Line[]> {
  const text = await readFile(file, 'utf8')
  return text
    .split('\n')
    .filter(Boolean)
    .map(json => line.parse(JSON.parse(json)))
}

/** Test files run side by side, so lines come in any order; those of one client stay in theirs. */
function byClient(a: Line, b: Line): number {
  return a.client.localeCompare(b.client) || a.version.localeCompare(b.version) || a.backend.localeCompare(b.backend)
}

function tableOf(lines: readonly Line[]): string {
  return markdown(
    ['client', 'version', 'operation', 'backend', 'result'],
    lines.map(({ client, version, operation, backend, result }) => [client, version, operation, backend, result]),
  )
}

/** One row for a client and a backend; patch versions would change it without a reason. */
function summaryOf(lines: readonly Line[]): string {
  const groups = Map.groupBy(lines, ({ client, version, backend }) =>
    [client, minorOf(version), minorOf(backend)].join('\n'),
  )
  const rows = [...groups].map(([key, group]) => [
    ...key.split('\n'),
    [...new Set(group.map(({ operation }) => operation))].join('; '),
  ])
  return markdown(['client', 'version', 'backend', 'operations'], rows)
}

/** `pypiserver 2.4.2` → `pypiserver 2.4` */
function minorOf(version: string): string {
  return version.replace(/([0-9]+\.[0-9]+)\.[0-9][^\s]*/g, '$1')
}

function markdown(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const all = [head, head.map(() => '---'), ...rows]
  return all.map(row => `| ${row.map(cell => cell.replaceAll('|', '\\|')).join(' | ')} |\n`).join('')
}

const PART = /(<!-- clients -->\n)[\s\S]*?(<!-- \/clients -->)/

async function rewriteReadme(lines: readonly Line[]): Promise<void> {
  const text = await readFile(README, 'utf8')
  if (!PART.test(text)) throw new Error('README.md has no part between <!-- clients --> and <!-- /clients -->')
  const table = summaryOf(lines)
  await writeFile(
    README,
    text.replace(PART, (_, begin: string, end: string) => `${begin}\n${table}\n${end}`),
  )
}

process.exitCode = await main(process.argv.slice(2))
