import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Exchange, Response } from '../src/http/exchange.ts'
import { type Gateway, handle } from '../src/lane/gateway.ts'

/** An exchange of which only the answer matters. */
function exchangeThat(responded: boolean, said: string[]): Exchange {
  const fails = (): never => assert.fail('not expected here')
  return {
    head: {
      method: 'GET',
      target: '/',
      host: 'a',
      fields: [],
      framing: { kind: 'none' },
      nominated: [],
      expectsContinue: false,
      keepAlive: true,
    },
    bytesIn: () => 0,
    bytesOut: () => 0,
    aborted: () => undefined,
    onAbort: fails,
    read: fails,
    pause: fails,
    resume: fails,
    respond: (response: Response) => void said.push(`${response.status}`),
    responded: () => responded,
    write: () => true,
    onWritable: fails,
    end: () => void said.push('end'),
    cut: () => void said.push('cut'),
  }
}

/** A gate whose very first step throws. */
function brokenGateway(mistakes: unknown[]): Gateway {
  return {
    snapshot: () => {
      throw new TypeError('a bug')
    },
    clock: () => 0,
    now: () => 0,
    newId: () => 'id-1',
    rewriting: { take: () => false, give() {} },
    tickets: { issue: () => assert.fail(), find: () => undefined, use: () => false },
    recorder: { open: () => assert.fail(), unreadable: () => assert.fail() },
    onMistake: (_id, error) => void mistakes.push(error),
    onTrouble: () => assert.fail(),
  }
}

test('R32 a mistake of ours is a 500 without details, or a cut connection when an answer had begun', async () => {
  for (const [responded, expected] of [
    [false, ['500', 'end']],
    [true, ['cut']],
  ] as const) {
    const said: string[] = []
    const mistakes: unknown[] = []
    const client = { peer: { kind: 'anonymous' }, servername: undefined, address: '' } as const
    await handle(brokenGateway(mistakes), client, exchangeThat(responded, said))
    assert.deepEqual(said, expected)
    assert.ok(mistakes[0] instanceof TypeError)
  }
})
