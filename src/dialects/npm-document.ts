// What the body of a `PUT /{name}` does. One request of the npm protocol publishes, deprecates, unpublishes a version
// or changes owners, by what its document holds: so the document is read as it streams past, and decides the action.

import { createHash, type Hash } from 'node:crypto'
import { z } from 'zod'
import type { Action, Asked, Inspection, Inspector } from './dialect.ts'
import { createJsonScanner } from './json-scanner.ts'

/** The members that policy needs; a registry takes many more. */
const manifest = z.object({
  name: z.string().optional(),
  version: z.string().optional(),
  dist: z.object({ integrity: z.string().optional(), tarball: z.string().optional() }).optional(),
})
const packageDocument = z.object({
  _id: z.string().optional(),
  name: z.string().optional(),
  versions: z.record(z.string(), manifest).optional(),
  maintainers: z.unknown().optional(),
  'dist-tags': z.record(z.string(), z.string()).optional(),
})
type PackageDocument = z.infer<typeof packageDocument>

const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })

/** The scanner leaves the inside of strings to JSON.parse, which may still find a control character there. */
function parseDocument(bytes: Buffer, end: string): PackageDocument | undefined {
  try {
    return packageDocument.safeParse(JSON.parse(`${utf8.decode(bytes).trimEnd().replace(/,$/, '')}${end}`)).data
  } catch {
    return undefined
  }
}

const UNDECIDED: Inspection = Object.freeze({ kind: 'undecided' })

/**
 * @param name the package of the path; the document must be about the same
 * @param candidates what the route allows this document to do
 */
export function createDocumentInspector(name: string, candidates: readonly Action[]): Inspector {
  let prefix: Buffer[] | undefined = []
  let attachmentsAt: number | undefined
  let files = 0
  let verdict: Inspection = UNDECIDED
  let integrity: string | undefined
  let attachmentName = ''
  let ended = false
  const attachment = createBase64Hash('sha512')
  const scanner = createJsonScanner({ onKey, onString })

  function onKey(path: readonly (string | undefined)[], offset: number): void {
    const inAttachments = path[0] === '_attachments'
    if (path.length === 1) {
      if (inAttachments) attachmentsAt = offset
      else if (files > 0) reject('a member follows "_attachments", which has to be the last')
    } else if (inAttachments && path.length === 2) {
      attachmentName = path[1] ?? ''
      if (++files > 1) reject('there is more than one attachment')
    }
  }

  function onString(path: readonly (string | undefined)[], bytes: Buffer): void {
    if (path.length === 3 && path[0] === '_attachments' && path[2] === 'data') attachment.push(bytes)
  }

  function reject(problem: string): void {
    if (verdict.kind !== 'unacceptable') verdict = { kind: 'unacceptable', problem }
  }

  function decide(document: PackageDocument | undefined, judge: (document: PackageDocument) => Inspection): void {
    prefix = undefined
    if (document === undefined) return reject('the document is not one of a package')
    verdict = judge(document)
    if (verdict.kind === 'known') integrity = verdict.asked.digest
  }

  /** At the first file name within `_attachments`, all that stands before is a whole document but for its end. */
  function decideFromPrefix(): void {
    if (files === 0 || prefix === undefined || attachmentsAt === undefined) return
    if (!candidates.includes('publish')) return reject('the document holds an attachment, which this request may not')
    const before = Buffer.concat(prefix).subarray(0, attachmentsAt)
    decide(parseDocument(before, '}'), document => publishOf(document, name, attachmentName))
  }

  function decideFromWhole(bytes: Buffer): void {
    decide(parseDocument(bytes, ''), document => changeOf(document, name, candidates))
  }

  return {
    push(chunk) {
      prefix?.push(chunk)
      const problem = scanner.push(chunk)
      if (problem !== undefined) reject(`the document cannot be read: ${problem}`)
      else if (verdict.kind !== 'unacceptable') decideFromPrefix()
      return verdict
    },
    end() {
      if (ended) return verdict
      ended = true
      const problem = scanner.end()
      if (problem !== undefined) reject(`the document cannot be read: ${problem}`)
      if (verdict.kind === 'undecided' && prefix !== undefined) decideFromWhole(Buffer.concat(prefix))
      else if (verdict.kind === 'known') verdict = verify(verdict.asked, integrity, attachment.digest())
      return verdict
    },
  }
}

function unacceptable(problem: string): Inspection {
  return { kind: 'unacceptable', problem }
}

function known(asked: Omit<Asked, 'personal'>): Inspection {
  return { kind: 'known', asked: { ...asked, personal: false } }
}

/** `npm star` sends `_id` alone, some clients `name` alone; what is there has to be about the package of the path. */
function disagreement(document: PackageDocument, name: string): Inspection | undefined {
  if (document.name === undefined && document._id === undefined) {
    return unacceptable('the document has neither "name" nor "_id"')
  }
  if (document.name !== undefined && document.name !== name) return unacceptable('"name" differs from the path')
  return document._id !== undefined && document._id !== name ? unacceptable('"_id" differs from the path') : undefined
}

/**
 * A publish holds one version with its tarball, as every npm client sends it. A registry stores the tarball under the
 * attachment's name, serves the file that `dist.tarball` names, and sets every tag: each has to be of this version.
 */
function publishOf(document: PackageDocument, name: string, attachmentName: string): Inspection {
  const differs = disagreement(document, name)
  if (differs !== undefined) return differs
  const [entry, ...others] = Object.entries(document.versions ?? {})
  if (entry === undefined || others.length > 0) {
    return unacceptable('"versions" has to hold exactly one version, before "_attachments"')
  }
  const [version, { name: manifestName = name, version: manifestVersion = version, dist }] = entry
  if (manifestName !== name) return unacceptable('"name" within "versions" differs from the path')
  if (manifestVersion !== version) return unacceptable('"version" differs from its key in "versions"')
  const file = `${name.slice(name.indexOf('/') + 1)}-${version}.tgz`
  if (attachmentName !== `${name}-${version}.tgz` && attachmentName !== file) {
    return unacceptable('the attachment is not named after the package and the version')
  }
  if (dist?.tarball !== undefined && dist.tarball.slice(dist.tarball.lastIndexOf('/') + 1) !== file) {
    return unacceptable('"dist.tarball" names another file')
  }
  if (Object.values(document['dist-tags'] ?? {}).some(tagged => tagged !== version)) {
    return unacceptable('"dist-tags" names another version')
  }
  const hashes = sha512sOf(dist?.integrity)
  if (hashes.length > 1) return unacceptable('"dist.integrity" has more than one SHA-512')
  return known({ action: 'publish', package: name, version, digest: hashes[0] })
}

/**
 * No attachment: deprecation and stars amend; a document under a revision withdraws versions or changes owners. A
 * registry takes the versions that a document lists for all there are, and drops the others, so a document that lists
 * versions, and any under a revision, needs the right to withdraw as well.
 */
function changeOf(document: PackageDocument, name: string, candidates: readonly Action[]): Inspection {
  const about = { package: name, version: undefined, digest: undefined }
  const differs = disagreement(document, name)
  if (differs !== undefined) return differs
  const lists = document.versions !== undefined
  if (candidates.includes('publish')) return known({ action: 'amend', ...about, ...(lists ? WITHDRAWS_TOO : {}) })
  if (lists) return known({ action: 'withdraw', ...about })
  if (document.maintainers !== undefined) return known({ action: 'own', ...about, ...WITHDRAWS_TOO })
  return unacceptable('the document has neither "versions" nor "maintainers"')
}

const WITHDRAWS_TOO: Pick<Asked, 'also'> = Object.freeze({ also: 'withdraw' })

/** Subresource Integrity lists hashes separated by spaces; npm writes sha512. */
function sha512sOf(integrity = ''): string[] {
  return integrity.split(/\s+/).filter(hash => hash.startsWith('sha512-'))
}

/** The audit record names the bytes that were published, not the bytes that were promised. */
function verify(asked: Asked, promised: string | undefined, digest: string | undefined): Inspection {
  if (asked.action !== 'publish') return { kind: 'known', asked }
  if (digest === undefined) return unacceptable('the attachment has no "data" in plain base64')
  const actual = `sha512-${digest}`
  if (promised !== undefined && promised !== actual) {
    return unacceptable('"dist.integrity" is not the SHA-512 of the attachment')
  }
  return { kind: 'known', asked: { ...asked, digest: actual } }
}

interface Base64Hash {
  readonly push: (text: Buffer) => void
  /** base64; undefined when nothing was pushed, or what is not the canonical base64 of anything */
  readonly digest: () => string | undefined
}

/** Hashes what a long base64 text decodes to, piece by piece. */
function createBase64Hash(algorithm: string): Base64Hash {
  const hash: Hash = createHash(algorithm)
  let carry = ''
  let padded = false
  let clean = true
  let empty = true

  function push(text: Buffer): void {
    empty = false
    const all = carry + text.toString('latin1')
    const whole = all.length - (all.length % 4)
    carry = all.slice(whole)
    if (whole === 0) return
    const decoded = Buffer.from(all.slice(0, whole), 'base64')
    const padding = all.endsWith('==', whole) ? 2 : all.endsWith('=', whole) ? 1 : 0
    // Node skips what is not base64; a shorter result tells that there was something.
    if (padded || decoded.length !== (whole / 4) * 3 - padding) clean = false
    padded = padding > 0
    hash.update(decoded)
  }

  return { push, digest: () => (clean && !empty && carry === '' ? hash.digest('base64') : undefined) }
}
