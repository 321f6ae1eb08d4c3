import assert from 'node:assert/strict'
import { createHash, X509Certificate } from 'node:crypto'
import { describe, test } from 'node:test'
import fc from 'fast-check'
import { createDirectory } from '../src/accounts/directory.ts'
import { fingerprintOf, keyPinOf, parseFingerprint, parseKeyPin } from '../src/accounts/fingerprint.ts'
import { makeIdentity } from './lab/identities.ts'

const HEX = '9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08'
const COLONS = HEX.match(/../g)?.join(':') ?? ''
const BASE64 = Buffer.from(HEX, 'hex').toString('base64')

describe('R12 every accepted spelling is one fingerprint', () => {
  const SPELLINGS = {
    'lower-case hex': HEX,
    'upper-case hex': HEX.toUpperCase(),
    'mixed case': HEX.replace('d', 'D'),
    colons: COLONS,
    'upper-case with colons': COLONS.toUpperCase(),
    'sha256: in front': `sha256:${HEX}`,
    'SHA256: in front of hex': `SHA256:${HEX}`,
    'sha256: and colons': `sha256:${COLONS}`,
    'the line that openssl prints': `sha256 Fingerprint=${COLONS.toUpperCase()}`,
    "ssh's base64, padded": `SHA256:${BASE64}`,
    "ssh's base64": `SHA256:${BASE64.replace('=', '')}`,
    'white space around': `  ${HEX}\n`,
  }
  for (const [name, text] of Object.entries(SPELLINGS)) {
    test(name, () => assert.deepEqual(parseFingerprint(text), { kind: 'ok', value: HEX }))
  }

  test('any 32 bytes come back from each spelling', () => {
    fc.assert(
      fc.property(
        fc.uint8Array({ minLength: 32, maxLength: 32 }),
        fc.boolean(),
        fc.boolean(),
        (bytes, colons, upper) => {
          const hex = Buffer.from(bytes).toString('hex')
          const spaced = colons ? (hex.match(/../g)?.join(':') ?? '') : hex
          assert.deepEqual(parseFingerprint(upper ? spaced.toUpperCase() : spaced), { kind: 'ok', value: hex })
        },
      ),
    )
  })
})

describe('R12 what is not a SHA-256 is refused with what would be right', () => {
  const REMEDY = /`openssl x509 -in id\.pem -noout -fingerprint -sha256` prints the right one$/
  const BAD: readonly (readonly [name: string, text: string, problem: RegExp])[] = [
    ['SHA-1', HEX.slice(0, 40), /^has 40 hex digits, so it is a SHA-1; a SHA-256 has 64/],
    ['SHA-1 with colons', COLONS.slice(0, 59), /so it is a SHA-1/],
    ['MD5', HEX.slice(0, 32), /^has 32 hex digits, so it is an MD5; a SHA-256 has 64/],
    ['a digit short', HEX.slice(1), /^has 63 hex digits; a SHA-256 has 64/],
    ['a digit long', `${HEX}0`, /^has 65 hex digits/],
    ['SHA-512', HEX + HEX, /^has 128 hex digits/],
    ['nothing', '', /^is not a SHA-256 in hex/],
    ['a letter that is no digit', HEX.replace('9', 'g'), /^is not a SHA-256 in hex/],
    ['colons in odd places', `${HEX.slice(0, 3)}:${HEX.slice(3)}`, /^is not a SHA-256 in hex/],
    ['a colon doubled', COLONS.replace(':', '::'), /^is not a SHA-256 in hex/],
    ['a space between', `${HEX.slice(0, 32)} ${HEX.slice(32)}`, /^is not a SHA-256 in hex/],
    ['base64 without ssh’s prefix', BASE64, /^is not a SHA-256 in hex/],
    ['base64 of 20 bytes', `SHA256:${Buffer.alloc(20).toString('base64')}`, /^is not a SHA-256 in hex/],
    ['digits of another script', HEX.replace('9', '\u0669'), /^is not a SHA-256 in hex/],
    ['__proto__', '__proto__', /^is not a SHA-256 in hex/],
  ]
  for (const [name, text, problem] of BAD) {
    test(name, () => {
      const parsed = parseFingerprint(text)
      assert.ok(parsed.kind === 'bad')
      assert.match(parsed.problem, problem)
      assert.match(parsed.problem, REMEDY)
    })
  }

  test('a key pin is refused with the command for key pins', () => {
    const parsed = parseKeyPin(HEX.slice(0, 40))
    assert.ok(parsed.kind === 'bad')
    assert.match(parsed.problem, /-pubkey \| openssl pkey -pubin -outform der \| openssl dgst -sha256` prints/)
  })
})

describe('fingerprintOf and keyPinOf', () => {
  test('R12 are SHA-256 over DER, as Node and openssl print it', async () => {
    const { certificate, fingerprint, keyPin } = await makeIdentity()
    const x509 = new X509Certificate(certificate)
    assert.equal(fingerprintOf(x509.raw), fingerprint)
    assert.deepEqual(parseFingerprint(x509.fingerprint256), { kind: 'ok', value: fingerprint })
    assert.equal(parseFingerprint(x509.fingerprint).kind, 'bad', 'Node’s `fingerprint` is a SHA-1')
    const spki = x509.publicKey.export({ type: 'spki', format: 'der' })
    assert.equal(keyPin, createHash('sha256').update(spki).digest('hex'))
  })

  test('R12 the name of a property of every object finds nobody', () => {
    const directory = createDirectory([])
    for (const name of ['__proto__', 'constructor', 'toString']) {
      const bytes = Buffer.from(name)
      assert.equal(directory.find({ fingerprint: fingerprintOf(bytes), keyPin: keyPinOf(bytes) }), undefined)
    }
  })
})
