import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { describe, test } from 'node:test'
import fc from 'fast-check'
import { createPublishInspector } from '../src/dialects/cargo-publish.ts'
import type { Inspection } from '../src/dialects/dialect.ts'

const CRATE = Buffer.from('not really a crate, but bytes that have a digest')
const SHA256 = createHash('sha256').update(CRATE).digest('hex')
const METADATA = JSON.stringify({ name: 'Acme_Tool', vers: '1.2.3', deps: [], description: 'with "quotes", \\ and ü' })

function framed(part: string | Buffer, length = Buffer.byteLength(part)): Buffer {
  const size = Buffer.alloc(4)
  size.writeUInt32LE(length)
  return Buffer.concat([size, Buffer.from(part)])
}

function bodyOf(metadata: string | Buffer, crate = CRATE): Buffer {
  return Buffer.concat([framed(metadata), framed(crate)])
}

interface Verdicts {
  /** when all but the end has been said */
  readonly before: Inspection
  readonly last: Inspection
}

function inspect(body: Buffer, size = body.length): Verdicts {
  const inspector = createPublishInspector()
  let before: Inspection = { kind: 'undecided' }
  for (let at = 0; at < body.length; at += size) before = inspector.push(body.subarray(at, at + size))
  const last = inspector.end()
  assert.deepEqual(inspector.end(), last)
  return { before, last }
}

describe('cargo publish', () => {
  const asked = { action: 'publish', package: 'acme-tool', version: '1.2.3', digest: undefined, personal: false }

  test('is known from its metadata, in pieces of any size, and has the digest of its crate at the end', () => {
    const body = bodyOf(METADATA)
    for (const size of [1, 2, 3, 5, 7, 64, body.length]) {
      const { before, last } = inspect(body, size)
      assert.deepEqual(before, { kind: 'known', asked })
      assert.deepEqual(last, { kind: 'known', asked: { ...asked, digest: SHA256 } })
    }
    assert.deepEqual(createPublishInspector().push(framed(METADATA)), { kind: 'known', asked })
  })

  test('may have its members in any order', () => {
    const { last } = inspect(bodyOf('{"deps":[{"name":"other","vers":"0.0.0"}],"vers":"1.2.3","name":"acme-tool"}'))
    assert.equal(last.kind === 'known' && last.asked.package, 'acme-tool')
  })

  test('nothing at all is undecided', () => {
    assert.deepEqual(createPublishInspector().end(), { kind: 'undecided' })
  })

  test('a body that is cut short is never known', () => {
    const body = bodyOf(METADATA)
    fc.assert(
      fc.property(fc.integer({ min: 1, max: body.length - 1 }), fc.integer({ min: 1, max: 80 }), (cut, size) => {
        const { last } = inspect(body.subarray(0, cut), size)
        assert.equal(last.kind, 'unacceptable')
        assert.match(last.kind === 'unacceptable' ? last.problem : '', /ends before the lengths in it say/)
      }),
    )
  })

  test('bytes of no meaning are never known', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), fc.integer({ min: 1, max: 80 }), (bytes, size) => {
        assert.notEqual(inspect(Buffer.from(bytes), size).last.kind, 'known')
      }),
    )
  })

  const unacceptable: readonly [name: string, body: Buffer, problem: RegExp][] = [
    ['no metadata', Buffer.concat([framed(''), framed(CRATE)]), /a part of it is empty/],
    ['no crate', bodyOf(METADATA, Buffer.alloc(0)), /a part of it is empty/],
    ['metadata without end', framed('{', 0xffffffff), /metadata is longer than/],
    ['a byte too many', Buffer.concat([bodyOf(METADATA), Buffer.from('x')]), /something follows the crate file/],
    ['a second crate', Buffer.concat([bodyOf(METADATA), bodyOf(METADATA)]), /something follows the crate file/],
    [
      'metadata that is shorter than it says',
      Buffer.concat([framed(METADATA, METADATA.length + 50), framed(CRATE)]),
      /cannot be read|ends before/,
    ],
    ['metadata that is longer than it says', Buffer.concat([framed(METADATA, 20), framed(CRATE)]), /cannot be read/],
    ['a big-endian length', Buffer.concat([Buffer.from([0, 0, 0, 2]), Buffer.from('{}')]), /longer than|ends before/],
    ['two names', bodyOf('{"name":"a","name":"b","vers":"1.0.0"}'), /the key "name" occurs twice/],
    ['two names, one escaped', bodyOf('{"name":"a","n\\u0061me":"b","vers":"1.0.0"}'), /the key "name" occurs twice/],
    ['two versions', bodyOf('{"name":"a","vers":"1.0.0","vers":"2.0.0"}'), /the key "vers" occurs twice/],
    ['a name for lenient readers', bodyOf('{"name":"a","vers":"1.0.0","Name":"b"}'), /member "Name", which some take/],
    ['a version for lenient readers', bodyOf('{"name":"a","vers":"1.0.0","ver\\u017f":"2.0.0"}'), /member "verſ"/],
    ['no name', bodyOf('{"vers":"1.0.0"}'), /no "name" and "vers"/],
    ['no version', bodyOf('{"name":"a"}'), /no "name" and "vers"/],
    ['a name within', bodyOf('{"package":{"name":"a","vers":"1.0.0"}}'), /no "name" and "vers"/],
    ['a number for a name', bodyOf('{"name":1,"vers":"1.0.0"}'), /no "name" and "vers"/],
    ['a list', bodyOf('[]'), /no "name" and "vers"/],
    ['an empty name', bodyOf('{"name":"","vers":"1.0.0"}'), /not the name of a crate/],
    ['a path for a name', bodyOf('{"name":"../a","vers":"1.0.0"}'), /not the name of a crate/],
    ['a name with a star', bodyOf('{"name":"a*","vers":"1.0.0"}'), /not the name of a crate/],
    ['a name that is not ASCII', bodyOf('{"name":"ａ","vers":"1.0.0"}'), /not the name of a crate/],
    ['a name with a line break', bodyOf('{"name":"a\\n","vers":"1.0.0"}'), /not the name of a crate/],
    [
      'a name of 65 letters',
      bodyOf(JSON.stringify({ name: 'a'.repeat(65), vers: '1.0.0' })),
      /not the name of a crate/,
    ],
    ['a version that is none', bodyOf('{"name":"a","vers":"1.0"}'), /not a version/],
    ['a version with a path', bodyOf('{"name":"a","vers":"1.0.0-/../b"}'), /not a version/],
    ['an endless version', bodyOf(JSON.stringify({ name: 'a', vers: `1.0.0-${'1'.repeat(200)}` })), /not a version/],
    ['a __proto__', bodyOf('{"__proto__":{"name":"b"},"name":"a","vers":"1.0.0"}'), /__proto__/],
    ['a byte order mark', bodyOf(`\ufeff${METADATA}`), /not well-formed/],
    ['a comment', bodyOf(`/* */${METADATA}`), /not well-formed/],
    ['a trailing comma', bodyOf(METADATA.replace(/\}$/, ',}')), /not well-formed/],
    ['two documents', bodyOf(METADATA + METADATA), /something follows/],
    ['a zero byte behind', bodyOf(`${METADATA}\0`), /not well-formed|something follows/],
    ['a control character in a string', bodyOf(METADATA.replace('with', 'wi\u0001th')), /no "name" and "vers"/],
    ['bytes that are not UTF-8', bodyOf(Buffer.from(METADATA, 'latin1')), /no "name" and "vers"/],
    ['UTF-16', bodyOf(Buffer.from(METADATA, 'utf16le')), /cannot be read/],
    ['nesting without end', bodyOf(`{"a":${'['.repeat(100)}`), /nested too deeply/],
    ['a zip file', Buffer.from('PK\u0003\u0004'.repeat(30)), /longer than|ends before/],
  ]
  for (const [name, body, problem] of unacceptable) {
    test(`with ${name} is unacceptable`, () => {
      for (const size of [1, 3, body.length]) {
        const { last } = inspect(body, size)
        assert.equal(last.kind, 'unacceptable')
        assert.match(last.kind === 'unacceptable' ? last.problem : '', problem)
      }
    })
  }
})
