// Reads the structure of a JSON text as it streams past, in constant memory however long its strings are. It tells
// keys and raw string bytes; values are for JSON.parse to read. Stricter than JSON in one point: a key may not occur
// twice in an object, because parsers disagree about which one counts (RFC 8259 §4).

export interface JsonEvents {
  /**
   * A key was read.
   *
   * @param path the keys that lead to it and itself; array elements are `undefined`. Valid during the call.
   * @param offset of its opening quote in the text
   */
  readonly onKey: (path: readonly (string | undefined)[], offset: number) => void
  /** Raw bytes of a string value, escapes and all; several calls for a long one. */
  readonly onString: (path: readonly (string | undefined)[], bytes: Buffer) => void
}

export interface JsonScanner {
  /** @returns what is wrong with the text so far; undefined while it is well-formed */
  push(chunk: Buffer): string | undefined
  /** @returns what is wrong with the whole text */
  end(): string | undefined
}

const DEPTH = 64
/** All keys of the objects that are open at one time: a bound on what is remembered. */
const OPEN_KEYS = 100_000
const KEY_SIZE = 4096

const QUOTE = 0x22
const BACKSLASH = 0x5c
const LITERAL = /^(?:true|false|null|-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?)$/
const LITERAL_SIZE = 512

interface Frame {
  /** undefined in an array */
  readonly keys: Set<string> | undefined
}

/** What may come next where no string or literal is open. */
type Expect = 'value' | 'element or ]' | 'key' | 'key or }' | 'colon' | 'comma or end'

class ScanError extends Error {}

export function createJsonScanner(events: JsonEvents): JsonScanner {
  const frames: Frame[] = []
  const path: (string | undefined)[] = []
  let expect: Expect = 'value'
  let openKeys = 0
  let base = 0
  let problem: string | undefined

  let inString: 'key' | 'value' | undefined
  let escaped = false
  let key: Buffer[] = []
  let keySize = 0
  let keyOffset = 0
  let literal = ''

  function scan(chunk: Buffer): void {
    for (let at = 0; at < chunk.length; ) {
      if (inString !== undefined) at = scanString(chunk, at)
      else if (literal !== '') at = scanLiteral(chunk, at)
      else scanStructure(chunk[at] ?? 0, base + at++)
    }
    base += chunk.length
  }

  function scanString(chunk: Buffer, from: number): number {
    let at = from
    let quote = -1
    while (at < chunk.length && quote === -1) {
      if (escaped) {
        escaped = false
        at++
        continue
      }
      const next = chunk.indexOf(QUOTE, at)
      const stop = next === -1 ? chunk.length : next
      const slash = chunk.subarray(at, stop).indexOf(BACKSLASH)
      if (slash === -1) {
        at = stop
        quote = next
      } else {
        escaped = true
        at += slash + 1
      }
    }
    const bytes = chunk.subarray(from, quote === -1 ? chunk.length : quote)
    if (inString === 'key') collectKey(bytes)
    else events.onString(path, bytes)
    if (quote === -1) return chunk.length
    if (inString === 'key') finishKey()
    else expect = 'comma or end'
    inString = undefined
    return quote + 1
  }

  function collectKey(bytes: Buffer): void {
    keySize += bytes.length
    if (keySize > KEY_SIZE) throw new ScanError('a key is too long')
    // A copy, because a view would keep its whole chunk in memory.
    key.push(Buffer.from(bytes))
  }

  function finishKey(): void {
    const name = decodeKey(Buffer.concat(key).toString('utf8'))
    // JSON.parse keeps it, but what copies the result may not: a version of that name would escape notice.
    if (name === '__proto__') throw new ScanError('it holds the key "__proto__"')
    const keys = frames.at(-1)?.keys
    if (keys === undefined || keys.has(name)) throw new ScanError(`the key ${JSON.stringify(name)} occurs twice`)
    if (++openKeys > OPEN_KEYS) throw new ScanError('it has too many keys')
    keys.add(name)
    path[path.length - 1] = name
    key = []
    keySize = 0
    expect = 'colon'
    events.onKey(path, keyOffset)
  }

  function scanLiteral(chunk: Buffer, from: number): number {
    let at = from
    while (at < chunk.length && isLiteralByte(chunk[at] ?? 0)) at++
    literal += chunk.toString('latin1', from, at)
    if (literal.length > LITERAL_SIZE) throw new ScanError('a number is too long')
    if (at < chunk.length) finishLiteral()
    return at
  }

  function finishLiteral(): void {
    if (!LITERAL.test(literal)) throw new ScanError('a value is malformed')
    literal = ''
    expect = 'comma or end'
  }

  function scanStructure(octet: number, offset: number): void {
    if (octet === 0x20 || octet === 0x0a || octet === 0x0d || octet === 0x09) return
    switch (expect) {
      case 'value':
        return openValue(octet)
      case 'element or ]':
        return octet === 0x5d ? close() : openValue(octet)
      case 'key or }':
        return octet === 0x7d ? close() : openKey(octet, offset)
      case 'key':
        return openKey(octet, offset)
      case 'colon':
        if (octet !== 0x3a) break
        expect = 'value'
        return
      case 'comma or end':
        return afterValue(octet)
    }
    throw new ScanError('it is not well-formed JSON')
  }

  function openValue(octet: number): void {
    if (octet === QUOTE) inString = 'value'
    else if (octet === 0x7b) open({ keys: new Set() }, 'key or }')
    else if (octet === 0x5b) open({ keys: undefined }, 'element or ]')
    else if (isLiteralByte(octet)) literal = String.fromCharCode(octet)
    else throw new ScanError('it is not well-formed JSON')
  }

  function openKey(octet: number, offset: number): void {
    if (octet !== QUOTE) throw new ScanError('it is not well-formed JSON')
    inString = 'key'
    keyOffset = offset
  }

  function open(frame: Frame, next: Expect): void {
    if (frames.push(frame) > DEPTH) throw new ScanError('it is nested too deeply')
    path.push(undefined)
    expect = next
  }

  function close(): void {
    openKeys -= frames.pop()?.keys?.size ?? 0
    path.pop()
    expect = 'comma or end'
  }

  function afterValue(octet: number): void {
    const frame = frames.at(-1)
    if (frame === undefined) throw new ScanError('something follows the JSON text')
    const inObject = frame.keys !== undefined
    if (octet === 0x2c) expect = inObject ? 'key' : 'value'
    else if (octet === (inObject ? 0x7d : 0x5d)) close()
    else throw new ScanError('it is not well-formed JSON')
  }

  /** Remembers the first problem: whoever asks later is told the same. */
  function attempt(step: () => void): string | undefined {
    if (problem !== undefined) return problem
    try {
      step()
    } catch (error) {
      if (!(error instanceof ScanError)) throw error
      problem = error.message
    }
    return problem
  }

  return {
    push: chunk => attempt(() => scan(chunk)),
    end: () =>
      attempt(() => {
        if (literal !== '') finishLiteral()
        if (frames.length > 0 || inString !== undefined || expect !== 'comma or end') {
          throw new ScanError('it ends too early')
        }
      }),
  }
}

function isLiteralByte(octet: number): boolean {
  const lower = octet | 0x20
  return (
    (lower >= 0x61 && lower <= 0x7a) ||
    (octet >= 0x30 && octet <= 0x39) ||
    (octet >= 0x2b && octet <= 0x2e && octet !== 0x2c)
  )
}

/** The key `"_attachments"` may be spelled `"\u005fattachments"`. */
function decodeKey(raw: string): string {
  try {
    const text: unknown = JSON.parse(`"${raw}"`)
    if (typeof text === 'string') return text
  } catch {}
  throw new ScanError('a key is malformed')
}
