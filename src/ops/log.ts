// The operator's log: JSON lines on standard error. Never waits for its reader: a pager that was stopped must not stop
// the gate (R35).

import sonicBoom from 'sonic-boom'
import { lineOf } from '../audit/line.ts'

export type Level = 'info' | 'warning' | 'error'

/** Values are told by field, never as an object: an error may hold a whole request (R14). */
export type Facts = Readonly<Record<string, string | number | boolean | undefined>>

export interface Log {
  readonly write: (level: Level, event: string, facts: Facts) => void
  /** Writes what is still waiting. */
  readonly flush: () => void
}

/** What may wait for a slow reader, bytes; more is dropped. */
const QUEUE_SIZE = 1024 * 1024

/** @param descriptor open file descriptor that the lines go to */
export function createLog(descriptor: number): Log {
  const stream = new sonicBoom.SonicBoom({ fd: descriptor, sync: false, maxLength: QUEUE_SIZE })
  // A reader that has gone away is no reason to stop.
  stream.on('error', () => {})
  return {
    write: (level, event, facts) => {
      stream.write(lineOf({ time: new Date().toISOString(), level, event, ...facts }))
    },
    flush: () => stream.flushSync(),
  }
}

/** What may be told of an error: where it came from, not what it holds. */
export function factsOf(error: unknown): Facts {
  if (!(error instanceof Error)) return { error: typeof error }
  const code = 'code' in error && typeof error.code === 'string' ? error.code : undefined
  return { error: error.name, code, stack: error.stack }
}
