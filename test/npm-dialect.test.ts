import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { describe, test } from 'node:test'
import fc from 'fast-check'
import type { Action, Inspection } from '../src/dialects/dialect.ts'
import { generic } from '../src/dialects/generic.ts'
import { npm } from '../src/dialects/npm.ts'
import type { Method } from '../src/http/head.ts'
import { parseTarget } from '../src/http/target.ts'

function classify(dialect: typeof npm, method: Method, raw: string) {
  const parsed = parseTarget(raw)
  if (parsed.kind === 'ambiguous') return { kind: 'ambiguous' as const }
  return dialect.classify(method, parsed.target)
}

describe('npm routes', () => {
  const asked: readonly [method: Method, target: string, action: Action, name?: string, version?: string][] = [
    ['GET', '/left-pad', 'read', 'left-pad'],
    ['HEAD', '/left-pad', 'read', 'left-pad'],
    ['GET', '/left-pad?write=true', 'read', 'left-pad'],
    ['GET', '/left-pad/1.2.3', 'read', 'left-pad', '1.2.3'],
    ['GET', '/left-pad/-/left-pad-1.2.3.tgz', 'read', 'left-pad', '1.2.3'],
    ['GET', '/@acme/tool/-/tool-1.0.0-beta.1.tgz', 'read', '@acme/tool', '1.0.0-beta.1'],
    ['GET', '/@acme%2ftool/-/@acme/tool-1.0.0.tgz', 'read', '@acme/tool', '1.0.0'],
    ['GET', '/-/ping', 'read'],
    ['GET', '/-/whoami', 'read'],
    ['GET', '/-/v1/search?text=a', 'read'],
    ['GET', '/-/npm/v1/keys', 'read'],
    ['GET', '/-/npm/v1/user', 'read'],
    ['GET', '/-/user/org.couchdb.user:alice', 'read'],
    ['POST', '/-/npm/v1/security/advisories/bulk', 'read'],
    ['GET', '/-/package/@acme%2ftool/dist-tags', 'read', '@acme/tool'],
    ['GET', '/-/package/@acme%2ftool/collaborators', 'read', '@acme/tool'],
    ['GET', '/-/package/@acme%2ftool/visibility', 'read', '@acme/tool'],
    ['PUT', '/-/package/@acme%2ftool/dist-tags/beta', 'amend', '@acme/tool'],
    ['DELETE', '/-/package/tool/dist-tags/beta', 'amend', 'tool'],
    ['POST', '/-/package/tool/access', 'own', 'tool'],
    ['DELETE', '/tool/-rev/1-abc', 'withdraw', 'tool'],
    ['DELETE', '/@acme%2ftool/-/tool-1.0.0.tgz/-rev/1-abc', 'withdraw', '@acme/tool', '1.0.0'],
    ['PUT', '/-/user/org.couchdb.user:alice', 'account'],
    ['PUT', '/-/user/org.couchdb.user:alice/-rev/1', 'account'],
    ['DELETE', '/-/user/token/abc', 'account'],
    ['POST', '/-/v1/login', 'account'],
    ['GET', '/-/v1/login/cli/abc', 'account'],
    ['GET', '/-/npm/v1/tokens', 'account'],
    ['POST', '/-/npm/v1/tokens', 'account'],
    ['DELETE', '/-/npm/v1/tokens/token/abc', 'account'],
    ['POST', '/-/npm/v1/user', 'account'],
    ['POST', '/-/npm/v1/oidc/token/exchange/package/tool', 'account'],
    ['GET', '/-/package/tool/trust', 'account', 'tool'],
    ['PUT', '/-/org/acme/user', 'account'],
    ['GET', '/-/team/acme/dev/user', 'account'],
  ]
  for (const [method, target, action, name, version] of asked) {
    test(`${method} ${target} is ${action}`, () => {
      const result = classify(npm, method, target)
      assert.equal(result.kind, 'asked')
      if (result.kind !== 'asked') return
      assert.deepEqual(
        { action: result.asked.action, name: result.asked.package, version: result.asked.version },
        { action, name, version },
      )
    })
  }

  for (const spelling of ['/@s%2fp', '/@s%2Fp', '/@s/p', '/%40s%2Fp', '/%40s/p', '/@s/p/', '/%40%73/%70']) {
    test(`R18 ${spelling} is the package @s/p`, () => {
      const result = classify(npm, 'PUT', spelling)
      assert.equal(result.kind === 'inspect' && result.asked.package, '@s/p')
    })
  }

  const unknown: readonly [Method, string][] = [
    ['GET', '/'],
    ['GET', '/-'],
    ['GET', '/-/all'],
    ['GET', '/-/web/login'],
    ['POST', '/left-pad'],
    ['PATCH', '/left-pad'],
    ['DELETE', '/left-pad'],
    ['PUT', '/-'],
    ['PUT', '/a%2fb'],
    ['PUT', '/@s'],
    ['PUT', '/@s%2fp%2fq'],
    ['PUT', '/@s/p/q'],
    ['PUT', '/.hidden'],
    ['PUT', '/left%20pad'],
    ['PUT', '/-/package/a%2fb/dist-tags/c'],
    ['PUT', '/-/package//dist-tags/c'],
    ['OPTIONS', '/left-pad'],
  ]
  for (const [method, target] of unknown) {
    test(`R18 ${method} ${target} is not let through`, () => {
      assert.ok(['unknown', 'ambiguous'].includes(classify(npm, method, target).kind))
    })
  }

  test('what depends on who asks is personal', () => {
    const result = classify(npm, 'GET', '/-/whoami')
    assert.equal(result.kind === 'asked' && result.asked.personal, true)
  })
})

describe('R18 mutated paths', () => {
  const templates = [
    '/left-pad',
    '/@acme%2ftool',
    '/@acme/tool/-/tool-1.0.0.tgz',
    '/-/package/@acme%2ftool/dist-tags/beta',
    '/left-pad/-rev/1-abc',
    '/-/user/org.couchdb.user:alice',
  ]
  const pieces = [
    '.',
    '..',
    '/',
    '//',
    '\\',
    ';x',
    '%2e',
    '%2E',
    '%2f',
    '%5c',
    '%00',
    '%252e',
    '%c0%ae',
    '%',
    'A',
    '%41',
    '?',
    '-',
  ]
  const mutation = fc.tuple(fc.nat(), fc.constantFrom(...pieces), fc.constantFrom('insert', 'replace', 'encode'))
  const mutated = fc
    .tuple(fc.constantFrom(...templates), fc.array(mutation, { maxLength: 3 }))
    .map(([template, mutations]) =>
      mutations.reduce((path, [at, piece, how]) => {
        const i = 1 + (at % path.length)
        if (how === 'insert') return path.slice(0, i) + piece + path.slice(i)
        const code = path.charCodeAt(i)
        const put = how === 'replace' || Number.isNaN(code) ? piece : `%${code.toString(16).padStart(2, '0')}`
        return path.slice(0, i) + put + path.slice(i + 1)
      }, template),
    )

  test('R18 what is let through means the same to a server that decodes once, and to one that normalises', () => {
    let passed = 0
    fc.assert(
      fc.property(mutated, fc.constantFrom<Method>('GET', 'PUT', 'DELETE'), (raw, method) => {
        const result = classify(npm, method, raw)
        if (result.kind !== 'asked' && result.kind !== 'inspect') return
        passed++
        const path = raw.replace(/\?.*$/, '')
        // WHATWG URL resolves dots, backslashes and doubled slashes as browsers and many servers do.
        assert.equal(new URL(`http://backend${path}`).pathname, path)
        const decoded = decodeURIComponent(path)
        assert.equal(decodeURIComponent(decoded), decoded)
        const { package: name } = result.asked
        if (name !== undefined) assert.ok(`${decoded}/`.includes(`/${name}/`), `${raw} is not about ${name}`)
      }),
      { numRuns: 20_000 },
    )
    assert.ok(passed > 500, `only ${passed} passed`)
  })
})

describe('generic routes', () => {
  test('GET and HEAD read, everything else publishes the path', () => {
    const get = classify(generic, 'GET', '/files/a.bin')
    const put = classify(generic, 'PUT', '/files/a.bin')
    const remove = classify(generic, 'DELETE', '/files/a.bin')
    assert.equal(get.kind === 'asked' && get.asked.action, 'read')
    assert.equal(put.kind === 'asked' && put.asked.action, 'publish')
    assert.equal(put.kind === 'asked' && put.asked.package, 'files/a.bin')
    assert.equal(remove.kind === 'asked' && remove.asked.action, 'publish')
  })

  test('R18 an encoded slash is not let through', () => {
    assert.equal(classify(generic, 'PUT', '/files%2fa.bin').kind, 'unknown')
  })
})

const TARBALL = Buffer.from('not really a tarball, but bytes that have a digest')
const SHA512 = `sha512-${createHash('sha512').update(TARBALL).digest('base64')}`

function publishDocument(changes: Record<string, unknown> = {}): Record<string, unknown> {
  return {
    _id: '@s/p',
    name: '@s/p',
    description: 'with "quotes", \\ and ü',
    'dist-tags': { latest: '1.2.3' },
    versions: { '1.2.3': { name: '@s/p', version: '1.2.3', dist: { integrity: SHA512, shasum: 'x' } } },
    access: null,
    _attachments: {
      '@s/p-1.2.3.tgz': {
        content_type: 'application/octet-stream',
        data: TARBALL.toString('base64'),
        length: TARBALL.length,
      },
    },
    ...changes,
  }
}

/** The verdicts before and at the end of a document that comes in pieces of `size` bytes. */
function inspect(
  text: string,
  target = '/@s%2fp',
  size = text.length,
  type = 'application/json',
): { before: Inspection; last: Inspection } {
  const parsed = parseTarget(target)
  assert.ok(parsed.kind === 'target')
  const classified = npm.classify('PUT', parsed.target, ['content-type', type])
  assert.ok(classified.kind === 'inspect')
  const inspector = classified.inspector()
  const bytes = Buffer.from(text)
  let before: Inspection = { kind: 'undecided' }
  for (let at = 0; at < bytes.length && before.kind !== 'unacceptable'; at += size) {
    before = inspector.push(bytes.subarray(at, at + size))
  }
  return { before, last: inspector.end() }
}

describe('npm documents', () => {
  test('a publish is known from its prefix, in pieces of any size, and verified at its end', () => {
    const text = JSON.stringify(publishDocument(), undefined, 2)
    for (const size of [1, 2, 3, 5, 7, 64, text.length]) {
      const { last } = inspect(text, '/@s%2fp', size)
      assert.deepEqual(last, {
        kind: 'known',
        asked: { action: 'publish', package: '@s/p', version: '1.2.3', digest: SHA512, personal: false },
      })
    }
    const beforeTarball = text.slice(0, text.indexOf('"data"'))
    assert.equal(inspect(beforeTarball).before.kind, 'known')
  })

  test('a publish without integrity is recorded with the digest of what came', () => {
    const versions = { '1.2.3': { name: '@s/p', version: '1.2.3' } }
    const { last } = inspect(JSON.stringify(publishDocument({ versions })))
    assert.equal(last.kind === 'known' && last.asked.digest, SHA512)
  })

  test('the key may be spelled with escapes', () => {
    const text = JSON.stringify(publishDocument()).replace('_attachments', '\\u005fattachments')
    assert.equal(inspect(text).last.kind, 'known')
    assert.equal(inspect(text).before.kind === 'known' && inspect(text).before.kind, 'known')
  })

  const amends: readonly [name: string, changes: Record<string, unknown>][] = [
    ['no attachments', { _attachments: undefined }],
    ['no name, as npm star sends it', { _attachments: undefined, name: undefined, versions: undefined }],
    ['empty attachments', { _attachments: {} }],
    ['empty attachments before other members', { _attachments: {}, users: { alice: true } }],
  ]
  for (const [name, changes] of amends) {
    test(`a document with ${name} amends`, () => {
      const { last } = inspect(JSON.stringify(publishDocument(changes)))
      assert.equal(last.kind === 'known' && last.asked.action, 'amend')
    })
  }

  test('R18 a document in another charset than the one it is judged in is not read', () => {
    const good = JSON.stringify(publishDocument())
    for (const type of ['application/json', 'application/json; charset=utf-8', 'Application/JSON;charset="UTF-8"']) {
      assert.equal(inspect(good, undefined, undefined, type).last.kind, 'known', type)
    }
    const others = [
      'application/json; charset=utf-7',
      'application/json; charset=utf-16',
      'text/plain',
      'application/json, text/json',
    ]
    for (const type of [...others, 'application/json; charset=utf-8; charset=utf-7', '']) {
      assert.equal(inspect(good, undefined, undefined, type).last.kind, 'unacceptable', type)
    }
  })

  test('what lists versions, or stands under a revision, needs the right to withdraw as well: a registry drops the rest', () => {
    const also = (text: string, target?: string): unknown => {
      const { last } = inspect(text, target)
      return last.kind === 'known' ? [last.asked.action, last.asked.also] : last
    }
    assert.deepEqual(also('{"_id":"@s/p","users":{"alice":true}}'), ['amend', undefined])
    assert.deepEqual(also('{"_id":"@s/p","versions":{"1.0.0":{"deprecated":"x"}}}'), ['amend', 'withdraw'])
    assert.deepEqual(also('{"_id":"@s/p","versions":{}}', '/@s%2fp/-rev/1'), ['withdraw', undefined])
    assert.deepEqual(also('{"_id":"@s/p","maintainers":[]}', '/@s%2fp/-rev/1'), ['own', 'withdraw'])
  })

  test('a document under a revision withdraws versions, or changes owners', () => {
    const withdraw = inspect('{"_id":"@s/p","name":"@s/p","versions":{},"maintainers":[]}', '/@s%2fp/-rev/1-a').last
    const own = inspect('{"_id":"@s/p","_rev":"1-a","maintainers":[]}', '/@s%2fp/-rev/1-a').last
    assert.equal(withdraw.kind === 'known' && withdraw.asked.action, 'withdraw')
    assert.equal(own.kind === 'known' && own.asked.action, 'own')
  })

  const { _attachments: attachments, ...rest } = publishDocument()
  const good = JSON.stringify(publishDocument())
  const unacceptable: readonly [name: string, text: string, problem: RegExp, target?: string][] = [
    [
      'attachments first',
      JSON.stringify({ _attachments: attachments, ...rest }),
      /has to be the last|neither "name" nor/,
    ],
    ['a member after the attachments', `${good.slice(0, -1)},"x":1}`, /has to be the last/],
    ['another name after the attachments', `${good.slice(0, -1)},"name":"q"}`, /has to be the last|occurs twice/],
    ['a name that differs from the path', JSON.stringify(publishDocument({ name: '@s/q' })), /"name" differs/],
    [
      'neither name nor _id',
      JSON.stringify(publishDocument({ name: undefined, _id: undefined })),
      /neither "name" nor "_id"/,
    ],
    ['an _id that differs from the path', JSON.stringify(publishDocument({ _id: '@s/q' })), /"_id" differs/],
    ['two names', good.replace('"name":"@s/p"', '"name":"@s/q","name":"@s/p"'), /"name" occurs twice/],
    ['two versions objects', good.replace('"versions"', '"versions":{},"versions"'), /"versions" occurs twice/],
    [
      'two versions',
      JSON.stringify(publishDocument({ versions: { '1.0.0': {}, '1.2.3': {} } })),
      /exactly one version/,
    ],
    ['no version', JSON.stringify(publishDocument({ versions: {} })), /exactly one version/],
    [
      'a version that differs from its key',
      JSON.stringify(publishDocument({ versions: { '1.0.0': { version: '2.0.0' } } })),
      /"version" differs/,
    ],
    [
      'a manifest of another package',
      JSON.stringify(publishDocument({ versions: { '1.0.0': { name: '@s/q' } } })),
      /"name" within "versions"/,
    ],
    [
      'an attachment of another name',
      JSON.stringify(publishDocument({ _attachments: { 'other.tgz': { data: 'AAAA' } } })),
      /not named after/,
    ],
    [
      'a tag for another version',
      JSON.stringify(publishDocument({ 'dist-tags': { latest: '1.0.0' } })),
      /"dist-tags" names another/,
    ],
    [
      'a tarball of another version',
      JSON.stringify(publishDocument({ versions: { '1.2.3': { dist: { tarball: 'http://x/@s/p/-/p-1.0.0.tgz' } } } })),
      /"dist.tarball" names another/,
    ],
    [
      'two hashes to choose from',
      JSON.stringify(publishDocument({ versions: { '1.2.3': { dist: { integrity: 'sha512-a sha512-b' } } } })),
      /more than one SHA-512/,
    ],
    [
      'two attachments',
      JSON.stringify(publishDocument({ _attachments: { 'p-1.2.3.tgz': { data: '' }, b: { data: '' } } })),
      /more than one attachment/,
    ],
    [
      'a digest that is not that of the bytes',
      good.replace(TARBALL.toString('base64').slice(0, 8), 'AAAAAAAA'),
      /not the SHA-512/,
    ],
    [
      'data that is not base64',
      good.replace(TARBALL.toString('base64').slice(0, 4), 'A*A!'),
      /plain base64|not the SHA-512/,
    ],
    ['an escape in the data', good.replace('"data":"', '"data":"\\u0041'), /plain base64/],
    [
      'an attachment without data',
      JSON.stringify(publishDocument({ _attachments: { 'p-1.2.3.tgz': { stub: true } } })),
      /plain base64/,
    ],
    ['an attachment under a revision', good, /which this request may not/, '/@s%2fp/-rev/1-a'],
    ['nothing that tells what it does', '{"_id":"@s/p"}', /neither "versions" nor "maintainers"/, '/@s%2fp/-rev/1-a'],
    ['a __proto__ version', good.replace('"versions":{', '"versions":{"__proto__":{},'), /__proto__/],
    ['a byte order mark', `\ufeff${good}`, /not well-formed/],
    ['a comment', `/* */${good}`, /not well-formed/],
    ['a trailing comma', good.replace(/\}$/, ',}'), /not well-formed/],
    ['single quotes', "{'name':'@s/p'}", /not well-formed/],
    ['two documents', `${good}{}`, /something follows/],
    ['a cut end', good.slice(0, -1), /ends too early/],
    ['no end of a string', good.slice(0, good.indexOf('"data"') + 10), /ends too early/],
    [
      'a control character in a string before the attachments',
      good.replace('with', 'wi\u0001th'),
      /not one of a package/,
    ],
    ['an array', '[]', /not one of a package/],
    ['nesting without end', `{"a":${'['.repeat(100)}`, /nested too deeply/],
    ['a number like no other', '{"a":01}', /malformed/],
    ['an endless number', `{"a":${'1'.repeat(1000)}}`, /too long/],
    ['an endless key', `{"${'a'.repeat(5000)}":1}`, /too long/],
  ]
  for (const [name, text, problem, target] of unacceptable) {
    test(`a document with ${name} is unacceptable`, () => {
      for (const size of [1, 3, text.length]) {
        const { last } = inspect(text, target, size)
        assert.equal(last.kind, 'unacceptable')
        assert.match(last.kind === 'unacceptable' ? last.problem : '', problem)
      }
    })
  }
})
