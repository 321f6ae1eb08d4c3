// Several registries, under host names and under paths, and what a backend has to be told of its address.

import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { configOf, createBench, GATE, problemsOf } from './lab/configuration.ts'

const NPM = GATE.slice(GATE.indexOf('  npm:'), GATE.indexOf('accounts:'))
const URLS = 'public-url: https://npm.example.com:8443\n    upstream: http://127.0.0.1:4873\n'

/** certgate.yaml with other lines for the registry `npm`, and further registries. */
function gateWith(lines: string, others = ''): string {
  return GATE.replace(NPM, NPM.replace(URLS, lines) + others)
}

describe('what a registry’s address means', () => {
  test('paths of public URLs and upstreams end in a slash, and keep their case', async t => {
    const bench = await createBench(t)
    const urls = 'public-url: https://Packages.example.com/npm\n    upstream: http://127.0.0.1:8081/Repository/npm\n'
    const [npm] = configOf(await bench.load({ gate: gateWith(urls) })).registries
    assert.equal(npm?.publicUrl.href, 'https://packages.example.com/npm/')
    assert.equal(npm?.upstream.href, 'http://127.0.0.1:8081/Repository/npm/')
  })

  test('several registries share a host under different paths, and one has the root', async t => {
    const bench = await createBench(t)
    const others =
      '  pypi: {dialect: pypi, public-url: "https://npm.example.com:8443/pypi/", upstream: "http://127.0.0.1:1"}\n' +
      '  images: {dialect: oci, public-url: "https://npm.example.com:8443", upstream: "http://127.0.0.1:2"}\n'
    const gate = gateWith(URLS.replace('8443\n', '8443/npm\n'), others)
    const { registries } = configOf(await bench.load({ gate }))
    assert.deepEqual(
      registries.map(it => [it.name, it.dialect, it.publicUrl.pathname]),
      [
        ['npm', 'npm', '/npm/'],
        ['pypi', 'pypi', '/pypi/'],
        ['images', 'oci', '/'],
      ],
    )
  })

  test('origins, headers by name in small letters, and the token service', async t => {
    const bench = await createBench(t)
    const more =
      '    upstream-origins: [https://Backend.example.com:443, "http://10.0.0.7:8081"]\n' +
      '    upstream-headers: {X-Outside-Url: https://npm.example.com:8443, X-JFrog-Override-Base-Url: a b}\n' +
      '    token-service: https://auth.example.com\n'
    const [npm] = configOf(await bench.load({ gate: gateWith(URLS + more) })).registries
    assert.deepEqual(npm?.upstreamOrigins, ['https://backend.example.com', 'http://10.0.0.7:8081'])
    assert.deepEqual(
      [...(npm?.upstreamHeaders ?? [])],
      [
        ['x-outside-url', 'https://npm.example.com:8443'],
        ['x-jfrog-override-base-url', 'a b'],
      ],
    )
    assert.equal(npm?.tokenService, 'https://auth.example.com')
  })
})

describe('what a registry’s address may not be', () => {
  const bad: readonly [name: string, lines: string, problem: RegExp, others?: string][] = [
    ['a path with an escape', URLS.replace('8443', '8443/a%2fb'), /path of plain characters/],
    ['a path with dots', URLS.replace('8443', '8443/a/.hidden/'), /path of plain characters/],
    ['a path with an empty segment', URLS.replace('8443', '8443//npm'), /path of plain characters/],
    ['a query', URLS.replace('8443', '8443/npm?a=b'), /path of plain characters/],
    ['an upstream with an escape in its path', URLS.replace('4873', '4873/%6epm'), /path of plain characters/],
    [
      'an OCI registry with a path',
      URLS,
      /registries\.images\.public-url: OCI clients ask for \/v2\/ at the root of a host; write the URL without a path/,
      '  images: {dialect: oci, public-url: "https://oci.example.com/images", upstream: "http://127.0.0.1:2"}\n',
    ],
    [
      'a public URL twice, in two spellings',
      URLS.replace('8443', '443/npm'),
      /registries\.two\.public-url: "https:\/\/npm\.example\.com\/npm\/" is already the public URL of registry npm/,
      '  two: {dialect: npm, public-url: "https://NPM.example.com/npm/", upstream: "http://127.0.0.1:2"}\n',
    ],
    ['an origin with a path', `${URLS}    upstream-origins: [https://b.example.com/npm]\n`, /has a path; expected an/],
    ['a single origin', `${URLS}    upstream-origins: https://b.example.com\n`, /expected a list of origins/],
    ['a token service with a path', `${URLS}    token-service: https://a.example.com/token\n`, /has a path/],
    ...[
      'Authorization: x',
      'Host: x',
      'X-Forwarded-Host: x',
      'Content-Length: "5"',
      'Transfer-Encoding: chunked',
      'Connection: close',
      'Accept: x',
      'X_Outside_Url: x',
      '"X-Outside-Url ": x',
      'X-Outside-Url: ü',
      'X-Outside-Url: "a\\r\\nHost: b"',
    ].map((header): [string, string, RegExp] => [
      `the header ${header}`,
      `${URLS}    upstream-headers: {${header}}\n`,
      /upstream-headers/,
    ]),
  ]
  for (const [name, lines, problem, others] of bad) {
    test(name, async t => {
      const bench = await createBench(t)
      assert.match(problemsOf(await bench.load({ gate: gateWith(lines, others) }), bench.folder).join('\n'), problem)
    })
  }
})
