import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import fc from 'fast-check'
import { createBodyDecoder } from '../src/http/body.ts'
import { parseRequestHead, type RequestHead } from '../src/http/head.ts'
import type { Registry } from '../src/lane/route.ts'
import { addressLines, upstreamHead } from '../src/lane/upstream-head.ts'
import { readWithNode } from './lab/node-parser.ts'

const LIMITS = { headSize: 16_384, headFields: 100 }

/** Pieces that requests are made of, good ones and those that parsers have disagreed about. */
const method = fc.oneof(
  { weight: 9, arbitrary: fc.constantFrom('POST', 'PUT', 'PATCH', 'DELETE', 'GET') },
  fc.constantFrom('HEAD', 'OPTIONS', 'get', 'TRACE', 'G ET', ''),
)
const target = fc.oneof(
  { weight: 9, arbitrary: fc.constantFrom('/', '/a', '/@s%2fp', '/a?b=c&d', '/a/b/-/c.tgz', '/%2e%2e/a', '//a') },
  fc.constantFrom('*', 'http://b/a', '/a b', '/a\\b', '/a#b', '/\xe9', ''),
  fc.string({ maxLength: 12 }).map(text => `/${text}`),
)
const version = fc.oneof(
  { weight: 19, arbitrary: fc.constant('HTTP/1.1') },
  fc.constantFrom('HTTP/1.0', 'HTTP/1.1 ', 'http/1.1', 'HTTP/2.0', 'HTTP/1.10', ''),
)
const eol = fc.oneof({ weight: 60, arbitrary: fc.constant('\r\n') }, fc.constantFrom('\n', '\r', '\r\r\n', '\n\r\n'))
const fieldName = fc.oneof(
  fc.constantFrom('Host', 'host', 'Content-Length', 'Transfer-Encoding', 'Connection', 'Expect', 'X_Y', 'Upgrade'),
  fc.constantFrom('Content-Length ', ' Host', 'Content_Length', 'Transfer\x00-Encoding', 'content-length\t', ''),
  fc.string({ minLength: 1, maxLength: 6 }),
)
const fieldValue = fc.oneof(
  fc.constantFrom(
    'a',
    'registry.test',
    '5',
    '0',
    '05',
    '5, 5',
    '+5',
    '-1',
    '5;q',
    'chunked',
    'Chunked',
    'gzip, chunked',
  ),
  fc.constantFrom(
    'chunked, chunked',
    'close',
    'keep-alive, x',
    '100-continue',
    'a\r\n b',
    'a\0',
    ' \t',
    'b\x0b',
    '\xff',
  ),
  fc.string({ maxLength: 8 }),
)
const field = fc
  .tuple(fieldName, fc.constantFrom(': ', ':', ' :', ':\t', ':  '), fieldValue, eol)
  .map(parts => parts.join(''))
/** A framing field with a body that fits it, or with any. */
const framed = fc.oneof(
  fc.constantFrom(['', ''], ['Content-Length: 5\r\n', 'abcde'], ['Transfer-Encoding: chunked\r\n', '0\r\n\r\n']),
  fc.constantFrom(
    ['Transfer-Encoding: chunked\r\n', '5\r\nabcde\r\n3\r\nfgh\r\n0\r\n\r\n'],
    ['Transfer-Encoding: chunked\r\n', '5;x=y\r\nabcde\r\n0\r\nT: u\r\n\r\n'],
    ['Transfer-Encoding: chunked\r\n', '5\nabcde\n0\n\n'],
    ['Transfer-Encoding: chunked\r\n', '5\r\nabcdeX\r\n0\r\n\r\n'],
    ['Transfer-Encoding: chunked\r\n', '0x5\r\nabcde\r\n0\r\n\r\n'],
    ['Content-Length: 5\r\nTransfer-Encoding: chunked\r\n', '0\r\n\r\n'],
  ),
)
const NEXT = 'GET /next HTTP/1.1\r\nHost: registry.test\r\n\r\n'
const request = fc
  .tuple(method, target, version, eol, framed, fc.array(field, { maxLength: 2 }), eol)
  .map(([m, t, v, e1, [framing, body], more, e2]) => {
    return `${m} ${t} ${v}${e1}Host: registry.test\r\n${framing}${more.join('')}${e2}${body}${NEXT}`
  })

/** One character replaced, removed or doubled. */
const mutated = fc
  .tuple(request, fc.nat(), fc.constantFrom('replace', 'remove', 'double'), fc.nat({ max: 255 }))
  .map(([text, at, how, octet]) => {
    const i = at % text.length
    const middle = how === 'remove' ? '' : how === 'double' ? `${text[i]}${text[i]}` : String.fromCharCode(octet)
    return text.slice(0, i) + middle + text.slice(i + 1)
  })
const input = fc.oneof(request, mutated).map(text => Buffer.from(text, 'latin1'))

interface Accepted {
  readonly head: RequestHead
  readonly body: string
  /** index after the message; undefined when it is not whole */
  readonly end: number | undefined
}

function accept(bytes: Buffer): Accepted | undefined {
  const result = parseRequestHead(bytes, 0, LIMITS)
  if (result.kind !== 'head') return undefined
  let text = ''
  const decoder = createBodyDecoder(result.head.framing, LIMITS)
  const end = decoder.decode(bytes, result.end, chunk => {
    text += chunk.toString('latin1')
  })
  return { head: result.head, body: text, end: decoder.state() === 'done' ? end : undefined }
}

const RUNS = 8000

describe('what the request parser accepts', () => {
  test('R08 Node reads as the same method, target, fields and body', async () => {
    let accepted = 0
    await fc.assert(
      fc.asyncProperty(input, async bytes => {
        const ours = accept(bytes)
        if (ours?.end === undefined) return
        accepted++
        // After a request that says `close` Node takes no further byte.
        const rest = Buffer.from(ours.head.keepAlive ? NEXT : '')
        const [first, ...others] = await readWithNode(Buffer.concat([bytes.subarray(0, ours.end), rest]))
        assert.deepEqual(
          others.map(next => next.target),
          ours.head.keepAlive ? ['/next'] : [],
        )
        assert.deepEqual(first, {
          method: ours.head.method,
          target: ours.head.target,
          fields: ours.head.fields,
          body: ours.body,
        })
      }),
      { numRuns: RUNS },
    )
    // A generator that only makes nonsense would prove nothing.
    assert.ok(accepted > RUNS / 12, `only ${accepted} of ${RUNS} were accepted`)
  })

  test('R08 R09 what goes upstream is one request to both parsers, however it came', async () => {
    const publicUrl = new URL('https://registry.test')
    // Only the address matters for a head.
    const registry = { addressLines: addressLines(publicUrl) } as Registry
    await fc.assert(
      fc.asyncProperty(input, async bytes => {
        const ours = accept(bytes)
        if (ours?.end === undefined) return
        const head = upstreamHead(ours.head, { registry, upstreamTarget: ours.head.target }, undefined, '192.0.2.1')
        const chunked = ours.head.framing.kind === 'chunked'
        const framed = chunked ? chunks(ours.body) : ours.body
        const sent = Buffer.from(head + framed, 'latin1')
        const again = accept(sent)
        assert.equal(again?.end, sent.length)
        assert.equal(again?.body, ours.body)
        const seen = await readWithNode(sent)
        assert.equal(seen.length, 1)
        assert.equal(seen[0]?.target, ours.head.target)
        assert.equal(seen[0]?.body, ours.body)
      }),
      { numRuns: RUNS },
    )
  })

  test('R32 no bytes make the parsers throw or run on', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 300 }), bytes => {
        accept(Buffer.from(bytes))
      }),
      { numRuns: RUNS },
    )
  })
})

function chunks(body: string): string {
  return body === '' ? '0\r\n\r\n' : `${body.length.toString(16)}\r\n${body}\r\n0\r\n\r\n`
}
