// The wall clock for dates, made safe against one that is set back: what has expired stays expired (R22).

/** @returns ms since the epoch */
export type Clock = () => number

/** A step back of less than this is a clock being disciplined, not a clock being set. */
const STEP = 60_000

/**
 * @param wall ms since the epoch
 * @param onStepBack called once for each step, with its size in ms
 */
export function createClock(wall: Clock, onStepBack: (by: number) => void): Clock {
  let highest = Number.NEGATIVE_INFINITY
  let stepped = false

  return function now() {
    const time = wall()
    if (time >= highest) {
      highest = time
      stepped = false
      return time
    }
    if (!stepped && highest - time > STEP) {
      stepped = true
      onStepBack(highest - time)
    }
    return highest
  }
}
