// Files that the configuration names → bytes, or why not, as a sentence. Never waits for a pipe and never reads without
// a bound.

import { isUtf8 } from 'node:buffer'
import { constants } from 'node:fs'
import { type FileHandle, open } from 'node:fs/promises'
import { platform } from 'node:os'
import { bad, ok, type Read } from './values.ts'

export interface Demands {
  /** bytes */
  readonly limit: number
  /** holds a secret: nobody but its owner may read or write it (R43) */
  readonly ownerOnly: boolean
}

/** @returns the file's bytes; or a predicate to follow its name, such as `does not exist` */
export async function readWhole(path: string, demands: Demands): Promise<Read<Buffer>> {
  let handle: FileHandle | undefined
  try {
    // Without O_NONBLOCK the opening of a FIFO waits for its writer.
    handle = await open(path, constants.O_RDONLY | constants.O_NONBLOCK)
    // Mode and bytes are those of one file, whatever happens to its name meanwhile.
    const problem = problemOf(path, await handle.stat(), demands)
    return problem === undefined ? ok(await handle.readFile()) : bad(problem)
  } catch (error) {
    return bad(describe(error))
  } finally {
    await handle?.close()
  }
}

interface Stats {
  readonly mode: number
  readonly size: number
  isFile(): boolean
  isDirectory(): boolean
}

/** Windows has access lists instead, and reports every file as readable by all. */
const HAS_MODES = platform() !== 'win32'

function problemOf(path: string, stats: Stats, { limit, ownerOnly }: Demands): string | undefined {
  if (stats.isDirectory()) return 'is a directory; expected a file'
  if (!stats.isFile()) return 'is not a regular file'
  if (stats.size > limit) return `is larger than ${limit} bytes`
  if (!ownerOnly || !HAS_MODES || (stats.mode & 0o077) === 0) return undefined
  const mode = (stats.mode & 0o7777).toString(8).padStart(4, '0')
  return `is open to others than its owner (mode ${mode}); run: chmod 600 ${shellWord(path)}`
}

function shellWord(path: string): string {
  return /^[\w./+:@-]+$/.test(path) ? path : `'${path.replaceAll("'", "'\\''")}'`
}

const REASONS = new Map([
  ['ENOENT', 'does not exist'],
  ['ENOTDIR', 'does not exist: part of its path is not a directory'],
  ['EACCES', 'may not be read by the user that certgate runs as'],
  ['EPERM', 'may not be read by the user that certgate runs as'],
  ['EISDIR', 'is a directory; expected a file'],
  ['ELOOP', 'is a symbolic link that leads to itself'],
  ['ENAMETOOLONG', 'has too long a name'],
])

function describe(error: unknown): string {
  const code = error instanceof Error && 'code' in error ? String(error.code) : 'unknown reason'
  return REASONS.get(code) ?? `cannot be read (${code})`
}

export interface Decoded {
  readonly text: string
  /** where it is no text, and why; the rest of it then means nothing */
  readonly flaw: { readonly offset: number; readonly message: string } | undefined
}

/** UTF-8 without controls that have no place in a text file; a byte order mark is dropped. */
export function decodeText(bytes: Buffer): Decoded {
  // Decoded leniently, so that the place of what is wrong can be shown.
  const text = new TextDecoder().decode(bytes)
  if (!isUtf8(bytes)) {
    const offset = Math.max(0, text.indexOf('\u{fffd}'))
    return { text, flaw: { offset, message: 'this is not UTF-8; save the file as UTF-8' } }
  }
  const control = /[^\P{Cc}\t\r\n]/u.exec(text)
  if (control === null) return { text, flaw: undefined }
  const code = (control[0].codePointAt(0) ?? 0).toString(16).toUpperCase().padStart(4, '0')
  return { text, flaw: { offset: control.index, message: `the control character U+${code} stands here; remove it` } }
}
