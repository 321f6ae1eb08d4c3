import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { createBodyDecoder } from '../src/http/body.ts'
import { CHUNKED, type Framing } from '../src/http/head.ts'

const LIMITS = { headSize: 4096, headFields: 100 }

/** Decodes `text` in pieces of `size` bytes. */
function decode(framing: Framing, text: string, size = text.length) {
  const decoder = createBodyDecoder(framing, LIMITS)
  let body = ''
  let consumed = 0
  for (let at = 0; at < text.length && decoder.state() === 'more'; at += size) {
    const piece = Buffer.from(text.slice(at, at + size), 'latin1')
    consumed += decoder.decode(piece, 0, chunk => {
      body += chunk.toString('latin1')
    })
  }
  return { state: decoder.state(), body, rest: text.slice(consumed) }
}

describe('a body framed by length', () => {
  test('ends where the length says, in pieces of any size', () => {
    for (let size = 1; size <= 8; size++) {
      assert.deepEqual(decode({ kind: 'length', length: 5 }, 'abcdeGET', size).body, 'abcde')
    }
    assert.deepEqual(decode({ kind: 'length', length: 5 }, 'abcdeGET'), { state: 'done', body: 'abcde', rest: 'GET' })
  })

  test('is not done before its end', () => {
    assert.equal(decode({ kind: 'length', length: 5 }, 'abcd').state, 'more')
  })
})

describe('a chunked body', () => {
  const good: readonly [name: string, text: string, body: string][] = [
    ['empty', '0\r\n\r\n', ''],
    ['one chunk', '5\r\nabcde\r\n0\r\n\r\n', 'abcde'],
    ['hex digits in both cases', 'A\r\n0123456789\r\na\r\n0123456789\r\n0\r\n\r\n', '01234567890123456789'],
    ['leading zeros', '0005\r\nabcde\r\n000\r\n\r\n', 'abcde'],
    ['chunk extensions', '5;a;b=c;d="e;\\"f"\r\nabcde\r\n0\r\n\r\n', 'abcde'],
    ['a chunk extension', '5;a=b\r\nabcde\r\n0;c="d"\r\n\r\n', 'abcde'],
    ['trailers', '5\r\nabcde\r\n0\r\nX-Digest: abc\r\nY:\r\n\r\n', 'abcde'],
  ]
  for (const [name, text, body] of good) {
    test(`R08 ${name} is read the same in pieces of any size`, () => {
      for (let size = 1; size <= text.length; size++) {
        const result = decode(CHUNKED, text, size)
        assert.deepEqual({ state: result.state, body: result.body }, { state: 'done', body })
      }
      assert.equal(decode(CHUNKED, `${text}GET /`).rest, 'GET /')
    })
  }

  const bad: readonly [name: string, text: string][] = [
    ['a bare LF after the size', '5\nabcde\r\n0\r\n\r\n'],
    ['a bare CR after the size', '5\rabcde\r\n0\r\n\r\n'],
    ['a bare LF after the data', '5\r\nabcde\n0\r\n\r\n'],
    ['data longer than the size', '5\r\nabcdef\r\n0\r\n\r\n'],
    ['no size', '\r\nabcde\r\n0\r\n\r\n'],
    ['a size with 0x', '0x5\r\nabcde\r\n0\r\n\r\n'],
    ['a signed size', '+5\r\nabcde\r\n0\r\n\r\n'],
    ['a negative size', '-5\r\nabcde\r\n0\r\n\r\n'],
    ['white space before the size', ' 5\r\nabcde\r\n0\r\n\r\n'],
    ['white space after the size', '5 \r\nabcde\r\n0\r\n\r\n'],
    ['white space before an extension', '5 ;a\r\nabcde\r\n0\r\n\r\n'],
    ['a size of thirteen digits', `${'0'.repeat(13)}\r\n\r\n`],
    ['a size that wraps at 64 bits', '10000000000000005\r\nabcde\r\n0\r\n\r\n'],
    ['a size that is no number', 'g\r\n'],
    ['an extension that is no token', '5;{=b\r\nabcde\r\n0\r\n\r\n'],
    ['an empty extension', '5;\r\nabcde\r\n0\r\n\r\n'],
    ['an extension without a value', '5;a=\r\nabcde\r\n0\r\n\r\n'],
    ['an extension whose quotes are open', '5;a="b\r\nabcde\r\n0\r\n\r\n'],
    ['a bare LF in an extension', '5;a\nb\r\nabcde\r\n0\r\n\r\n'],
    ['a NUL in an extension', '5;a\0\r\nabcde\r\n0\r\n\r\n'],
    ['an extension of 257 bytes', `5;${'a'.repeat(257)}\r\nabcde\r\n0\r\n\r\n`],
    ['a trailer without a name', '0\r\n: b\r\n\r\n'],
    ['a folded trailer', '0\r\nA: b\r\n c\r\n\r\n'],
    ['a trailer with a bare LF', '0\r\nA: b\n\r\n\r\n'],
    ['endless trailers', `0\r\n${'A: b\r\n'.repeat(1000)}\r\n`],
  ]
  for (const [name, text] of bad) {
    test(`R08 ${name} is malformed, in pieces of any size`, () => {
      for (const size of [1, 2, 3, 7, text.length]) assert.equal(decode(CHUNKED, text, size).state, 'malformed')
    })
  }
})
