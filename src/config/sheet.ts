// One configuration file being read: its values by path, and the problems found in it so far.

import type { z } from 'zod'
import type { Problem } from './config.ts'
import { decodeText, readWhole } from './disk.ts'
import { type Finding, findingsOf, stands } from './issues.ts'
import { byPosition, problemAt, type Source, type Stretch, sourceOf } from './problem.ts'
import { type Path, type Plain, parseTree, type Tree } from './tree.ts'
import { ok, quote, type Read } from './values.ts'

export interface Report {
  readonly path: Path
  readonly message: string
  /** point to the key rather than to its value */
  readonly atKey?: boolean
  /** neither the value nor the rest of its line may be shown (R14) */
  readonly hide?: boolean
}

export interface Sheet {
  /** as the operator would name it */
  readonly file: string
  /** what stands at a path; undefined: nothing does */
  readonly at: (path: Path) => Plain | undefined
  readonly report: (report: Report) => void
  /** the line that a path stands on */
  readonly lineOf: (path: Path) => number | undefined
  /** the file could be read, and is YAML: its values mean something */
  readonly sound: boolean
  /** sorted by position */
  readonly problems: () => Problem[]
}

const FILE_LIMIT = 64 * 1024 * 1024

/** Reads a file. @returns why it cannot be read, to follow its name; or its sheet, with what is wrong with its YAML */
export async function openSheet(file: string): Promise<Read<Sheet>> {
  const read = await readWhole(file, { limit: FILE_LIMIT, ownerOnly: false })
  if (read.kind === 'bad') return read
  const { text, flaw } = decodeText(read.value)
  const source = sourceOf(file, text)
  const tree = parseTree(text)
  const faults = flaw === undefined ? tree.faults : [flaw]
  const problems = faults.map(({ offset, message }) => problemAt(source, offset, message, tree.secrets))
  if (faults.length === 0 && tree.value === null) problems.push(problemAt(source, undefined, 'the file is empty'))
  return ok(createSheet(source, tree, problems, flaw === undefined && tree.sound))
}

function createSheet(source: Source, tree: Tree, found: readonly Problem[], sound: boolean): Sheet {
  const problems = [...found]

  function offsetOf({ path, atKey }: Report): number | undefined {
    return atKey === true ? tree.placeOfKey(path) : tree.placeOf(path)
  }

  function hidden({ path, hide }: Report): readonly Stretch[] {
    if (hide !== true) return tree.secrets
    const start = tree.placeOf(path) ?? 0
    return [...tree.secrets, { start, end: source.text.length }]
  }

  return {
    file: source.file,
    sound,
    at: path => valueAt(tree.value, path),
    report: report => problems.push(problemAt(source, offsetOf(report), report.message, hidden(report))),
    lineOf: path => problemAt(source, tree.placeOf(path), '').line,
    problems: () => problems.toSorted(byPosition),
  }
}

function valueAt(root: Plain, path: Path): Plain | undefined {
  return path.reduce<Plain | undefined>((value, step) => {
    const inside = typeof value === 'object' && value !== null && Object.hasOwn(value, step)
    return inside ? Reflect.get(value, step) : undefined
  }, root)
}

/** `registries.npm.reads`, `listen[0].key` */
export function wordsOf(path: Path): string {
  return path.reduce<string>((words, step) => {
    if (typeof step === 'number') return `${words}[${step}]`
    const name = /^[\w-]{1,64}$/.test(step) ? step : quote(step)
    return words === '' ? name : `${words}.${name}`
  }, '')
}

/** Reports what is wrong with what stands at `path`. */
export function complain(sheet: Sheet, path: Path, problem: string, atKey = false): undefined {
  reportFinding(sheet, { path, about: path, problem, atKey, hide: false })
}

export function reportFinding(sheet: Sheet, { path, about, problem, atKey, hide }: Finding): void {
  sheet.report({ path, atKey, hide, message: about.length === 0 ? problem : `${wordsOf(about)}: ${problem}` })
}

/** Reads what stands at `path` by a schema. @returns undefined when it is bad; then every problem of it is reported */
export function readAt<T>(sheet: Sheet, path: Path, schema: z.ZodType<T>): T | undefined {
  const parsed = schema.safeParse(sheet.at(path), { reportInput: true })
  if (parsed.success) return parsed.data
  for (const finding of findingsOf(parsed.error.issues, path)) reportFinding(sheet, finding)
  return undefined
}

/** The keys of a map; none where nothing stands. What is no map is reported. */
export function keysAt(sheet: Sheet, path: Path, expected: string): string[] {
  const value = sheet.at(path)
  if (value === undefined) return []
  if (typeof value === 'object' && value !== null && !Array.isArray(value)) return Object.keys(value)
  complain(sheet, path, `${stands(value)}; expected ${expected}`)
  return []
}

/** The paths of a list's items; none where nothing stands. What is no list is reported. */
export function itemsAt(sheet: Sheet, path: Path, expected: string): Path[] {
  const value = sheet.at(path)
  if (value === undefined) return []
  if (Array.isArray(value)) return value.map((_, index) => [...path, index])
  complain(sheet, path, `${stands(value)}; expected ${expected}`)
  return []
}
