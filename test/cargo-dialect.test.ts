import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import fc from 'fast-check'
import { cargo } from '../src/dialects/cargo.ts'
import { rewriteConfig } from '../src/dialects/cargo-config.ts'
import { indexPath, normalise } from '../src/dialects/cargo-names.ts'
import type { Action, Links } from '../src/dialects/dialect.ts'
import type { Method } from '../src/http/head.ts'
import { parseTarget } from '../src/http/target.ts'
import { connectClient } from './lab/client.ts'
import { ACCOUNTS, configOf, createBench, GATE } from './lab/configuration.ts'
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

  test('rights may be written in any spelling of a name, and are shown as they were written', async t => {
    const bench = await createBench(t)
    const gate = GATE.replace('dialect: npm', 'dialect: cargo')
    const accounts = ACCOUNTS.replace('"@acme/*", left-pad', 'Acme_*, left_pad')
    const { accounts: read } = configOf(await bench.load({ gate, accounts }))
    const right = read[0]?.rights.get('npm')?.publish
    assert.deepEqual(right?.patterns, ['Acme_*', 'left_pad'])
    for (const name of ['acme-tool', 'left-pad']) assert.equal(right?.covers(name), true)
    for (const name of ['acmetool', 'left-pad-2']) assert.equal(right?.covers(name), false)
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
