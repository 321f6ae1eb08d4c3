// One thing wrong in a configuration file, shown with its line and a caret; and a list of them for the terminal.

import { LineCounter } from 'yaml'
import type { Problem } from './config.ts'
import { printable } from './values.ts'

/** A file that problems are found in. */
export interface Source {
  /** as the operator would name it */
  readonly file: string
  readonly text: string
  readonly lines: LineCounter
}

export function sourceOf(file: string, text: string): Source {
  const lines = new LineCounter()
  lines.addNewLine(0)
  for (let at = text.indexOf('\n'); at !== -1; at = text.indexOf('\n', at + 1)) lines.addNewLine(at + 1)
  return { file, text, lines }
}

/** A stretch of a source, by offset; `end` is not part of it. */
export interface Stretch {
  readonly start: number
  readonly end: number
}

/**
 * @param offset of the place; undefined: the file as a whole
 * @param hidden what must not be shown of the source (R14)
 */
export function problemAt(
  { file, text, lines }: Source,
  offset: number | undefined,
  message: string,
  hidden: readonly Stretch[] = [],
): Problem {
  if (offset === undefined) return { file, line: undefined, column: undefined, message, excerpt: undefined }
  const { line, col } = lines.linePos(offset)
  return { file, line, column: col, message, excerpt: excerptOf(text, offset, hidden) }
}

/** The line is cut where the first thing to hide begins: what stands behind that is of no use without it. */
function excerptOf(text: string, offset: number, hidden: readonly Stretch[]): string {
  const start = offset === 0 ? 0 : text.lastIndexOf('\n', offset - 1) + 1
  const newline = text.indexOf('\n', offset)
  const end = newline === -1 ? text.length : newline
  const cut = Math.min(
    ...hidden.filter(it => it.start <= end && it.end > start).map(it => Math.max(it.start, start)),
    end,
  )
  const line = text.slice(start, cut).replace(/\r$/, '')
  return underlined(cut < end ? `${line}[hidden]` : line, Math.min(offset, cut) - start)
}

const WIDTH = 120

/** A file may be one line of a megabyte: what is shown of it has a bound. */
function underlined(line: string, caret: number): string {
  const from = line.length > WIDTH ? Math.max(0, caret - WIDTH / 2) : 0
  const shown = printable(line.slice(from, from + WIDTH))
  return `${shown}\n${shown.slice(0, caret - from).replace(/[^\t]/g, ' ')}^`
}

/** For `sort`: by position, what is about the file as a whole first. */
export function byPosition(a: Problem, b: Problem): number {
  return (a.line ?? 0) - (b.line ?? 0) || (a.column ?? 0) - (b.column ?? 0)
}

/** The problems as a terminal shows them: each with its place, its line and a caret; then how many there are. */
export function formatProblems(problems: readonly Problem[]): string {
  const count = problems.length === 1 ? '1 problem' : `${problems.length} problems`
  return `${problems.map(format).join('\n')}\n${count}\n`
}

function format({ file, line, column, message, excerpt }: Problem): string {
  const place = line === undefined ? file : `${file}:${line}:${column}`
  const shown = excerpt === undefined ? '' : `\n${excerpt.replace(/^/gm, '    ')}`
  return `${printable(place)}: ${message}${shown}\n`
}
