// The audit file: lines in, in order, in as few writes as the load allows. A writer learns whether its line is on
// disk; what cannot be written is never half there, and writing works again as soon as the disk does.

import { type FileHandle, mkdir, open as openFile } from 'node:fs/promises'
import { dirname } from 'node:path'

export interface AuditLog {
  /** Writes a line and waits until it is on disk. @returns false when it is not, and nothing of it is */
  readonly require: (line: string) => Promise<boolean>
  /** Writes a line when it can. Lost and counted when the disk or the queue is full. */
  readonly offer: (line: string) => void
  /** lines lost since the start */
  readonly lost: () => number
  readonly close: () => Promise<void>
}

export interface AuditEvents {
  readonly onFailure: (error: unknown) => void
  readonly onRecovery: (lost: number) => void
}

/** What may wait for a slow disk, bytes. */
const QUEUE_SIZE = 16 * 1024 * 1024
const OWNER_ONLY = 0o600

interface Waiting {
  readonly line: string
  /** undefined for a line nobody waits for */
  readonly settle: ((written: boolean) => void) | undefined
}

/**
 * @param open as in node:fs/promises
 * @throws when the file cannot be opened for appending
 */
export async function openAuditLog(file: string, events: AuditEvents, open = openFile): Promise<AuditLog> {
  await mkdir(dirname(file), { recursive: true, mode: 0o700 })
  let handle: FileHandle | undefined = await open(file, 'a', OWNER_ONLY)
  let queue: Waiting[] = []
  let queued = 0
  let lost = 0
  let failing = false
  let flushing: Promise<void> | undefined
  await endTornLine(handle, file)

  function enqueue(entry: Waiting): boolean {
    if (queued + entry.line.length > QUEUE_SIZE) return false
    queue.push(entry)
    queued += entry.line.length
    flushing ??= flush()
    return true
  }

  async function flush(): Promise<void> {
    while (queue.length > 0) {
      const batch = queue
      queue = []
      queued = 0
      settle(batch, await write(batch))
    }
    flushing = undefined
  }

  async function write(batch: readonly Waiting[]): Promise<boolean> {
    try {
      if (handle === undefined) {
        handle = await open(file, 'a', OWNER_ONLY)
        await endTornLine(handle, file)
      }
      await append(handle, batch.map(entry => entry.line).join(''))
      if (batch.some(entry => entry.settle !== undefined)) await handle.datasync()
      if (failing) events.onRecovery(lost)
      failing = false
      return true
    } catch (error) {
      if (!failing) events.onFailure(error)
      failing = true
      // Opened anew the next time: the file may have been moved, or its file system mounted again.
      await handle?.close().catch(() => {})
      handle = undefined
      return false
    }
  }

  function settle(batch: readonly Waiting[], written: boolean): void {
    for (const entry of batch) {
      entry.settle?.(written)
      if (!written && entry.settle === undefined) lost++
    }
  }

  return {
    require: line =>
      new Promise(resolve => {
        if (!enqueue({ line, settle: resolve })) resolve(false)
      }),
    offer: line => {
      if (!enqueue({ line, settle: undefined })) lost++
    },
    lost: () => lost,
    async close() {
      await flushing
      await handle?.close()
      handle = undefined
    },
  }
}

/** All of `text` or nothing of it: a full disk may take the first half of a line. */
async function append(handle: FileHandle, text: string): Promise<void> {
  const { size } = await handle.stat()
  try {
    await handle.appendFile(text, 'latin1')
  } catch (error) {
    await handle.truncate(size).catch(() => {})
    throw error
  }
}

/** A crash, or a disk that would not even truncate, may have left half a line; the next one starts on its own. */
async function endTornLine(handle: FileHandle, file: string): Promise<void> {
  const { size } = await handle.stat()
  if (size === 0) return
  const reader = await openFile(file, 'r')
  try {
    const { buffer } = await reader.read(Buffer.alloc(1), 0, 1, size - 1)
    if (buffer[0] !== 0x0a) await handle.appendFile('\n')
  } finally {
    await reader.close()
  }
}
