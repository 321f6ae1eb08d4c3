import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { describe, test } from 'node:test'
import type { Action, Inspection } from '../src/dialects/dialect.ts'
import { ANY_PACKAGE } from '../src/dialects/dialect.ts'
import { oci } from '../src/dialects/oci.ts'
import type { Fields, Method } from '../src/http/head.ts'
import { parseTarget } from '../src/http/target.ts'

const DIGEST = `sha256:${'a'.repeat(64)}`
const OTHER = `sha256:${'b'.repeat(64)}`

function classify(method: Method, raw: string, fields: Fields = []) {
  const parsed = parseTarget(raw)
  return parsed.kind === 'ambiguous' ? { kind: 'ambiguous' as const } : oci.classify(method, parsed.target, fields)
}

function askedOf(method: Method, raw: string) {
  const classified = classify(method, raw)
  assert.ok(classified.kind === 'asked' || classified.kind === 'inspect', `${method} ${raw} is ${classified.kind}`)
  return classified.asked
}

describe('OCI routes', () => {
  const rows: readonly [method: Method, target: string, action: Action, name?: string, version?: string][] = [
    ['GET', '/v2/', 'read'],
    ['GET', '/v2', 'read'],
    ['HEAD', '/v2/', 'read'],
    ['GET', '/v2/_catalog', 'own'],
    ['GET', '/v2/_catalog?n=10&last=a', 'own'],
    ['GET', '/v2/tool/manifests/1.0', 'read', 'tool', '1.0'],
    ['HEAD', '/v2/acme/tool/manifests/latest', 'read', 'acme/tool', 'latest'],
    ['GET', `/v2/acme/tool/manifests/${DIGEST}`, 'read', 'acme/tool', DIGEST],
    ['GET', `/v2/acme/tool/manifests/${DIGEST.replace(':', '%3A')}`, 'read', 'acme/tool', DIGEST],
    ['GET', '/v2/acme/tool/manifests/latest?ns=docker.io', 'read', 'acme/tool', 'latest'],
    ['GET', `/v2/a/b/c/d/blobs/${DIGEST}`, 'read', 'a/b/c/d'],
    ['HEAD', `/v2/acme/tool/blobs/${DIGEST}`, 'read', 'acme/tool'],
    ['GET', '/v2/acme/tool/tags/list', 'read', 'acme/tool'],
    ['GET', '/v2/acme/tool/tags/list?n=2&last=1.0', 'read', 'acme/tool'],
    ['GET', `/v2/acme/tool/referrers/${DIGEST}?artifactType=a`, 'read', 'acme/tool'],
    ['POST', '/v2/acme/tool/blobs/uploads/', 'publish', 'acme/tool'],
    ['POST', '/v2/acme/tool/blobs/uploads', 'publish', 'acme/tool'],
    ['POST', `/v2/acme/tool/blobs/uploads/?digest=${DIGEST}`, 'publish', 'acme/tool'],
    ['PATCH', '/v2/acme/tool/blobs/uploads/5d-_.=?_state=a%3D%3D', 'publish', 'acme/tool'],
    ['GET', '/v2/acme/tool/blobs/uploads/5d?_state=a', 'publish', 'acme/tool'],
    ['DELETE', '/v2/acme/tool/blobs/uploads/5d?_state=a', 'publish', 'acme/tool'],
    ['PUT', `/v2/acme/tool/blobs/uploads/5d?_state=a&digest=${DIGEST}`, 'publish', 'acme/tool'],
    ['PUT', '/v2/acme/tool/manifests/1.0', 'publish', 'acme/tool', '1.0'],
    ['DELETE', '/v2/acme/tool/manifests/1.0', 'withdraw', 'acme/tool', '1.0'],
    ['DELETE', `/v2/acme/tool/manifests/${DIGEST}`, 'withdraw', 'acme/tool', DIGEST],
    ['DELETE', `/v2/acme/tool/blobs/${DIGEST}`, 'withdraw', 'acme/tool'],
    // Found from the right: what looks like a route belongs to the name.
    ['GET', '/v2/a/blobs/uploads/b/tags/list', 'read', 'a/blobs/uploads/b'],
    ['GET', '/v2/a/manifests/b/manifests/c', 'read', 'a/manifests/b', 'c'],
    ['PUT', '/v2/a/blobs/uploads/manifests/b', 'publish', 'a/blobs/uploads', 'b'],
    ['POST', '/v2/tags/list/blobs/uploads/', 'publish', 'tags/list'],
    ['PATCH', '/v2/a/blobs/uploads/b/blobs/uploads/c', 'publish', 'a/blobs/uploads/b'],
    ['GET', '/v2/catalog/tags/list', 'read', 'catalog'],
  ]
  for (const [method, target, action, name, version] of rows) {
    test(`${method} ${target.replaceAll(DIGEST, 'sha256:a…')} is ${action}`, () => {
      const asked = askedOf(method, target)
      assert.deepEqual([asked.action, asked.package, asked.version], [action, name, version])
    })
  }

  const unknown: readonly [method: Method, target: string][] = [
    ['GET', '/'],
    ['GET', '/v1/_ping'],
    ['GET', '/v2/token?service=a&scope=b'],
    ['GET', '/token'],
    ['POST', '/v2/'],
    ['DELETE', '/v2/_catalog'],
    ['OPTIONS', '/v2/acme/tool/tags/list'],
    ['GET', '/v2/tags/list'],
    ['GET', '/v2/manifests/latest'],
    ['POST', '/v2/blobs/uploads/'],
    ['GET', '/v2/acme/tool/tags/list/'],
    ['GET', '/v2/acme/tool/manifests/latest/'],
    ['GET', '/v2/_catalog/'],
    ['GET', '/v2/Acme/tool/tags/list'],
    ['GET', '/v2/acme/_catalog/tags/list'],
    ['GET', '/v2/acme/tool./tags/list'],
    ['GET', '/v2/acme/to___ol/tags/list'],
    ['GET', `/v2/${'a/'.repeat(127)}abc/tags/list`],
    ['GET', '/v2/acme%2ftool/tags/list'],
    ['GET', '/v2/acme/tool%2Fmanifests/latest'],
    ['GET', '/v2/acme/tool/manifests%2Flatest'],
    ['GET', '/v2/acme/tool/manifests/-latest'],
    ['GET', `/v2/acme/tool/manifests/${'a'.repeat(129)}`],
    ['GET', '/v2/acme/tool/blobs/latest'],
    ['GET', '/v2/acme/tool/blobs/sha256:abc'],
    ['GET', '/v2/acme/tool/blobs/sha256:ABC'],
    ['GET', '/v2/acme/tool/referrers/latest'],
    ['GET', '/v2/acme/tool/blobs/uploads/'],
    ['POST', '/v2/acme/tool/blobs/uploads/5d'],
    ['POST', '/v2/acme/tool/manifests/latest'],
    ['PATCH', '/v2/acme/tool/manifests/latest'],
    ['PUT', '/v2/acme/tool/manifests/latest?tag=other'],
    ['PUT', '/v2/acme/tool/manifests/md5:abc'],
    ['PUT', '/v2/acme/tool/tags/list'],
    ['DELETE', '/v2/acme/tool/tags/list'],
    ['PUT', '/v2/acme/tool/blobs/uploads/5d?digest=latest'],
    ['PUT', `/v2/acme/tool/blobs/uploads/5d?digest=${DIGEST}&digest=${OTHER}`],
    ['PATCH', '/v2/acme/tool/blobs/uploads/5d?from=acme/other'],
  ]
  for (const [method, target] of unknown) {
    test(`${method} ${target.slice(0, 60)} is unknown`, () => {
      assert.equal(classify(method, target).kind, 'unknown')
    })
  }

  test('the list of all repositories depends on who asks', () => {
    assert.equal(askedOf('GET', '/v2/_catalog').personal, true)
    assert.equal(askedOf('GET', '/v2/').personal, false)
  })

  test('a refusal of /v2/ is a 401, of the HEAD of a blob a 404, any other as it is', () => {
    const statusOf = (method: Method, raw: string, status = 403): number | undefined => {
      const parsed = parseTarget(raw)
      return parsed.kind === 'target' ? oci.refusalStatus?.(status, parsed.target, method) : undefined
    }
    assert.equal(statusOf('GET', '/v2/'), 401)
    assert.equal(statusOf('GET', '/v2/', 502), 502)
    assert.equal(statusOf('HEAD', `/v2/a/blobs/${DIGEST}`), 404)
    assert.equal(statusOf('GET', `/v2/a/blobs/${DIGEST}`), 403)
    assert.equal(statusOf('HEAD', '/v2/a/manifests/latest'), 403)
    assert.equal(statusOf('POST', '/v2/a/blobs/uploads/'), 403)
  })
})

describe('OCI digests and mounts stand in the query', () => {
  const start = '/v2/acme/tool/blobs/uploads/'
  const rows: readonly [target: string, digest: string | undefined, mountedFrom: string | undefined][] = [
    [start, undefined, undefined],
    [`${start}?`, undefined, undefined],
    [`${start}?digest=${DIGEST}`, DIGEST, undefined],
    [`${start}?digest=${encodeURIComponent(DIGEST)}`, DIGEST, undefined],
    [`${start}?mount=${DIGEST}&from=acme/base`, DIGEST, 'acme/base'],
    [`${start}?from=acme%2Fbase&mount=${encodeURIComponent(DIGEST)}`, DIGEST, 'acme/base'],
    [`${start}?%66rom=acme/base&m%6Funt=${DIGEST}`, DIGEST, 'acme/base'],
    [`${start}?From=acme/base&MOUNT=${DIGEST}`, DIGEST, 'acme/base'],
    [`${start}?from[]=acme/base&mount=${DIGEST}`.replace('[]', '%5B%5D'), DIGEST, 'acme/base'],
    [`${start}?mount=${DIGEST}`, DIGEST, ANY_PACKAGE],
    [`${start}?from=acme/base`, undefined, 'acme/base'],
  ]
  for (const [target, digest, mountedFrom] of rows) {
    test(target.replaceAll(DIGEST, 'sha256:a…'), () => {
      const asked = askedOf('POST', target)
      assert.deepEqual([asked.digest, asked.mountedFrom], [digest, mountedFrom])
    })
  }

  const unclear = [
    `${start}?mount=${DIGEST}&from=acme/base&from=acme/secret`,
    `${start}?mount=${DIGEST}&from=acme/base&FROM=acme/secret`,
    `${start}?mount=${DIGEST}&from=acme/base;from=acme/secret`,
    `${start}?mount=${DIGEST}&from=acme/../secret`,
    `${start}?mount=${DIGEST}&from=`,
    `${start}?mount=latest&from=acme/base`,
    `${start}?mount=${DIGEST}&from=acme/base&origin=docker.io`,
    `${start}?mount=${DIGEST}&from=%ff`,
  ]
  for (const target of unclear) {
    test(`refused: ${target.replaceAll(DIGEST, 'sha256:a…')}`, () => {
      assert.equal(classify('POST', target).kind, 'unknown')
    })
  }

  for (const type of [
    'application/x-www-form-urlencoded',
    'multipart/form-data; boundary=x',
    'APPLICATION/X-WWW-FORM',
  ]) {
    test(`refused: an upload as ${type}, whose body docker-registry would take for parameters`, () => {
      for (const [method, target] of [
        ['POST', start],
        ['PATCH', `${start}5d`],
        ['PUT', `${start}5d?digest=${DIGEST}`],
      ] as const) {
        assert.equal(classify(method, target, ['content-type', type]).kind, 'unknown')
        assert.equal(classify(method, target, ['content-type', 'application/octet-stream']).kind, 'asked')
      }
    })
  }
})

describe('OCI manifests are known by their digest', () => {
  const manifest = Buffer.from('{"schemaVersion":2}')
  const digest = `sha256:${createHash('sha256').update(manifest).digest('hex')}`
  const long = `sha512:${createHash('sha512').update(manifest).digest('hex')}`

  function inspect(reference: string, ...chunks: Buffer[]): Inspection {
    const classified = classify('PUT', `/v2/acme/tool/manifests/${reference}`)
    assert.ok(classified.kind === 'inspect')
    assert.deepEqual(classified.candidates, ['publish'])
    const inspector = classified.inspector()
    for (const chunk of chunks) {
      const inspection = inspector.push(chunk)
      if (inspection.kind === 'unacceptable') return inspection
      assert.equal(inspection.kind, 'undecided')
    }
    assert.deepEqual(inspector.end(), inspector.end())
    return inspector.end()
  }

  for (const [reference, expected] of [
    ['1.0', digest],
    [digest, digest],
    [long, long],
  ] as const) {
    test(`PUT ${reference.slice(0, 12)}`, () => {
      const inspection = inspect(reference, manifest.subarray(0, 5), manifest.subarray(5))
      assert.ok(inspection.kind === 'known')
      const { action, version, package: name } = inspection.asked
      assert.deepEqual([action, name, version, inspection.asked.digest], ['publish', 'acme/tool', reference, expected])
    })
  }

  test('a path that names another digest is unacceptable', () => {
    assert.equal(inspect(DIGEST, manifest).kind, 'unacceptable')
  })

  test('an empty manifest is unacceptable, and one of more than 4 MiB', () => {
    assert.equal(inspect('1.0').kind, 'unacceptable')
    assert.equal(inspect('1.0', Buffer.alloc(4 * 1024 * 1024)).kind, 'known')
    assert.equal(inspect('1.0', Buffer.alloc(4 * 1024 * 1024), Buffer.alloc(1)).kind, 'unacceptable')
  })
})
