// Certificates as they are made, read back by OpenSSL through node:crypto, and shown in real handshakes.

import assert from 'node:assert/strict'
import { createPrivateKey, generateKeyPairSync, X509Certificate } from 'node:crypto'
import { once } from 'node:events'
import { chmod, mkdir, readdir, readFile, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { suite, type TestContext, test } from 'node:test'
import { connect, createServer, type Server, TLSSocket } from 'node:tls'
import {
  type CertificateOptions,
  type KeyType,
  keyTypeOf,
  type MadeCertificate,
  makeCertificate,
  writeIdentity,
} from '../src/certfp/certificate.ts'
import { atEnd, temporaryFolder } from './lab/temporary.ts'

const KEY_TYPES: readonly KeyType[] = ['ed25519', 'p256', 'p384', 'p521', 'rsa2048', 'rsa3072', 'rsa4096']
const CLIENT_AUTH = '1.3.6.1.5.5.7.3.2'
const SERVER_AUTH = '1.3.6.1.5.5.7.3.1'

function make(options: Partial<CertificateOptions> = {}): Promise<MadeCertificate> {
  const now = Date.now()
  return makeCertificate({
    commonName: 'alice',
    keyType: 'ed25519',
    notBefore: new Date(now - 60_000),
    notAfter: new Date(now + 86_400_000),
    use: 'client',
    ...options,
  })
}

suite('every key type', () => {
  for (const keyType of KEY_TYPES) {
    test(`${keyType}: a certificate signed by its own key`, async () => {
      const { certificate, key, der } = await make({ keyType })
      const read = new X509Certificate(certificate)
      assert.deepEqual(read.raw, der)
      assert.equal(keyTypeOf(read.publicKey), keyType)
      assert.ok(read.verify(read.publicKey), 'its signature is not its own')
      assert.ok(read.checkPrivateKey(createPrivateKey(key)))
      assert.match(key, /^-----BEGIN PRIVATE KEY-----\n/)
    })

    test(`${keyType}: both ends of a TLS handshake`, async t => {
      const server = await make({ keyType, commonName: 'server', use: { names: ['localhost', '127.0.0.1'] } })
      const client = await make({ keyType, privateKey: createPrivateKey(server.key) })
      assert.deepEqual(await seenByServer(t, server, client), client.der)
    })
  }
})

test('an end entity for clients', async () => {
  const read = new X509Certificate((await make()).der)
  assert.equal(read.subject, 'CN=alice')
  assert.equal(read.issuer, 'CN=alice')
  assert.equal(read.ca, false)
  assert.deepEqual(read.keyUsage, [CLIENT_AUTH])
  assert.equal(read.subjectAltName, undefined)
})

test('an end entity for a server, with its names', async () => {
  const names = ['localhost', '*.example.com', '127.0.0.1', '::1']
  const read = new X509Certificate((await make({ use: { names } })).der)
  assert.deepEqual(read.keyUsage, [SERVER_AUTH])
  assert.equal(read.ca, false)
  for (const host of ['localhost', 'npm.example.com']) assert.ok(read.checkHost(host), host)
  for (const address of ['127.0.0.1', '::1']) assert.ok(read.checkIP(address), address)
  assert.equal(read.checkHost('alice'), undefined)
})

test('version 3, with KeyUsage digitalSignature alone', async () => {
  const { der } = await make()
  // [0] EXPLICIT INTEGER 2, and the critical KeyUsage extension whose BIT STRING has the first bit only.
  assert.ok(der.includes(Buffer.from('a003020102', 'hex')))
  assert.ok(der.includes(Buffer.from('0603551d0f0101ff040403020780', 'hex')))
})

test('serial numbers are positive, 16 octets long and all different', async () => {
  const serials = new Set<string>()
  for (let count = 0; count < 20; count++) serials.add(new X509Certificate((await make()).der).serialNumber)
  assert.equal(serials.size, 20)
  for (const serial of serials) assert.match(serial, /^[4-7][0-9A-F]{31}$/)
})

test('names are kept as they are', async () => {
  for (const commonName of ['#6162', 'Jürgen Groß', 'a,b+c="d"\\', '名前 🦊', 'x'.repeat(64)]) {
    const { der } = await make({ commonName })
    assert.ok(der.includes(Buffer.from(commonName)), commonName)
  }
})

suite('dates', () => {
  const hundredYears = {
    notBefore: new Date('2026-11-24T10:20:30.987Z'),
    notAfter: new Date('2126-11-24T10:20:30.987Z'),
  }

  test('a hundred years, in UTCTime before 2050 and GeneralizedTime after it, without fractions', async () => {
    const { der } = await make(hundredYears)
    const read = new X509Certificate(der)
    assert.equal(read.validFromDate.toISOString(), '2026-11-24T10:20:30.000Z')
    assert.equal(read.validToDate.toISOString(), '2126-11-24T10:20:30.000Z')
    assert.ok(der.includes('\x17\x0d261124102030Z', 0, 'latin1'))
    assert.ok(der.includes('\x18\x0f21261124102030Z', 0, 'latin1'))
  })

  test('the change from one form to the other', async () => {
    const { der } = await make({
      notBefore: new Date('2049-12-31T23:59:59.999Z'),
      notAfter: new Date('2050-01-01T00:00:00Z'),
    })
    assert.ok(der.includes('\x17\x0d491231235959Z', 0, 'latin1'))
    assert.ok(der.includes('\x18\x0f20500101000000Z', 0, 'latin1'))
  })

  test('the last second there is', async () => {
    const { der } = await make({ notAfter: new Date('9999-12-31T23:59:59Z') })
    assert.ok(der.includes('\x18\x0f99991231235959Z', 0, 'latin1'))
  })
})

suite('refused', () => {
  const past = new Date('2020-01-01T00:00:00Z')
  const cases: Record<string, [Partial<CertificateOptions>, RegExp]> = {
    'no name': [{ commonName: '' }, /1 to 64 characters/],
    'a name of 65 characters': [{ commonName: 'x'.repeat(65) }, /1 to 64 characters/],
    'an end before its beginning': [{ notAfter: past }, /begin before it ends/],
    'an end in the second of its beginning': [{ notBefore: past, notAfter: new Date(+past + 999) }, /begin before/],
    'a date that is none': [{ notAfter: new Date(Number.NaN) }, /begin before it ends/],
    'the year 10000': [{ notAfter: new Date('+010000-01-01T00:00:00Z') }, /1970 and 9999/],
    'a server without names': [{ use: { names: [] } }, /needs a DNS name or an IP address/],
    'a URL for a name': [{ use: { names: ['https://localhost'] } }, /"https:\/\/localhost" is neither/],
    'a key of another type': [
      { keyType: 'p256', privateKey: generateKeyPairSync('ed25519').privateKey },
      /not of type p256/,
    ],
    'a key too small': [{ keyType: 'rsa2048', privateKey: rsaKey(1024) }, /not of type rsa2048/],
  }
  for (const [title, [options, message]] of Object.entries(cases)) {
    test(title, () => assert.rejects(make(options), { name: 'RangeError', message }))
  }
})

function rsaKey(modulusLength: number): CertificateOptions['privateKey'] {
  return generateKeyPairSync('rsa', { modulusLength }).privateKey
}

test('an existing key goes into the next certificate', async () => {
  const first = await make({ keyType: 'p384' })
  const second = await make({ keyType: 'p384', privateKey: createPrivateKey(first.key) })
  assert.equal(second.key, first.key)
  assert.notDeepEqual(second.der, first.der)
  const [before, after] = [first.der, second.der].map(der => new X509Certificate(der))
  assert.ok(before?.publicKey.equals(after?.publicKey ?? assert.fail()))
})

test('keys that no certificate is made for have no type', () => {
  assert.equal(keyTypeOf(generateKeyPairSync('ed448').publicKey), undefined)
  assert.equal(keyTypeOf(generateKeyPairSync('ec', { namedCurve: 'secp256k1' }).publicKey), undefined)
  assert.equal(keyTypeOf(generateKeyPairSync('rsa-pss', { modulusLength: 2048 }).publicKey), undefined)
})

suite('files of an identity', () => {
  test('key and directory are for their owner only', async t => {
    const directory = join(await temporaryFolder(t), 'config', 'certfp')
    const made = await make()
    const files = await writeIdentity(directory, 'id', made)
    assert.deepEqual(files, { certificate: join(directory, 'id.pem'), key: join(directory, 'id.key') })
    assert.equal(await readFile(files.certificate, 'utf8'), made.certificate)
    assert.equal(await readFile(files.key, 'utf8'), made.key)
    assert.equal(await modeOf(files.key), 0o600)
    assert.equal(await modeOf(directory), 0o700)
    assert.deepEqual((await readdir(directory)).sort(), ['id.key', 'id.pem'])
  })

  test('a directory that exists keeps its mode', async t => {
    const directory = await temporaryFolder(t)
    await chmod(directory, 0o755)
    await writeIdentity(directory, 'id', await make())
    assert.equal(await modeOf(directory), 0o755)
  })

  for (const existing of ['id.key', 'id.pem']) {
    test(`an ${existing} that is there stays, and nothing is written`, async t => {
      const directory = await temporaryFolder(t)
      await writeFile(join(directory, existing), 'precious')
      await assert.rejects(writeIdentity(directory, 'id', await make()), { code: 'EEXIST' })
      assert.equal(await readFile(join(directory, existing), 'utf8'), 'precious')
      assert.deepEqual(await readdir(directory), [existing])
    })
  }

  test('of many at once, one is written, and whole', async t => {
    const directory = join(await temporaryFolder(t), 'race')
    await mkdir(directory)
    const several = await Promise.all(Array.from({ length: 8 }, () => make()))
    const results = await Promise.allSettled(several.map(made => writeIdentity(directory, 'id', made)))
    assert.equal(results.filter(({ status }) => status === 'fulfilled').length, 1)
    const winner = several[results.findIndex(({ status }) => status === 'fulfilled')]
    assert.equal(await readFile(join(directory, 'id.key'), 'utf8'), winner?.key)
    assert.equal(await readFile(join(directory, 'id.pem'), 'utf8'), winner?.certificate)
    assert.deepEqual((await readdir(directory)).sort(), ['id.key', 'id.pem'])
  })

  test('a name that is a path is refused', async t => {
    const directory = await temporaryFolder(t)
    for (const name of ['', '../id', 'a/b']) {
      await assert.rejects(writeIdentity(directory, name, await make()), RangeError)
    }
  })
})

async function modeOf(path: string): Promise<number> {
  return (await stat(path)).mode & 0o777
}

/** A handshake in which the client verifies the server. @returns the client's certificate as the server got it, DER */
async function seenByServer(
  t: TestContext,
  server: MadeCertificate,
  client: MadeCertificate,
): Promise<Buffer | undefined> {
  const listener = createServer({
    cert: server.certificate,
    key: server.key,
    requestCert: true,
    rejectUnauthorized: false,
  })
  atEnd(t, () => listener.close())
  const accepted = once(listener, 'secureConnection')
  const socket = connect({
    host: '127.0.0.1',
    port: await portOf(listener),
    ca: server.certificate,
    cert: client.certificate,
    key: client.key,
  })
  atEnd(t, () => socket.destroy())
  const [[theirs]] = await Promise.all([accepted, once(socket, 'secureConnect')])
  assert.ok(socket.authorized, String(socket.authorizationError))
  assert.ok(theirs instanceof TLSSocket)
  atEnd(t, () => theirs.destroy())
  return theirs.getPeerX509Certificate()?.raw
}

async function portOf(listener: Server): Promise<number> {
  await once(listener.listen(0, '127.0.0.1'), 'listening')
  const address = listener.address()
  if (address === null || typeof address === 'string') throw new Error('a TCP listener has no address')
  return address.port
}
