// The body of a manifest's PUT: read whole, so that what is published is known by its digest before it is.

import { createHash } from 'node:crypto'
import type { Asked, Inspection, Inspector } from './dialect.ts'

/** The most that the spec wants registries to take ("Pushing manifests"). */
const MANIFEST_SIZE = 4 * 1024 * 1024

const ALGORITHM = /^(sha256|sha512):/

/** Whether a digest can be compared with the body's. */
export function isCheckable(digest: string): boolean {
  return ALGORITHM.test(digest)
}

/** @param asked with the digest by which the path names the manifest; undefined where it names a tag */
export function createManifestInspector(asked: Asked): Inspector {
  const [, algorithm = 'sha256'] = ALGORITHM.exec(asked.digest ?? '') ?? []
  const hash = createHash(algorithm)
  let size = 0
  let verdict: Inspection | undefined

  function judge(): Inspection {
    if (size === 0) return { kind: 'unacceptable', problem: 'the manifest is empty' }
    const digest = `${algorithm}:${hash.digest('hex')}`
    if (asked.digest !== undefined && asked.digest !== digest) {
      return { kind: 'unacceptable', problem: `the digest of the manifest is ${digest}, and the path names another` }
    }
    return { kind: 'known', asked: { ...asked, digest } }
  }

  return {
    push(chunk) {
      size += chunk.length
      if (size > MANIFEST_SIZE)
        return { kind: 'unacceptable', problem: `a manifest has at most ${MANIFEST_SIZE} bytes` }
      hash.update(chunk)
      return { kind: 'undecided' }
    },
    end() {
      verdict ??= judge()
      return verdict
    },
  }
}
