// A secret that can be found again wherever it turns up, and a backend that does its best to make the gate give it away.

import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import type { Socket } from 'node:net'
import { answering, OK, type RawUpstream } from './upstream.ts'

/** Letters and digits only: it looks the same in JSON, in a URL and in a shell. */
export const canary = `canary${randomBytes(16).toString('hex')}`

/** As itself, in hex, and in base64 wherever in the encoded text it begins. */
const spellings = [
  canary,
  Buffer.from(canary).toString('hex'),
  ...[0, 1, 2].map(before =>
    Buffer.from('x'.repeat(before) + canary)
      .toString('base64')
      .slice(before === 0 ? 0 : 4, -4),
  ),
]

export function assertClean(what: string, text: string): void {
  for (const spelling of spellings) assert.ok(!text.includes(spelling), `${what}: ${excerpt(text, spelling)}`)
}

function excerpt(text: string, spelling: string): string {
  const at = text.indexOf(spelling)
  return text.slice(Math.max(0, at - 200), at + 100)
}

const length2 = 'Content-Length: 2\r\n\r\nok'

/** What a bad backend says when it is asked for the package of that name: it tells what it was told. */
export const FAULTS: Readonly<Record<string, (credential: string) => string>> = {
  'echo-challenge': it => `HTTP/1.1 401 ${it}\r\nWWW-Authenticate: Bearer realm="${it}"\r\nX-Saw: ${it}\r\n${length2}`,
  'echo-malformed': it => `HTTP/1.1 200 OK\r\nX-Saw: ${it}\r\nX-Saw\x01: ${it}\r\n${length2}`,
  'echo-framings': it => `HTTP/1.1 200 OK\r\nX-Saw: ${it}\r\nTransfer-Encoding: chunked\r\n${length2}`,
  'echo-length': it => `HTTP/1.1 200 OK\r\nContent-Length: ${it}\r\n\r\nok`,
  'echo-status': it => `HTTP/1.1 ${it} OK\r\n${length2}`,
  'echo-protocol': it => `SSH-2.0-${it}\r\n\r\n`,
  'echo-switch': it => `HTTP/1.1 101 Switching Protocols\r\nUpgrade: ${it}\r\n\r\n`,
  'echo-size': it => `HTTP/1.1 200 OK\r\nX-Saw: ${it.repeat(400)}\r\n${length2}`,
  'echo-chunk': it => `HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n${it}\r\n`,
  'echo-session': it => `HTTP/1.1 200 OK\r\nSet-Cookie: session=${it}\r\nAuthentication-Info: ${it}\r\n${length2}`,
  'echo-field': it => `HTTP/1.1 200 OK\r\nAuthorization: ${it}\r\n${length2}`,
  'echo-early': it => `HTTP/1.1 103 Early Hints\r\nX-Saw: ${it}\r\n\r\n${OK}`,
  silent: () => '',
  cut: () => 'HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nhalf',
}

const answerFaults = answering(request => {
  const [name = ''] = /echo-[a-z]+|silent|cut/.exec(request.slice(0, request.indexOf('\r\n'))) ?? []
  const [, credential = ''] = /^(?:authorization|x-api-key): (.*)\r$/im.exec(request) ?? []
  return FAULTS[name]?.(credential) ?? OK
})

export function misbehave(socket: Socket, text: string): void {
  answerFaults(socket, text)
  if (/^[A-Z]+ \S*cut/m.test(text)) socket.end()
}

/** It was sent as a bearer and as a password, and the search finds it in either form. */
export function assertHadIt({ received }: RawUpstream): void {
  const text = received().join('')
  for (const value of [`Bearer ${canary}`, `Basic ${Buffer.from(`bob:${canary}`).toString('base64')}`]) {
    assert.ok(text.includes(`authorization: ${value}\r\n`))
    assert.throws(() => assertClean('the search itself', value))
  }
}
