import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { compileRights } from '../src/accounts/rights.ts'
import type { Action } from '../src/dialects/dialect.ts'
import { maven } from '../src/dialects/maven.ts'
import type { Method } from '../src/http/head.ts'
import { parseTarget } from '../src/http/target.ts'

function classify(method: Method, raw: string) {
  const parsed = parseTarget(raw)
  return parsed.kind === 'ambiguous' ? { kind: 'ambiguous' as const } : maven.classify(method, parsed.target)
}

describe('maven routes', () => {
  const tool = '/com/acme/tool'
  const asked: readonly [method: Method, target: string, action: Action, name?: string, version?: string][] = [
    ['GET', `${tool}/1.2.3/tool-1.2.3.jar`, 'read', 'com/acme/tool', '1.2.3'],
    ['HEAD', `${tool}/1.2.3/tool-1.2.3.pom`, 'read', 'com/acme/tool', '1.2.3'],
    ['PUT', `${tool}/1.2.3/tool-1.2.3.jar`, 'publish', 'com/acme/tool', '1.2.3'],
    ['DELETE', `${tool}/1.2.3/tool-1.2.3.jar`, 'withdraw', 'com/acme/tool', '1.2.3'],
    ['PUT', `${tool}/1.2.3/tool-1.2.3-sources.jar`, 'publish', 'com/acme/tool', '1.2.3'],
    ['PUT', `${tool}/1.2.3/tool-1.2.3.tar.gz`, 'publish', 'com/acme/tool', '1.2.3'],
    ['PUT', `${tool}/1.2.3/tool-1.2.3.jar.sha512`, 'publish', 'com/acme/tool', '1.2.3'],
    ['PUT', `${tool}/1.2.3/tool-1.2.3.jar.asc`, 'publish', 'com/acme/tool', '1.2.3'],
    ['PUT', `${tool}/1.2.3/tool-1.2.3.jar.asc.md5`, 'publish', 'com/acme/tool', '1.2.3'],
    ['PUT', `${tool}/1.2.3/tool-1.2.3.module`, 'publish', 'com/acme/tool', '1.2.3'],
    ['PUT', `${tool}/1.0%2Bbuild/tool-1.0+build.jar`, 'publish', 'com/acme/tool', '1.0+build'],
    ['PUT', '/com/acme/tool.core_2.13/1.0/tool.core_2.13-1.0.jar', 'publish', 'com/acme/tool.core_2.13', '1.0'],
    ['GET', '/junit/junit/4.12/junit-4.12.jar', 'read', 'junit/junit', '4.12'],
    ['PUT', `${tool}/1.0-SNAPSHOT/tool-1.0-SNAPSHOT.jar`, 'publish', 'com/acme/tool', '1.0-SNAPSHOT'],
    ['PUT', `${tool}/1.0-SNAPSHOT/tool-1.0-20261124.101500-3.jar`, 'publish', 'com/acme/tool', '1.0-SNAPSHOT'],
    [
      'PUT',
      `${tool}/1.0-SNAPSHOT/tool-1.0-20261124.101500-3-sources.jar.md5`,
      'publish',
      'com/acme/tool',
      '1.0-SNAPSHOT',
    ],
    ['GET', '/archetype-catalog.xml', 'read'],
    ['GET', '/.meta/prefixes.txt', 'read'],
  ]
  for (const [method, target, action, name, version] of asked) {
    test(`${method} ${target} is ${action}`, () => {
      const result = classify(method, target)
      assert.equal(result.kind, 'asked')
      if (result.kind !== 'asked') return
      const { action: found, package: subject, version: told } = result.asked
      assert.deepEqual({ found, subject, told }, { found: action, subject: name, told: version })
    })
  }

  const unknown: readonly [Method, string, why: string][] = [
    ['GET', '/', 'nothing is named'],
    ['GET', '/com/acme/tool/', 'a folder'],
    ['GET', '/com/acme/tool/1.2.3', 'a folder'],
    ['PUT', '/com/acme/tool/1.2.3/', 'a folder'],
    ['PUT', '/com/acme/tool/1.2.3/tool-1.2.3.jar/', 'a folder'],
    ['PUT', '/com/acme/tool/1.2.3/tool-1.2.3.jar?a=b', 'a query'],
    ['PUT', '/com/acme/tool/1.2.3/tool-1.2.3.jar;build=1', 'a matrix parameter'],
    ['PUT', '/com/acme/tool/1.2.3/tool-1.2.4.jar', 'the file of another version'],
    ['PUT', '/com/acme/tool/1.2.3/toolbox-1.2.3.jar', 'the file of another artifact'],
    ['PUT', '/com/acme/tool/1.2.3/tool-1.2.3', 'no extension'],
    ['PUT', '/com/acme/tool/1.2.3/tool-1.2.3jar', 'no extension'],
    ['PUT', '/com/acme/tool/1.2.3/tool.jar', 'no version'],
    ['PUT', '/com/acme/tool/1.2.3/maven-metadata-local.xml', 'not a repository’s'],
    ['PUT', '/com/acme/tool/1.2.3/tool-20261124.101500-3.jar', 'a time outside of a snapshot'],
    ['PUT', '/com/acme/tool/1.0-SNAPSHOT/tool-2.0-20261124.101500-3.jar', 'the snapshot of another version'],
    ['PUT', '/com/acme/tool/1.0-SNAPSHOT/tool-1.0-1.jar', 'no snapshot'],
    ['PUT', '/com/acme/tool-SNAPSHOT/1.0/tool-SNAPSHOT-1.0.jar', 'an artifact called like a snapshot'],
    ['PUT', '/com/maven-metadata.xml/1.0/maven-metadata.xml-1.0.jar', 'a folder in the place of metadata'],
    ['PUT', '/com.acme/tool/1.2.3/tool-1.2.3.jar', 'a group with a dot'],
    ['PUT', '/com%2facme/tool/1.2.3/tool-1.2.3.jar', 'an encoded slash'],
    ['PUT', '/com/acme/tool/1.2.3/tool-1.2.3%2fx.jar', 'an encoded slash'],
    ['GET', '/.meta%2fprefixes.txt', 'an encoded slash'],
    ['PUT', '/tool/1.2.3/tool-1.2.3.jar', 'no group'],
    ['PUT', '/com/acme/../evil/tool/1.2.3/tool-1.2.3.jar', 'a dot segment'],
    ['PUT', '/com/acme/to ol/1.2.3/to ol-1.2.3.jar', 'a space'],
    ['PUT', '/com/acme/to*l/1.2.3/to*l-1.2.3.jar', 'a star'],
    ['POST', '/com/acme/tool/1.2.3/tool-1.2.3.jar', 'no method of Maven’s'],
    ['PATCH', '/com/acme/tool/1.2.3/tool-1.2.3.jar', 'no method of Maven’s'],
    ['PUT', '/archetype-catalog.xml', 'the repository’s own'],
    ['PUT', '/.meta/prefixes.txt', 'the repository’s own'],
    ['GET', '/service/rest/v1/security/users', 'a backend’s own interface'],
    ['GET', '/api/security/token', 'a backend’s own interface'],
    ['PUT', '/maven-metadata.xml', 'of no group'],
    ['PUT', '/tool/1.0-SNAPSHOT/maven-metadata.xml', 'of no group'],
    ['PUT', '/com.acme/tool/maven-metadata.xml', 'a group with a dot'],
    ['PUT', '/com/acme/maven-metadata.xml.zip', 'neither a checksum nor a signature'],
    ['PUT', '/com/acme/maven-metadata.xml/x', 'the file is no folder'],
  ]
  for (const [method, target, why] of unknown) {
    test(`R18 ${method} ${target} is not let through: ${why}`, () => {
      assert.ok(['unknown', 'ambiguous'].includes(classify(method, target).kind))
    })
  }

  test('R18 a path that is as long as it may be is judged at once', () => {
    const start = performance.now()
    assert.equal(classify('PUT', `/com/acme/tool/1/tool-1-${'a.'.repeat(8000)}`).kind, 'unknown')
    assert.ok(performance.now() - start < 100)
  })
})

describe('maven metadata', () => {
  const owner: readonly [target: string, name: string, version?: string][] = [
    ['/com/acme/tool/maven-metadata.xml', 'com/acme/tool'],
    ['/com/acme/tool/1.0-SNAPSHOT/maven-metadata.xml', 'com/acme/tool', '1.0-SNAPSHOT'],
    ['/com/acme/maven-metadata.xml', 'com/acme'],
    ['/com/maven-metadata.xml', 'com'],
    // Not a snapshot, so it is read as an artifact called 1.0; who may publish com/acme/tool may not write it.
    ['/com/acme/tool/1.0/maven-metadata.xml', 'com/acme/tool/1.0'],
  ]
  for (const [target, name, version] of owner) {
    for (const suffix of ['', '.md5', '.sha1', '.sha256', '.sha512', '.asc', '.asc.sha1']) {
      test(`PUT ${target}${suffix} is of ${name}`, () => {
        const result = classify('PUT', `${target}${suffix}`)
        assert.equal(result.kind === 'asked' && result.asked.package, name)
        assert.equal(result.kind === 'asked' && result.asked.version, version)
      })
    }
  }

  /** Whether somebody with the right to `pattern` may write a file. */
  function mayWrite(pattern: string, target: string): boolean {
    const result = classify('PUT', target)
    assert.ok(result.kind === 'asked')
    return compileRights([maven.normalise?.(pattern) ?? pattern])(result.asked.package ?? '/')
  }

  const rights: readonly [pattern: string, target: string, allowed: boolean][] = [
    ['com/acme/tool', '/com/acme/tool/maven-metadata.xml', true],
    ['com/acme/tool', '/com/acme/tool/1.0-SNAPSHOT/maven-metadata.xml', true],
    ['com/acme/tool', '/com/acme/maven-metadata.xml', false],
    ['com/acme/tool', '/com/acme/other/maven-metadata.xml', false],
    ['com/acme/tool', '/com/acme/tool/plugin/maven-metadata.xml', false],
    ['com/acme/*', '/com/acme/tool/maven-metadata.xml', true],
    ['com/acme/*', '/com/acme/maven-metadata.xml', false],
    ['com/acme/*', '/com/acme/tool/plugin/1.0/plugin-1.0.jar', false],
    ['com/acme/**', '/com/acme/tool/plugin/1.0/plugin-1.0.jar', true],
    ['com/acme/**', '/com/acme/maven-metadata.xml', false],
    ['com/acme', '/com/acme/maven-metadata.xml', true],
    // The list of the plugins of com.acme.tool is the list of the versions of com.acme:tool.
    ['com/acme/tool/*', '/com/acme/tool/maven-metadata.xml', false],
    ['com.acme:tool', '/com/acme/tool/maven-metadata.xml', true],
    ['com.acme:*', '/com/acme/tool/1.0/tool-1.0.jar', true],
    ['com.acme:*', '/com/acme/maven-metadata.xml', false],
  ]
  for (const [pattern, target, allowed] of rights) {
    test(`${pattern} ${allowed ? 'covers' : 'does not cover'} ${target}`, () => {
      assert.equal(mayWrite(pattern, target), allowed)
    })
  }
})
