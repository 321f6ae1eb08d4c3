// Needs util-linux (prlimit, mount). The audit log's disk is full: a file that may not grow stands in for one, which
// works for everybody; and a real one, where the tests may mount it.

import assert from 'node:assert/strict'
import { rm, stat, statfs, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { before, describe, type TestContext, test } from 'node:test'
import { connectClient, type RawResponse } from '../lab/client.ts'
import { type GateProcess, startGateProcess } from '../lab/gate-process.ts'
import { makeIdentity, type TestIdentity } from '../lab/identities.ts'
import { atEnd, temporaryFolder } from '../lab/temporary.ts'
import { mustRun } from '../lab/tool.ts'
import { type Answerer, answering, OK, startUpstream } from '../lab/upstream.ts'

const HOST = 'Host: registry.test\r\n'
const READ = `GET /file HTTP/1.1\r\n${HOST}\r\n`
const UPLOAD = `PUT /file HTTP/1.1\r\n${HOST}Content-Length: 6\r\n\r\nabcdef`
const CHANGES: readonly [name: string, request: string][] = [
  ['an upload', UPLOAD],
  [
    'an upload in chunks',
    `POST /file HTTP/1.1\r\n${HOST}Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n3\r\ndef\r\n0\r\n\r\n`,
  ],
  ['an empty upload', `PUT /file HTTP/1.1\r\n${HOST}Content-Length: 0\r\n\r\n`],
  ['a deletion', `DELETE /file HTTP/1.1\r\n${HOST}\r\n`],
]
/** Fewer bytes than any line has: the first half of one still goes in. */
const ROOM = 50

let alice: TestIdentity
before(async () => {
  alice = await makeIdentity()
})

interface Disk {
  readonly folder: string
  /** Leaves ROOM bytes for the audit file. Nothing may be on its way to it. */
  readonly fill: (gate: GateProcess) => Promise<void>
  readonly free: (gate: GateProcess) => Promise<void>
}

interface DiskKind {
  readonly name: string
  /** what the system says when it is full */
  readonly code: string
  readonly open: (t: TestContext) => Promise<Disk>
}

/** RLIMIT_FSIZE cuts a write short and then fails, as a full disk does; Node ignores the signal that goes with it. */
const LIMITED: DiskKind = {
  name: 'a file that may not grow',
  code: 'EFBIG',
  async open(t) {
    const limit = async (gate: GateProcess, size: string) =>
      void (await mustRun('prlimit', ['--pid', `${gate.pid}`, `--fsize=${size}:unlimited`]))
    return {
      folder: await temporaryFolder(t),
      fill: async gate => limit(gate, `${(await stat(gate.auditFile)).size + ROOM}`),
      free: gate => limit(gate, 'unlimited'),
    }
  },
}

const TMPFS: DiskKind = {
  name: 'a full tmpfs of 64 KiB',
  code: 'ENOSPC',
  async open(t) {
    const folder = await temporaryFolder(t)
    await mustRun('mount', ['-t', 'tmpfs', '-o', 'size=64k', 'tmpfs', folder])
    atEnd(t, () => mustRun('umount', ['--lazy', folder]))
    const balloon = join(folder, 'balloon')
    return {
      folder,
      async fill({ auditFile }) {
        const { bsize } = await statfs(folder)
        // The last block of the file is its own, however full the disk is.
        const used = (await stat(auditFile)).size % bsize
        const padding = '{"event":"padding"}'.padEnd(2 * bsize - used - ROOM - 1)
        await writeFile(auditFile, `${padding}\n`, { flag: 'a' })
        await assert.rejects(writeFile(balloon, Buffer.alloc(65_536)), { code: 'ENOSPC' })
      },
      free: () => rm(balloon),
    }
  },
}

interface Scene {
  readonly disk: Disk
  readonly gate: GateProcess
  /** heads of the requests that reached the backend whole */
  readonly complete: readonly string[]
  readonly ask: (request: string) => Promise<RawResponse>
}

async function openScene(t: TestContext, kind: DiskKind, answerer?: Answerer): Promise<Scene> {
  const disk = await kind.open(t)
  const complete: string[] = []
  const upstream = await startUpstream(
    t,
    answerer ??
      answering(request => {
        complete.push(request)
        return OK
      }),
  )
  const gate = await startGateProcess(t, {
    upstream: upstream.origin,
    dialect: 'generic',
    enrolled: [{ identity: alice, account: { rights: { publish: ['**'] } } }],
    auditFile: join(disk.folder, 'log', 'audit.jsonl'),
  })
  async function ask(request: string): Promise<RawResponse> {
    const client = await connectClient(t, { port: gate.port, identity: alice })
    client.send(request)
    const response = await client.response()
    client.socket.destroy()
    return response
  }
  return { disk, gate, complete, ask }
}

function refusalOf({ body }: RawResponse): unknown {
  return (JSON.parse(body) as Record<string, unknown>)['refusal']
}

/** Every line is whole, and in its own place. */
async function linesOf(gate: GateProcess): Promise<readonly Record<string, unknown>[]> {
  gate.assertWell()
  await gate.stop()
  const text = await gate.auditText()
  assert.match(text, /^(?:\{[\x20-\x7e]*\} *\n)+$/)
  return text
    .split('\n')
    .slice(0, -1)
    .map(line => JSON.parse(line) as Record<string, unknown>)
}

for (const kind of [LIMITED, TMPFS]) {
  describe(`on ${kind.name}`, () => {
    test('changes are refused and reads go on; with room again all is as before', async t => {
      const scene = await openScene(t, kind)
      const { disk, gate, complete, ask } = scene
      await disk.fill(gate)

      for (const [name, request] of CHANGES) {
        const response = await ask(request)
        assert.deepEqual([response.status, refusalOf(response)], [503, 'audit-unavailable'], name)
        assert.match(response.reason, /^the audit log cannot be written, so no change is let through/)
        assert.equal((await ask(READ)).status, 200)
      }
      const { facts } = await gate.logs(/^audit log cannot be written/)
      assert.equal(facts['code'], kind.code)
      assert.ok(
        complete.every(request => request.startsWith('GET ')),
        JSON.stringify(complete),
      )

      await disk.free(gate)
      for (const [name, request] of CHANGES) assert.equal((await ask(request)).status, 200, name)
      const recovered = await gate.logs(/^audit log can be written again/)
      assert.ok(Number(recovered.facts['lines_lost']) > 0)
      assert.equal(complete.filter(request => !request.startsWith('GET ')).length, CHANGES.length)

      const lines = await linesOf(gate)
      const told = lines.filter(({ method }) => method !== undefined && method !== 'GET')
      assert.deepEqual(
        told.map(({ event, status }) => (event === 'request' ? `${event} ${status}` : event)),
        CHANGES.flatMap(() => ['change', 'request 200']),
      )
    })

    test('fills up while the backend is at work: the client is told that nobody knows', async t => {
      let answer = (): void => {}
      const arrived = Promise.withResolvers<void>()
      const scene = await openScene(t, kind, (socket, text) => {
        if (!text.endsWith('abcdef')) return
        answer = () => void socket.write(OK)
        arrived.resolve()
      })
      const { disk, gate, ask } = scene
      const asked = ask(UPLOAD)
      await arrived.promise
      await disk.fill(gate)
      answer()
      const response = await asked
      assert.deepEqual([response.status, refusalOf(response)], [503, 'audit-interrupted'])
      await disk.free(gate)
      const lines = await linesOf(gate)
      assert.deepEqual(
        lines.filter(({ event }) => event !== 'padding').map(({ event, method }) => [event, method]),
        [['change', 'PUT']],
      )
    })
  })
}
