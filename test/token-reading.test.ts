import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { ANY_PACKAGE, ask } from '../src/dialects/dialect.ts'
import { METHODS } from '../src/http/head.ts'
import { readToken } from '../src/tokens/answer.ts'
import { parseChallenges } from '../src/tokens/challenge.ts'
import { scopesOf } from '../src/tokens/scope.ts'

describe('scopes', () => {
  test('equal what docker-registry asks for in its own challenges', () => {
    const name = 'acme/tool'
    assert.deepEqual(scopesOf('GET', ask('read', name)), ['repository:acme/tool:pull'])
    assert.deepEqual(scopesOf('HEAD', ask('read', name)), ['repository:acme/tool:pull'])
    for (const method of ['POST', 'PATCH', 'PUT', 'GET'] as const) {
      assert.deepEqual(scopesOf(method, ask('publish', name)), ['repository:acme/tool:pull,push'])
    }
    assert.deepEqual(scopesOf('DELETE', ask('withdraw', name)), ['repository:acme/tool:delete'])
    assert.deepEqual(scopesOf('GET', ask('own')), ['registry:catalog:*'])
    assert.deepEqual(scopesOf('GET', ask('read')), [])
    const pushed = 'repository:acme/tool:pull,push'
    assert.deepEqual(scopesOf('POST', { ...ask('publish', name), mountedFrom: 'a/b' }), [pushed, 'repository:a/b:pull'])
    assert.deepEqual(scopesOf('POST', { ...ask('publish', name), mountedFrom: ANY_PACKAGE }), [pushed])
  })

  test('a read never asks for more than to pull', () => {
    for (const method of METHODS) assert.deepEqual(scopesOf(method, ask('read', 'a')), ['repository:a:pull'])
  })
})

describe('challenges', () => {
  const rows: readonly [text: string[], expected: unknown][] = [
    [['Bearer realm="https://a/t",service="b c",scope="x:y:pull,push"'], [['bearer', 'https://a/t', 'b c']]],
    [['bearer REALM = "https://a/t" , service=b'], [['bearer', 'https://a/t', 'b']]],
    [
      ['Basic realm="x", Bearer realm="y",service="z"'],
      [
        ['basic', 'x', undefined],
        ['bearer', 'y', 'z'],
      ],
    ],
    [
      ['Basic realm="x"', 'Bearer realm="y"'],
      [
        ['basic', 'x', undefined],
        ['bearer', 'y', undefined],
      ],
    ],
    [
      ['Negotiate', 'Basic'],
      [
        ['negotiate', undefined, undefined],
        ['basic', undefined, undefined],
      ],
    ],
    [
      ['Negotiate abc==, Basic realm="x"'],
      [
        ['negotiate', undefined, undefined],
        ['basic', 'x', undefined],
      ],
    ],
    [['Basic realm="a \\"quoted\\" b"'], [['basic', 'a "quoted" b', undefined]]],
    [['Basic realm="Bearer realm=\\"x\\""'], [['basic', 'Bearer realm="x"', undefined]]],
    [['realm="x"'], []],
    [
      ['Bearer realm="open'],
      [
        ['bearer', undefined, undefined],
        ['realm', undefined, undefined],
      ],
    ],
    [[''], []],
  ]
  for (const [values, expected] of rows) {
    test(JSON.stringify(values), () => {
      const read = parseChallenges(values)
      assert.deepEqual(
        read.map(({ scheme, parameters }) => [scheme, parameters.get('realm'), parameters.get('service')]),
        expected,
      )
    })
  }
})

describe('lifetimes', () => {
  const lifetimeOf = (body: string): number | undefined => readToken(Buffer.from(body))?.lifetime
  test('a minute where none is told, a margin of 30 s or a quarter, an hour at the most', () => {
    assert.equal(lifetimeOf('{"token":"t"}'), 45_000)
    assert.equal(lifetimeOf('{"access_token":"t","expires_in":300}'), 270_000)
    assert.equal(lifetimeOf('{"token":"t","expires_in":1e9}'), 3_570_000)
  })

  test('R14 a token is not printed', () => {
    const token = readToken(Buffer.from('{"token":"canary"}'))
    assert.doesNotMatch(`${JSON.stringify(token)} ${token?.value}`, /canary/)
  })
})
