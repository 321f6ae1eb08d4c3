// One line of a log: a JSON object in visible ASCII, whatever a client put into it (R24).

/** What a client may make a value as long as; the rest is cut off. */
const VALUE_SIZE = 1024

/**
 * Control characters, line separators and bidirectional overrides cannot forge a second line or hide a part of one:
 * everything outside visible ASCII is escaped.
 *
 * @returns one line with its newline
 */
export function lineOf(entry: Readonly<Record<string, unknown>>): string {
  const text = JSON.stringify(entry, (_key, value: unknown) =>
    typeof value === 'string' && value.length > VALUE_SIZE ? `${value.slice(0, VALUE_SIZE)}…` : value,
  )
  return `${text.replace(/[^\x20-\x7e]/g, escapeChar)}\n`
}

function escapeChar(char: string): string {
  return `\\u${char.charCodeAt(0).toString(16).padStart(4, '0')}`
}
