import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import fc from 'fast-check'
import { compileRights, problemOfPattern } from '../src/accounts/rights.ts'
import { ANY_PACKAGE } from '../src/dialects/dialect.ts'

const MATCHES: readonly (readonly [pattern: string, covered: readonly string[], others: readonly string[]])[] = [
  ['left-pad', ['left-pad'], ['left-pad2', 'xleft-pad', 'Left-pad', '', '@acme/left-pad']],
  ['@acme/*', ['@acme/a', '@acme/a-b.c'], ['@acme', '@acmex/a', '@acme/a/b', 'acme/a', '@other/@acme/a']],
  ['acme-*', ['acme-', 'acme-tool'], ['acme', 'acme-tool/x', 'xacme-tool']],
  ['*-cli', ['-cli', 'acme-cli', 'a-cli-cli'], ['acme-clix', '@acme/x-cli']],
  ['com/acme/**', ['com/acme/a', 'com/acme/a/b/c'], ['com/acme', 'com/acmex/a', 'org/com/acme/a']],
  ['**/lib', ['a/lib', 'a/b/lib'], ['lib', 'a/libx']],
  ['**', ['a', '@acme/a', 'a/b/c', ANY_PACKAGE], []],
  ['*', ['a', 'left-pad'], ['@acme/a', ANY_PACKAGE]],
  ['*/*', ['@acme/a'], ['a', 'a/b/c', ANY_PACKAGE]],
  ['**/*', ['a/b', 'a/b/c'], ['a', ANY_PACKAGE]],
  ['a.c', ['a.c'], ['abc', 'a/c']],
  ['a.*', ['a.', 'a.c'], ['abc']],
  ['(a|b)+$^', ['(a|b)+$^'], ['a', 'b', 'ab']],
  ['*a*b*', ['ab', 'xaxbx', 'aab'], ['ba', 'a/b']],
  ['*\n', [], ['a', '\n/']],
]

describe('compileRights', () => {
  for (const [pattern, covered, others] of MATCHES) {
    test(`${JSON.stringify(pattern)}`, () => {
      const covers = compileRights([pattern])
      for (const name of covered) assert.ok(covers(name), `covers ${JSON.stringify(name)}`)
      for (const name of others) assert.ok(!covers(name), `does not cover ${JSON.stringify(name)}`)
    })
  }

  test('an empty list covers nothing, not even all packages at once', () => {
    for (const name of ['', 'a', '@a/b', '__proto__', ANY_PACKAGE]) assert.ok(!compileRights([])(name))
  })

  test('of several patterns one is enough', () => {
    const covers = compileRights(['left-pad', '@acme/*', 'x-*'])
    assert.deepEqual(['left-pad', '@acme/a', 'x-1', 'y', '@other/a'].map(covers), [true, true, true, false, false])
  })

  test('agrees with a regular expression', () => {
    const word = fc.string({ unit: fc.constantFrom('a', 'b', '/', '.'), maxLength: 12 })
    const pattern = fc.string({ unit: fc.constantFrom('a', 'b', '/', '.', '*', '**'), maxLength: 8 })
    fc.assert(
      fc.property(pattern, word, (glob, name) => {
        fc.pre(name !== ANY_PACKAGE && !glob.includes('***'))
        const source = glob.replace(/\*\*|[*.]/g, part => ({ '**': '.*', '*': '[^/]*' })[part] ?? '\\.')
        assert.equal(compileRights([glob])(name), new RegExp(`^${source}$`).test(name))
      }),
      { numRuns: 2000 },
    )
  })

  test('many stars against a long name take no longer than their product', () => {
    const covers = compileRights([`${'*a'.repeat(60)}b`])
    const started = performance.now()
    assert.equal(covers('a'.repeat(5000)), false)
    assert.ok(performance.now() - started < 2000)
  })
})

describe('problemOfPattern', () => {
  for (const pattern of [
    'left-pad',
    '@acme/*',
    '**',
    '*',
    'com/acme/**',
    'a.b_c~d',
    'JSONStream',
    "it's",
    'a'.repeat(512),
  ]) {
    test(`ok/${pattern.slice(0, 20)}`, () => assert.equal(problemOfPattern(pattern), undefined))
  }

  const BAD: readonly (readonly [pattern: string, problem: RegExp])[] = [
    ['', /is empty; write a package name, or \*\* for all/],
    ['a b', /white space/],
    ['a\n', /white space/],
    ['a\u0000', /control characters/],
    ['a\u202eb', /control characters/],
    ['***', /three stars/],
    ['a?', /only \* and \*\* are special/],
    ['[ab]', /only \* and \*\* are special/],
    ['{a,b}', /only \* and \*\* are special/],
    ['!a', /only \* and \*\* are special/],
    ['a\\b', /only \* and \*\* are special/],
    ['/a', /empty path segment/],
    ['@acme/', /empty path segment/],
    ['a//b', /empty path segment/],
    ['a'.repeat(513), /longer than 512/],
  ]
  for (const [pattern, problem] of BAD) {
    test(`bad/${JSON.stringify(pattern).slice(0, 20)}`, () => assert.match(problemOfPattern(pattern) ?? '', problem))
  }
})
