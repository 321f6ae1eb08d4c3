// Package globs of the accounts file → NameMatcher. The configuration checks them with `problemOfPattern` first.

import { ANY_PACKAGE } from '../dialects/dialect.ts'
import type { NameMatcher } from './account.ts'

const EVERYTHING = '**'

/** `*` within a path segment, `**` across; everything else is literal. An empty list matches nothing. */
export function compileRights(patterns: readonly string[]): NameMatcher {
  if (patterns.includes(EVERYTHING)) return () => true
  const exact = new Set(patterns.filter(pattern => !pattern.includes('*')))
  const globs = patterns.filter(pattern => pattern.includes('*')).map(globOf)
  // `*/*` would match the slash that stands for all packages at once.
  return name => exact.has(name) || (name !== ANY_PACKAGE && globs.some(matches => matches(name)))
}

/**
 * All ways through a pattern are followed at once, so that the time grows with its length and never with its stars:
 * a RegExp of several stars backtracks, and whoever may publish chooses the name (ReDoS).
 */
function globOf(pattern: string): NameMatcher {
  const tokens = pattern.match(/\*\*|\*|[^*]/g) ?? []

  return function matches(name) {
    // reached[i]: the first i tokens match what has been read of the name.
    const reached = new Uint8Array(tokens.length + 1)
    reached[0] = 1
    skipStars(tokens, reached)
    for (let at = 0; at < name.length; at++) {
      step(tokens, reached, name.charAt(at))
      skipStars(tokens, reached)
    }
    return reached[tokens.length] === 1
  }
}

/** From the end, so that each token still sees what its predecessor had reached before this character. */
function step(tokens: readonly string[], reached: Uint8Array, char: string): void {
  for (let i = tokens.length; i > 0; i--) {
    const token = tokens[i - 1]
    if (token === '*') reached[i] = char === '/' ? 0 : (reached[i] ?? 0)
    else if (token !== '**') reached[i] = token === char ? (reached[i - 1] ?? 0) : 0
  }
  reached[0] = 0
}

/** A star also matches nothing. */
function skipStars(tokens: readonly string[], reached: Uint8Array): void {
  for (const [i, token] of tokens.entries()) if (token.startsWith('*') && reached[i] === 1) reached[i + 1] = 1
}

const LONGEST = 512

/** What is wrong with a pattern, to stand after it in a sentence; undefined when nothing is. */
export function problemOfPattern(pattern: string): string | undefined {
  if (pattern === '') return 'is empty; write a package name, or ** for all'
  if (pattern.length > LONGEST) return `is longer than ${LONGEST} characters`
  if (/[\s\p{C}]/u.test(pattern)) return 'holds white space or control characters, which no package name does'
  if (/\*{3}/.test(pattern))
    return 'has three stars in a row; * stands for part of a path segment, ** for several segments'
  // They mean something in other glob dialects; here they would be literal, and silently match nothing.
  if (/[?[\]{}\\]|^!/.test(pattern)) return 'uses a glob syntax that is not known here; only * and ** are special'
  if (/^\/|\/$|\/\//.test(pattern))
    return 'has an empty path segment; write it without a leading, trailing or double slash'
  return undefined
}
