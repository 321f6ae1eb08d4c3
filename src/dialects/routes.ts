// A table of routes, compiled once: which template a request's decoded segments fit, and what its placeholders stand
// for. A request that fits no row is refused (R18).

import type { Method } from '../http/head.ts'

/**
 * `/-/package/{name}/dist-tags/{tag}`: a placeholder takes one whole segment; a last `**` takes any number of them.
 */
export type Template = `/${string}`

export interface RouteRow<Meaning> {
  readonly methods: readonly Method[]
  readonly template: Template
  readonly meaning: Meaning
}

export interface RouteMatch<Meaning> {
  readonly meaning: Meaning
  readonly parameters: ReadonlyMap<string, string>
}

export type RouteTable<Meaning> = (method: Method, segments: readonly string[]) => RouteMatch<Meaning> | undefined

const REST = '**'

/** The first row that fits wins, so literal templates stand before those with placeholders. */
export function compileRoutes<Meaning>(rows: readonly RouteRow<Meaning>[]): RouteTable<Meaning> {
  const compiled = rows.map(({ methods, template, meaning }) => ({
    methods: new Set(methods),
    parts: template.slice(1).split('/'),
    meaning,
  }))

  return function matchRoute(method, segments) {
    for (const { methods, parts, meaning } of compiled) {
      if (!methods.has(method)) continue
      const parameters = fit(parts, segments)
      if (parameters !== undefined) return { meaning, parameters }
    }
    return undefined
  }
}

function fit(parts: readonly string[], segments: readonly string[]): ReadonlyMap<string, string> | undefined {
  const open = parts.at(-1) === REST
  if (open ? segments.length < parts.length : segments.length !== parts.length) return undefined
  const parameters = new Map<string, string>()
  for (const [index, part] of parts.entries()) {
    const segment = segments[index] ?? ''
    if (part === REST) break
    if (part.startsWith('{')) parameters.set(part.slice(1, -1), segment)
    else if (part !== segment) return undefined
  }
  return parameters
}
