// What a test needs of the machine and must give back: folders and ports.

import { once } from 'node:events'
import { mkdtemp, realpath, rm } from 'node:fs/promises'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

/** The part of node:test's context that is used here. */
export interface Ending {
  readonly after: (undo: () => Promise<void>) => void
}

type Undo = () => unknown

const undos = new WeakMap<Ending, Undo[]>()

/**
 * Has `undo` run when the test is over, last come first served: node:test runs its own `after` hooks in the order of
 * their registration, which would remove a folder while a server still writes in it.
 */
export function atEnd(t: Ending, undo: Undo): void {
  const stack = undos.get(t)
  if (stack !== undefined) return void stack.push(undo)
  const fresh = [undo]
  undos.set(t, fresh)
  t.after(() => unwind(fresh))
}

/** Every one runs, whatever the others throw. */
async function unwind(stack: readonly Undo[]): Promise<void> {
  const errors: unknown[] = []
  for (const undo of stack.toReversed()) {
    try {
      await undo()
    } catch (error) {
      errors.push(error)
    }
  }
  if (errors.length > 0) throw errors.length === 1 ? errors[0] : new AggregateError(errors)
}

/** A new folder, mode 0700, that is removed with all it holds when the test is over. @returns its real path */
export async function temporaryFolder(t: Ending): Promise<string> {
  const folder = await realpath(await mkdtemp(join(tmpdir(), 'certgate-')))
  // A process that was just killed may still have a write under way.
  atEnd(t, () => rm(folder, { recursive: true, force: true, maxRetries: 5 }))
  return folder
}

/**
 * A port of 127.0.0.1 that nobody listens on. Another process may take it before the caller does: only for one that
 * is to refuse connections, or where port 0 cannot be given.
 */
export async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const address = server.address()
  if (address === null || typeof address === 'string') throw new Error('a TCP listener has no address')
  server.close()
  await once(server, 'close')
  return address.port
}
