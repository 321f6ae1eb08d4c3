// The cargo registry protocol (sparse index and web API, the Cargo Book) as a table; what only the body of a publish
// tells, cargo-publish.ts reads.
//
// Names are compared in lower case with `-` for `_`, because registries take both for one crate. Rights may be written
// either way: `Acme_*` covers `acme-tool`.
//
// Changes are let through at /api/v1/crates alone, where cargo looks for them behind `api` of config.json; a backend
// with several registries is put behind the gate with the path of one in `upstream`. Reads may stand under any path:
// backends have their index at /, /index/ or /api/v1/crates/, and files wherever `dl` says.

import type { Method } from '../http/head.ts'
import type { Target } from '../http/target.ts'
import { rewriteConfig } from './cargo-config.ts'
import { indexPath, isName, isVersion, normalise } from './cargo-names.ts'
import { createPublishInspector } from './cargo-publish.ts'
import { type Action, type Asked, ask, type Classified, type Dialect } from './dialect.ts'
import { compileRoutes, type RouteRow, type Template } from './routes.ts'

type Meaning = { readonly kind: 'action'; readonly action: Action } | { readonly kind: 'publish' }

const READ: readonly Method[] = ['GET', 'HEAD']
const ANY: readonly Method[] = [...READ, 'POST', 'PUT', 'PATCH', 'DELETE']

function row(methods: readonly Method[], action: Action, template: Template): RouteRow<Meaning> {
  return { methods, template, meaning: { kind: 'action', action } }
}

const matchRoute = compileRoutes<Meaning>([
  // Where cargo sends people for a token, and what crates.io and kellnr have behind it.
  row(ANY, 'account', '/me'),
  row(ANY, 'account', '/me/**'),
  row(ANY, 'account', '/login'),
  row(ANY, 'account', '/login/**'),
  row(ANY, 'account', '/api/v1/me'),
  row(ANY, 'account', '/api/v1/me/**'),
  row(ANY, 'account', '/api/v1/user/**'),
  row(ANY, 'account', '/api/v1/trusted_publishing/**'),
  row(ANY, 'account', '/api/private/**'),

  row(READ, 'read', '/api/v1/crates'),
  row(READ, 'read', '/api/v1/crates/{name}/owners'),
  row(['PUT', 'DELETE'], 'own', '/api/v1/crates/{name}/owners'),
  row(['DELETE'], 'withdraw', '/api/v1/crates/{name}/{version}/yank'),
  // What puts a version back takes the right that took it away.
  row(['PUT'], 'withdraw', '/api/v1/crates/{name}/{version}/unyank'),
  { methods: ['PUT'], template: '/api/v1/crates/new', meaning: { kind: 'publish' } },
])

const UNKNOWN: Classified = Object.freeze({ kind: 'unknown' })

function classify(method: Method, { segments }: Target): Classified {
  if (segments.some(segment => segment.includes('/'))) return UNKNOWN
  const match = matchRoute(method, segments)
  if (match === undefined) return READ.includes(method) ? classifyRead(segments) : UNKNOWN
  const { meaning, parameters } = match
  if (meaning.kind === 'publish') {
    return { kind: 'inspect', asked: ask('publish'), candidates: ['publish'], inspector: createPublishInspector }
  }
  const name = parameters.get('name')
  const version = parameters.get('version')
  if (name !== undefined && !isName(name)) return UNKNOWN
  if (version !== undefined && !isVersion(version)) return UNKNOWN
  return asked(about(meaning.action, name, version))
}

function classifyRead(segments: readonly string[]): Classified {
  if (segments.at(-1) === 'config.json') return asked({ ...ask('read'), rewrite: rewriteConfig })
  const found = indexFile(segments) ?? crateFile(segments)
  return found === undefined ? UNKNOWN : asked(found)
}

/** `…/se/rd/serde`: the folders have to be those of the name. */
function indexFile(segments: readonly string[]): Asked | undefined {
  const name = segments.at(-1) ?? ''
  if (!isName(name)) return undefined
  const path = indexPath(name)
  const depth = path.split('/').length
  return segments.slice(-depth).join('/').toLowerCase() === path ? about('read', name) : undefined
}

/** Neither a name nor a folder holds a dot, so the first one stands within the version. */
const CRATE_FILE = /^(?:(?<name>[^.]+)-)?(?<version>[0-9]+\..*)\.crate$/

/**
 * `…/serde/1.0.0/download`, where `dl` has no markers; and what its usual templates make: `…/serde-1.0.0.crate`,
 * `…/serde/1.0.0.crate`.
 */
function crateFile(segments: readonly string[]): Asked | undefined {
  const [name = '', version = '', last = ''] = segments.slice(-3)
  if (segments.length >= 3 && last === 'download') return crate(name, version)
  const { groups } = CRATE_FILE.exec(segments.at(-1) ?? '') ?? {}
  return groups === undefined ? undefined : crate(groups['name'] ?? segments.at(-2) ?? '', groups['version'] ?? '')
}

function crate(name: string, version: string): Asked | undefined {
  return isName(name) && isVersion(version) ? about('read', name, version) : undefined
}

function about(action: Action, name: string | undefined, version?: string): Asked {
  return ask(action, name === undefined ? undefined : normalise(name), version)
}

function asked(found: Asked): Classified {
  return { kind: 'asked', asked: found }
}

/**
 * cargo first asks for config.json without a token, and again with one only after a 401:
 * <https://doc.rust-lang.org/cargo/reference/registry-authentication.html>.
 */
function refusalStatus(status: number, { segments }: Target): number {
  return status === 403 && segments.at(-1) === 'config.json' ? 401 : status
}

export const cargo: Dialect = { name: 'cargo', classify, normalise, refusalStatus }
