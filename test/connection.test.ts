import assert from 'node:assert/strict'
import { Duplex } from 'node:stream'
import { describe, test } from 'node:test'
import { DEFAULT_LIMITS } from '../src/config/limits.ts'
import { serveConnection } from '../src/http/connection.ts'
import type { Exchange } from '../src/http/exchange.ts'
import { createSweeper, type Sweeper, type Watch } from '../src/http/sweeper.ts'
import { createBudget } from '../src/lane/rewrite.ts'

const GET = 'GET / HTTP/1.1\r\nHost: registry.test\r\n\r\n'

function answer(exchange: Exchange): void {
  exchange.respond({ status: 200, reason: 'OK', fields: [], framing: { kind: 'length', length: 2 } })
  exchange.write(Buffer.from('ok'))
  exchange.end()
}

/** Lets what is under way reach the other side. */
function turn(): Promise<void> {
  return new Promise(resolve => setImmediate(resolve))
}

test('R29 who reads the last answer slowly is not cut off, who does not read at all is', async () => {
  const socket = new Duplex({ read() {}, write() {} })
  let watch: Watch | undefined
  const sweeper: Sweeper = {
    now: () => 0,
    watch: entry => {
      watch = entry
    },
    unwatch() {},
    stop() {},
  }
  serveConnection(socket, DEFAULT_LIMITS, sweeper, { onExchange: answer, onFault: () => assert.fail(), onClose() {} })
  socket.push(GET.replace('\r\n\r\n', '\r\nConnection: close\r\n\r\n'))
  await turn()
  watch?.expire()
  assert.equal(socket.destroyed, false)
  watch?.expire()
  assert.equal(socket.destroyed, true)
})

describe('R35 memory is bounded', () => {
  test('R35 a client that does not read its answers is not read from, until it reads', async t => {
    let taken = (): void => {}
    const socket = new Duplex({
      read() {},
      write(_chunk, _encoding, done) {
        taken = done
      },
      writableHighWaterMark: 16,
    })
    const sweeper = createSweeper(1000)
    t.after(() => {
      sweeper.stop()
      socket.destroy()
    })
    let exchanges = 0
    const onExchange = (exchange: Exchange): void => {
      exchanges++
      answer(exchange)
    }
    serveConnection(socket, DEFAULT_LIMITS, sweeper, { onExchange, onFault: () => assert.fail(), onClose() {} })
    socket.push(GET)
    await turn()
    assert.deepEqual([exchanges, socket.isPaused()], [1, true])
    socket.push(GET)
    await turn()
    assert.equal(exchanges, 1)
    taken()
    await turn()
    assert.equal(exchanges, 2)
  })

  test('R35 a budget gives no more than it has, and takes back', () => {
    const budget = createBudget(10)
    assert.deepEqual([budget.take(6), budget.take(5), budget.take(4)], [true, false, true])
    budget.give(6)
    assert.deepEqual([budget.take(7), budget.take(6)], [false, true])
  })
})
