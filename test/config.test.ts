import assert from 'node:assert/strict'
import { readFile } from 'node:fs/promises'
import { describe, test } from 'node:test'
import { ACCOUNT_KEYS } from '../src/config/accounts.ts'
import { DIALECT_NAMES, type DialectName } from '../src/config/config.ts'
import { CERTIFICATE_KEYS } from '../src/config/enrolments.ts'
import { GATE_KEYS } from '../src/config/gate.ts'
import { DEFAULT_LIMITS, LIMIT_KEYS, LIMITS } from '../src/config/limits.ts'
import { loadConfig } from '../src/config/load.ts'
import { DIALECTS } from '../src/dialects/table.ts'
import { ACCOUNTS, configOf, createBench, GATE, PRINT_1, PRINT_2, problemsOf } from './lab/configuration.ts'

describe('what a configuration means', () => {
  test('the small one, with every default', async t => {
    const bench = await createBench(t)
    const config = configOf(await bench.load())
    assert.deepEqual(config.limits, { ...DEFAULT_LIMITS, idle: 30_000 })
    assert.deepEqual(
      config.listen.map(({ host, port, certificate, key }) => [host, port, `${certificate}`, `${key}`]),
      [['127.0.0.1', 8443, bench.server.certificate, bench.server.key]],
    )
    assert.equal(config.minimumTls, 'TLSv1.2')
    assert.deepEqual(config.audit, { file: `${bench.folder}/audit.jsonl`, publicReads: false })
    const [npm] = config.registries
    assert.deepEqual(
      [npm?.name, npm?.dialect, npm?.publicUrl.href, npm?.upstream.href, npm?.upstreamCa, npm?.reads],
      ['npm', 'npm', 'https://npm.example.com:8443/', 'http://127.0.0.1:4873/', undefined, 'public'],
    )
  })

  test('accounts and their certificates', async t => {
    const bench = await createBench(t)
    const { accounts, enrolments } = configOf(await bench.load())
    const [alice] = accounts
    assert.deepEqual([alice?.name, alice?.suspended], ['alice', false])
    assert.equal(alice?.rights.get('npm')?.publish?.covers('@acme/tool'), true)
    assert.equal(alice?.rights.get('npm')?.publish?.covers('right-pad'), false)
    assert.equal(alice?.rights.get('npm')?.amend, undefined)
    assert.deepEqual(enrolments, [
      {
        account: alice,
        pinned: { kind: 'certificate', fingerprint: PRINT_1 },
        label: 'laptop',
        expires: Date.UTC(2031, 10, 24),
        only: undefined,
        revoked: undefined,
      },
      {
        account: alice,
        pinned: { kind: 'certificate', fingerprint: PRINT_2 },
        label: 'ci',
        expires: Number.POSITIVE_INFINITY,
        only: new Set(['read', 'publish']),
        revoked: { on: '2027-01-05', reason: 'leaked' },
      },
    ])
  })

  const ENDS: readonly (readonly [text: string, end: number])[] = [
    ['2031-11-23', Date.UTC(2031, 10, 24)],
    ['"2031-12-31"', Date.UTC(2032, 0, 1)],
    ['2032-02-29', Date.UTC(2032, 2, 1)],
    ['2031-11-23T12:00:00Z', Date.UTC(2031, 10, 23, 12)],
    ['2031-11-23 12:00:00.250+01:00', Date.UTC(2031, 10, 23, 11, 0, 0, 250)],
    ['2031-11-23t00:00:00z', Date.UTC(2031, 10, 23)],
  ]
  for (const [text, end] of ENDS) {
    test(`expires: ${text}`, async t => {
      const loaded = await (await createBench(t)).load({ accounts: ACCOUNTS.replace('2031-11-23', text) })
      assert.equal(configOf(loaded).enrolments[0]?.expires, end)
    })
  }

  test('R12 a fingerprint of digits only keeps them all, and colons make no other one', async t => {
    const bench = await createBench(t)
    for (const digits of ['1234567890'.repeat(7).slice(0, 64), `1e${'0'.repeat(62)}`, `0${'7'.repeat(63)}`]) {
      const loaded = await bench.load({ accounts: ACCOUNTS.replace(PRINT_1, digits) })
      assert.deepEqual(configOf(loaded).enrolments[0]?.pinned, { kind: 'certificate', fingerprint: digits })
      const colons = digits.toUpperCase().match(/../g)?.join(':') ?? ''
      const twice = ACCOUNTS.replace(PRINT_1, digits).replace(PRINT_2, `"${colons}"`)
      assert.match(problemsOf(await bench.load({ accounts: twice }), bench.folder).join(), /stands already on line 8/)
    }
  })

  test('R05 a key pin ends where the accounts file says', async t => {
    const accounts = ACCOUNTS.replace('fingerprint', 'public-key')
    const { enrolments } = configOf(await (await createBench(t)).load({ accounts }))
    assert.deepEqual(enrolments[0]?.pinned, { kind: 'key', pin: PRINT_1 })
    assert.equal(enrolments[0]?.expires, Date.UTC(2031, 10, 24))
  })

  test('minimum-tls as a number or as text, hosts in small letters, IPv6, an upstream with its own CA', async t => {
    const bench = await createBench(t)
    const ca = bench.server.certificate
    await bench.write('ca.pem', ca)
    const gate = GATE.replace('127.0.0.1:8443', '"[::]:0"')
      .replace('npm.example.com:8443', 'NPM.Example.com')
      .replace('http://127.0.0.1:4873', 'https://10.0.0.1:4873\n    upstream-ca: ca.pem')
    for (const version of ['1.3', '"1.3"']) {
      const config = configOf(await bench.load({ gate: `${gate}minimum-tls: ${version}\n` }))
      assert.equal(config.minimumTls, 'TLSv1.3')
      assert.deepEqual([config.listen[0]?.host, config.listen[0]?.port], ['::', 0])
      assert.equal(config.registries[0]?.publicUrl.host, 'npm.example.com')
      assert.equal(`${config.registries[0]?.upstreamCa}`, ca)
    }
  })

  test('a plain upstream on this machine, or on another one with the unsafe key', async t => {
    const bench = await createBench(t)
    for (const host of ['localhost', '127.0.0.1', '127.9.9.9', '[::1]']) {
      configOf(await bench.load({ gate: GATE.replace('127.0.0.1:4873', `${host}:4873`) }))
    }
    const unsafe = GATE.replace('127.0.0.1:4873', 'registry.lan\n    unsafe-plain-upstream: true')
    configOf(await bench.load({ gate: unsafe }))
  })

  test('R11 an empty list of accounts with the explicit switch', async t => {
    const bench = await createBench(t)
    for (const accounts of ['unsafe-empty: true\n', 'accounts: {}\nunsafe-empty: true\n']) {
      assert.deepEqual(configOf(await bench.load({ accounts })).enrolments, [])
    }
  })

  test('is frozen through and through', async t => {
    assertFrozen(configOf(await (await createBench(t)).load()), 'config')
  })
})

function assertFrozen(value: unknown, path: string): void {
  if (typeof value !== 'object' || value === null || Buffer.isBuffer(value)) return
  assert.ok(Object.isFrozen(value), `${path} is frozen`)
  const inside = value instanceof Map || value instanceof Set ? [...value.entries()] : Object.entries(value)
  for (const [key, it] of inside) assertFrozen(it, `${path}.${key}`)
}

describe('the shipped configuration is the manual', () => {
  const shipped = (name: string) => readFile(new URL(`../config/${name}`, import.meta.url), 'utf8')

  test('works as it stands', async t => {
    const bench = await createBench(t)
    await bench.write('certs/server.crt', bench.server.certificate)
    await bench.write('certs/server.key', bench.server.key)
    await bench.write('config/accounts.yaml', await shipped('accounts.yaml'), 0o644)
    const file = await bench.write('config/certgate.yaml', await shipped('certgate.yaml'), 0o644)
    const config = configOf(await loadConfig(file, { ALICE_NPM_TOKEN: 'token' }))
    assert.deepEqual(config.limits, DEFAULT_LIMITS)
    assert.equal(config.audit.file, `${bench.folder}/log/audit.jsonl`)
    assert.equal(config.enrolments.length, 3)
  })

  test('works with everything uncommented that is shown with its default', async t => {
    const bench = await createBench(t)
    await bench.write('certs/server.crt', bench.server.certificate)
    await bench.write('certs/server.key', bench.server.key)
    await bench.write('config/accounts.yaml', uncommented(await shipped('accounts.yaml')))
    const text = uncommented((await shipped('certgate.yaml')).replace(/# (upstream-ca|token-service):.*/g, ''))
    const file = await bench.write('config/certgate.yaml', text)
    assert.deepEqual(configOf(await loadConfig(file, { ALICE_NPM_TOKEN: 'token' })).limits, DEFAULT_LIMITS)
  })

  test('shows a registry of every dialect, and all of them work together', async t => {
    const bench = await createBench(t)
    await bench.write('certs/server.crt', bench.server.certificate)
    await bench.write('certs/server.key', bench.server.key)
    await bench.write('config/accounts.yaml', await shipped('accounts.yaml'), 0o644)
    const examples = (await shipped('certgate.yaml'))
      .replace(/^ {2}# ((?: {2}[a-z-]+: \S+|[a-z]+:))$/gm, '  $1')
      .replace('# upstream-headers:', 'upstream-headers:')
      .replace('# token-service:', 'token-service:')
    const file = await bench.write('config/certgate.yaml', examples, 0o644)
    const { registries } = configOf(await loadConfig(file, { ALICE_NPM_TOKEN: 'token' }))
    assert.deepEqual(registries.map(it => it.dialect).toSorted(), DIALECT_NAMES.toSorted())
    const [npm] = registries
    assert.deepEqual([npm?.upstreamHeaders.size, npm?.tokenService], [1, 'https://auth.example.com'])
  })

  test('says for every dialect how packages are named, and as it says', async () => {
    const accounts = await shipped('accounts.yaml')
    for (const name of DIALECT_NAMES) assert.match(accounts, new RegExp(`^    #   ${name} `, 'm'), name)
    const same: readonly [DialectName, written: string, compared: string][] = [
      ['npm', '@acme/tool', '@acme/tool'],
      ['cargo', 'Acme_*', 'acme-*'],
      ['pypi', 'Acme.Tool', 'acme-tool'],
      ['pypi', 'acme--tool', 'acme-tool'],
      ['oci', 'team/**', 'team/**'],
      ['maven', 'com.acme:tool', 'com/acme/tool'],
      ['maven', 'com/acme/**', 'com/acme/**'],
      ['generic', '*/latest.txt', '*/latest.txt'],
    ]
    for (const [dialect, written, compared] of same) {
      const { normalise = (name: string) => name } = DIALECTS[dialect]
      assert.equal(normalise(written), compared, dialect)
    }
  })

  function uncommented(text: string): string {
    return text.replace(/^( *)# (?!basic|raw|header)([a-z-]+: \S+)$/gm, '$1$2')
  }

  test('mentions every key, and every limit with its default', async () => {
    const [gate, accounts] = [await shipped('certgate.yaml'), await shipped('accounts.yaml')]
    const mentions = (text: string, key: string) => new RegExp(`(^|[\\s{#])${key}:`, 'm').test(text)
    for (const key of GATE_KEYS) assert.ok(mentions(gate, key), `certgate.yaml mentions ${key}`)
    const words = [...ACCOUNT_KEYS, ...CERTIFICATE_KEYS, 'publish', 'amend', 'withdraw', 'own', 'account']
    const secrets = [
      'bearer',
      'basic',
      'raw',
      'header',
      'env',
      'file',
      'command',
      'username',
      'password',
      'name',
      'value',
    ]
    for (const key of [...words, ...secrets]) assert.ok(mentions(accounts, key), `accounts.yaml mentions ${key}`)
    for (const [index, { standard }] of Object.values(LIMITS).entries()) {
      assert.ok(gate.includes(`  # ${LIMIT_KEYS[index]}: ${standard}\n`), `${LIMIT_KEYS[index]}: ${standard}`)
    }
  })
})
