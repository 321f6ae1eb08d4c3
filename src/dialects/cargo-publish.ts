// The body of `PUT /api/v1/crates/new`: two parts, each behind its length. The first is JSON and names crate and
// version, the second is the `.crate` file, whose SHA-256 is made as it streams past.
// <https://doc.rust-lang.org/cargo/reference/registry-web-api.html#publish>

import { createHash } from 'node:crypto'
import { z } from 'zod'
import { isName, isVersion, normalise } from './cargo-names.ts'
import { ask, type Inspection, type Inspector } from './dialect.ts'
import { createJsonScanner } from './json-scanner.ts'

/** A piece of the body. */
interface Part {
  /** bytes, at least 1 */
  readonly size: number
  readonly take: (bytes: Buffer) => void
  /** Called when it is whole. @returns what has to follow; undefined: nothing */
  readonly next: () => Part | undefined
}

const LENGTH_SIZE = 4

/** With a README in it; how much is looked at in fact is the operator's limit `peek`. */
const METADATA_SIZE = 16 * 1024 * 1024

const UNDECIDED: Inspection = Object.freeze({ kind: 'undecided' })

/**
 * Known at the end of the JSON. The last word has the digest in cargo's own spelling, which is also that of the
 * index's `cksum` and of what a credential provider is told: SHA-256 in lower-case hex.
 */
export function createPublishInspector(): Inspector {
  const hash = createHash('sha256')
  let verdict = UNDECIDED
  let part: Part | undefined = lengthThen(metadataOf)
  let left = LENGTH_SIZE
  let begun = false
  let ended = false

  function reject(problem: string): undefined {
    if (verdict.kind !== 'unacceptable') verdict = { kind: 'unacceptable', problem }
  }

  function metadataOf(size: number): Part | undefined {
    if (size > METADATA_SIZE) return reject(`its metadata is longer than ${METADATA_SIZE} bytes`)
    const metadata = createMetadataReader()

    function take(bytes: Buffer): void {
      const problem = metadata.push(bytes)
      if (problem !== undefined) reject(problem)
    }

    function next(): Part | undefined {
      verdict = verdict.kind === 'unacceptable' ? verdict : metadata.end()
      return lengthThen(crateOf)
    }

    return { size, take, next }
  }

  function crateOf(size: number): Part {
    return { size, take: bytes => void hash.update(bytes), next: () => undefined }
  }

  /** u32, little-endian */
  function lengthThen(open: (length: number) => Part | undefined): Part {
    const octets: number[] = []

    function next(): Part | undefined {
      const length = Buffer.from(octets).readUInt32LE()
      return length === 0 ? reject('a part of it is empty') : open(length)
    }

    return { size: LENGTH_SIZE, take: bytes => void octets.push(...bytes), next }
  }

  function takeAll(chunk: Buffer): void {
    for (let at = 0; at < chunk.length; ) {
      if (verdict.kind === 'unacceptable') return
      if (part === undefined) return reject('something follows the crate file')
      const bytes = chunk.subarray(at, at + left)
      part.take(bytes)
      at += bytes.length
      left -= bytes.length
      if (left === 0) {
        part = part.next()
        left = part?.size ?? 0
      }
    }
  }

  return {
    push(chunk) {
      begun ||= chunk.length > 0
      takeAll(chunk)
      return verdict
    },
    end() {
      if (ended || !begun) return verdict
      ended = true
      if (part !== undefined) reject('it ends before the lengths in it say')
      if (verdict.kind === 'known') {
        verdict = { kind: 'known', asked: { ...verdict.asked, digest: hash.digest('hex') } }
      }
      return verdict
    },
  }
}

/** The members that policy needs; a registry takes many more. */
const crateMetadata = z.object({ name: z.string(), vers: z.string() })

/** The members by which the crate is known, as a lenient reader would find them. */
const NAMING = ['name', 'vers']

interface MetadataReader {
  /** @returns what is wrong with the text so far */
  readonly push: (bytes: Buffer) => string | undefined
  readonly end: () => Inspection
}

function createMetadataReader(): MetadataReader {
  const chunks: Buffer[] = []
  let alias: string | undefined

  /** Go's encoding/json takes `Name` and `verſ` for `name` and `vers`, and of two members the last (Gitea). */
  function onKey(path: readonly (string | undefined)[]): void {
    const [key = ''] = path
    const folded = key.normalize('NFKC').toLowerCase()
    if (path.length === 1 && key !== folded && NAMING.includes(folded)) alias = key
  }

  const scanner = createJsonScanner({ onKey, onString() {} })

  function describe(problem: string | undefined): string | undefined {
    if (problem !== undefined) return `its metadata cannot be read: ${problem}`
    return alias === undefined
      ? undefined
      : `its metadata has a member ${JSON.stringify(alias)}, which some take for another`
  }

  return {
    push(bytes) {
      chunks.push(bytes)
      return describe(scanner.push(bytes))
    },
    end() {
      const problem = describe(scanner.end())
      return problem === undefined ? publishOf(Buffer.concat(chunks)) : unacceptable(problem)
    },
  }
}

function publishOf(metadata: Buffer): Inspection {
  const read = parse(metadata)
  if (read === undefined) return unacceptable('its metadata has no "name" and "vers" that are strings')
  const { name, vers } = read
  if (!isName(name)) return unacceptable('"name" in its metadata is not the name of a crate')
  if (!isVersion(vers)) return unacceptable('"vers" in its metadata is not a version')
  return { kind: 'known', asked: ask('publish', normalise(name), vers) }
}

/** The scanner leaves the inside of strings to JSON.parse, and the encoding to the decoder. */
function parse(metadata: Buffer): z.infer<typeof crateMetadata> | undefined {
  try {
    const text = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(metadata)
    return crateMetadata.safeParse(JSON.parse(text)).data
  } catch {
    return undefined
  }
}

function unacceptable(problem: string): Inspection {
  return { kind: 'unacceptable', problem }
}
