import assert from 'node:assert/strict'
import { type FileHandle, open, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import { lineOf } from '../src/audit/line.ts'
import { openAuditLog } from '../src/audit/log.ts'
import { connectClient } from './lab/client.ts'
import { enrol, makeAccount, startTestGate } from './lab/gate.ts'
import { makeIdentity } from './lab/identities.ts'
import { temporaryFolder } from './lab/temporary.ts'
import { answering, startUpstream } from './lab/upstream.ts'

describe('R24 a line', () => {
  test('R24 is one line of visible ASCII, whatever is put into it', () => {
    const evil = 'a\r\n2026 ok user=root\x1b[31m\u2028\u2029\u0085\u009b\u202e\ufeff\0ü\u{1f600}'
    const line = lineOf({ cn: evil, [evil]: 1 })
    assert.match(line, /^[\x20-\x7e]+\n$/)
    assert.deepEqual(JSON.parse(line), { cn: evil, [evil]: 1 })
  })

  test('R24 is not made long by a client', () => {
    assert.ok(lineOf({ path: 'x'.repeat(100_000) }).length < 1200)
  })
})

/** An `open` whose files are full while `full()` holds: they take the first half of what is written. */
function diskThatIs(full: () => boolean): typeof open {
  return async (...args) => {
    const handle = await open(...args)
    const append = handle.appendFile.bind(handle)
    handle.appendFile = async (data, ...rest) => {
      if (!full()) return append(data, ...rest)
      await append(String(data).slice(0, String(data).length / 2))
      throw Object.assign(new Error('no space'), { code: 'ENOSPC' })
    }
    return handle satisfies FileHandle
  }
}

const quiet = { onFailure() {}, onRecovery() {} }

describe('the audit file', () => {
  test('has the lines in order, each whole, and those that were required at once', async t => {
    const file = join(await temporaryFolder(t), 'deep', 'audit.jsonl')
    const log = await openAuditLog(file, quiet)
    const required = Array.from({ length: 100 }, (_, i) => {
      log.offer(`offered ${i}\n`)
      return log.require(`required ${i}\n`)
    })
    assert.ok((await Promise.all(required)).every(written => written))
    const lines = (await readFile(file, 'utf8')).split('\n').slice(0, -1)
    assert.deepEqual(lines, Array.from({ length: 100 }, (_, i) => [`offered ${i}`, `required ${i}`]).flat())
    await log.close()
  })

  test('on a full disk: a required line is denied, no half line stays, and it works again without a restart', async t => {
    const file = join(await temporaryFolder(t), 'audit.jsonl')
    let full = false
    const events: string[] = []
    const log = await openAuditLog(
      file,
      { onFailure: () => events.push('failure'), onRecovery: lost => events.push(`recovery, ${lost} lost`) },
      diskThatIs(() => full),
    )
    assert.equal(await log.require('before\n'), true)
    full = true
    log.offer('lost\n')
    assert.equal(await log.require('denied\n'), false)
    assert.equal(await log.require('denied too\n'), false)
    assert.equal(await readFile(file, 'utf8'), 'before\n')
    full = false
    assert.equal(await log.require('after\n'), true)
    assert.equal(await readFile(file, 'utf8'), 'before\nafter\n')
    assert.deepEqual(events, ['failure', 'recovery, 1 lost'])
    await log.close()
  })

  test('on a disk that keeps half a line and cannot be truncated: the next line starts on its own', async t => {
    const file = join(await temporaryFolder(t), 'audit.jsonl')
    let broken = true
    const log = await openAuditLog(file, quiet, async (...args) => {
      const handle = await diskThatIs(() => broken)(...args)
      handle.truncate = () => Promise.reject(new Error('no'))
      return handle
    })
    assert.equal(await log.require('{"denied":1}\n'), false)
    broken = false
    assert.equal(await log.require('{"next":1}\n'), true)
    assert.match(await readFile(file, 'utf8'), /^[^\n]+\n\{"next":1\}\n$/)
    await log.close()
  })

  test('that a crash left with half a line goes on with a new one', async t => {
    const file = join(await temporaryFolder(t), 'audit.jsonl')
    await writeFile(file, '{"whole":1}\n{"ha')
    const log = await openAuditLog(file, quiet)
    await log.require('{"next":1}\n')
    assert.equal(await readFile(file, 'utf8'), '{"whole":1}\n{"ha\n{"next":1}\n')
    await log.close()
  })

  test('does not let a slow disk fill the memory', async t => {
    const file = join(await temporaryFolder(t), 'audit.jsonl')
    const log = await openAuditLog(file, quiet)
    const line = `${'x'.repeat(1_000_000)}\n`
    for (let i = 0; i < 20; i++) log.offer(line)
    assert.ok(log.lost() > 0)
    assert.equal(await log.require(line), false)
    await log.close()
  })

  test('that cannot be opened is an error at the start', async t => {
    const folder = await temporaryFolder(t)
    await assert.rejects(openAuditLog(folder, quiet))
  })
})

describe('what is recorded', () => {
  const GET = 'GET /left-pad HTTP/1.1\r\nHost: registry.test\r\n\r\n'
  const TAG =
    'PUT /-/package/left-pad/dist-tags/beta?otp=1 HTTP/1.1\r\nHost: registry.test\r\nContent-Length: 7\r\n\r\n"1.0.0"'

  test('of a change: a line before the upstream has the whole of it, and one before the answer', async t => {
    const alice = await makeIdentity()
    let linesAtUpstream: readonly Record<string, unknown>[] = []
    const answer = 'HTTP/1.1 201 Created\r\nContent-Length: 4\r\n\r\ndone'
    const respond = answering(answer)
    const upstream = await startUpstream(t, (socket, text) => {
      if (!text.endsWith('"1.0.0"')) return
      void gate.audit().then(lines => {
        linesAtUpstream = lines
        respond(socket, text)
      })
    })
    const gate = await startTestGate(t, {
      upstream: upstream.origin,
      enrolments: [enrol(alice, makeAccount({ rights: { amend: ['left-pad'] } }))],
    })
    const client = await connectClient(t, { port: gate.port, identity: alice })
    client.send(TAG)
    const { status, fields } = await client.response()
    assert.equal(status, 201)
    const [begun, done, ...more] = await gate.audit()
    assert.deepEqual(linesAtUpstream, [begun])
    assert.deepEqual(more, [])
    const id = fields.get('certgate-request-id')
    const about = {
      id,
      address: '127.0.0.1',
      account: 'alice',
      label: 'laptop',
      fingerprint: alice.fingerprint,
      registry: 'main',
      method: 'PUT',
      path: '/-/package/left-pad/dist-tags/beta',
      action: 'amend',
      package: 'left-pad',
    }
    assert.partialDeepStrictEqual(begun, { event: 'change', ...about })
    assert.partialDeepStrictEqual(done, {
      event: 'request',
      ...about,
      decision: 'forward',
      status: 201,
      bytes_in: 7,
      bytes_out: 4,
    })
    assert.match(String(done?.['time']), /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/)
    assert.equal(typeof done?.['ms'], 'number')
  })

  test('of a public read: nothing, unless the operator wants it', async t => {
    for (const publicReads of [false, true]) {
      const upstream = await startUpstream(t)
      const gate = await startTestGate(t, { upstream: upstream.origin, publicReads })
      const client = await connectClient(t, { port: gate.port })
      client.send(GET)
      await client.response()
      await gate.gate.stop()
      assert.equal((await gate.audit()).length, publicReads ? 1 : 0)
    }
  })

  test('of everything else: one line, whichever way it ended', async t => {
    const alice = await makeIdentity()
    const upstream = await startUpstream(t)
    const gate = await startTestGate(t, { upstream: upstream.origin, enrolments: [enrol(alice, makeAccount())] })
    const client = await connectClient(t, { port: gate.port, identity: alice })
    for (const request of [
      GET,
      GET.replace('/left-pad', '/.certgate/whoami'),
      GET.replace('/left-pad', '/a//b'),
      TAG,
    ]) {
      client.send(request)
      await client.response()
    }
    const other = await connectClient(t, { port: gate.port, identity: alice })
    other.send('nonsense\r\n\r\n')
    await other.response()
    await gate.gate.stop()
    const lines = await gate.audit()
    assert.deepEqual(
      lines.map(({ decision, refusal, status }) => [decision, refusal, status]),
      [
        ['forward', undefined, 200],
        ['desk', undefined, 200],
        ['refused', 'path-ambiguous', 400],
        ['refused', 'right-missing', 403],
        ['refused', 'version-unsupported', 505],
      ],
    )
    for (const line of lines) assert.equal(line['fingerprint'], alice.fingerprint)
  })
})
