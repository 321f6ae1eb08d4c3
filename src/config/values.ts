// The scalars of the configuration files: text → value, or what is wrong with it and what would be right.

import { isIPv6 } from 'node:net'

export interface Bad {
  readonly kind: 'bad'
  readonly problem: string
  /** the text may hold a secret: it is neither in `problem` nor to be shown beside it (R14) */
  readonly hide: boolean
}

export type Read<T> = { readonly kind: 'ok'; readonly value: T } | Bad

export function ok<T>(value: T): Read<T> {
  return { kind: 'ok', value }
}

export function bad(problem: string, hide = false): Bad {
  return { kind: 'bad', problem, hide }
}

const LONGEST_QUOTE = 80

/** Text from a file in a message: on one line, without what a terminal would obey or hide. */
export function quote(text: string): string {
  const shown = text.length > LONGEST_QUOTE ? `${text.slice(0, LONGEST_QUOTE)}…` : text
  return JSON.stringify(printable(shown))
}

/** Control characters, and those that turn the direction of writing, as U+FFFD; tabs stay. */
export function printable(text: string): string {
  return text.replace(/(?!\t)\p{C}/gu, '\u{fffd}')
}

const MS = new Map([
  ['ms', 1],
  ['s', 1000],
  ['m', 60_000],
  ['h', 3_600_000],
  ['d', 86_400_000],
])

/** @returns ms */
export function parseDuration(text: string): Read<number> {
  const [, digits = '', unit = ''] = /^(\d{1,9})(ms|s|m|h|d)$/.exec(text) ?? []
  const factor = MS.get(unit)
  if (factor === undefined) return bad(`${quote(text)} is not a duration; write it as 500ms, 10s, 5m or 1h`)
  return ok(Number(digits) * factor)
}

const BYTES = new Map([
  ['', 1],
  ['KiB', 1 << 10],
  ['MiB', 1 << 20],
  ['GiB', 1 << 30],
])

/** @returns bytes */
export function parseSize(text: string): Read<number> {
  const [, digits = '', unit] = /^(\d{1,12})(|KiB|MiB|GiB)$/.exec(text) ?? []
  const factor = unit === undefined ? undefined : BYTES.get(unit)
  if (factor === undefined) return bad(`${quote(text)} is not a size; write it as 64KiB, 4MiB, 1GiB or in bytes`)
  return ok(Number(digits) * factor)
}

export function parseCount(text: string): Read<number> {
  return /^\d{1,9}$/.test(text) ? ok(Number(text)) : bad(`${quote(text)} is not a whole number`)
}

export interface Address {
  readonly host: string
  readonly port: number
}

const ADDRESS_HELP = 'write it as 0.0.0.0:8443, [::]:8443 or host:8443'

export function parseAddress(text: string): Read<Address> {
  const [, literal, name, digits = ''] = /^(?:\[([^\]]*)\]|([A-Za-z0-9._-]+)):(\d{1,5})$/.exec(text) ?? []
  const host = literal ?? name
  if (host === undefined) return bad(`${quote(text)} is not an address and a port; ${ADDRESS_HELP}`)
  if (literal !== undefined && !isIPv6(literal)) return bad(`${quote(literal)} is not an IPv6 address; ${ADDRESS_HELP}`)
  const port = Number(digits)
  return port > 65_535 ? bad(`port ${port} does not exist; ports end at 65535`) : ok({ host: host.toLowerCase(), port })
}

/** Compared with what clients send, byte for byte: nothing in it may be spelled in two ways. */
const PLAIN_PATH = /^(?:\/[A-Za-z0-9_~-][A-Za-z0-9._~-]*)*\/?$/

/** The URL of a server: a scheme, a host, perhaps a port and a path of plain characters. The path ends in a slash. */
function parseServerUrl(text: string, schemes: readonly string[], example: string): Read<URL> {
  const url = URL.parse(text)
  // User information and a query hold tokens.
  const hide = /[@?]/.test(text)
  const shown = hide ? 'this' : quote(text)
  const scheme = schemes.join(' or ')
  if (url === null || !/^[a-z]+:\/\/[^/]/i.test(text))
    return bad(`${shown} is not a URL; expected one such as ${example}`, hide)
  if (!schemes.includes(url.protocol)) return bad(`${shown} begins with ${url.protocol}; expected ${scheme}`, hide)
  if (url.username !== '' || url.password !== '') {
    return bad('a user name or password stands in this URL; credentials belong to accounts, in the accounts file', true)
  }
  if (/[?#\\%]/.test(text) || !PLAIN_PATH.test(url.pathname)) {
    return bad(
      `${shown} has more than a host, a port and a path of plain characters; expected one such as ${example}`,
      hide,
    )
  }
  if (!url.pathname.endsWith('/')) url.pathname += '/'
  return url.hostname.endsWith('.') ? bad(`${shown} ends in a dot; write the host without it`) : ok(url)
}

export function parsePublicUrl(text: string): Read<URL> {
  return parseServerUrl(text, ['https:'], 'https://npm.example.com:8443')
}

export function parseUpstream(text: string): Read<URL> {
  return parseServerUrl(text, ['http:', 'https:'], 'http://127.0.0.1:4873')
}

/** An origin: a scheme, a host, perhaps a port. */
export function parseOrigin(text: string): Read<string> {
  const read = parseServerUrl(text, ['http:', 'https:'], 'https://backend.example.com')
  if (read.kind === 'bad') return read
  return read.value.pathname === '/' ? ok(read.value.origin) : bad(`${quote(text)} has a path; expected an origin`)
}

/** Whether what is sent to a host stays on this machine. */
export function isLoopback(hostname: string): boolean {
  return hostname === 'localhost' || hostname === '[::1]' || /^127(\.\d{1,3}){3}$/.test(hostname)
}

const DATE = /^(\d{4})-(\d{2})-(\d{2})$/
const TIME = /^(?:[01]\d|2[0-3]):[0-5]\d:[0-5]\d(?:\.\d{1,9})?(?:Z|[+-](?:[01]\d|2[0-3]):[0-5]\d)$/
const DATE_HELP = 'write it as 2031-11-23'

/** A calendar date. @returns its first instant in UTC, ms since the epoch */
export function parseDate(text: string): Read<number> {
  const [, year, month, day] = DATE.exec(text)?.map(Number) ?? []
  if (year === undefined || month === undefined || day === undefined) {
    return bad(`${quote(text)} is not a date; ${DATE_HELP}`)
  }
  const start = new Date(Date.UTC(year, month - 1, day))
  // Date.UTC takes the 30th of February for the 2nd of March, and the year 99 for 1999.
  return start.toISOString().startsWith(text) ? ok(start.getTime()) : bad(`${quote(text)} does not exist; ${DATE_HELP}`)
}

/**
 * When something ends: a date, to the end of that day in UTC, or an RFC 3339 time-stamp, to that instant.
 *
 * @returns the first ms since the epoch that is too late
 */
export function parseEnd(text: string): Read<number> {
  const [date = '', time] = text.toUpperCase().split(/[T ](.*)/s)
  const day = parseDate(date)
  if (day.kind === 'bad') {
    return DATE.test(date)
      ? day
      : bad(`${quote(text)} is not a date or a time; write it as 2031-11-23 or 2031-11-23T12:00:00Z`)
  }
  if (time === undefined) return ok(day.value + 86_400_000)
  if (!TIME.test(time)) {
    return bad(
      `${quote(text)} is not a time with a time zone; write it as 2031-11-23T12:00:00Z or 2031-11-23T12:00:00+01:00`,
    )
  }
  return ok(Date.parse(`${date}T${time}`))
}

/** Text that is shown to people: no controls, no line breaks, nothing that reorders what stands beside it. */
export function parseLine(text: string, longest: number): Read<string> {
  const { length } = [...text]
  if (length >= 1 && length <= longest && !/(?! )[\p{C}\p{Z}]/u.test(text)) return ok(text)
  return bad(`${quote(text)} is not 1 to ${longest} printable characters on one line`)
}

/** The known word that was probably meant. */
export function nearest(word: string, known: readonly string[]): string | undefined {
  const [best] = known
    .map(candidate => ({ candidate, distance: distance(word, candidate) }))
    .filter(({ distance: edits, candidate }) => edits <= Math.min(2, candidate.length / 2))
    .sort((a, b) => a.distance - b.distance)
  return best?.candidate
}

/** Levenshtein's, row by row. */
function distance(from: string, to: string): number {
  if (Math.abs(from.length - to.length) > 2) return Number.POSITIVE_INFINITY
  let row = Array.from({ length: to.length + 1 }, (_, i) => i)
  for (const [i, char] of [...from].entries()) {
    const next = [i + 1]
    for (const [j, other] of [...to].entries()) {
      next.push(Math.min((next[j] ?? 0) + 1, (row[j + 1] ?? 0) + 1, (row[j] ?? 0) + (char === other ? 0 : 1)))
    }
    row = next
  }
  return row.at(-1) ?? 0
}
