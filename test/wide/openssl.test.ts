// Needs Debian's openssl: a client that offers what Node's will not, and certificates that no library would make.

import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { before, describe, test } from 'node:test'
import type { Fingerprint } from '../../src/accounts/fingerprint.ts'
import { type GateProcess, startGateProcess } from '../lab/gate-process.ts'
import { makeIdentity, makeServerIdentity, REGISTRY_HOST, type TestIdentity } from '../lab/identities.ts'
import { type Ending, temporaryFolder } from '../lab/temporary.ts'
import { mustRun, runTool, startTool } from '../lab/tool.ts'
import { startUpstream } from '../lab/upstream.ts'

const WHOAMI = `GET /.certgate/whoami HTTP/1.1\r\nHost: ${REGISTRY_HOST}\r\nConnection: close\r\n\r\n`
const READ = `GET /left-pad HTTP/1.1\r\nHost: ${REGISTRY_HOST}\r\nConnection: close\r\n\r\n`

const VERSIONS = ['-tls1_2', '-tls1_3'] as const

let alice: TestIdentity
let server: TestIdentity
before(async () => {
  alice = await makeIdentity()
  server = await makeServerIdentity()
})

interface Files {
  readonly certificate: string
  readonly key: string
}

async function writeIdentity(folder: string, { certificate, key }: TestIdentity): Promise<Files> {
  const files = { certificate: join(folder, 'id.pem'), key: join(folder, 'id.key') }
  await writeFile(files.certificate, certificate)
  await writeFile(files.key, key, { mode: 0o600 })
  return files
}

function present({ certificate, key }: Files): string[] {
  return ['-cert', certificate, '-key', key]
}

interface Said {
  /** the whole of standard output: what openssl tells of the connection, and the answer */
  readonly output: string
  /** the status line's words; undefined when no answer came */
  readonly status: string | undefined
  readonly body: Record<string, unknown>
  readonly errors: string
}

/** Sends one request and reads until the gate closes the connection. */
async function sClient(port: number, args: readonly string[], request = WHOAMI): Promise<Said> {
  const { stdout, stderr } = await runTool(
    'openssl',
    ['s_client', '-connect', `127.0.0.1:${port}`, '-ign_eof', ...namedUnless(args), ...args],
    { input: request },
  )
  const [, status] = /^HTTP\/1\.1 (.*)\r$/m.exec(stdout) ?? []
  const body = bodyOf(stdout)
  return { output: stdout, status, body, errors: stderr }
}

/** openssl prints its own remarks before and after an answer. */
function bodyOf(output: string): Record<string, unknown> {
  const start = output.indexOf('\r\n\r\n', output.indexOf('HTTP/1.1 ')) + 4
  const isJson = output.includes('\r\ncontent-type: application/json\r\n')
  const [, length = '0'] = /^content-length: (\d+)\r$/m.exec(output) ?? []
  return isJson ? (JSON.parse(output.slice(start, start + Number(length))) as Record<string, unknown>) : {}
}

function namedUnless(args: readonly string[]): string[] {
  return args.includes('-servername') || args.includes('-noservername') ? [] : ['-servername', REGISTRY_HOST]
}

async function gateFor(t: Ending, upstream: string): Promise<GateProcess> {
  return await startGateProcess(t, {
    upstream,
    server,
    enrolled: [{ identity: alice, account: { rights: { publish: ['**'] } } }],
  })
}

describe('R03 a session of the enrolled certificate, taken up without it', () => {
  for (const version of VERSIONS) {
    for (const name of [REGISTRY_HOST, 'other.test']) {
      test(`R03 ${version}, for ${name}, is a new session and nobody's`, async t => {
        const gate = await gateFor(t, (await startUpstream(t)).origin)
        const folder = await temporaryFolder(t)
        const session = join(folder, 'session.pem')
        const files = await writeIdentity(folder, alice)

        const first = await sClient(gate.port, [version, ...present(files), '-sess_out', session])
        assert.equal(first.body['account'], 'alice')
        const second = await sClient(gate.port, [version, '-sess_in', session, '-servername', name])
        assert.match(second.output, /^New, TLSv1\.[23], Cipher is /m)
        assert.doesNotMatch(second.output, /^Reused,/m)
        if (name === REGISTRY_HOST) assert.deepEqual([second.body['certificate'], second.body['account']], [null, null])
        else assert.match(second.status ?? '', /^421 /)
        gate.assertWell()
      })
    }
  }
})

test('R31 renegotiation is refused, and the gate lives', async t => {
  const gate = await gateFor(t, (await startUpstream(t)).origin)
  const child = startTool('openssl', [
    's_client',
    '-connect',
    `127.0.0.1:${gate.port}`,
    '-servername',
    REGISTRY_HOST,
    '-tls1_2',
    '-legacy_renegotiation',
  ])
  t.after(() => child.kill('SIGKILL'))
  let output = ''
  const shown = new Promise<void>(resolve =>
    child.stdout.setEncoding('latin1').on('data', (chunk: string) => {
      output += chunk
      if (/Verify return code[\s\S]*---\n/.test(output)) resolve()
    }),
  )
  child.stderr.setEncoding('latin1').on('data', (chunk: string) => {
    output += chunk
  })
  await shown
  assert.match(output, /Secure Renegotiation IS supported/)
  // A letter is a command only where it begins what openssl reads at once.
  child.stdin.write('R\n')
  await new Promise(resolve => child.once('close', resolve))
  assert.match(output, /RENEGOTIATING/)
  assert.match(output, /no renegotiation/)
  assert.notEqual(child.exitCode, 0)
  assert.match((await sClient(gate.port, ['-tls1_2'])).status ?? '', /^200 /)
  gate.assertWell()
})

describe('R42 the certificate request', () => {
  for (const version of VERSIONS) {
    test(`R42 ${version} names no authorities`, async t => {
      const gate = await gateFor(t, (await startUpstream(t)).origin)
      const { output } = await sClient(gate.port, [version])
      assert.match(output, /^No client certificate CA names sent$/m)
      assert.doesNotMatch(output, /Acceptable client certificate CA names/)
    })
  }
})

describe('R41 of all that openssl can offer', () => {
  const ACCEPTED = ['ECDHE-KEY-AES128-GCM-SHA256', 'ECDHE-KEY-AES256-GCM-SHA384', 'ECDHE-KEY-CHACHA20-POLY1305']
  for (const keyType of ['p256', 'rsa2048'] as const) {
    test(`R41 only AEAD with ECDHE is taken by a server with a key of type ${keyType}`, async t => {
      const gate = await startGateProcess(t, {
        upstream: (await startUpstream(t)).origin,
        server: await makeIdentity({ keyType, use: { names: [REGISTRY_HOST] } }),
      })
      const list = await mustRun('openssl', ['ciphers', '-s', '-tls1_2', 'ALL:COMPLEMENTOFALL:@SECLEVEL=0'])
      const offered = list.trim().split(':')
      assert.ok(offered.includes('AES128-SHA') && offered.includes('ECDHE-RSA-AES128-SHA'), list)
      const taken: string[] = []
      for (const cipher of offered) {
        const { status } = await sClient(gate.port, ['-tls1_2', '-cipher', `${cipher}:@SECLEVEL=0`])
        if (status !== undefined) taken.push(cipher)
      }
      const key = keyType === 'p256' ? 'ECDSA' : 'RSA'
      assert.deepEqual(taken.toSorted(), ACCEPTED.map(name => name.replace('KEY', key)).toSorted())
      gate.assertWell()
    })
  }

  for (const version of ['-tls1', '-tls1_1']) {
    test(`R41 ${version} is refused`, async t => {
      const gate = await gateFor(t, (await startUpstream(t)).origin)
      const { status, errors } = await sClient(gate.port, [version, '-cipher', 'ALL:@SECLEVEL=0'])
      assert.equal(status, undefined)
      assert.match(errors, /alert protocol version/)
    })
  }
})

test('R17 HTTP/0.9 is answered with 505, in HTTP/1.1', async t => {
  const gate = await gateFor(t, (await startUpstream(t)).origin)
  const { status } = await sClient(gate.port, [], 'GET /left-pad\r\n\r\n')
  assert.match(status ?? '', /^505 only HTTP\/1\.1 is served here/)
})

/** What becomes of a certificate: the words of the status line in each version of TLS; undefined: no answer. */
interface Odd {
  readonly name: string
  /** Makes `id.pem` and `id.key` in the present folder. */
  readonly make: readonly (readonly string[])[]
  readonly tls12: RegExp | undefined
  readonly tls13: RegExp | undefined
}

const OK = /^200 OK$/
const WEAK = /^403 client certificate [0-9a-f]{64} cannot be used: its key is not RSA of at least 2048 bits, P-256, /
const KEEP_BACK = /^403 this needs a client certificate and none was presented/

const SELF_SIGNED = ['req', '-x509', '-nodes', '-days', '10', '-keyout', 'id.key', '-out', 'id.pem'] as const
const SUBJECT = ['-subj', '/CN=odd'] as const
const selfSigned = (...args: string[]): string[][] => [[...SELF_SIGNED, ...SUBJECT, ...args]]
const curve = (name: string): string[] => ['-newkey', 'ec', '-pkeyopt', `ec_paramgen_curve:${name}`]

function dated(from: string, to: string): string[][] {
  return [
    ['req', '-new', '-newkey', 'ed25519', '-nodes', '-keyout', 'id.key', '-out', 'id.csr', ...SUBJECT],
    // `req` and `x509` of Debian 12 know no dates but from today on.
    [
      'ca',
      '-batch',
      '-selfsign',
      '-notext',
      '-config',
      'ca.cnf',
      '-in',
      'id.csr',
      '-keyfile',
      'id.key',
      '-startdate',
      from,
      '-enddate',
      to,
      '-out',
      'id.pem',
    ],
  ]
}

/** Forges a second line of a log, colours a terminal, and turns the reading direction. */
const EVIL_NAME = 'evil\r\n2026-11-24 ok user=root\u001b[31m\u2028\u202e\u0085\u009b'

const ODD: readonly Odd[] = [
  // TLS 1.3 has no signature algorithm that these keys could sign with; openssl then presents nothing.
  { name: 'RSA of 512 bits', make: selfSigned('-newkey', 'rsa:512'), tls12: WEAK, tls13: KEEP_BACK },
  { name: 'RSA of 1024 bits', make: selfSigned('-newkey', 'rsa:1024'), tls12: WEAK, tls13: WEAK },
  {
    name: 'DSA',
    make: [
      ['genpkey', '-genparam', '-algorithm', 'DSA', '-pkeyopt', 'dsa_paramgen_bits:1024', '-out', 'dsa.pem'],
      ...selfSigned('-newkey', 'dsa:dsa.pem'),
    ],
    tls12: WEAK,
    tls13: KEEP_BACK,
  },
  // In TLS 1.2 the handshake ends: the gate offers none of these curves, and the client does not mind.
  { name: 'secp256k1', make: selfSigned(...curve('secp256k1')), tls12: undefined, tls13: KEEP_BACK },
  { name: 'brainpoolP256r1', make: selfSigned(...curve('brainpoolP256r1')), tls12: undefined, tls13: KEEP_BACK },
  {
    name: 'P-256 with explicit parameters',
    make: selfSigned(...curve('P-256'), '-pkeyopt', 'ec_param_enc:explicit'),
    tls12: /^403 client certificate [0-9a-f]{64} cannot be used: its key /,
    tls13: /^403 client certificate [0-9a-f]{64} cannot be used: its key /,
  },
  { name: 'P-384', make: selfSigned(...curve('P-384')), tls12: OK, tls13: OK },
  { name: 'Ed448', make: selfSigned('-newkey', 'ed448'), tls12: WEAK, tls13: WEAK },
  // The fingerprint binds the bytes, whatever signs them: a weak self-signature proves no less than a strong one.
  { name: 'signed with MD5', make: selfSigned('-newkey', 'rsa:2048', '-md5'), tls12: OK, tls13: OK },
  { name: 'signed with SHA-1', make: selfSigned('-newkey', 'rsa:2048', '-sha1'), tls12: OK, tls13: OK },
  {
    name: 'of version 1',
    make: [
      ['req', '-new', '-newkey', 'rsa:2048', '-nodes', '-keyout', 'id.key', '-out', 'id.csr', ...SUBJECT],
      ['x509', '-req', '-in', 'id.csr', '-signkey', 'id.key', '-out', 'id.pem', '-days', '10'],
    ],
    tls12: OK,
    tls13: OK,
  },
  {
    name: 'R24 with control characters in its name',
    make: [[...SELF_SIGNED, '-newkey', 'ed25519', '-utf8', '-subj', `/CN=${EVIL_NAME}`]],
    tls12: OK,
    tls13: OK,
  },
  {
    name: 'R34 of 85 KB',
    make: [[...SELF_SIGNED, '-newkey', 'ed25519', '-config', 'big.cnf', '-extensions', 'big']],
    tls12: /cannot be used: it is larger than 16 KiB$/,
    tls13: /cannot be used: it is larger than 16 KiB$/,
  },
  {
    name: 'whose KeyUsage does not allow signing',
    make: selfSigned('-newkey', 'ed25519', '-addext', 'keyUsage=critical,keyAgreement'),
    tls12: /cannot be used: its key usage does not include digital signature$/,
    tls13: /cannot be used: its key usage does not include digital signature$/,
  },
  {
    name: 'for servers only',
    make: selfSigned('-newkey', 'ed25519', '-addext', 'extendedKeyUsage=serverAuth'),
    tls12: /cannot be used: its extended key usage does not include client authentication$/,
    tls13: /cannot be used: its extended key usage does not include client authentication$/,
  },
  { name: 'until the year 9999', make: dated('20260101000000Z', '99991231235959Z'), tls12: OK, tls13: OK },
  { name: 'from before 1970', make: dated('19000101000000Z', '20990101000000Z'), tls12: OK, tls13: OK },
  {
    name: 'until before 1970',
    make: dated('19000101000000Z', '19400101000000Z'),
    tls12: / expired at 1940-01-01T00:00:00Z;/,
    tls13: / expired at 1940-01-01T00:00:00Z;/,
  },
]

const CA_CONFIG = `[ca]
default_ca = own
[own]
new_certs_dir = .
database = index
rand_serial = yes
policy = any
default_md = default
unique_subject = no
[any]
commonName = supplied
`
const BIG_CONFIG = `[req]
distinguished_name = name
prompt = no
[name]
CN = big
[big]
nsComment = ${'a'.repeat(85_000)}
`

interface Made extends Files {
  readonly odd: Odd
  readonly fingerprint: Fingerprint
}

async function makeOdd(folder: string, odd: Odd): Promise<Made> {
  await writeFile(join(folder, 'ca.cnf'), CA_CONFIG)
  await writeFile(join(folder, 'big.cnf'), BIG_CONFIG)
  await writeFile(join(folder, 'index'), '')
  for (const args of odd.make) await mustRun('openssl', args, { cwd: folder })
  const certificate = join(folder, 'id.pem')
  return { odd, certificate, key: join(folder, 'id.key'), fingerprint: await fingerprintOfFile(certificate) }
}

/** By hand: what OpenSSL makes of such a certificate is what is tested. */
async function fingerprintOfFile(file: string): Promise<Fingerprint> {
  const base64 = (await readFile(file, 'latin1')).replace(/-----.*-----/g, '')
  return createHash('sha256').update(Buffer.from(base64, 'base64')).digest('hex') as Fingerprint
}

test('R21 R32 an odd certificate, enrolled', async t => {
  const made: Made[] = []
  for (const odd of ODD) made.push(await makeOdd(await temporaryFolder(t), odd))
  const gate = await startGateProcess(t, {
    upstream: (await startUpstream(t)).origin,
    server,
    enrolled: made.map(identity => ({ identity, account: { name: 'odd' } })),
  })

  for (const files of made) {
    for (const version of VERSIONS) {
      const expected = version === '-tls1_2' ? files.odd.tls12 : files.odd.tls13
      await t.test(`${files.odd.name}, ${version}`, async () => {
        const args = [version, ...present(files), '-cipher', 'ALL:@SECLEVEL=0']
        const { status, errors } = await sClient(gate.port, args, READ)
        if (expected === undefined) assert.deepEqual([status, /alert/.test(errors)], [undefined, true], errors)
        else assert.match(status ?? errors, expected)
        gate.assertWell()
      })
    }
  }

  for (const version of VERSIONS) {
    await t.test(`R34 R02 behind 100 copies of an enrolled one an unknown leaf is unknown, ${version}`, async t => {
      const folder = await temporaryFolder(t)
      const enrolled = made.find(({ odd }) => odd.tls12 === OK)
      assert.ok(enrolled !== undefined)
      const leaf = await writeIdentity(folder, await makeIdentity())
      const one = await readFile(enrolled.certificate, 'latin1')
      const chain = join(folder, 'chain.pem')
      const args = [version, ...present(leaf), '-cert_chain', chain]
      await writeFile(chain, one.repeat(100))
      const answered = await sClient(gate.port, args, READ)
      assert.match(answered.status ?? answered.errors, /^403 client certificate [0-9a-f]{64} is not enrolled here/)
      await writeFile(chain, one.repeat(400))
      const { status } = await sClient(gate.port, args, READ)
      assert.equal(status, undefined, 'OpenSSL ends a handshake of more than 100 KB')
      gate.assertWell()
    })
  }

  await t.test('R24 the audit log is one JSON object a line, in visible ASCII, without their names', async () => {
    const text = await gate.auditText()
    assert.match(text, /^(?:[\x20-\x7e]+\n)+$/)
    const lines = text.trimEnd().split('\n')
    for (const line of lines) assert.equal(typeof JSON.parse(line), 'object')
    assert.ok(lines.length >= ODD.length)
    assert.doesNotMatch(text, /evil|user=root/)
  })

  await t.test('R32 the process that met all of them stops as it should', async () => {
    gate.assertWell()
    await gate.stop()
  })
})
