import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { describe, test } from 'node:test'
import fc from 'fast-check'
import { compileRights } from '../src/accounts/rights.ts'
import { cargo } from '../src/dialects/cargo.ts'
import { rewriteConfig } from '../src/dialects/cargo-config.ts'
import { indexPath, normalise } from '../src/dialects/cargo-names.ts'
import { createPublishInspector } from '../src/dialects/cargo-publish.ts'
import type { Action, Inspection, Links } from '../src/dialects/dialect.ts'
import type { Method } from '../src/http/head.ts'
import { parseTarget } from '../src/http/target.ts'
import { connectClient } from './lab/client.ts'
import { startTestGate } from './lab/gate.ts'
import { answering, startUpstream } from './lab/upstream.ts'

function classify(method: Method, raw: string) {
  const parsed = parseTarget(raw)
  return parsed.kind === 'ambiguous' ? { kind: 'ambiguous' as const } : cargo.classify(method, parsed.target, [])
}

describe('cargo routes', () => {
  const asked: readonly [method: Method, target: string, action: Action, name?: string, version?: string][] = [
    ['GET', '/config.json', 'read'],
    ['GET', '/index/config.json', 'read'],
    ['GET', '/api/v1/crates/config.json', 'read'],
    ['GET', '/1/a', 'read', 'a'],
    ['GET', '/2/me', 'read', 'me'],
    ['GET', '/3/f/foo', 'read', 'foo'],
    ['GET', '/se/rd/serde', 'read', 'serde'],
    ['HEAD', '/se/rd/serde', 'read', 'serde'],
    ['GET', '/index/se/rd/serde_json', 'read', 'serde-json'],
    ['GET', '/api/v1/crates/se/rd/serde-json', 'read', 'serde-json'],
    ['GET', '/index/Se/Rd/Serde', 'read', 'serde'],
    ['GET', '/a/b/c/d/lo/gi/login', 'read', 'login'],
    ['GET', '/api/v1/crates/serde/1.0.0/download', 'read', 'serde', '1.0.0'],
    ['GET', '/dl/Serde_Json/1.0.0-rc.1+b.2/download', 'read', 'serde-json', '1.0.0-rc.1+b.2'],
    ['GET', '/crates/serde-1.0.0.crate', 'read', 'serde', '1.0.0'],
    ['GET', '/crates/serde/serde-1-2.0.0-1.2.3.crate', 'read', 'serde-1', '2.0.0-1.2.3'],
    ['GET', '/crates/se/rd/serde/1.0.0.crate', 'read', 'serde', '1.0.0'],
    ['GET', '/api/v1/crates?q=serde&per_page=10', 'read'],
    ['GET', '/api/v1/crates/Acme_Tool/owners', 'read', 'acme-tool'],
    ['PUT', '/api/v1/crates/acme_tool/owners', 'own', 'acme-tool'],
    ['DELETE', '/api/v1/crates/acme-tool/owners', 'own', 'acme-tool'],
    ['DELETE', '/api/v1/crates/acme_tool/1.0.0/yank', 'withdraw', 'acme-tool', '1.0.0'],
    ['PUT', '/api/v1/crates/acme_tool/1.0.0/unyank', 'withdraw', 'acme-tool', '1.0.0'],
    ['PUT', '/api/v1/crates/new/owners', 'own', 'new'],
    ['GET', '/me', 'account'],
    ['GET', '/me/tokens', 'account'],
    ['GET', '/me/config.json', 'account'],
    ['POST', '/login', 'account'],
    ['GET', '/api/v1/me', 'account'],
    ['PUT', '/api/v1/me/tokens', 'account'],
    ['DELETE', '/api/v1/me/tokens/1', 'account'],
    ['POST', '/api/v1/user/add_token', 'account'],
    ['POST', '/api/v1/trusted_publishing/tokens', 'account'],
    ['DELETE', '/api/private/session', 'account'],
  ]
  for (const [method, target, action, name, version] of asked) {
    test(`${method} ${target} is ${action}`, () => {
      const result = classify(method, target)
      assert.equal(result.kind, 'asked')
      if (result.kind !== 'asked') return
      const { action: found, package: crate, version: vers } = result.asked
      assert.deepEqual([found, crate, vers], [action, name, version])
    })
  }

  test('a publish is told by its body', () => {
    for (const target of ['/api/v1/crates/new', '/api/v1/crates/new/', '/%61pi/v1/crates/ne%77']) {
      const result = classify('PUT', target)
      assert.equal(result.kind === 'inspect' && result.asked.action, 'publish')
    }
  })

  for (const spelling of ['Acme-Tool', 'acme_tool', 'ACME_TOOL', 'acme%5Ftool', '%61cme-tool']) {
    test(`R18 ${spelling} is the crate acme-tool`, () => {
      const result = classify('DELETE', `/api/v1/crates/${spelling}/1.0.0/yank`)
      assert.equal(result.kind === 'asked' && result.asked.package, 'acme-tool')
    })
  }

  const unknown: readonly [Method, string][] = [
    ['GET', '/'],
    ['GET', '/serde'],
    ['GET', '/index/serde'],
    ['GET', '/se/rd/tokio'],
    ['GET', '/se/serde'],
    ['GET', '/1/ab'],
    ['GET', '/3/a/foo'],
    ['GET', '/2/-a'],
    ['GET', '/index/se%2frd%2fserde'],
    ['GET', '/api/v1/users/1'],
    ['GET', '/api/v1/tokens'],
    ['GET', '/api/v1/crates/serde'],
    ['GET', '/crates/serde/latest/download'],
    ['GET', '/crates/serde/1.0/download'],
    ['GET', '/crates/serde/01.0.0/download'],
    ['GET', '/crates/a.b/1.0.0/download'],
    ['GET', '/serde.crate'],
    ['GET', '/crates/serde-1.0.0.crate.sig'],
    ['PUT', '/config.json'],
    ['PUT', '/index/se/rd/serde'],
    ['DELETE', '/crates/serde/1.0.0/download'],
    ['POST', '/api/v1/crates/new'],
    ['PUT', '/API/v1/crates/new'],
    ['PUT', '/other/api/v1/crates/new'],
    ['DELETE', '/other/api/v1/crates/serde/1.0.0/yank'],
    ['PUT', '/api/v1/crates/serde/1.0.0/yank'],
    ['DELETE', '/api/v1/crates/serde/1.0/yank'],
    ['DELETE', '/api/v1/crates/s%C3%A9rde/1.0.0/yank'],
    ['DELETE', '/api/v1/crates/a%2fb/1.0.0/yank'],
    ['PUT', '/api/v1/crates/9lives/owners'],
    ['PATCH', '/api/v1/crates/serde/1.0.0'],
    ['OPTIONS', '/config.json'],
  ]
  for (const [method, target] of unknown) {
    test(`R18 ${method} ${target} is not let through`, () => {
      assert.ok(['unknown', 'ambiguous'].includes(classify(method, target).kind))
    })
  }

  test('an index file is found where cargo looks for it, and under no other folders', () => {
    const name = fc.stringMatching(/^[A-Za-z_][A-Za-z0-9_-]{0,20}$/)
    fc.assert(
      fc.property(name, fc.stringMatching(/^i[a-z]{0,3}$/), (crate, folder) => {
        const found = classify('GET', `/${folder}/${indexPath(crate)}`)
        assert.equal(found.kind === 'asked' && found.asked.package, normalise(crate))
        const elsewhere = `${folder}/${crate}`.toLowerCase()
        if (elsewhere !== indexPath(crate)) assert.equal(classify('GET', `/${folder}/${crate}`).kind, 'unknown')
      }),
    )
  })

  test('rights may be written in any spelling of a name', () => {
    const covers = compileRights(['Acme_*', 'Left-Pad'].map(normalise))
    for (const name of ['acme-tool', 'ACME_tool', 'left_pad']) assert.ok(covers(normalise(name)))
    assert.ok(!covers(normalise('acmetool')))
  })

  test('a refusal of config.json asks cargo for its token', () => {
    const status = (raw: string, was: number) => {
      const parsed = parseTarget(raw)
      return parsed.kind === 'target' ? cargo.refusalStatus?.(was, parsed.target) : undefined
    }
    assert.deepEqual([status('/index/config.json', 403), status('/index/config.json', 502)], [401, 502])
    assert.equal(status('/index/se/rd/serde', 403), 403)
  })
})

describe('cargo config.json', () => {
  const links: Links = {
    publicBase: 'https://gate.test/cargo',
    lead: link => link.replace(/^http:\/\/backend\.test(?=\/|$)/, 'https://gate.test/cargo'),
  }
  const rewrite = (config: unknown, readsNeedCertificate = false): unknown => {
    const text = typeof config === 'string' ? config : JSON.stringify(config)
    const rewritten = rewriteConfig(text, links, { readsNeedCertificate })
    return rewritten === undefined ? undefined : JSON.parse(rewritten)
  }
  const api = 'http://backend.test'
  const dl = `${api}/api/v1/crates`

  test('leads to the gate, templates too; what else stands there stays', () => {
    assert.deepEqual(rewrite({ dl, api, more: [1] }), {
      dl: 'https://gate.test/cargo/api/v1/crates',
      api: 'https://gate.test/cargo',
      more: [1],
    })
    assert.deepEqual(rewrite({ dl: `${api}/f/{lowerprefix}/{crate}-{version}.crate` }), {
      dl: 'https://gate.test/cargo/f/{lowerprefix}/{crate}-{version}.crate',
    })
    assert.deepEqual(rewrite({ dl, api: null }), { dl: 'https://gate.test/cargo/api/v1/crates' })
  })

  test('asks for a token where the gate does, and nowhere else', () => {
    const asks = (config: object, needed: boolean) => {
      const rewritten = rewrite(config, needed)
      return typeof rewritten === 'object' && rewritten !== null && 'auth-required' in rewritten
    }
    for (const config of [
      { dl, api },
      { dl, api, 'auth-required': true },
      { dl, api, 'auth-required': false },
    ]) {
      assert.equal(asks(config, true), true)
      assert.equal(asks(config, false), false)
    }
  })

  test('a ticket is never led to another host', () => {
    const elsewhere = 'https://cdn.test/crates'
    assert.deepEqual(rewrite({ dl: elsewhere, api }), { dl: elsewhere, api: 'https://gate.test/cargo' })
    assert.equal(rewrite({ dl: elsewhere, api }, true), undefined)
    assert.equal(rewrite({ dl, api: 'https://cdn.test' }), undefined)
    assert.equal(rewrite({ dl, api: 'https://gate.test.evil.test' }), undefined)
  })

  test('what is no config.json is not let through', () => {
    for (const text of ['', '[]', '{}', '{"dl":1}', '<html>', '{"dl":"x","api":2}'])
      assert.equal(rewrite(text), undefined)
  })

  test('is tagged for the configuration that it was made for', async t => {
    const body = JSON.stringify({ dl: 'http://backend.test/dl', api: 'http://backend.test' })
    const upstream = await startUpstream(
      t,
      answering(head =>
        head.includes('if-none-match: "v1"')
          ? 'HTTP/1.1 304 Not Modified\r\netag: "v1"\r\n\r\n'
          : `HTTP/1.1 200 OK\r\netag: "v1"\r\ncontent-length: ${body.length}\r\n\r\n${head.startsWith('HEAD') ? '' : body}`,
      ),
    )
    const { port } = await startTestGate(t, {
      upstream: upstream.origin,
      registry: { dialect: 'cargo', upstreamOrigins: ['http://backend.test'] },
    })
    const client = await connectClient(t, { port })
    const get = async (method: string, ...lines: string[]) => {
      client.send(`${[`${method} /config.json HTTP/1.1`, 'Host: registry.test', ...lines].join('\r\n')}\r\n\r\n`)
      return client.response(method)
    }
    const first = await get('GET', 'Accept-Encoding: gzip')
    assert.equal(first.body, '{"dl":"https://registry.test/dl","api":"https://registry.test"}')
    const tag = first.fields.get('etag') ?? ''
    assert.match(tag, /^"v1-cg[0-9a-f]{8}"$/)
    assert.equal((await get('GET', `If-None-Match: ${tag}`)).status, 304)
    assert.equal((await get('GET', 'If-None-Match: "v1"')).status, 200)
    assert.equal((await get('GET', 'If-Modified-Since: Tue, 24 Nov 2026 12:00:00 GMT')).status, 200)
    assert.equal((await get('HEAD')).fields.get('content-length'), undefined)
    const sent = upstream.received().join('')
    assert.doesNotMatch(sent, /gzip|if-modified-since/i)
    assert.equal(sent.match(/if-none-match/g)?.length, 1)
  })
})

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
