import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import type { Action, Classified } from '../src/dialects/dialect.ts'
import { pypi } from '../src/dialects/pypi.ts'
import { leadLinks } from '../src/dialects/pypi-links.ts'
import { factsOfFile, normaliseVersion } from '../src/dialects/pypi-names.ts'
import type { Method } from '../src/http/head.ts'
import { parseTarget } from '../src/http/target.ts'

function classify(method: Method, raw: string): Classified | { readonly kind: 'ambiguous' } {
  const parsed = parseTarget(raw)
  return parsed.kind === 'ambiguous' ? { kind: 'ambiguous' } : pypi.classify(method, parsed.target)
}

describe('PyPI routes', () => {
  const asked: readonly [method: Method, target: string, action: Action, name?: string, version?: string][] = [
    ['GET', '/simple/', 'read'],
    ['GET', '/simple', 'read'],
    ['GET', '/simple/my-pkg/', 'read', 'my-pkg'],
    ['HEAD', '/simple/My_Pkg/', 'read', 'my-pkg'],
    ['GET', '/simple/my..pkg', 'read', 'my-pkg'],
    ['GET', '/pypi/My.Pkg/json', 'read', 'my-pkg'],
    ['GET', '/pypi/my-pkg/1.0/json', 'read', 'my-pkg', '1.0'],
    ['GET', '/packages/my_pkg-1.0-py3-none-any.whl', 'read', 'my-pkg', '1.0'],
    ['GET', '/packages/My.Pkg-1.0.tar.gz', 'read', 'my-pkg', '1.0'],
    ['GET', '/packages/ab/cd/ef0123/my_pkg-1.0-py3-none-any.whl.metadata', 'read', 'my-pkg', '1.0'],
    ['GET', '/packages/my-pkg-1.0.tar.gz.asc', 'read', 'my-pkg', '1.0'],
    ['GET', '/packages/odd.exe', 'read'],
    ['GET', '/files/my-pkg/1.0/my_pkg-1.0.zip', 'read', 'my-pkg', '1.0'],
    ['GET', '/alice/dev/+simple/My_Pkg/', 'read', 'my-pkg'],
    ['GET', '/alice/dev/+simple/', 'read'],
    ['GET', '/alice/dev/+f/ab1/2cd/my_pkg-1.0.tar.gz', 'read', 'my-pkg', '1.0'],
    ['GET', '/account/login/', 'account'],
    ['POST', '/account/register/', 'account'],
    ['POST', '/manage/account/token/', 'account'],
    ['GET', '/_/oidc/audience', 'account'],
    ['POST', '/_/oidc/mint-token', 'account'],
    ['POST', '/+login', 'account'],
    ['GET', '/+api', 'account'],
    ['GET', '/alice/dev/+api', 'account'],
    ['PATCH', '/alice', 'account'],
  ]
  for (const [method, target, action, name, version] of asked) {
    test(`${method} ${target} is ${action}`, () => {
      const result = classify(method, target)
      assert.ok(result.kind === 'asked')
      const { asked: found } = result
      assert.deepEqual({ action: found.action, name: found.package, version: found.version }, { action, name, version })
    })
  }

  for (const target of ['/', '/legacy/', '/legacy', '/alice/dev/', '/alice/dev']) {
    test(`POST ${target} is judged by its form`, () => {
      const result = classify('POST', target)
      assert.deepEqual(result.kind === 'inspect' && [result.candidates, result.asked.package], [
        ['publish', 'withdraw'],
        undefined,
      ])
    })
  }

  const unknown: readonly [Method, string][] = [
    ['GET', '/'],
    ['POST', '/?:action=file_upload'],
    ['POST', '/legacy/?name=other'],
    ['POST', '/pypi'],
    ['POST', '/RPC2'],
    ['POST', '/simple/my-pkg/'],
    ['POST', '/packages/x'],
    ['POST', '/alice/+simple'],
    ['PUT', '/alice/dev'],
    ['DELETE', '/alice/dev'],
    ['DELETE', '/alice/dev/my-pkg'],
    ['GET', '/simple/a%2fb/'],
    ['GET', '/simple/-a/'],
    ['GET', '/simple/a%20b/'],
    ['GET', '/packages/a%2fb-1.0.tar.gz'],
    ['GET', '/packages/../simple'],
    ['GET', '/.hidden/dev/+simple/a'],
    ['OPTIONS', '/simple/'],
  ]
  for (const [method, target] of unknown) {
    test(`R18 ${method} ${target} is not let through`, () => {
      assert.ok(['unknown', 'ambiguous'].includes(classify(method, target).kind))
    })
  }

  test('rights are compared in the form of PEP 503, stars and all', () => {
    assert.equal(pypi.normalise?.('Acme_Tools.*'), 'acme-tools-*')
    assert.equal(pypi.normalise?.('**'), '**')
  })
})

describe('names of files', () => {
  const files: readonly [file: string, name?: string, version?: string][] = [
    ['a-1.0-py3-none-any.whl', 'a', '1.0'],
    ['a_b-1.0-2fix-cp312-cp312-manylinux_2_17_x86_64.whl', 'a_b', '1.0'],
    ['a-1!2.0+local.1-py3-none-any.whl', 'a', '1!2.0+local.1'],
    ['a.b_c-2024.1.tar.gz', 'a.b_c', '2024.1'],
    ['a-1.zip', 'a', '1'],
    ['my-long-name-1.0.tar.gz', 'my-long-name', '1.0'],
    // What pypiserver would take for another package.
    ['a-1b-1.0.tar.gz'],
    ['a-py3.7-b-1.0.zip'],
    ['a.b-c-1.tar.gz'],
    ['a-b-1.tar.gz'],
    ['a-v1.0-1-py3-none-any.whl'],
    ['a-b-1.0-py3-none-any.whl'],
    ['a-1.0-py3-none-any-x-y.whl'],
    ['a-1.0.egg'],
    ['a-1.0.win32-py2.7.exe'],
    ['a.tar.gz'],
    ['-1.0.tar.gz'],
    ['../a-1.0.tar.gz'],
    ['.a-1.0.tar.gz'],
    [`${'a'.repeat(300)}-1.0.tar.gz`],
  ]
  for (const [file, name, version] of files) {
    test(`${file.slice(0, 60)} is of ${name ?? 'nothing certain'}`, () => {
      assert.deepEqual(factsOfFile(file), name === undefined ? undefined : { name, version })
    })
  }

  const versions: readonly [written: string, normal: string][] = [
    ['1.0', '1'],
    ['1.0.0-beta1', '1b1'],
    ['v01.2.RC', '1.2rc0'],
    ['1!2.0-1', '1!2.post1'],
    ['1.0.DEV', '1.dev0'],
    ['1.0+Ubuntu-1_2', '1+ubuntu.1.2'],
    ['1.0alpha2.post3.dev4', '1a2.post3.dev4'],
    ['0.0', '0'],
    ['Odd_one', 'odd-one'],
  ]
  for (const [written, normal] of versions) {
    test(`version ${written} is ${normal}`, () => assert.equal(normaliseVersion(written), normal))
  }
})

describe('links', () => {
  const links = {
    publicBase: 'https://gate.test/py',
    lead: (link: string) => link.replace(/^http:\/\/backend:8080(?=\/|$)/, 'https://gate.test/py'),
  }
  const lead = (document: string) => leadLinks(document, links, { readsNeedCertificate: false })

  test('those of a page lead to the gate where they lead to the upstream', () => {
    const page = (origin: string) => `<!DOCTYPE html><base href="${origin}/simple/a/">
      <a href="${origin}/packages/a-1.zip#sha256=ab" data-requires-python="&gt;=3">a-1.zip</a>
      <A HREF = '${origin}/packages/a-2.zip'>${'http://backend:8080/text'}</A>
      <a href="../../packages/a-3.zip">a</a> <a href="http://backend:80801/x">b</a> <a href="https://else.test/">c</a>`
    assert.equal(lead(page('http://backend:8080')), page('https://gate.test/py'))
  })

  test('those of JSON do, too', () => {
    const index = (origin: string) => ({
      meta: { 'api-version': '1.1' },
      name: 'a',
      files: [
        { filename: 'a-1.zip', url: `${origin}/packages/a-1.zip`, hashes: {}, provenance: `${origin}/integrity/a` },
        { filename: 'a-2.zip', url: '../../packages/a-2.zip', 'core-metadata': true, provenance: null },
        { filename: 'a-3.zip', url: 'https://else.test/a-3.zip', size: 3 },
      ],
    })
    assert.deepEqual(
      JSON.parse(lead(JSON.stringify(index('http://backend:8080'))) ?? ''),
      index('https://gate.test/py'),
    )
  })

  test('JSON that cannot be read is not passed on', () => {
    assert.equal(lead('{"files": [}'), undefined)
  })

  test('pages of a project are led, lists of names and files pass as they are', () => {
    const rewriteOf = (target: string) => {
      const result = classify('GET', target)
      return result.kind === 'asked' ? result.asked.rewrite : undefined
    }
    for (const target of ['/simple/a/', '/pypi/a/json', '/alice/dev/+simple/a/']) {
      assert.equal(rewriteOf(target), leadLinks)
    }
    for (const target of ['/simple/', '/packages/a-1.zip']) assert.equal(rewriteOf(target), undefined)
  })
})
