// Runs the tests with real clients and prints what worked as a table. README.md shows the same in short: a run fails
// where it does not, and with `--readme` makes it so.

import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { z } from 'zod'

const FOLDER = fileURLToPath(new URL('.', import.meta.url))
/** npm's is among the tests that need nothing but npm. */
const NPM = fileURLToPath(new URL('../npm-cli.test.ts', import.meta.url))
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
    if (code !== 0) return code
    return args.includes('--readme') ? rewriteReadme(lines) : checkReadme(lines)
  } finally {
    await rm(folder, { recursive: true })
  }
}

async function runTests(table: string): Promise<number> {
  const names = (await readdir(FOLDER)).filter(name => name.endsWith('.test.ts'))
  const files = [NPM, ...names.toSorted().map(name => join(FOLDER, name))]
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

async function readReadme(): Promise<string> {
  const text = await readFile(README, 'utf8')
  if (!PART.test(text)) throw new Error('README.md has no part between <!-- clients --> and <!-- /clients -->')
  return text
}

async function rewriteReadme(lines: readonly Line[]): Promise<number> {
  const text = await readReadme()
  const table = summaryOf(lines)
  await writeFile(
    README,
    text.replace(PART, (_, begin: string, end: string) => `${begin}\n${table}\n${end}`),
  )
  return 0
}

/** Versions are those of the day when the table was made; what works has to be what it says. */
async function checkReadme(lines: readonly Line[]): Promise<number> {
  const [shown = ''] = PART.exec(await readReadme()) ?? []
  const missing = rowsOf(summaryOf(lines)).filter(row => !rowsOf(shown).includes(row))
  if (missing.length === 0 && rowsOf(shown).length === rowsOf(summaryOf(lines)).length) return 0
  process.stderr.write(
    `README.md shows another table; node test/clients/run.ts --readme mends it:\n${missing.join('\n')}\n`,
  )
  return 1
}

/** The rows of a table without versions and padding. */
function rowsOf(table: string): string[] {
  const rows = table.split('\n').filter(row => row.startsWith('|'))
  return rows
    .map(row => {
      const [, client = '', , backend = '', operations = ''] = row.split(/(?<!\\)\|/).map(cell => cell.trim())
      return [client, backend.replace(/ [0-9][^\s,]*/g, ''), operations].join(' | ')
    })
    .filter(row => !row.startsWith('-'))
}

process.exitCode = await main(process.argv.slice(2))
