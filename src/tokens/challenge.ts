// WWW-Authenticate: what an upstream wants to be shown, RFC 9110 §11.6.1.

export interface Challenge {
  /** in lower case */
  readonly scheme: string
  /** by name in lower case */
  readonly parameters: ReadonlyMap<string, string>
}

const SEPARATOR = /[ \t,]*/y
const NAME = /([!#$%&'*+\-.^_`|~0-9A-Za-z]+)/y
const VALUE = /[ \t]*=[ \t]*(?:"((?:[^"\\]|\\.)*)"|([!#$%&'*+\-.^_`|~0-9A-Za-z]+))(?=[ \t]*(?:,|$))/y
const TOKEN68 = / +[A-Za-z0-9\-._~+/]+=*(?=[ \t]*(?:,|$))/y

/** @returns what could be read before the first thing that could not */
export function parseChallenges(values: readonly string[]): readonly Challenge[] {
  return values.flatMap(parseOne)
}

function parseOne(text: string): readonly Challenge[] {
  const challenges: { scheme: string; parameters: Map<string, string> }[] = []
  let at = 0

  function take(pattern: RegExp): RegExpExecArray | null {
    pattern.lastIndex = at
    const match = pattern.exec(text)
    if (match !== null) at = pattern.lastIndex
    return match
  }

  for (;;) {
    take(SEPARATOR)
    const name = take(NAME)?.[1]?.toLowerCase()
    if (name === undefined) return challenges
    const value = take(VALUE)
    if (value === null) {
      challenges.push({ scheme: name, parameters: new Map() })
      take(TOKEN68)
    } else {
      challenges.at(-1)?.parameters.set(name, value[1]?.replace(/\\(.)/g, '$1') ?? value[2] ?? '')
    }
  }
}
