// Whether the Node that runs the gate still gets security fixes (R47). Only even lines are long-term releases.

/** End of life of each line that the gate runs on, as nodejs.org announces it. */
const END_OF_LIFE: ReadonlyMap<number, string> = new Map([
  [24, '2028-04-30'],
  [26, '2029-04-30'],
])

export interface NodeSupport {
  readonly supported: boolean
  /** for a sentence: `supported until 2029-04-30` */
  readonly words: string
}

/**
 * @param version `26.10.0`
 * @param now ms since the epoch
 */
export function nodeSupport(version: string, now: number): NodeSupport {
  const end = END_OF_LIFE.get(Number(version.split('.')[0]))
  if (end === undefined) return { supported: false, words: 'not a line of Node that this release supports' }
  return now < Date.parse(end)
    ? { supported: true, words: `supported until ${end}` }
    : { supported: false, words: `without security fixes since ${end}` }
}
