// What zod found → our own sentences. The schemas (shape.ts) put into a message only what is expected; here it becomes
// a sentence together with what stands there.

import type { z } from 'zod'
import type { Path } from './tree.ts'
import { nearest, quote } from './values.ts'

export interface Finding {
  /** where the caret goes */
  readonly path: Path
  /** what the sentence is about */
  readonly about: Path
  readonly problem: string
  readonly atKey: boolean
  readonly hide: boolean
}

type Issue = z.core.$ZodIssue

/** @param base the path that the issues' own paths go on from */
export function findingsOf(issues: readonly Issue[], base: Path): Finding[] {
  return issues.flatMap(issue => {
    const path = [...base, ...issue.path.map(step => (typeof step === 'number' ? step : String(step)))]
    if (issue.code === 'unrecognized_keys')
      return issue.keys.map(key => unknownKey(path, key, issue.message.split(', ')))
    const hide = issue.code === 'custom' && issue.params?.['hide'] === true
    return [{ path, about: path, problem: problemOf(issue), atKey: false, hide }]
  })
}

/** A key that nobody knows. What stands behind it may be anything, a token too: it is not shown (R14). */
export function unknownKey(map: Path, key: string, known: readonly string[]): Finding {
  const meant = nearest(key, known)
  // Among credentials the key itself may be a token, put in braces.
  const name = map.includes('credentials') && meant === undefined ? 'unknown key' : `unknown key ${quote(key)}`
  const remedy = meant === undefined ? `known here: ${known.join(', ')}` : `did you mean ${meant}?`
  return { path: [...map, key], about: map, problem: `${name}; ${remedy}`, atKey: true, hide: true }
}

function problemOf(issue: Issue): string {
  switch (issue.code) {
    case 'invalid_type':
      return `${stands(issue.input)}; expected ${issue.message}`
    case 'invalid_value': {
      const values = issue.values.join(', ')
      return typeof issue.input === 'string'
        ? `${quote(issue.input)} is not one of ${values}`
        : `${stands(issue.input)}; expected one of ${values}`
    }
    default:
      return issue.message
  }
}

/** What stands in the place of something else. */
export function stands(value: unknown): string {
  if (value === undefined) return 'missing'
  if (value === null) return 'no value stands here'
  if (typeof value === 'string') return 'text stands here'
  return Array.isArray(value) ? 'a list stands here' : 'a map stands here'
}
