// A request target, decoded exactly once. Policy judges the segments made here; the bytes that go upstream are the
// ones that were received, so whatever a backend might decode to something else is refused (R18).

export interface Target {
  /** origin-form as received: what is sent on */
  readonly raw: string
  /** decoded path segments, without the leading slash; a segment holds `/` only where the client wrote `%2f` */
  readonly segments: readonly string[]
  /** without `?`, undecoded; undefined when there is no `?` */
  readonly query: string | undefined
}

export type ParsedTarget =
  | { readonly kind: 'target'; readonly target: Target }
  | { readonly kind: 'ambiguous'; readonly problem: string }

const MALFORMED_ESCAPE = /%(?![0-9A-Fa-f]{2})/

/**
 * Splits and decodes an origin-form target (RFC 9112 §3.2.1).
 *
 * Refused: empty segments, `.` and `..` in any spelling, `;` parameters (Java servers cut them off), `\`, control
 * characters, bytes that are not UTF-8, an escape that decodes to another escape. A single trailing slash is allowed.
 */
export function parseTarget(raw: string): ParsedTarget {
  const mark = raw.indexOf('?')
  const path = mark === -1 ? raw : raw.slice(0, mark)
  const query = mark === -1 ? undefined : raw.slice(mark + 1)
  if (MALFORMED_ESCAPE.test(raw)) return ambiguous('a percent sign is not followed by two hex digits')
  if (path.includes('//')) return ambiguous('the path holds an empty segment')
  const parts = path.slice(1).split('/')
  const segments: string[] = []
  for (const [index, part] of parts.entries()) {
    if (part === '' && index === parts.length - 1) break
    const segment = decode(part)
    if (segment === undefined) return ambiguous('a path segment is not UTF-8')
    const problem = problemOf(segment)
    if (problem !== undefined) return ambiguous(problem)
    segments.push(segment)
  }
  return { kind: 'target', target: { raw, segments, query } }
}

function ambiguous(problem: string): ParsedTarget {
  return { kind: 'ambiguous', problem }
}

function decode(part: string): string | undefined {
  if (!part.includes('%')) return part
  try {
    return decodeURIComponent(part)
  } catch {
    return undefined
  }
}

// biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what it looks for
const UNSAFE = /[\u0000-\u001f\u007f-\u009f\\;]/

/** `%252e` decodes to `%2e`, which a second decoder would take for a dot. */
function problemOf(segment: string): string | undefined {
  if (segment.split('/').some(part => part === '' || part === '.' || part === '..')) {
    return 'the path holds a dot or empty segment'
  }
  if (UNSAFE.test(segment)) return 'a path segment holds a control character, a backslash or a semicolon'
  if (segment.includes('%')) return 'a path segment is percent-encoded twice'
  return undefined
}
