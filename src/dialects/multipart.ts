// Reads a multipart/form-data body (RFC 7578, RFC 2046 §5.1) as it streams past, in constant memory. Of everything that
// servers read in different ways it accepts one form only: what a server makes of a body has to be what was judged.

export interface PartHead {
  readonly name: string
  readonly filename: string | undefined
  /** lower case, with its parameters; undefined: the part has no Content-Type */
  readonly type: string | undefined
}

/** Each may say what is wrong, which ends the reading. */
export interface MultipartEvents {
  readonly onPart: (head: PartHead) => string | undefined
  /** bytes of the part that was told last */
  readonly onData: (bytes: Buffer) => string | undefined
  readonly onPartEnd: () => string | undefined
}

export interface MultipartReader {
  /** @returns what is wrong with the body so far */
  readonly push: (chunk: Buffer) => string | undefined
  /** @returns what is wrong with the whole body */
  readonly end: () => string | undefined
}

/**
 * The boundary of a Content-Type value; undefined where there is not exactly one, written plainly. Servers disagree on
 * quotes, on escapes within them and on further parameters.
 */
export function boundaryOf(contentType: string): string | undefined {
  return /^multipart\/form-data; ?boundary=(?:"([\w-]{1,70})"|([\w-]{1,70}))$/i
    .exec(contentType)
    ?.slice(1)
    .find(Boolean)
}

/** Bytes of a part's head. */
const HEAD_SIZE = 2048

const PARTS = 5000

const CRLF = '\r\n'

export function createMultipartReader(boundary: string, events: MultipartEvents): MultipartReader {
  const dashed = Buffer.from(`--${boundary}`)
  let state: 'start' | 'delimited' | 'head' | 'data' | 'closed' = 'start'
  let rest: Buffer = Buffer.alloc(0)
  let parts = 0
  let problem: string | undefined

  function push(chunk: Buffer): string | undefined {
    if (problem !== undefined) return problem
    rest = rest.length === 0 ? chunk : Buffer.concat([rest, chunk])
    try {
      while (step()) {}
    } catch (error) {
      if (!(error instanceof Malformed)) throw error
      problem = error.message
    }
    return problem
  }

  /** @returns whether there may be more to do with the bytes at hand */
  function step(): boolean {
    switch (state) {
      case 'start':
        return readStart()
      case 'delimited':
        return readDelimiterEnd()
      case 'head':
        return readHead()
      case 'data':
        return readData()
      case 'closed':
        if (!CRLF.startsWith(rest.toString('latin1'))) fail('something follows its last part')
        return false
    }
  }

  function take(length: number): Buffer {
    const taken = rest.subarray(0, length)
    rest = rest.subarray(length)
    return taken
  }

  /** A preamble is allowed by RFC 2046 and by no client used. */
  function readStart(): boolean {
    const length = Math.min(rest.length, dashed.length)
    if (!rest.subarray(0, length).equals(dashed.subarray(0, length))) fail('it does not begin with its boundary')
    if (length < dashed.length) return false
    take(length)
    state = 'delimited'
    return true
  }

  function readDelimiterEnd(): boolean {
    if (rest.length < 2) return false
    const end = take(2).toString('latin1')
    if (end === CRLF) state = 'head'
    else if (end === '--') state = 'closed'
    else fail('its boundary occurs in something that is no delimiter')
    return true
  }

  function readHead(): boolean {
    const end = rest.indexOf('\r\n\r\n', 0, 'latin1')
    if ((end === -1 ? rest.length : end) > HEAD_SIZE) fail("a part's head is too long")
    if (end === -1) return false
    if (++parts > PARTS) fail('it has too many parts')
    const head = parseHead(take(end + 4).toString('latin1', 0, end))
    check(events.onPart(head))
    state = 'data'
    return true
  }

  /**
   * Some servers end a part at a boundary after a bare line feed, or with white space behind it. No boundary of a
   * client's choice occurs in what it sends, so any occurrence but the plain one is refused.
   */
  function readData(): boolean {
    const at = rest.indexOf(dashed)
    if (at === -1) {
      const safe = rest.length - (dashed.length - 1) - CRLF.length
      if (safe > 0) check(events.onData(take(safe)))
      return false
    }
    if (rest.toString('latin1', Math.max(0, at - 2), at) !== CRLF) {
      fail('its boundary occurs in something that is no delimiter')
    }
    if (at > 2) check(events.onData(rest.subarray(0, at - 2)))
    check(events.onPartEnd())
    take(at + dashed.length)
    state = 'delimited'
    return true
  }

  function end(): string | undefined {
    const whole = state === 'closed' && (rest.length === 0 || rest.equals(Buffer.from(CRLF)))
    return problem ?? (whole ? undefined : 'it ends before its last boundary does')
  }

  return { push, end }
}

/** Ends a step from within; never leaves this file. */
class Malformed extends Error {}

function fail(problem: string): never {
  throw new Malformed(problem)
}

function check(problem: string | undefined): void {
  if (problem !== undefined) fail(problem)
}

/** Quoted, without escapes, in this order; `name*`, `filename*` (RFC 5987) and tokens are read by some and not by others. */
const DISPOSITION =
  /^form-data; name="(?<name>[a-z0-9_:-]{1,100})"(?:; filename="(?<filename>[A-Za-z0-9._+!-]{1,255})")?$/

const LINE = /^(?<field>Content-Disposition|Content-Type): (?<value>[\x20-\x7e]*)$/i

/** Other fields could change what a part is: Content-Transfer-Encoding its bytes, Content-Length its end. */
function parseHead(text: string): PartHead {
  let disposition: string | undefined
  let type: string | undefined
  for (const line of text.split(CRLF)) {
    const { field, value } = LINE.exec(line)?.groups ?? {}
    if (field === undefined) fail("a part's head holds something else than Content-Disposition and Content-Type")
    if (field.toLowerCase() === 'content-type') {
      if (type !== undefined) fail('a part has two Content-Type fields')
      type = value?.toLowerCase()
    } else {
      if (disposition !== undefined) fail('a part has two Content-Disposition fields')
      disposition = value
    }
  }
  const { name, filename } = DISPOSITION.exec(disposition ?? '')?.groups ?? {}
  if (name === undefined) fail('the name of a part, or of its file, is missing or not written plainly')
  return { name, filename, type }
}
