import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { type HeadFault, parseRequestHead } from '../src/http/head.ts'
import { parseResponseHead } from '../src/http/response-head.ts'

const LIMITS = { headSize: 16_384, headFields: 100 }

function parse(text: string) {
  return parseRequestHead(Buffer.from(text, 'latin1'), 0, LIMITS)
}

function get(...lines: string[]): string {
  return `GET /a HTTP/1.1\r\n${lines.map(line => `${line}\r\n`).join('')}\r\n`
}

describe('request head', () => {
  test('R17 a plain request is read whole', () => {
    const text = 'PUT /@a%2fb?c=d HTTP/1.1\r\nHost: r.test:8443\r\nX-Some:  a b\t\r\nContent-Length: 3\r\n\r\nabc'
    const result = parse(text)
    assert.deepEqual(result, {
      kind: 'head',
      end: text.length - 3,
      head: {
        method: 'PUT',
        target: '/@a%2fb?c=d',
        host: 'r.test:8443',
        fields: ['host', 'r.test:8443', 'x-some', 'a b', 'content-length', '3'],
        framing: { kind: 'length', length: 3 },
        nominated: [],
        expectsContinue: false,
        keepAlive: true,
      },
    })
  })

  test('R10 what Connection nominates is told, close and keep-alive apart', () => {
    const result = parse(get('Host: a', 'Connection: close, X-One', 'connection: x-two,'))
    assert.equal(result.kind, 'head')
    assert.deepEqual(result.kind === 'head' && result.head.nominated, ['x-one', 'x-two'])
    assert.equal(result.kind === 'head' && result.head.keepAlive, false)
  })

  const refused: readonly [name: string, fault: HeadFault, text: string][] = [
    ['a lower-case method', 'method', 'get / HTTP/1.1\r\nHost: a\r\n\r\n'],
    ['TRACE', 'method', 'TRACE / HTTP/1.1\r\nHost: a\r\n\r\n'],
    ['CONNECT', 'method', 'CONNECT a:443 HTTP/1.1\r\nHost: a\r\n\r\n'],
    ['a method with a control character', 'malformed', 'G\x01T / HTTP/1.1\r\nHost: a\r\n\r\n'],
    ['HTTP/0.9', 'version', 'GET /\r\n'],
    ['HTTP/1.0', 'version', 'GET / HTTP/1.0\r\nHost: a\r\n\r\n'],
    ['HTTP/1.2', 'version', 'GET / HTTP/1.2\r\nHost: a\r\n\r\n'],
    ['HTTP/2.0', 'version', 'PRI * HTTP/2.0\r\n\r\n'],
    ['a version in lower case', 'malformed', 'GET / http/1.1\r\nHost: a\r\n\r\n'],
    ['a version with a tail', 'malformed', 'GET / HTTP/1.1x\r\nHost: a\r\n\r\n'],
    ['white space after the version', 'malformed', 'GET / HTTP/1.1 \r\nHost: a\r\n\r\n'],
    ['two spaces before the target', 'malformed', 'GET  / HTTP/1.1\r\nHost: a\r\n\r\n'],
    ['two spaces after the target', 'malformed', 'GET /  HTTP/1.1\r\nHost: a\r\n\r\n'],
    ['a tab for a space', 'version', 'GET\t/\tHTTP/1.1\r\nHost: a\r\n\r\n'],
    ['an empty line first', 'version', '\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n'],
    ['absolute form', 'malformed', 'GET http://evil/ HTTP/1.1\r\nHost: a\r\n\r\n'],
    ['asterisk form', 'malformed', 'OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n'],
    ['a fragment', 'malformed', 'GET /a#b HTTP/1.1\r\nHost: a\r\n\r\n'],
    ['a backslash', 'malformed', 'GET /a\\..\\b HTTP/1.1\r\nHost: a\r\n\r\n'],
    ['a raw byte above ASCII in the target', 'malformed', 'GET /\xe9 HTTP/1.1\r\nHost: a\r\n\r\n'],
    ['a NUL in the target', 'malformed', 'GET /\0 HTTP/1.1\r\nHost: a\r\n\r\n'],
    ['a bare LF after the request line', 'malformed', 'GET / HTTP/1.1\nHost: a\n\n'],
    ['a bare LF after a field', 'malformed', 'GET / HTTP/1.1\r\nA: b\nHost: a\r\n\r\n'],
    ['a bare CR in a field', 'malformed', get('Host: a', 'A: b\rc')],
    ['a NUL in a field', 'malformed', get('Host: a', 'A: b\0c')],
    ['obs-fold', 'malformed', get('Host: a', 'A: b', ' c')],
    ['obs-fold right after the request line', 'malformed', get(' Host: a')],
    ['white space before the colon', 'malformed', get('Host: a', 'A : b')],
    ['an empty field name', 'malformed', get('Host: a', ': b')],
    ['a line without a colon', 'malformed', get('Host: a', 'nonsense')],
    ['a field name with a bracket', 'malformed', get('Host: a', 'A[]: b')],
    ['no Host', 'malformed', get('A: b')],
    ['two Hosts', 'malformed', get('Host: a', 'Host: a')],
    ['an empty Host', 'malformed', get('Host:')],
    ['a Host with userinfo', 'malformed', get('Host: a@b:1')],
    ['a Host with a path', 'malformed', get('Host: a/b')],
    ['a Host list', 'malformed', get('Host: a, b')],
    ['a Host with an escape', 'malformed', get('Host: a%2eb')],
    ['Content-Length and Transfer-Encoding', 'malformed', post('Content-Length: 1', 'Transfer-Encoding: chunked')],
    ['two equal Content-Lengths', 'malformed', post('Content-Length: 1', 'Content-Length: 1')],
    ['a list of Content-Lengths', 'malformed', post('Content-Length: 1, 1')],
    ['an octal-looking Content-Length', 'malformed', post('Content-Length: 010')],
    ['a signed Content-Length', 'malformed', post('Content-Length: +1')],
    ['a negative Content-Length', 'malformed', post('Content-Length: -1')],
    ['a hexadecimal Content-Length', 'malformed', post('Content-Length: 0x1')],
    ['an exponent in Content-Length', 'malformed', post('Content-Length: 1e1')],
    ['a fraction in Content-Length', 'malformed', post('Content-Length: 1.0')],
    ['an empty Content-Length', 'malformed', post('Content-Length:')],
    ['a Content-Length beyond a safe integer', 'malformed', post('Content-Length: 9007199254740993')],
    ['a Content-Length of forty digits', 'malformed', post(`Content-Length: ${'9'.repeat(40)}`)],
    ['two Transfer-Encodings', 'malformed', post('Transfer-Encoding: chunked', 'Transfer-Encoding: chunked')],
    ['Transfer-Encoding gzip, chunked', 'malformed', post('Transfer-Encoding: gzip, chunked')],
    ['Transfer-Encoding chunked, identity', 'malformed', post('Transfer-Encoding: chunked, identity')],
    ['Transfer-Encoding with an empty element', 'malformed', post('Transfer-Encoding: ,chunked')],
    ['Transfer-Encoding identity', 'malformed', post('Transfer-Encoding: identity')],
    ['Transfer-Encoding in capitals', 'malformed', post('Transfer-Encoding: CHUNKED')],
    ['Transfer-Encoding with a parameter', 'malformed', post('Transfer-Encoding: chunked;q=1')],
    ['Transfer-Encoding in quotes', 'malformed', post('Transfer-Encoding: "chunked"')],
    ['Transfer-Encoding with a vertical tab', 'malformed', post('Transfer-Encoding: \x0bchunked')],
    ['a GET with a body', 'malformed', get('Host: a', 'Content-Length: 1')],
    ['a chunked GET', 'malformed', get('Host: a', 'Transfer-Encoding: chunked')],
    ['a HEAD with a body', 'malformed', 'HEAD / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nx'],
    ['an OPTIONS with a body', 'malformed', 'OPTIONS / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nx'],
    ['Expect other than 100-continue', 'expectation', post('Content-Length: 1', 'Expect: 200-ok')],
    ['a Connection that is no list of tokens', 'malformed', get('Host: a', 'Connection: a b')],
    ['a head of 16 KiB and more', 'too-large', get('Host: a', `A: ${'x'.repeat(16_384)}`)],
    ['an endless head', 'too-large', `GET /${'a'.repeat(17_000)}`],
  ]
  for (const [name, expected, text] of refused) {
    test(`R08 R17 ${name} is refused: ${expected}`, () => {
      const result = parse(text)
      assert.equal(result.kind, 'fault')
      assert.equal(result.kind === 'fault' && result.fault, expected)
    })
  }

  for (const count of [101, 1000, 1100, 2100]) {
    test(`R07 ${count} field lines are refused, whatever the last one says`, () => {
      const lines = Array.from({ length: count - 2 }, (_, i) => `A${i}: b`)
      const head = parseRequestHead(Buffer.from(post(...lines, 'Content-Length: 5')), 0, { ...LIMITS, headSize: 1e6 })
      assert.equal(head.kind === 'fault' && head.fault, 'too-large')
    })
  }

  test('R07 a hundred field lines are read', () => {
    const lines = Array.from({ length: 98 }, (_, i) => `A${i}: b`)
    assert.equal(parse(post(...lines, 'Content-Length: 5')).kind, 'head')
  })

  test('every prefix of a good head is incomplete, never a fault', () => {
    const text = post('Content-Length: 5', 'A: b')
    for (let length = 0; length < text.length; length++) assert.equal(parse(text.slice(0, length)).kind, 'incomplete')
  })
})

function post(...lines: string[]): string {
  return `POST /a HTTP/1.1\r\nHost: a\r\n${lines.map(line => `${line}\r\n`).join('')}\r\n`
}

describe('response head', () => {
  function read(text: string, method: 'GET' | 'HEAD' = 'GET') {
    return parseResponseHead(Buffer.from(text, 'latin1'), 0, method, LIMITS)
  }
  const framings: readonly [name: string, text: string, method: 'GET' | 'HEAD', kind: string][] = [
    ['a length', 'HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n', 'GET', 'length'],
    ['chunks', 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n', 'GET', 'chunked'],
    ['neither', 'HTTP/1.1 200 OK\r\n\r\n', 'GET', 'close'],
    ['HTTP/1.0 with a length', 'HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\n', 'GET', 'length'],
    ['HEAD with a length', 'HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n', 'HEAD', 'none'],
    ['204', 'HTTP/1.1 204 No Content\r\n\r\n', 'GET', 'none'],
    ['304 with a length', 'HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n', 'GET', 'none'],
    ['a status line without reason and space', 'HTTP/1.1 200\r\nContent-Length: 5\r\n\r\n', 'GET', 'length'],
  ]
  for (const [name, text, method, kind] of framings) {
    test(`the body of a response with ${name} is framed by ${kind}`, () => {
      const result = read(text, method)
      assert.equal(result.kind === 'head' && result.head.framing.kind, kind)
    })
  }

  test('R09 a response of HTTP/1.0, one until close and one that says so end their connection', () => {
    for (const text of [
      'HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\n',
      'HTTP/1.1 200 OK\r\n\r\n',
      'HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\n',
    ]) {
      const result = read(text)
      assert.equal(result.kind === 'head' && result.head.keepAlive, false)
    }
  })

  const refused: readonly [name: string, text: string][] = [
    ['both framings', 'HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n'],
    ['two lengths', 'HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n'],
    ['chunks in HTTP/1.0', 'HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n'],
    ['HTTP/2', 'HTTP/2 200 OK\r\n\r\n'],
    ['a status of two digits', 'HTTP/1.1 20 OK\r\n\r\n'],
    ['a status of 000', 'HTTP/1.1 000 OK\r\n\r\n'],
    ['a control character in the reason', 'HTTP/1.1 200 O\x07K\r\n\r\n'],
    ['a bare LF', 'HTTP/1.1 200 OK\nContent-Length: 5\r\n\r\n'],
    ['a control character in a value', 'HTTP/1.1 200 OK\r\nA: \x1b[31m\r\n\r\n'],
    ['101 field lines', `HTTP/1.1 200 OK\r\n${'A: b\r\n'.repeat(101)}\r\n`],
  ]
  for (const [name, text] of refused) {
    test(`R07 R08 a response with ${name} is refused`, () => assert.equal(read(text).kind, 'fault'))
  }
})
