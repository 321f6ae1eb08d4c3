// Finds the end of a message body in a stream of bytes, and hands out what lies before it. Framing is the head's
// decision; nothing here reads a field.

import type { Framing, HeadLimits } from './head.ts'
import { FIELD_VALUE, TOKEN } from './syntax.ts'

export type BodyState = 'more' | 'done' | 'malformed'

/** Takes a body apart; one for each message. */
export interface BodyDecoder {
  state(): BodyState
  /**
   * Takes bytes from `start` on; gives body bytes to `emit` as views of `bytes`.
   *
   * @returns the index after the last byte that belongs to this message; what follows belongs to the next
   */
  decode(bytes: Buffer, start: number, emit: (chunk: Buffer) => void): number
}

/** @param framing not `none`: a message without a body has no decoder */
export function createBodyDecoder(framing: Framing, limits: HeadLimits): BodyDecoder {
  switch (framing.kind) {
    case 'none':
      return createLengthDecoder(0)
    case 'length':
      return createLengthDecoder(framing.length)
    case 'chunked':
      return createChunkDecoder(limits)
    case 'close':
      return createLengthDecoder(Number.POSITIVE_INFINITY)
  }
}

function createLengthDecoder(length: number): BodyDecoder {
  let left = length
  return {
    state: () => (left === 0 ? 'done' : 'more'),
    decode(bytes, start, emit) {
      const end = Math.min(bytes.length, start + left)
      left -= end - start
      if (end > start) emit(start === 0 && end === bytes.length ? bytes : bytes.subarray(start, end))
      return end
    },
  }
}

/** Sixteen digits would not be exact in a double; twelve are 256 TiB. */
const SIZE_DIGITS = 12
/** Of one chunk: extensions mean nothing to a registry, so they are only let by (CVE-2025-55315 hid a request in one). */
const EXTENSION_SIZE = 256

const CR = 0x0d
const LF = 0x0a
const SEMICOLON = 0x3b

type ChunkStep = 'size' | 'extension' | 'size-lf' | 'data' | 'data-cr' | 'data-lf' | 'trailer' | 'done' | 'malformed'

/**
 * The chunked coding, RFC 9112 §7.1, exact: hex digits, CRLF everywhere, no white space. Extensions and trailers are
 * bounded, checked and dropped.
 */
function createChunkDecoder(limits: HeadLimits): BodyDecoder {
  let step: ChunkStep = 'size'
  let digits = 0
  let size = 0
  let extension = createExtensionCheck()
  const trailer = createTrailerCheck(limits.headSize)

  function onSizeByte(octet: number): ChunkStep {
    const digit = hexDigit(octet)
    if (digit !== undefined) {
      size = size * 16 + digit
      return ++digits <= SIZE_DIGITS ? 'size' : 'malformed'
    }
    if (digits === 0) return 'malformed'
    if (octet === CR) return 'size-lf'
    if (octet !== SEMICOLON) return 'malformed'
    extension = createExtensionCheck()
    return 'extension'
  }

  function onSizeEnd(octet: number): ChunkStep {
    if (octet !== LF) return 'malformed'
    digits = 0
    return size === 0 ? 'trailer' : 'data'
  }

  function onFraming(octet: number): ChunkStep {
    switch (step) {
      case 'size':
        return onSizeByte(octet)
      case 'extension':
        return extension(octet)
      case 'size-lf':
        return onSizeEnd(octet)
      case 'data-cr':
        return octet === CR ? 'data-lf' : 'malformed'
      case 'data-lf':
        return octet === LF ? 'size' : 'malformed'
      case 'trailer':
        return trailer(octet)
      case 'data':
      case 'done':
      case 'malformed':
        return 'malformed'
    }
  }

  return {
    state: () => (step === 'done' || step === 'malformed' ? step : 'more'),
    decode(bytes, start, emit) {
      let at = start
      while (at < bytes.length && step !== 'done' && step !== 'malformed') {
        if (step === 'data') {
          const end = Math.min(bytes.length, at + size)
          emit(bytes.subarray(at, end))
          size -= end - at
          at = end
          if (size === 0) step = 'data-cr'
        } else {
          step = onFraming(bytes[at++] ?? 0)
        }
      }
      return at
    },
  }
}

function hexDigit(octet: number): number | undefined {
  if (octet >= 0x30 && octet <= 0x39) return octet - 0x30
  const lower = octet | 0x20
  return lower >= 0x61 && lower <= 0x66 ? lower - 0x57 : undefined
}

type ExtensionStep = 'start' | 'name' | 'value-start' | 'value' | 'quoted' | 'escaped' | 'after-quote'

const EQUALS = 0x3d
const QUOTE = 0x22
const BACKSLASH = 0x5c

/** `token [ "=" ( token / quoted-string ) ]`, separated by semicolons, RFC 9112 §7.1.1; no white space. */
function createExtensionCheck(): (octet: number) => ChunkStep {
  let step: ExtensionStep = 'start'
  let taken = 0

  function next(octet: number): ExtensionStep | 'size-lf' | 'malformed' {
    const token = TOKEN[octet] === 1
    switch (step) {
      case 'start':
        return token ? 'name' : 'malformed'
      case 'name':
        if (token) return 'name'
        return octet === EQUALS ? 'value-start' : ended(octet)
      case 'value-start':
        if (octet === QUOTE) return 'quoted'
        return token ? 'value' : 'malformed'
      case 'value':
        return token ? 'value' : ended(octet)
      case 'quoted':
        if (octet === QUOTE) return 'after-quote'
        if (octet === BACKSLASH) return 'escaped'
        return FIELD_VALUE[octet] === 1 ? 'quoted' : 'malformed'
      case 'escaped':
        return FIELD_VALUE[octet] === 1 ? 'quoted' : 'malformed'
      case 'after-quote':
        return ended(octet)
    }
  }

  function ended(octet: number): ExtensionStep | 'size-lf' | 'malformed' {
    if (octet === CR) return 'size-lf'
    return octet === SEMICOLON ? 'start' : 'malformed'
  }

  return octet => {
    const after = ++taken > EXTENSION_SIZE ? 'malformed' : next(octet)
    if (after === 'size-lf' || after === 'malformed') return after
    step = after
    return 'extension'
  }
}

type TrailerStep = 'start' | 'name' | 'value' | 'lf' | 'last-lf'

/** Field lines until an empty one, RFC 9112 §7.1.2. */
function createTrailerCheck(limit: number): (octet: number) => ChunkStep {
  let step: TrailerStep = 'start'
  let taken = 0

  function next(octet: number): TrailerStep | 'done' | 'malformed' {
    switch (step) {
      case 'start':
        if (octet === CR) return 'last-lf'
        return TOKEN[octet] === 1 ? 'name' : 'malformed'
      case 'name':
        if (octet === 0x3a) return 'value'
        return TOKEN[octet] === 1 ? 'name' : 'malformed'
      case 'value':
        if (octet === CR) return 'lf'
        return FIELD_VALUE[octet] === 1 ? 'value' : 'malformed'
      case 'lf':
        return octet === LF ? 'start' : 'malformed'
      case 'last-lf':
        return octet === LF ? 'done' : 'malformed'
    }
  }

  return octet => {
    const after = ++taken > limit ? 'malformed' : next(octet)
    if (after === 'done' || after === 'malformed') return after
    step = after
    return 'trailer'
  }
}

/** One chunk of the chunked coding around `data`, which is not empty. */
export function chunkHeader(size: number): string {
  return `${size.toString(16)}\r\n`
}

export const CHUNK_END = Buffer.from('\r\n', 'latin1')
export const LAST_CHUNK = Buffer.from('0\r\n\r\n', 'latin1')
