// The Maven repository layout: `group/path/artifact/version/artifact-version….ext`. GET reads, PUT publishes, DELETE
// withdraws, and the path alone tells of what. The name is `group/path/artifact`, so that rights of a group are globs.

import type { Method } from '../http/head.ts'
import type { Target } from '../http/target.ts'
import { type Action, ask, type Classified, type Dialect } from './dialect.ts'

const ACTION_OF: Partial<Record<Method, Action>> = { GET: 'read', HEAD: 'read', PUT: 'publish', DELETE: 'withdraw' }

/** About no single artifact; clients ask for them, and only the repository itself writes them. */
const OF_THE_REPOSITORY: ReadonlySet<string> = new Set(['/archetype-catalog.xml', '/.meta/prefixes.txt'])

function classify(method: Method, { raw, segments, query }: Target): Classified {
  const action = ACTION_OF[method]
  // No client sends a query or asks for a folder; what a backend would make of a change to one is its secret.
  if (action === undefined || query !== undefined || raw.endsWith('/')) return UNKNOWN
  if (OF_THE_REPOSITORY.has(raw)) return action === 'read' ? asked(action) : UNKNOWN
  const file = segments.at(-1) ?? ''
  const folder = segments.slice(0, -1)
  const subject = METADATA.test(file) ? subjectOfMetadata(folder) : subjectOfFile(folder, file)
  return subject === undefined ? UNKNOWN : asked(action, subject.name, subject.version)
}

const UNKNOWN: Classified = Object.freeze({ kind: 'unknown' })

function asked(action: Action, name?: string, version?: string): Classified {
  return { kind: 'asked', asked: ask(action, name, version) }
}

interface Subject {
  readonly name: string
  readonly version: string | undefined
}

/**
 * Without dots: a backend that makes `com.acme` of `com/acme` would make the same of `com.acme`, and the right to one
 * would be the right to the other.
 */
const GROUP_PART = /^[A-Za-z0-9_-]+$/
const ARTIFACT = /^[A-Za-z0-9_-][A-Za-z0-9._-]*$/
const VERSION = /^[A-Za-z0-9_][A-Za-z0-9._+~-]*$/
/** Maven's own tests of it differ in whether its case matters. */
const SNAPSHOT = /(?:^|-)SNAPSHOT$/i

/** What follows `artifact-version`: perhaps a classifier, then extensions, those of signatures and checksums too. */
const REST = /^(?:[.-][A-Za-z0-9._+~-]*)?\.[A-Za-z0-9_+~-]+$/
const METADATA = /^maven-metadata\.xml(?:\.asc)?(?:\.(?:md5|sha1|sha256|sha512))?$/

/** `com/acme/tool/1.2.3/tool-1.2.3-sources.jar.sha1`; whatever does not fit its own folder is not Maven's. */
function subjectOfFile(folder: readonly string[], file: string): Subject | undefined {
  const artifact = folder.at(-2) ?? ''
  const version = folder.at(-1) ?? ''
  const name = nameOf(folder.slice(0, -2), artifact)
  if (name === undefined || !VERSION.test(version) || !file.startsWith(`${artifact}-`)) return undefined
  const rest = afterVersion(file.slice(artifact.length + 1), version)
  return rest !== undefined && REST.test(rest) ? { name, version } : undefined
}

/** In the folder of a snapshot, a time and a number may stand in its place: `1.0-20261124.101500-3` of `1.0-SNAPSHOT`. */
function afterVersion(text: string, version: string): string | undefined {
  if (text.startsWith(version)) return text.slice(version.length)
  const base = version.replace(/SNAPSHOT$/i, '')
  if (base === version || !text.startsWith(base)) return undefined
  return /^[0-9]{8}\.[0-9]{6}-[0-9]+(.*)$/.exec(text.slice(base.length))?.[1]
}

/**
 * Three kinds of document go by one file name. In a snapshot's folder it is the artifact's. Anywhere else, the list of
 * an artifact's versions and the list of a group's plugins cannot be told apart; in both readings the folder is the
 * name. So who may publish `com/acme/*` does not write what belongs to the whole of `com/acme`.
 */
function subjectOfMetadata(folder: readonly string[]): Subject | undefined {
  const last = folder.at(-1) ?? ''
  if (SNAPSHOT.test(last)) {
    const name = VERSION.test(last) ? nameOf(folder.slice(0, -2), folder.at(-2) ?? '') : undefined
    return name === undefined ? undefined : { name, version: last }
  }
  const ofGroup = folder.length === 1 && GROUP_PART.test(last)
  const name = ofGroup ? last : nameOf(folder.slice(0, -1), last)
  return name === undefined ? undefined : { name, version: undefined }
}

/** An artifact that is called like a snapshot, or like its group's metadata, would make two readings of one path. */
function nameOf(group: readonly string[], artifact: string): string | undefined {
  if (group.length === 0 || !group.every(part => GROUP_PART.test(part))) return undefined
  const fits = ARTIFACT.test(artifact) && !SNAPSHOT.test(artifact) && !METADATA.test(artifact)
  return fits ? [...group, artifact].join('/') : undefined
}

/** `com.acme:tool`, as Maven writes it, is `com/acme/tool`. */
function normalise(name: string): string {
  const [group = '', ...rest] = name.split(':')
  return rest.length === 0 ? name : [group.replaceAll('.', '/'), ...rest].join('/')
}

export const maven: Dialect = { name: 'maven', classify, normalise }
