// The query of an OCI upload, read only where all backends read it alike: which parameters stand there, and what for.

/**
 * @param names of the parameters that have a meaning, in lower case
 * @param others whether further ones may stand beside them
 * @returns undefined when the query can be read in more than one way: one of them twice, a `;` (some servers separate by
 *   it), an escape that is no UTF-8
 */
export function parametersOf(
  query: string | undefined,
  names: readonly string[],
  others: boolean,
): ReadonlyMap<string, string> | undefined {
  const parameters = new Map<string, string>()
  if (query?.includes(';') === true) return undefined
  for (const pair of query?.split('&').filter(Boolean) ?? []) {
    const equals = pair.includes('=') ? pair.indexOf('=') : pair.length
    // To some servers the case of a name does not matter, and brackets make a list of it.
    const name = decode(pair.slice(0, equals))?.toLowerCase().replace(/\[.*$/s, '')
    const value = decode(pair.slice(equals + 1))
    if (name === undefined || value === undefined) return undefined
    if (!names.includes(name)) {
      if (others) continue
      return undefined
    }
    if (parameters.has(name)) return undefined
    parameters.set(name, value)
  }
  return parameters
}

function decode(text: string): string | undefined {
  try {
    return decodeURIComponent(text.replaceAll('+', ' '))
  } catch {
    return undefined
  }
}
