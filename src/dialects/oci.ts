// The OCI distribution protocol (spec v1.1): which request reads, publishes or withdraws, and which repository it is
// about. The manifest alone makes anything visible: its PUT carries version and digest.

import { type Fields, type Method, valuesOf } from '../http/head.ts'
import type { Target } from '../http/target.ts'
import { type Action, ANY_PACKAGE, type Asked, ask, type Classified, type Dialect } from './dialect.ts'
import { createManifestInspector, isCheckable } from './oci-manifest.ts'
import { parametersOf } from './oci-query.ts'
import { compileRoutes, type RouteRow, type Template } from './routes.ts'

/** `upload`: begins one; `session`: goes on with it; `manifest`: what is published stands in the body */
type Meaning = Action | 'upload' | 'session' | 'manifest'

const READ: readonly Method[] = ['GET', 'HEAD']

function row(methods: readonly Method[], meaning: Meaning, template: Template): RouteRow<Meaning> {
  return { methods, template, meaning }
}

/** A name is one segment here, see `joinName`. */
const matchRoute = compileRoutes<Meaning>([
  row(READ, 'read', '/v2'),
  // Names every repository there is, whoever may see it: for those who own them all.
  row(READ, 'own', '/v2/_catalog'),
  row(READ, 'read', '/v2/{name}/manifests/{reference}'),
  row(READ, 'read', '/v2/{name}/blobs/{digest}'),
  row(READ, 'read', '/v2/{name}/tags/list'),
  row(READ, 'read', '/v2/{name}/referrers/{digest}'),
  row(['POST'], 'upload', '/v2/{name}/blobs/uploads'),
  row(['GET', 'HEAD', 'PATCH', 'PUT', 'DELETE'], 'session', '/v2/{name}/blobs/uploads/{id}'),
  row(['PUT'], 'manifest', '/v2/{name}/manifests/{reference}'),
  row(['DELETE'], 'withdraw', '/v2/{name}/manifests/{reference}'),
  row(['DELETE'], 'withdraw', '/v2/{name}/blobs/{digest}'),
])

/** The spec's own, of "Pulling manifests"; the whole name is at most 255 characters, as in distribution's `reference`. */
const NAME = /^(?=.{1,255}$)[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*(?:\/[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*)*$/
const TAG = /^[A-Za-z0-9_][A-Za-z0-9._-]{0,127}$/
/** image-spec, "Digests" */
const DIGEST = /^(?:sha256:[a-f0-9]{64}|sha512:[a-f0-9]{128}|(?!sha256:|sha512:)[a-z0-9]+(?:[+._-][a-z0-9]+)*:[\w=-]+)$/
/** The registry's own choice; one segment. */
const ID = /^[A-Za-z0-9._~=:@+-]+$/

const UNKNOWN: Classified = Object.freeze({ kind: 'unknown' })

function classify(method: Method, target: Target, fields: Fields = []): Classified {
  const segments = joinName(target.segments)
  const match = segments === undefined ? undefined : matchRoute(method, segments)
  if (match === undefined || (endsInSlash(target) && match.meaning !== 'upload')) return UNKNOWN
  const { meaning, parameters } = match
  if (!isSound(parameters)) return UNKNOWN
  const name = parameters.get('name')
  if (name === undefined) return meaning === 'read' || meaning === 'own' ? aboutAll(meaning) : UNKNOWN
  switch (meaning) {
    case 'upload':
    case 'session':
      return isForm(fields) ? UNKNOWN : aboutUpload(meaning, name, target.query)
    case 'manifest':
      return aboutManifest(name, parameters.get('reference') ?? '', target.query)
    default:
      return { kind: 'asked', asked: withReference(ask(meaning, name), parameters) }
  }
}

/**
 * `/v2/a/b/tags/list` → `v2`, `a/b`, `tags`, `list`: a name has slashes, what follows it has a fixed number of them, so
 * it is found from the right, and there is one reading of every path.
 *
 * @returns undefined where a slash was encoded: to some backends that is a slash of the name, to others it is not
 */
function joinName(segments: readonly string[]): readonly string[] | undefined {
  if (segments.some(segment => segment.includes('/'))) return undefined
  if (segments.length < 4) return segments
  const inSession = segments.length > 4 && segments.at(-3) === 'blobs' && segments.at(-2) === 'uploads'
  const end = segments.length - (inSession ? 3 : 2)
  return [segments[0] ?? '', segments.slice(1, end).join('/'), ...segments.slice(end)]
}

/** `/v2/` and `…/blobs/uploads/` are spelled so by the spec; anything else is another path then, or a redirect. */
function endsInSlash({ raw, segments }: Target): boolean {
  return raw.replace(/\?.*$/s, '').endsWith('/') && segments.length !== 1
}

function isSound(parameters: ReadonlyMap<string, string>): boolean {
  const fits = (name: string, pattern: RegExp): boolean => pattern.test(parameters.get(name) ?? '')
  return [...parameters.keys()].every(name => {
    switch (name) {
      case 'name':
        return fits(name, NAME)
      case 'reference':
        return fits(name, TAG) || fits(name, DIGEST)
      case 'digest':
        return fits(name, DIGEST)
      default:
        return fits(name, ID)
    }
  })
}

/** What is listed depends on who asks. */
function aboutAll(action: Action): Classified {
  return { kind: 'asked', asked: { ...ask(action), personal: action === 'own' } }
}

function withReference(asked: Asked, parameters: ReadonlyMap<string, string>): Asked {
  const reference = parameters.get('reference')
  const digest = parameters.get('digest') ?? (reference !== undefined && DIGEST.test(reference) ? reference : undefined)
  return { ...asked, version: reference, digest }
}

/**
 * docker-registry takes `mount`, `from` and `digest` from the body of a form too (Go's `FormValue`), and prefers that to
 * the query: a mount that nobody judged.
 */
function isForm(fields: Fields): boolean {
  return valuesOf(fields, 'content-type').some(type => /form/i.test(type))
}

/** All that the spec knows of, with v1.2's algorithm; `origin`, of other registries, is none of ours to judge. */
const OF_AN_UPLOAD = ['mount', 'from', 'digest', 'digest-algorithm']

function aboutUpload(meaning: 'upload' | 'session', name: string, query: string | undefined): Classified {
  // Of a session, the query is the registry's own (`_state=…`), and only the digest is asked for by the client.
  const parameters = parametersOf(query, OF_AN_UPLOAD, meaning === 'session')
  const from = parameters?.get('from')
  const mount = parameters?.get('mount')
  const digest = mount ?? parameters?.get('digest')
  if (parameters === undefined || (digest !== undefined && !DIGEST.test(digest))) return UNKNOWN
  const asked = { ...ask('publish', name), digest }
  if (mount === undefined && from === undefined) return { kind: 'asked', asked }
  if (meaning === 'session' || (from !== undefined && !NAME.test(from))) return UNKNOWN
  // Without `from`, the registry looks for the blob wherever it likes ("Mounting a blob from another repository").
  return { kind: 'asked', asked: { ...asked, mountedFrom: from ?? ANY_PACKAGE } }
}

/** No query: v1.2 would have one name further tags. */
function aboutManifest(name: string, reference: string, query: string | undefined): Classified {
  const digest = DIGEST.test(reference) ? reference : undefined
  if (query !== undefined || (digest !== undefined && !isCheckable(digest))) return UNKNOWN
  const asked: Asked = { ...ask('publish', name, reference), digest }
  return { kind: 'inspect', asked, candidates: ['publish'], inspector: () => createManifestInspector(asked) }
}

/**
 * Clients ask for `/v2/` first and give up on a 403 without showing a word of it; after a 401 that demands nothing they
 * go on, and show the refusal of what they really want. So it is with the HEAD of a blob, before it is pushed: the
 * answer has no room for the sentence, but after a 404 they begin the upload, and that one's refusal they show.
 */
function refusalStatus(status: number, { segments }: Target, method?: Method): number {
  if (status !== 403) return status
  if (segments.length === 1 && segments[0] === 'v2') return 401
  return method === 'HEAD' && segments.at(-2) === 'blobs' ? 404 : status
}

export const oci: Dialect = { name: 'oci', classify, refusalStatus }
