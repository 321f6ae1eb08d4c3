// Where a link or a redirect of a backend leads at the gate.

import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { leadTarballs } from '../src/dialects/npm-links.ts'
import { linksOf } from '../src/lane/rewrite.ts'
import { publicLocation } from '../src/lane/upstream-head.ts'

const ORIGINS = ['https://old.test', 'http://10.0.0.7:8081']

describe('links', () => {
  const places = (publicUrl: string, upstream: string) => ({
    publicUrl: new URL(publicUrl),
    upstream: new URL(upstream),
    upstreamOrigins: ORIGINS,
    basePath: new URL(upstream).pathname.replace(/\/$/, ''),
  })
  const prefixed = places('https://h.test/npm/', 'http://b.test:81/')
  const based = places('https://h.test:8443/npm/', 'https://b.test/repo/npm/')

  const led: readonly [at: typeof prefixed, link: string, expected: string][] = [
    [prefixed, 'http://b.test:81/a', 'https://h.test/npm/a'],
    [prefixed, 'http://b.test:81', 'https://h.test/npm'],
    [prefixed, 'HTTP://B.test:81/a', 'https://h.test/npm/a'],
    [prefixed, '//b.test:81/a', 'https://h.test/npm/a'],
    [prefixed, 'http://b.test:81/{crate}/%7Ba?b#c', 'https://h.test/npm/{crate}/%7Ba?b#c'],
    [prefixed, 'https://old.test:443/a', 'https://h.test/npm/a'],
    [prefixed, 'http://10.0.0.7:8081/a', 'https://h.test/npm/a'],
    [prefixed, 'https://h.test/a', 'https://h.test/npm/a'],
    [prefixed, 'https://h.test/npm/a', 'https://h.test/npm/a'],
    [prefixed, 'http://h.test/npm/a', 'https://h.test/npm/a'],
    [prefixed, 'http://b.test:810/a', 'http://b.test:810/a'],
    [prefixed, 'http://b.test:81.evil/a', 'http://b.test:81.evil/a'],
    [prefixed, 'https://b.test:81/a', 'https://b.test:81/a'],
    [prefixed, 'https://old.test.evil/a', 'https://old.test.evil/a'],
    [prefixed, 'https://cdn.test/?u=http://b.test:81/a', 'https://cdn.test/?u=http://b.test:81/a'],
    [prefixed, 'a/b', 'a/b'],
    [prefixed, '/a', '/a'],
    [prefixed, '', ''],
    [based, 'https://b.test/repo/npm/a', 'https://h.test:8443/npm/a'],
    [based, 'https://h.test:8443/repo/npm/a', 'https://h.test:8443/npm/a'],
    [based, 'https://h.test:8443/npm/a', 'https://h.test:8443/npm/a'],
    [based, 'https://b.test/repo/npmx/a', 'https://h.test:8443/npm/repo/npmx/a'],
  ]
  for (const [at, link, expected] of led) {
    test(`${link || 'nothing'} becomes ${expected || 'nothing'}`, () => assert.equal(linksOf(at).lead(link), expected))
  }

  function tarball(name: string, link: string): unknown {
    const text = leadTarballs(
      JSON.stringify({ name, versions: { '1.0.0': { dist: { tarball: link } } } }),
      linksOf(prefixed),
      {
        readsNeedCertificate: false,
      },
    )
    return /"tarball":"([^"]*)"/.exec(text ?? '')?.[1]
  }

  const tarballs: readonly [name: string, link: string, expected: string][] = [
    ['tool', 'https://h.test/tool/-/tool-1.0.0.tgz', 'https://h.test/npm/tool/-/tool-1.0.0.tgz'],
    ['@a/tool', 'https://old.test/@a/tool/-/tool-1.0.0.tgz', 'https://h.test/npm/@a/tool/-/tool-1.0.0.tgz'],
    ['@a/tool', 'https://old.test/@a%2ftool/-/tool-1.0.0.tgz', 'https://h.test/npm/@a%2ftool/-/tool-1.0.0.tgz'],
    ['tool', 'https://old.test/api/npm/x/tool/-/tool-1.0.0.tgz', 'https://h.test/npm/tool/-/tool-1.0.0.tgz'],
    // Without the name, this one looks as if it had the prefix.
    ['npm', 'https://h.test/npm/-/npm-1.0.0.tgz', 'https://h.test/npm/npm/-/npm-1.0.0.tgz'],
    ['npm', 'https://h.test/npm/npm/-/npm-1.0.0.tgz', 'https://h.test/npm/npm/-/npm-1.0.0.tgz'],
    ['tool', 'https://cdn.test/tool/-/tool-1.0.0.tgz', 'https://cdn.test/tool/-/tool-1.0.0.tgz'],
  ]
  for (const [name, link, expected] of tarballs) {
    test(`the tarball of ${name} at ${link} is at ${expected}`, () => assert.equal(tarball(name, link), expected))
  }

  test('the manifest of one version has its link at the top', () => {
    const manifest = { name: 'tool', version: '1.0.0', dist: { tarball: 'http://b.test:81/tool/-/tool-1.0.0.tgz' } }
    const text = leadTarballs(JSON.stringify(manifest), linksOf(prefixed), { readsNeedCertificate: false })
    assert.match(text ?? '', /"https:\/\/h\.test\/npm\/tool\/-\/tool-1\.0\.0\.tgz"/)
  })

  test('what has no link stays what it is', () => {
    for (const odd of ['{}', '{"versions":[]}', '{"versions":{"1":null,"2":{"dist":3},"3":{"dist":{"tarball":4}}}}']) {
      assert.equal(leadTarballs(odd, linksOf(prefixed), { readsNeedCertificate: false }), odd)
    }
  })
})

describe('R15 redirects under a prefix', () => {
  const root = { publicUrl: new URL('https://h.test/'), basePath: '' }
  const prefixed = { publicUrl: new URL('https://h.test/npm/'), basePath: '' }
  const based = { publicUrl: new URL('https://h.test/npm/'), basePath: '/repo/npm' }
  const rootBased = { publicUrl: new URL('https://h.test/'), basePath: '/repo/npm' }
  const cases: readonly [places: typeof root, location: string, expected: string][] = [
    [prefixed, 'http://b.test:81/a?b=c#d', 'https://h.test/npm/a?b=c#d'],
    [prefixed, 'https://old.test/a', 'https://h.test/npm/a'],
    [prefixed, '//b.test:81/a', 'https://h.test/npm/a'],
    [prefixed, '/a', '/npm/a'],
    [prefixed, 'a', 'a'],
    [prefixed, '../a', '../a'],
    [prefixed, '?a=b', '?a=b'],
    [prefixed, 'https://h.test/a', 'https://h.test/npm/a'],
    [prefixed, 'http://h.test/a', 'https://h.test/npm/a'],
    [prefixed, 'https://h.test/npm/a', 'https://h.test/npm/a'],
    [prefixed, 'http://h.test/npm/a', 'https://h.test/npm/a'],
    [prefixed, 'https://h.test/npmx/a', 'https://h.test/npm/npmx/a'],
    [prefixed, 'https://blobs.test/npm/a', 'https://blobs.test/npm/a'],
    [prefixed, 'ftp://h.test/a', 'ftp://h.test/a'],
    [based, 'http://b.test:81/repo/npm/a', 'https://h.test/npm/a'],
    [based, '/repo/npm/a', '/npm/a'],
    [based, 'https://h.test/repo/npm/a', 'https://h.test/npm/a'],
    [based, 'https://h.test/npm/a', 'https://h.test/npm/a'],
    [based, 'https://h.test/pypi/a', 'https://h.test/pypi/a'],
    [rootBased, 'https://h.test/repo/npm/a', 'https://h.test/a'],
    [rootBased, 'https://h.test/a', 'https://h.test/a'],
    [root, 'https://h.test/a', 'https://h.test/a'],
  ]
  for (const [places, location, expected] of cases) {
    test(`R15 ${location} becomes ${expected}, under ${places.publicUrl} behind ${places.basePath}/`, () => {
      const upstream = new URL(`http://b.test:81${places.basePath}/`)
      assert.equal(publicLocation(location, { ...places, upstream, upstreamOrigins: ['https://old.test'] }), expected)
    })
  }
})
