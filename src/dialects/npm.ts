// The npm registry protocol: which request reads, publishes, amends, withdraws or concerns owners and logins, and
// which package it is about. What a `PUT /{name}` does stands in its body; npm-document.ts reads that.

import { type Fields, type Method, valuesOf } from '../http/head.ts'
import type { Target } from '../http/target.ts'
import { type Action, type Asked, ask, type Classified, type Dialect, inspectNothing, type Rewrite } from './dialect.ts'
import { createDocumentInspector } from './npm-document.ts'
import { leadTarballs } from './npm-links.ts'
import { compileRoutes, type RouteRow, type Template } from './routes.ts'

type Meaning =
  | { readonly kind: 'action'; readonly action: Action; readonly personal: boolean; readonly relink?: Rewrite }
  /** a package document; what it does to the package is one of these */
  | { readonly kind: 'document'; readonly candidates: readonly Action[] }

const READ: readonly Method[] = ['GET', 'HEAD']

function row(methods: readonly Method[], action: Action, template: Template): RouteRow<Meaning> {
  return { methods, template, meaning: { kind: 'action', action, personal: false } }
}

function personal(template: Template): RouteRow<Meaning> {
  return { methods: READ, template, meaning: { kind: 'action', action: 'read', personal: true } }
}

/** A document that links to tarballs. */
function linked(template: Template): RouteRow<Meaning> {
  return { methods: READ, template, meaning: { kind: 'action', action: 'read', personal: false, relink: leadTarballs } }
}

function document(template: Template, candidates: readonly Action[]): RouteRow<Meaning> {
  return { methods: ['PUT'], template, meaning: { kind: 'document', candidates } }
}

const matchRoute = compileRoutes<Meaning>([
  row(READ, 'read', '/-/ping'),
  row(READ, 'read', '/-/v1/search'),
  row(READ, 'read', '/-/npm/v1/keys'),
  row(READ, 'read', '/-/_view/{view}'),
  row(READ, 'read', '/-/npm/v1/attestations/{spec}'),
  // `npm install` asks what is known of its dependencies: a POST that reads.
  row(['POST'], 'read', '/-/npm/v1/security/advisories/bulk'),
  row(['POST'], 'read', '/-/npm/v1/security/audits/quick'),
  row(['POST'], 'read', '/-/npm/v1/security/audits'),
  personal('/-/whoami'),
  personal('/-/npm/v1/user'),
  personal('/-/user/{user}'),

  // Each of these can mint, list or end a token, or change who somebody is.
  row(['PUT', 'DELETE', 'POST'], 'account', '/-/user/**'),
  row(['GET', 'POST'], 'account', '/-/v1/login'),
  row(['GET', 'POST', 'DELETE'], 'account', '/-/v1/login/**'),
  row(['GET', 'POST'], 'account', '/-/npm/v1/tokens'),
  row(['GET', 'POST', 'DELETE'], 'account', '/-/npm/v1/tokens/**'),
  row(['POST'], 'account', '/-/npm/v1/user'),
  row(['POST'], 'account', '/-/npm/v1/oidc/**'),
  row(['GET', 'POST', 'PUT', 'DELETE'], 'account', '/-/package/{name}/trust'),
  row(['GET', 'POST', 'DELETE'], 'account', '/-/package/{name}/trust/**'),
  row(['GET', 'POST', 'PUT', 'DELETE'], 'account', '/-/org/**'),
  row(['GET', 'POST', 'PUT', 'DELETE'], 'account', '/-/team/**'),

  row(READ, 'read', '/-/package/{name}/dist-tags'),
  row(['PUT', 'POST', 'DELETE'], 'amend', '/-/package/{name}/dist-tags/{tag}'),
  row(READ, 'read', '/-/package/{name}/visibility'),
  row(READ, 'read', '/-/package/{name}/collaborators'),
  row(['POST'], 'own', '/-/package/{name}/access'),

  linked('/{name}'),
  linked('/{name}/{version}'),
  row(READ, 'read', '/{name}/-/{file}'),
  document('/{name}', ['publish', 'amend']),
  document('/{name}/-rev/{revision}', ['withdraw', 'own']),
  row(['DELETE'], 'withdraw', '/{name}/-rev/{revision}'),
  row(['DELETE'], 'withdraw', '/{name}/-/{file}/-rev/{revision}'),
])

function classify(method: Method, target: Target, fields: Fields = []): Classified {
  const segments = joinScopes(target.segments)
  const match = segments === undefined ? undefined : matchRoute(method, segments)
  if (match === undefined) return UNKNOWN
  const name = match.parameters.get('name')
  if (name !== undefined && !NAME.test(name)) return UNKNOWN
  const { meaning } = match
  if (meaning.kind === 'action') return { kind: 'asked', asked: askedOf(meaning, match.parameters) }
  const [first] = meaning.candidates
  if (name === undefined || first === undefined) return UNKNOWN
  const inspector = () =>
    isPlainJson(fields)
      ? createDocumentInspector(name, meaning.candidates)
      : inspectNothing('its Content-Type is something else than application/json in UTF-8')
  return { kind: 'inspect', asked: ask(first, name), candidates: meaning.candidates, inspector }
}

/** A registry decodes a body by its charset: what is a string in UTF-8 may be another document in UTF-7 or UTF-16. */
function isPlainJson(fields: Fields): boolean {
  const types = valuesOf(fields, 'content-type')
  return types.length === 1 && /^application\/json(?:; ?charset="?utf-8"?)?$/i.test(types[0] ?? '')
}

const UNKNOWN: Classified = Object.freeze({ kind: 'unknown' })

/** Names that the registry accepts, with those from before it demanded lower case. `-` alone is its own namespace. */
const NAME = /^(?!-$)(?:@[A-Za-z0-9~-][A-Za-z0-9._~-]*\/)?[A-Za-z0-9~_-][A-Za-z0-9._~!'()*-]*$/

/**
 * `/@s%2fp`, `/@s/p` and `/%40s%2fp` are one package to every npm registry, so they are one to policy. An encoded
 * slash anywhere else is ambiguous.
 *
 * @returns the segments with scope and name as one; undefined when they cannot be told
 */
function joinScopes(segments: readonly string[]): readonly string[] | undefined {
  const joined: string[] = []
  for (let i = 0; i < segments.length; i++) {
    const segment = segments[i] ?? ''
    const encoded = segment.includes('/')
    if (encoded && !segment.startsWith('@')) return undefined
    if (segment.startsWith('@') && !encoded) {
      const name = segments[++i]
      if (name === undefined || name.includes('/')) return undefined
      joined.push(`${segment}/${name}`)
    } else {
      joined.push(segment)
    }
  }
  return joined
}

function askedOf(meaning: Extract<Meaning, { kind: 'action' }>, parameters: ReadonlyMap<string, string>): Asked {
  const name = parameters.get('name')
  const version = parameters.get('version') ?? versionOf(name, parameters.get('file'))
  const { action, personal, relink } = meaning
  return { action, package: name, version, digest: undefined, personal, relink }
}

/** `@acme/tool` and `tool-1.2.3.tgz` → `1.2.3` */
function versionOf(name: string | undefined, file: string | undefined): string | undefined {
  if (name === undefined || file === undefined) return undefined
  const prefix = `${name.slice(name.indexOf('/') + 1)}-`
  const base = file.slice(file.lastIndexOf('/') + 1)
  return base.startsWith(prefix) && base.endsWith('.tgz') ? base.slice(prefix.length, -'.tgz'.length) : undefined
}

export const npm: Dialect = { name: 'npm', classify }
