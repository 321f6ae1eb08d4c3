// One coarse timer for all connections instead of one for each: setting a deadline is an assignment, and a sweep over
// ten thousand connections costs about a millisecond.

import { performance } from 'node:perf_hooks'

/** Something that may run out of time. `deadline` is in monotonic ms; Infinity: no limit at the moment. */
export interface Watch {
  deadline: number
  readonly expire: () => void
}

export interface Sweeper {
  /** Monotonic ms. Never the wall clock: it jumps (R22). */
  now(): number
  watch(entry: Watch): void
  unwatch(entry: Watch): void
  stop(): void
}

/**
 * @param interval ms between two sweeps: how much later than its deadline a watch may expire
 */
export function createSweeper(interval: number): Sweeper {
  const entries = new Set<Watch>()

  function sweep(): void {
    const now = performance.now()
    for (const entry of entries) {
      if (entry.deadline > now) continue
      entry.deadline = Number.POSITIVE_INFINITY
      entry.expire()
    }
  }

  const timer = setInterval(sweep, interval).unref()
  return {
    now: () => performance.now(),
    watch: entry => void entries.add(entry),
    unwatch: entry => void entries.delete(entry),
    stop: () => clearInterval(timer),
  }
}
