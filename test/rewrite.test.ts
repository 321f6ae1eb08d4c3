// Documents in which a backend names itself: what is asked of it, what the client gets, and when neither is possible.

import assert from 'node:assert/strict'
import { before, describe, type TestContext, test } from 'node:test'
import { gzipSync } from 'node:zlib'
import { REWRITTEN_SIZE } from '../src/lane/rewrite.ts'
import { connectClient, type RawResponse } from './lab/client.ts'
import { enrol, makeAccount, startTestGate, type TestGate } from './lab/gate.ts'
import { makeIdentity, type TestIdentity } from './lab/identities.ts'
import { type Answerer, answering, type RawUpstream, startUpstream } from './lab/upstream.ts'

let alice: TestIdentity
before(async () => {
  alice = await makeIdentity()
})

const TARBALL = 'https://registry.test/npm/tool/-/tool-1.0.0.tgz'

/** A package document whose link is as long or short as `origin`. */
function documentOf(origin: string): string {
  const dist = { tarball: `${origin}/tool/-/tool-1.0.0.tgz`, integrity: 'sha512-ü' }
  return JSON.stringify({ name: 'tool', readme: 'ü', versions: { '1.0.0': { name: 'tool', dist } } })
}

function answer(body: string, ...lines: string[]): string {
  const bytes = Buffer.from(body).toString('latin1')
  const head = ['HTTP/1.1 200 OK', 'Content-Type: application/json', `Content-Length: ${bytes.length}`, ...lines]
  return `${head.join('\r\n')}\r\n\r\n${bytes}`
}

interface Bench {
  readonly upstream: RawUpstream
  readonly gate: TestGate
  readonly ask: (lines?: readonly string[], options?: AskOptions) => Promise<RawResponse>
}

interface AskOptions {
  readonly method?: string
  readonly target?: string
  readonly identity?: TestIdentity
}

/** A registry under /npm/, whose upstream says what `answerer` tells. */
async function createBench(t: TestContext, answerer: Answerer, registry: Registry = {}): Promise<Bench> {
  const upstream = await startUpstream(t, answerer)
  const gate = await startTestGate(t, {
    upstream: upstream.origin,
    registry: { publicUrl: new URL('https://registry.test/npm/'), ...registry },
    enrolments: [enrol(alice, makeAccount())],
  })

  async function ask(lines: readonly string[] = [], options: AskOptions = {}): Promise<RawResponse> {
    const { method = 'GET', target = '/npm/tool', identity } = options
    const client = await connectClient(t, { port: gate.port, identity })
    client.send(`${[`${method} ${target} HTTP/1.1`, 'Host: registry.test', ...lines].join('\r\n')}\r\n\r\n`)
    return client.response(method)
  }

  return { upstream, gate, ask }
}

type Registry = NonNullable<Parameters<typeof startTestGate>[1]['registry']>

/** The upstream's address as the document of a host-obeying backend has it: with the host, without the prefix. */
const HOSTED = 'https://registry.test'

function tarballIn({ body }: RawResponse): unknown {
  const document: unknown = JSON.parse(Buffer.from(body, 'latin1').toString('utf8'))
  return /"tarball":"([^"]*)"/.exec(JSON.stringify(document))?.[1]
}

function causesIn({ logged }: TestGate): unknown[] {
  return logged.map(({ facts }) => facts?.['cause'])
}

describe('a document that is rewritten', () => {
  test('is asked for plain and whole, whatever the client takes', async t => {
    const { ask, upstream } = await createBench(t, answering(answer(documentOf(HOSTED))))
    const wishes = ['Accept-Encoding: gzip, br', 'Range: bytes=0-9', 'If-Range: "a"', 'Accept: application/json']
    const { status } = await ask([...wishes, 'If-Modified-Since: Tue, 24 Nov 2026 00:00:00 GMT'])
    const sent = upstream.received().join('')
    assert.equal(status, 200)
    assert.match(sent, /^GET \/tool HTTP/)
    assert.deepEqual(sent.match(/^accept-encoding:.*$/gim), ['accept-encoding: identity'])
    assert.match(sent, /\r\naccept: application\/json\r\n/)
    assert.doesNotMatch(sent, /range|if-modified-since/i)
  })

  test('arrives with the right length, in UTF-8, and leads to the gate', async t => {
    const { ask } = await createBench(t, answering(answer(documentOf(HOSTED))))
    const response = await ask()
    assert.equal(response.fields.get('content-length'), String(response.body.length))
    assert.equal(Buffer.from(response.body, 'latin1').toString('utf8'), documentOf('https://registry.test/npm'))
    assert.equal(tarballIn(response), TARBALL)
  })

  test('may come chunked, or until the connection closes', async t => {
    const text = Buffer.from(documentOf(HOSTED)).toString('latin1')
    const [first, second] = [text.slice(0, 30), text.slice(30)]
    const chunks = [first, second].map(it => `${it.length.toString(16)}\r\n${it}\r\n`).join('')
    const chunked = `HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n${chunks}0\r\n\r\n`
    const closing: Answerer = socket => void socket.end(`HTTP/1.1 200 OK\r\n\r\n${text}`, 'latin1')
    for (const answerer of [answering(chunked), closing]) {
      const response = await (await createBench(t, answerer)).ask()
      assert.equal(tarballIn(response), TARBALL)
      assert.equal(response.fields.get('content-length'), String(response.body.length))
      assert.equal(response.fields.get('transfer-encoding'), undefined)
    }
  })

  test('says nothing of the bytes that the upstream sent', async t => {
    const said = ['Accept-Ranges: bytes', 'Content-MD5: a', 'Digest: sha-256=a', 'Repr-Digest: a', 'Content-Digest: a']
    const { ask } = await createBench(t, answering(answer(documentOf(HOSTED), ...said, 'X-Powered-By: verdaccio')))
    const { head } = await ask()
    assert.doesNotMatch(head, /accept-ranges|digest|md5/i)
    assert.match(head, /x-powered-by: verdaccio/i)
  })

  test('R40 is private where it was fetched with a credential', async t => {
    const { ask } = await createBench(t, answering(answer(documentOf(HOSTED), 'Cache-Control: public')))
    assert.equal((await ask([], { identity: alice })).fields.get('cache-control'), 'public, private')
    assert.equal((await ask()).fields.get('cache-control'), 'public')
  })

  test('is not one where the backend knows its address', async t => {
    const registry = { publicUrl: new URL('https://registry.test/') }
    const { ask, upstream } = await createBench(
      t,
      answering(answer(documentOf('http://b.test'), 'ETag: "a"')),
      registry,
    )
    const response = await ask(['Accept-Encoding: gzip', 'Range: bytes=0-9', 'If-None-Match: "a"'], { target: '/tool' })
    assert.equal(tarballIn(response), 'http://b.test/tool/-/tool-1.0.0.tgz')
    assert.equal(response.fields.get('etag'), '"a"')
    assert.match(upstream.received().join(''), /accept-encoding: gzip\r\nrange: bytes=0-9\r\nif-none-match: "a"/)
  })

  test('is not a tarball, of which a part may be had', async t => {
    const part = 'HTTP/1.1 206 Partial Content\r\nContent-Range: bytes 0-1/9\r\nContent-Length: 2\r\n\r\nok'
    const { ask } = await createBench(t, answering(part))
    const { status, body } = await ask(['Range: bytes=0-1'], { target: '/npm/tool/-/tool-1.0.0.tgz' })
    assert.deepEqual([status, body], [206, 'ok'])
  })

  test('is not an error, whatever its body', async t => {
    const { ask } = await createBench(t, answering(answer('{"error":"nö').replace('200 OK', '404 Not Found')))
    const { status, body } = await ask()
    assert.deepEqual([status, Buffer.from(body, 'latin1').toString('utf8')], [404, '{"error":"nö'])
  })

  test('answers HEAD without a body, and without the length of another text', async t => {
    const { ask, upstream } = await createBench(
      t,
      answering('HTTP/1.1 200 OK\r\nETag: "a"\r\nContent-Length: 9\r\n\r\n'),
    )
    const { status, fields } = await ask([], { method: 'HEAD' })
    assert.equal(status, 200)
    assert.match(fields.get('etag') ?? '', /^"a-cg[0-9a-f]{8}"$/)
    assert.equal(fields.get('content-length'), undefined)
    assert.match(upstream.received().join(''), /^HEAD \/tool /)
  })
})

describe('the entity tag of a rewritten document', () => {
  /** The upstream's document is `tag`, and it says so to who knows it. */
  function tagging(tag: string): Answerer {
    return answering(head =>
      head.toLowerCase().includes(`if-none-match: ${tag.toLowerCase()}\r\n`)
        ? `HTTP/1.1 304 Not Modified\r\nETag: ${tag}\r\n\r\n`
        : answer(documentOf(HOSTED), `ETag: ${tag}`),
    )
  }

  for (const tag of ['"v1"', 'W/"v1"', '""']) {
    test(`${tag} is the gate’s own, and good for a 304`, async t => {
      const { ask, upstream } = await createBench(t, tagging(tag))
      const own = (await ask()).fields.get('etag') ?? ''
      assert.match(own, new RegExp(`^${tag.slice(0, -1)}-cg[0-9a-f]{8}"$`))
      for (const value of [own, `"foreign", ${own}`, `${own},"foreign"`]) {
        const again = await ask([`If-None-Match: ${value}`], { identity: alice })
        assert.equal(again.status, 304)
        assert.equal(again.fields.get('etag'), own)
        assert.equal(again.fields.get('cache-control'), 'private')
      }
      assert.doesNotMatch(upstream.received().join(''), /foreign|-cg/)
    })
  }

  test('of the upstream, of another gate, or none: the document comes', async t => {
    const { ask, upstream } = await createBench(t, tagging('"v1"'))
    for (const foreign of ['"v1"', '"v1-cg00000000"', '*', 'v1', '', '"a,b"']) {
      assert.equal((await ask([`If-None-Match: ${foreign}`])).status, 200, foreign)
    }
    assert.doesNotMatch(upstream.received().join(''), /if-none-match/i)
  })

  test('changes with all that decides the links', async t => {
    const upstream = await startUpstream(t, tagging('"v1"'))
    const { origin } = upstream
    const registries: Registry[] = [
      {},
      { reads: 'certificate' },
      { publicUrl: new URL('https://registry.test/other/') },
      { upstream: new URL(`${origin}/base/`) },
      { upstreamOrigins: ['http://b.test'] },
    ]
    const tags = new Set<string | undefined>()
    for (const registry of registries) {
      const publicUrl = registry.publicUrl ?? new URL('https://registry.test/npm/')
      const enrolments = [enrol(alice, makeAccount())]
      const { port } = await startTestGate(t, { upstream: origin, enrolments, registry: { ...registry, publicUrl } })
      const client = await connectClient(t, { port, identity: alice })
      client.send(`GET ${publicUrl.pathname}tool HTTP/1.1\r\nHost: registry.test\r\n\r\n`)
      tags.add((await client.response()).fields.get('etag'))
    }
    assert.equal(tags.size, registries.length)
  })
})

describe('a document that cannot be rewritten is a 502, and the log has the cause', () => {
  const large = `{"a":"${'x'.repeat(REWRITTEN_SIZE)}"}`
  const gzip = gzipSync(documentOf(HOSTED)).toString('latin1')
  const encoded = `HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: ${gzip.length}\r\n\r\n${gzip}`
  const bad: readonly [name: string, answer: string, cause: RegExp][] = [
    ['too large', answer(large), /too large to be rewritten/],
    ['not JSON', answer('<html>'), /cannot be read/],
    ['cut JSON', answer(documentOf(HOSTED).slice(0, -1)), /cannot be read/],
    ['a list', answer('[]'), /cannot be read/],
    ['empty', answer(''), /cannot be read/],
    ['compressed all the same', encoded, /compressed/],
  ]
  for (const [name, text, cause] of bad) {
    test(name, async t => {
      const { ask, gate, upstream } = await createBench(t, answering(text))
      const { status, body } = await ask()
      assert.equal(status, 502)
      assert.match(body, /"refusal":"upstream-malformed"/)
      assert.doesNotMatch(body, new RegExp(`${new URL(upstream.origin).host}|xxx`))
      assert.match(causesIn(gate).join(), cause)
    })
  }

  test('broken off', async t => {
    const cut: Answerer = socket => void socket.end('HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n{"name":')
    const { status, body } = await (await createBench(t, cut)).ask()
    assert.deepEqual([status, /"refusal":"([a-z-]+)"/.exec(body)?.[1]], [502, 'upstream-cut'])
  })
})

describe('what tells a backend its address', () => {
  test('headers of the operator go upstream, and never those of a client', async t => {
    const upstreamHeaders = new Map([
      ['x-outside-url', 'https://registry.test/npm'],
      ['x-jfrog-override-base-url', 'https://registry.test/npm/artifactory'],
    ])
    const { ask, upstream } = await createBench(t, answering(answer(documentOf(HOSTED))), { upstreamHeaders })
    await ask(['X-Outside-Url: http://evil', 'X-JFrog-Override-Base-Url: http://evil', 'X_Outside_Url: http://evil'])
    const sent = upstream.received().join('')
    assert.deepEqual(sent.match(/^x.(?:outside|jfrog).*$/gim), [
      'x-outside-url: https://registry.test/npm',
      'x-jfrog-override-base-url: https://registry.test/npm/artifactory',
    ])
  })

  test('a client’s go nowhere where the operator gave none', async t => {
    const { ask, upstream } = await createBench(t, answering(answer(documentOf(HOSTED))))
    await ask(['X-Outside-Url: http://evil', 'X-JFrog-Override-Base-Url: http://evil'])
    assert.doesNotMatch(upstream.received().join(''), /evil/)
  })
})
