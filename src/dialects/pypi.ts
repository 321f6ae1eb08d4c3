// The protocols of Python package indexes: the simple index (PEP 503, 691), files, and the upload form of PyPI's legacy
// API. Where an index lives below a path (Gitea's, GitLab's, Nexus's, one of devpi's), that is the upstream's base path.

import { type Fields, type Method, valuesOf } from '../http/head.ts'
import type { Target } from '../http/target.ts'
import { type Action, type Asked, ask, type Classified, type Dialect } from './dialect.ts'
import { leadLinks } from './pypi-links.ts'
import { factsOfFile, isName, normaliseName } from './pypi-names.ts'
import { createUploadInspector } from './pypi-upload.ts'
import { compileRoutes, type RouteRow, type Template } from './routes.ts'

type Meaning =
  | { readonly kind: 'action'; readonly action: Action; readonly links: boolean }
  | { readonly kind: 'file' }
  | { readonly kind: 'upload' }

const READ: readonly Method[] = ['GET', 'HEAD']
const ANY: readonly Method[] = ['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE']

function read(template: Template): RouteRow<Meaning> {
  return { methods: READ, template, meaning: { kind: 'action', action: 'read', links: false } }
}

/** A document whose links may be absolute. */
function page(template: Template): RouteRow<Meaning> {
  return { methods: READ, template, meaning: { kind: 'action', action: 'read', links: true } }
}

function file(template: Template): RouteRow<Meaning> {
  return { methods: READ, template, meaning: { kind: 'file' } }
}

function account(methods: readonly Method[], template: Template): RouteRow<Meaning> {
  return { methods, template, meaning: { kind: 'action', action: 'account', links: false } }
}

function upload(template: Template): RouteRow<Meaning> {
  return { methods: ['POST'], template, meaning: { kind: 'upload' } }
}

const matchRoute = compileRoutes<Meaning>([
  // Of PyPI (warehouse) and of devpi: each can mint a token, or change who somebody is.
  account(ANY, '/account/**'),
  account(ANY, '/manage/**'),
  account(ANY, '/_/**'),
  account(ANY, '/+login'),
  account(ANY, '/+api'),
  account(ANY, '/{user}/+api'),
  account(ANY, '/{user}/{index}/+api'),
  account(['PUT', 'PATCH', 'DELETE'], '/{user}'),

  // The list of all projects tells names, and may be too long to be rewritten: pip and uv never follow its links.
  read('/simple'),
  page('/simple/{name}'),
  page('/pypi/{name}/json'),
  page('/pypi/{name}/{version}/json'),
  file('/packages/**'),
  // Gitea's and GitLab's, below their base path.
  file('/files/**'),
  read('/{user}/{index}/+simple'),
  page('/{user}/{index}/+simple/{name}'),
  file('/{user}/{index}/+f/**'),
  file('/{user}/{index}/+e/**'),

  upload('/'),
  upload('/legacy'),
  upload('/{user}/{index}'),
])

const UNKNOWN: Classified = Object.freeze({ kind: 'unknown' })

/** An index of devpi's is not one of the paths that have a meaning of their own. */
const RESERVED: ReadonlySet<string> = new Set(['simple', 'pypi', 'packages', 'files', 'legacy'])
const PLACE = /^[A-Za-z0-9][A-Za-z0-9._-]*$/

function classify(method: Method, target: Target, fields: Fields = []): Classified {
  const { segments, query } = target
  // A backend may or may not take `%2f` for a slash: the name would be a guess.
  if (segments.some(segment => segment.includes('/'))) return UNKNOWN
  // The root has no segments; its template has an empty one.
  const match = matchRoute(method, segments.length === 0 ? [''] : segments)
  if (match === undefined) return UNKNOWN
  const { meaning, parameters } = match
  const user = parameters.get('user')
  const places = [user, parameters.get('index')].filter(it => it !== undefined)
  if (!places.every(place => PLACE.test(place)) || (user !== undefined && RESERVED.has(user))) return UNKNOWN
  switch (meaning.kind) {
    case 'upload':
      // Some frameworks mix the query's fields with the form's.
      return query === undefined ? uploadWith(fields) : UNKNOWN
    case 'file':
      return { kind: 'asked', asked: askFile(segments.at(-1) ?? '') }
    case 'action':
      return askAction(meaning.action, meaning.links, parameters)
  }
}

function uploadWith(fields: Fields): Classified {
  const inspector = () => createUploadInspector(valuesOf(fields, 'content-type'))
  return { kind: 'inspect', asked: ask('publish'), candidates: ['publish', 'withdraw'], inspector }
}

/** The files beside a distribution: its metadata (PEP 658), its attestations (PEP 740), its signature. */
const BESIDE = /\.(?:metadata|provenance|asc)$/

function askFile(segment: string): Asked {
  const facts = factsOfFile(segment.replace(BESIDE, ''))
  return facts === undefined ? ask('read') : ask('read', normaliseName(facts.name), facts.version)
}

function askAction(action: Action, links: boolean, parameters: ReadonlyMap<string, string>): Classified {
  const name = parameters.get('name')
  if (name !== undefined && !isName(name)) return UNKNOWN
  const asked = ask(action, name === undefined ? undefined : normaliseName(name), parameters.get('version'))
  return { kind: 'asked', asked: links ? { ...asked, rewrite: leadLinks } : asked }
}

export const pypi: Dialect = { name: 'pypi', classify, normalise: normaliseName }
