// Package globs of the accounts file → NameMatcher.

import type { NameMatcher } from './account.ts'

/** `*` within a path segment, `**` across; everything else is literal. An empty list matches nothing. */
export function compileRights(patterns: readonly string[]): NameMatcher {
  const exact = new Set(patterns.filter(pattern => !pattern.includes('*')))
  const globs = patterns.filter(pattern => pattern.includes('*')).map(globOf)
  return name => exact.has(name) || globs.some(glob => glob.test(name))
}

function globOf(pattern: string): RegExp {
  const source = pattern
    .split(/(\*\*|\*)/)
    .map(part => (part === '**' ? '.*' : part === '*' ? '[^/]*' : part.replace(/[.+?^${}()|[\]\\]/g, '\\$&')))
    .join('')
  return new RegExp(`^${source}$`, 's')
}
