// What the form of an upload does, as twine and uv fill it in: name, version and digest are fields before the file.
// Read as it streams past; the file is hashed, and has to be of the name and the version that the fields say.

import { createHash } from 'node:crypto'
import { type Asked, type Inspection, type Inspector, inspectNothing } from './dialect.ts'
import { boundaryOf, createMultipartReader, type PartHead } from './multipart.ts'
import { factsOfFile, isName, normaliseName, normaliseVersion } from './pypi-names.ts'

/** Whose values decide. */
const DECIDING: ReadonlySet<string> = new Set([':action', 'name', 'version', 'sha256_digest'])

/** Servers take the first or the last of these; classifiers and the like do come several times. */
const ONCE: ReadonlySet<string> = new Set([
  ...DECIDING,
  'content',
  'gpg_signature',
  'attestations',
  'filetype',
  'pyversion',
  'protocol_version',
  'md5_digest',
  'blake2_256_digest',
])

/** They say nothing of what the file is: a signature is held against the file, and stored beside it at most. */
const MAY_FOLLOW: ReadonlySet<string> = new Set(['gpg_signature', 'attestations'])

/** Of a value that decides. */
const VALUE_SIZE = 256

const TEXT_TYPE = /^text\/plain(?:; ?charset="?(?:utf-8|us-ascii)"?)?$/
/** Not `multipart/…` nor `message/…`, which some servers would take apart. */
const FILE_TYPE = /^application\/[a-z0-9.+-]+$/
const VERSION = /^[A-Za-z0-9][A-Za-z0-9._!+-]*$/
const SHA256 = /^[0-9a-f]{64}$/

const UNDECIDED: Inspection = Object.freeze({ kind: 'undecided' })

/** @param contentTypes the values of the request's Content-Type fields */
export function createUploadInspector(contentTypes: readonly string[]): Inspector {
  const [contentType = '', ...others] = contentTypes
  const boundary = others.length > 0 ? undefined : boundaryOf(contentType)
  if (boundary === undefined) return inspectNothing('it is not multipart/form-data with one plain boundary')
  const values = new Map<string, string>()
  const seen = new Set<string>()
  const hash = createHash('sha256')
  let part = ''
  let file: string | undefined
  let signature: string | undefined
  let verdict: Inspection = UNDECIDED
  let ended = false
  const reader = createMultipartReader(boundary, { onPart, onData, onPartEnd })

  function onPart(head: PartHead): string | undefined {
    part = head.name
    if (seen.has(part) && ONCE.has(part)) return `"${part}" occurs twice`
    if (file !== undefined && !MAY_FOLLOW.has(part)) return `"${part}" follows "content", which has to be the last`
    seen.add(part)
    if (DECIDING.has(part)) values.set(part, '')
    return part === 'content' ? onFile(head) : (problemOfField(head) ?? onSignature(head))
  }

  function onFile({ filename, type }: PartHead): string | undefined {
    if (filename === undefined) return '"content" is not a file'
    if (type !== undefined && !FILE_TYPE.test(type)) return `"content" has the type ${type}`
    file = filename
    const upload = uploadOf(values, filename)
    if (typeof upload === 'string') return upload
    verdict = { kind: 'known', asked: upload }
    return problemOfSignature()
  }

  function onSignature({ name, filename }: PartHead): string | undefined {
    if (name === 'gpg_signature') signature = filename
    return problemOfSignature()
  }

  /** pypiserver stores it under its own name. */
  function problemOfSignature(): string | undefined {
    if (signature === undefined || file === undefined || signature === `${file}.asc`) return undefined
    return `"gpg_signature" is not named ${file}.asc`
  }

  function onData(bytes: Buffer): string | undefined {
    if (part === 'content') hash.update(bytes)
    const value = values.get(part)
    if (value === undefined) return undefined
    if (value.length + bytes.length > VALUE_SIZE) return `"${part}" is too long`
    values.set(part, value + bytes.toString('latin1'))
    return undefined
  }

  function onPartEnd(): string | undefined {
    const value = values.get(part)
    return value === undefined ? undefined : problemOfValue(part, value)
  }

  return {
    push(chunk) {
      if (verdict.kind === 'unacceptable') return verdict
      const problem = reader.push(chunk)
      if (problem !== undefined) verdict = unacceptable(problem)
      return verdict
    },
    end() {
      if (ended || verdict.kind === 'unacceptable') return verdict
      ended = true
      const problem = reader.end()
      if (problem !== undefined) verdict = unacceptable(problem)
      else verdict = verdict.kind === 'known' ? verify(verdict.asked, hash.digest('hex')) : removalOf(values, seen)
      return verdict
    },
  }
}

function unacceptable(problem: string): Inspection {
  return { kind: 'unacceptable', problem }
}

/** Only `gpg_signature` and `content` are files. A field in UTF-16 or UTF-7 would be another text to some servers. */
function problemOfField({ name, filename, type }: PartHead): string | undefined {
  if (name === '_charset_') return '"_charset_" is not supported'
  if (name === 'gpg_signature') {
    if (filename === undefined) return '"gpg_signature" is not a file'
    return type === undefined || FILE_TYPE.test(type) ? undefined : `"gpg_signature" has the type ${type}`
  }
  if (filename !== undefined) return `"${name}" is a file`
  return type === undefined || TEXT_TYPE.test(type) ? undefined : `"${name}" has the type ${type}`
}

function problemOfValue(name: string, value: string): string | undefined {
  switch (name) {
    case ':action':
      if (value === 'file_upload' || value === 'remove_pkg') return undefined
      return '":action" is neither file_upload nor remove_pkg, and others are not let through'
    case 'name':
      return isName(value) ? undefined : '"name" is not the name of a package'
    case 'version':
      return VERSION.test(value) ? undefined : '"version" is not one of a package'
    default:
      return SHA256.test(value.toLowerCase()) ? undefined : '"sha256_digest" is not a SHA-256 in hex'
  }
}

/** @returns what is asked, or what is wrong */
function uploadOf(values: ReadonlyMap<string, string>, file: string): Asked | string {
  const name = values.get('name')
  const version = values.get('version')
  if (name === undefined || version === undefined || !values.has(':action')) {
    return '"content" comes before "name", "version" and ":action"'
  }
  if (values.get(':action') !== 'file_upload') return 'a file comes with an ":action" that takes none'
  const facts = factsOfFile(file)
  if (facts === undefined) {
    return `${file} is not the name of a wheel or of a source distribution (name_with_underscores-1.0.tar.gz)`
  }
  const normalised = normaliseName(name)
  if (normaliseName(facts.name) !== normalised) return `the file ${file} is not one of "name", ${name}`
  if (normaliseVersion(facts.version) !== normaliseVersion(version)) {
    return `the file ${file} is not one of "version", ${version}`
  }
  const promised = values.get('sha256_digest')?.toLowerCase()
  const digest = promised === undefined ? undefined : `sha256:${promised}`
  return { action: 'publish', package: normalised, version, digest, personal: false }
}

/** The audit record names the bytes that were published, not the bytes that were promised. */
function verify(asked: Asked, hex: string): Inspection {
  const actual = `sha256:${hex}`
  if (asked.digest !== undefined && asked.digest !== actual) {
    return unacceptable('"sha256_digest" is not the SHA-256 of the file')
  }
  return { kind: 'known', asked: { ...asked, digest: actual } }
}

/** pypiserver's and devpi's way to withdraw a version: the same form without a file. */
function removalOf(values: ReadonlyMap<string, string>, seen: ReadonlySet<string>): Inspection {
  const name = values.get('name')
  const version = values.get('version')
  if (values.get(':action') !== 'remove_pkg') return unacceptable('it holds no file "content"')
  if (name === undefined || version === undefined) return unacceptable('"name" and "version" have to be there')
  if (seen.has('gpg_signature')) return unacceptable('a file comes with an ":action" that takes none')
  return {
    kind: 'known',
    asked: { action: 'withdraw', package: normaliseName(name), version, digest: undefined, personal: false },
  }
}
