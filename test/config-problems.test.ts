// An edit of a good configuration → exactly what is reported, and where.

import assert from 'node:assert/strict'
import { before, describe, test } from 'node:test'
import { formatProblems } from '../src/config/problem.ts'
import { ACCOUNTS, createBench, GATE, PRINT_1, PRINT_2, problemsOf } from './lab/configuration.ts'
import { makeIdentity, makeServerIdentity, type TestIdentity } from './lab/identities.ts'

let other: TestIdentity
let expired: TestIdentity
before(async () => {
  other = await makeServerIdentity()
  const dates = { notBefore: new Date('2020-01-01'), notAfter: new Date('2021-06-01') }
  expired = await makeIdentity({ ...dates, use: { names: ['localhost'] } })
})

type Edit = readonly [from: string, to: string]
interface Case {
  readonly gate?: Edit
  readonly accounts?: Edit
  readonly problems: readonly string[]
}

/** An edit of a good file, and all that is then reported. */
const BAD: Readonly<Record<string, Case>> = {
  'a word that is not among those known': {
    gate: ['reads: public', 'reads: publik'],
    problems: ['certgate.yaml:10:12 registries.npm.reads: "publik" is not one of public, certificate'],
  },
  'an unknown key that resembles one': {
    gate: ['reads:', 'read:'],
    problems: ['certgate.yaml:10:5 registries.npm: unknown key "read"; did you mean reads?'],
  },
  'an unknown key that resembles none': {
    gate: ['audit:', 'frobnicate: 1\naudit:'],
    problems: [
      'certgate.yaml:12:1 unknown key "frobnicate"; known here: listen, minimum-tls, registries, accounts, audit, limits',
    ],
  },
  'a missing key': {
    gate: ['    dialect: npm\n', ''],
    problems: [
      'certgate.yaml:7:5 registries.npm.dialect: missing; expected one of npm, cargo, pypi, oci, maven, generic',
    ],
  },
  'a key without a value': {
    gate: ['dialect: npm', 'dialect:'],
    problems: [
      'certgate.yaml:7:5 registries.npm.dialect: no value stands here; expected one of npm, cargo, pypi, oci, maven, generic',
    ],
  },
  'a list in place of text': {
    gate: ['{file: audit.jsonl}', '{file: [audit.jsonl]}'],
    problems: ['certgate.yaml:12:15 audit.file: a list stands here; expected the path of the audit file'],
  },
  'no registries': {
    gate: [GATE.slice(GATE.indexOf('  npm:'), GATE.indexOf('accounts:')), ''],
    problems: ['certgate.yaml:5:1 registries: no value stands here; expected a map of registries by name'],
  },
  'R11 a YAML boolean of another age': {
    accounts: ['credentials:', 'suspended: yes\n    credentials:'],
    problems: ['accounts.yaml:3:16 accounts.alice.suspended: "yes" is not one of true, false'],
  },
  'an address without a port': {
    gate: ['127.0.0.1:8443', '127.0.0.1'],
    problems: [
      'certgate.yaml:2:14 listen[0].address: "127.0.0.1" is not an address and a port; write it as 0.0.0.0:8443, [::]:8443 or host:8443',
    ],
  },
  'a port that does not exist': {
    gate: ['127.0.0.1:8443', '127.0.0.1:70000'],
    problems: ['certgate.yaml:2:14 listen[0].address: port 70000 does not exist; ports end at 65535'],
  },
  'a public URL whose path has two spellings': {
    gate: ['example.com:8443', 'example.com:8443/n%70m'],
    problems: [
      'certgate.yaml:8:17 registries.npm.public-url: "https://npm.example.com:8443/n%70m" has more than a host, a port and a path of plain characters; expected one such as https://npm.example.com:8443',
    ],
  },
  'a public URL that is not https': {
    gate: ['https://npm', 'http://npm'],
    problems: [
      'certgate.yaml:8:17 registries.npm.public-url: "http://npm.example.com:8443" begins with http:; expected https:',
    ],
  },
  'two registries with one public URL': {
    gate: [
      'accounts:',
      '  two: {dialect: npm, public-url: "https://NPM.example.com:8443", upstream: "http://localhost"}\naccounts:',
    ],
    problems: [
      'certgate.yaml:11:35 registries.two.public-url: "https://npm.example.com:8443/" is already the public URL of registry npm',
    ],
  },
  'a plain upstream on another host': {
    gate: ['http://127.0.0.1:4873', 'http://127.0.0.1.example.com'],
    problems: [
      'certgate.yaml:9:15 registries.npm.upstream: "127.0.0.1.example.com" is another host, and credentials would cross the network in clear; use https, or set unsafe-plain-upstream: true in this registry',
    ],
  },
  'a name that is none': {
    gate: ['  npm:', '  NPM:'],
    problems: [
      'certgate.yaml:6:3 registries.NPM: this is not a name of a registry: small letters, digits and hyphens, and no hyphen first',
      'accounts.yaml:4:7 accounts.alice.credentials.npm: no registry has this name; there are: NPM',
      'accounts.yaml:6:7 accounts.alice.rights.npm: no registry has this name; there are: NPM',
    ],
  },
  'a time without a unit': {
    gate: ['idle: 30s', 'idle: 30'],
    problems: ['certgate.yaml:14:9 limits.idle: "30" is not a duration; write it as 500ms, 10s, 5m or 1h'],
  },
  'a limit out of its range': {
    gate: ['idle: 30s', 'idle: 2h'],
    problems: ['certgate.yaml:14:9 limits.idle: "2h" is out of range; from 100ms to 1h is accepted'],
  },
  'a limit that is none': {
    gate: ['idle: 30s', 'iddle: 30s'],
    problems: ['certgate.yaml:14:3 limits: unknown key "iddle"; did you mean idle?'],
  },
  'R43 a file that is not there': {
    gate: ['key: server.key', 'key: nowhere.key'],
    problems: ['certgate.yaml:4:10 listen[0].key: "nowhere.key" does not exist'],
  },
  'a certificate in the place of a key': {
    gate: ['key: server.key', 'key: server.crt'],
    problems: ['certgate.yaml:4:10 listen[0].key: this file holds no PEM private key'],
  },
  'the key of another certificate': {
    gate: ['key: server.key', 'key: other.key'],
    problems: ['certgate.yaml:4:10 listen[0].key: this key does not belong to the certificate'],
  },
  'a server certificate that has expired': {
    gate: ['certificate: server.crt\n    key: server.key', 'certificate: expired.crt\n    key: expired.key'],
    problems: ['certgate.yaml:3:18 listen[0].certificate: the certificate expired on 2021-06-01'],
  },
  'R11 a broken line of YAML': {
    gate: ['{file: audit.jsonl}', '{file: audit.jsonl'],
    problems: ['certgate.yaml:13:1 this is not indented like what it belongs to, or a closing bracket is missing'],
  },
  'R11 a key twice': {
    accounts: ['  alice:', '  alice: {}\n  alice:'],
    problems: ['accounts.yaml:3:3 this key stands already in the same map; each may stand once'],
  },
  'an alias': {
    accounts: ['label: ci', 'label: *name'],
    problems: ['accounts.yaml:13:16 aliases are not used here; write the value itself'],
  },
  'R11 two entries for one fingerprint': {
    accounts: [PRINT_2, `sha256:${PRINT_1.toUpperCase()}`],
    problems: [
      'accounts.yaml:12:22 accounts.alice.certificates[1].fingerprint: this fingerprint stands already on line 8, for alice (laptop); it can belong to one only',
    ],
  },
  'R12 a SHA-1 fingerprint': {
    accounts: [PRINT_1, PRINT_1.slice(0, 40)],
    problems: [
      `accounts.yaml:8:22 accounts.alice.certificates[0].fingerprint: "${PRINT_1.slice(0, 40)}" has 40 hex digits, so it is a SHA-1; a SHA-256 has 64; \`openssl x509 -in id.pem -noout -fingerprint -sha256\` prints the right one`,
    ],
  },
  'R05 a key pin without an end': {
    accounts: [`- fingerprint: ${PRINT_2}`, `- public-key: ${PRINT_2}`],
    problems: [
      'accounts.yaml:12:9 accounts.alice.certificates[1]: a public-key needs expires: its holder can make a new certificate at any time',
    ],
  },
  'neither a fingerprint nor a key pin': {
    accounts: [`- fingerprint: ${PRINT_1}\n        label`, '- label'],
    problems: [
      'accounts.yaml:8:9 accounts.alice.certificates[0]: none is given; expected exactly one of fingerprint, public-key',
    ],
  },
  'a date that does not exist': {
    accounts: ['2031-11-23', '2031-02-30'],
    problems: [
      'accounts.yaml:11:18 accounts.alice.certificates[0].expires: "2031-02-30" does not exist; write it as 2031-11-23',
    ],
  },
  'a time without a time zone': {
    accounts: ['2031-11-23', '2031-11-23T12:00:00'],
    problems: [
      'accounts.yaml:11:18 accounts.alice.certificates[0].expires: "2031-11-23T12:00:00" is not a time with a time zone; write it as 2031-11-23T12:00:00Z or 2031-11-23T12:00:00+01:00',
    ],
  },
  'R11 a narrowing that is empty': {
    accounts: ['only: [read, publish]', 'only: []'],
    problems: [
      'accounts.yaml:14:15 accounts.alice.certificates[1].only: the list is empty; name an action, or use revoked to switch the certificate off',
    ],
  },
  'R11 a revocation without its value': {
    accounts: ['{on: 2027-01-05, reason: leaked}', ''],
    problems: [
      'accounts.yaml:15:9 accounts.alice.certificates[1].revoked: no value stands here; expected a map with the keys on, reason',
    ],
  },
  'a right that is none': {
    accounts: ['publish: [', 'read: ['],
    problems: [
      'accounts.yaml:6:13 accounts.alice.rights.npm: unknown key "read"; known here: publish, amend, withdraw, own, unsafe-account',
    ],
  },
  'a pattern of another glob dialect': {
    accounts: ['left-pad', '"left-?ad"'],
    problems: [
      'accounts.yaml:6:34 accounts.alice.rights.npm.publish[1]: "left-?ad" uses a glob syntax that is not known here; only * and ** are special',
    ],
  },
  'a registry that does not exist': {
    accounts: ['npm: {publish', 'nmp: {publish'],
    problems: ['accounts.yaml:6:7 accounts.alice.rights.nmp: no registry has this name; there are: npm'],
  },
  'R11 __proto__ as an account': {
    accounts: ['  alice:', '  __proto__:'],
    problems: [
      'accounts.yaml:2:3 accounts.__proto__: this is not a name of an account: small letters, digits, dots, hyphens and underscores, a letter or digit first',
    ],
  },
  'R11 __proto__ as a key': {
    accounts: ['label: laptop', 'label: laptop\n        __proto__: {only: [read]}'],
    problems: [
      'accounts.yaml:10:9 accounts.alice.certificates[0]: unknown key "__proto__"; known here: fingerprint, public-key, label, added, expires, only, revoked',
    ],
  },
  'R11 no accounts': {
    accounts: [ACCOUNTS, 'accounts: {}\n'],
    problems: [
      'accounts.yaml:1:11 accounts: the map is empty; expected a map of accounts by name, or unsafe-empty: true to serve nobody',
    ],
  },
  'R11 a file of comments': { accounts: [ACCOUNTS, '# nobody\n'], problems: ['accounts.yaml the file is empty'] },
  'everything that is wrong in both files, in order': {
    gate: ['dialect: npm', 'dialect: nmp\n    wrong: 1'],
    accounts: ['label: ci', 'label: ""'],
    problems: [
      'certgate.yaml:7:14 registries.npm.dialect: "nmp" is not one of npm, cargo, pypi, oci, maven, generic',
      'certgate.yaml:8:5 registries.npm: unknown key "wrong"; known here: dialect, public-url, upstream, upstream-ca, upstream-origins, upstream-headers, token-service, reads, unsafe-plain-upstream',
      'accounts.yaml:13:16 accounts.alice.certificates[1].label: "" is not 1 to 64 printable characters on one line',
    ],
  },
}

function edited(text: string, edit: Edit | undefined): string {
  if (edit === undefined) return text
  assert.ok(text.includes(edit[0]), `${edit[0]} stands in the file`)
  return text.replace(edit[0], edit[1])
}

describe('what is wrong is reported with its place', () => {
  for (const [name, { gate, accounts, problems }] of Object.entries(BAD)) {
    test(name, async t => {
      const bench = await createBench(t)
      await bench.write('other.key', other.key)
      await bench.write('expired.crt', expired.certificate)
      await bench.write('expired.key', expired.key)
      const loaded = await bench.load({ gate: edited(GATE, gate), accounts: edited(ACCOUNTS, accounts) })
      assert.deepEqual(problemsOf(loaded, bench.folder), problems)
    })
  }

  test('a duplicate in another account names that account', async t => {
    const bench = await createBench(t)
    const accounts = `${ACCOUNTS}  bob:\n    certificates:\n      - {fingerprint: ${PRINT_2}, label: mine}\n`
    assert.deepEqual(problemsOf(await bench.load({ accounts }), bench.folder), [
      'accounts.yaml:18:23 accounts.bob.certificates[0].fingerprint: this fingerprint stands already on line 12, for alice (ci); it can belong to one only',
    ])
  })

  test('the terminal gets the line and a caret', async t => {
    const bench = await createBench(t)
    const loaded = await bench.load({ gate: GATE.replace('reads: public', '\treads: publik').replace('\t', '') })
    assert.ok(loaded.kind === 'bad')
    assert.equal(
      formatProblems(loaded.problems).replace(`${bench.folder}/`, ''),
      `certgate.yaml:10:12: registries.npm.reads: "publik" is not one of public, certificate
        reads: publik
               ^

1 problem
`,
    )
  })

  test('what a terminal would obey is not sent to it', async t => {
    const loaded = await (await createBench(t)).load({
      gate: GATE.replace('reads: public', 'reads: "\\e[2J\\u202Epublik"'),
    })
    assert.ok(loaded.kind === 'bad')
    assert.doesNotMatch(formatProblems(loaded.problems), /[^\P{C}\n]/u)
  })

  test('of a very long line only the part around the place is shown', async t => {
    const gate = GATE.replace('audit: {', `audit: {${' '.repeat(5000)}wrong: 1,${' '.repeat(5000)}`)
    const loaded = await (await createBench(t)).load({ gate })
    assert.ok(loaded.kind === 'bad')
    assert.ok((loaded.problems[0]?.excerpt?.length ?? 0) < 300)
    assert.match(loaded.problems[0]?.excerpt ?? '', /wrong: \[hidden\]/)
  })
})
