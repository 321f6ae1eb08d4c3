import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { parseTarget } from '../src/http/target.ts'

describe('request target', () => {
  const good: readonly [target: string, segments: readonly string[]][] = [
    ['/', []],
    ['/a', ['a']],
    ['/a/', ['a']],
    ['/a/b?c=d/../e', ['a', 'b']],
    ['/@s%2fp', ['@s/p']],
    ['/@s%2Fp', ['@s/p']],
    ['/%40s%2fp/-/p-1.0.0.tgz', ['@s/p', '-', 'p-1.0.0.tgz']],
    ['/caf%C3%A9', ['café']],
    ['/a..b/...', ['a..b', '...']],
  ]
  for (const [target, segments] of good) {
    test(`R18 ${target} is decoded once`, () => {
      const result = parseTarget(target)
      assert.deepEqual(result.kind === 'target' && result.target.segments, segments)
      assert.equal(result.kind === 'target' && result.target.raw, target)
    })
  }

  const ambiguous = [
    '//evil/x',
    '/a//b',
    '/a//',
    '/.',
    '/..',
    '/a/../b',
    '/a/./b',
    '/a/%2e%2e/b',
    '/a/%2E/b',
    '/a/.%2e/b',
    '/a%2f..%2fb',
    '/a%2f%2e%2e',
    '/a%2f',
    '/%2fa',
    '/a%2f%2fb',
    '/a%5cb',
    '/a%00',
    '/a%0d%0ab',
    '/a%1b',
    '/a%7f',
    '/a%c2%85',
    '/%252e%252e',
    '/a%252fb',
    '/a%25',
    '/a%',
    '/a%2',
    '/a%zz',
    '/a?b=%',
    '/a;b',
    '/a;v=1/b',
    '/a%3bb',
    '/%ff',
    '/%c0%ae%c0%ae/',
    '/%c0%af',
    '/%e0%80%af',
    '/%ed%a0%80',
  ]
  for (const target of ambiguous) {
    test(`R18 ${target} is ambiguous`, () => assert.equal(parseTarget(target).kind, 'ambiguous'))
  }
})
