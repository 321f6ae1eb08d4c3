// R11: whatever becomes of the files, the result is a whole configuration or a refusal, never an exception.

import assert from 'node:assert/strict'
import { chmod } from 'node:fs/promises'
import { describe, type TestContext, test } from 'node:test'
import { parse } from 'yaml'
import type { Config, Loaded } from '../src/config/config.ts'
import { DEFAULT_LIMITS } from '../src/config/limits.ts'
import { loadConfig } from '../src/config/load.ts'
import { ACCOUNTS, configOf, createBench, GATE, problemsOf } from './lab/configuration.ts'

describe('R11 a file that is cut short', () => {
  test('R11 accounts.yaml at every byte: bad, or exactly what stands there', { timeout: 120_000 }, async t => {
    const bench = await createBench(t)
    let whole = 0
    for (let length = 0; length < ACCOUNTS.length; length++) {
      const accounts = ACCOUNTS.slice(0, length)
      const loaded = await bench.load({ accounts })
      if (loaded.kind === 'ok') {
        whole++
        assert.deepEqual(outlineOf(loaded.config), naiveOutline(accounts), `cut at ${length}`)
      } else assert.ok(loaded.problems.length > 0)
    }
    assert.ok(whole > 0 && whole < ACCOUNTS.length / 2, `${whole} of ${ACCOUNTS.length} are whole`)
  })

  test('R11 certgate.yaml at every byte: bad, or exactly what stands there', { timeout: 120_000 }, async t => {
    const bench = await createBench(t)
    for (let length = 0; length < GATE.length; length++) {
      const gate = GATE.slice(0, length)
      const loaded = await bench.load({ gate })
      if (loaded.kind === 'bad') continue
      assert.ok(length > GATE.indexOf('audit.j'), 'every key that must be there is there')
      assert.deepEqual(
        loaded.config.registries.map(it => [it.name, it.reads]),
        [['npm', 'public']],
      )
      assert.ok([30_000, 3_000, DEFAULT_LIMITS.idle].includes(loaded.config.limits.idle))
    }
  })
})

/** What matters of the accounts file's content. */
function outlineOf({ enrolments, accounts }: Config) {
  return {
    accounts: accounts.map(({ name }) => name),
    patterns: accounts.map(({ rights }) => [...rights.values()].map(right => right.publish?.patterns)),
    certificates: enrolments.map(({ pinned, label, expires, only, revoked }) => [
      pinned.kind === 'certificate' ? pinned.fingerprint : pinned.pin,
      label,
      Number.isFinite(expires) ? new Date(expires - 1).toISOString().slice(0, 10) : undefined,
      only && [...only],
      revoked && { ...revoked },
    ]),
  }
}

/** The same by the library's own reading, without a schema. */
function naiveOutline(text: string) {
  const { accounts } = parse(text, { schema: 'failsafe' })
  const people: [string, { rights?: object; certificates?: Record<string, unknown>[] }][] = Object.entries(accounts)
  return {
    accounts: people.map(([name]) => name),
    patterns: people.map(([, { rights }]) => Object.values(rights ?? {}).map(({ publish }) => publish)),
    certificates: people.flatMap(([, { certificates }]) =>
      (certificates ?? []).map(it => [it['fingerprint'], it['label'], it['expires'], it['only'], it['revoked']]),
    ),
  }
}

describe('R11 what is no text file', () => {
  async function loadAccounts(t: TestContext, accounts: string | Buffer): Promise<[Loaded, string[]]> {
    const bench = await createBench(t)
    const loaded = await bench.load({ accounts })
    return [loaded, problemsOf(loaded, bench.folder)]
  }

  const ODD: readonly (readonly [name: string, content: string | Buffer, problem: RegExp | undefined])[] = [
    ['a byte order mark', `\ufeff${ACCOUNTS}`, undefined],
    ['CRLF', ACCOUNTS.replaceAll('\n', '\r\n'), undefined],
    ['an empty file', '', /^accounts\.yaml the file is empty$/],
    [
      'a NUL byte',
      ACCOUNTS.replace('laptop', 'lap\0top'),
      /^accounts\.yaml:9:19 the control character U\+0000 stands here/,
    ],
    ['a NUL byte after everything', `${ACCOUNTS}\0`, /^accounts\.yaml:16:1 the control character/],
    [
      'Latin-1',
      Buffer.from(ACCOUNTS.replace('laptop', 'lapt\u00f6p'), 'latin1'),
      /^accounts\.yaml:9:20 this is not UTF-8/,
    ],
    ['UTF-16', Buffer.from(`\ufeff${ACCOUNTS}`, 'utf16le'), /^accounts\.yaml:1:1 this is not UTF-8/],
    ['a list', '- alice\n', /a list stands here; expected a map with the keys accounts/],
    ['a word', 'alice', /text stands here; expected a map/],
    ['a second document', `${ACCOUNTS}---\n${ACCOUNTS}`, /accounts\.yaml:16:1 a second document begins here/],
    ['nesting without end', '['.repeat(50_000), /nested too deeply/],
    ['aliases that multiply', `a: &a [x]\nb: &b [*a, *a]\nc: [*b, *b]\n`, /aliases are not used here/],
    ['a tag', ACCOUNTS.replace('laptop', '!!js/function x'), /tags are not used here/],
    ['a complex key', `? {a: b}\n: c\n${ACCOUNTS}`, /a key must be text/],
  ]
  for (const [name, content, problem] of ODD) {
    test(name, async t => {
      const [loaded, problems] = await loadAccounts(t, content)
      if (problem === undefined) assert.equal(configOf(loaded).enrolments.length, 2)
      else assert.match(problems.join('\n'), problem)
    })
  }

  test('a missing file, a directory, a device; named in certgate.yaml or on the command line', async t => {
    const bench = await createBench(t)
    const named = async (path: string) =>
      problemsOf(await bench.load({ gate: GATE.replace('accounts.yaml', path) }), bench.folder)
    assert.deepEqual(await named('nobody.yaml'), ['certgate.yaml:11:11 accounts: "nobody.yaml" does not exist'])
    assert.deepEqual(await named('../'), [
      `certgate.yaml:11:11 accounts: "${bench.folder.replace(/[^/]*$/, '')}" is a directory; expected a file`,
    ])
    assert.deepEqual(await named('/dev/zero'), ['certgate.yaml:11:11 accounts: "/dev/zero" is not a regular file'])
    assert.deepEqual(problemsOf(await loadConfig(`${bench.folder}/none.yaml`, {}), bench.folder), [
      'none.yaml the file does not exist',
    ])
  })

  test('a file that may not be read', {
    skip: process.getuid?.() !== 0 && 'needs root, to become somebody else',
  }, async t => {
    const bench = await createBench(t)
    await bench.load()
    await chmod(bench.folder, 0o755)
    for (const [name, problem] of [
      ['certgate.yaml', 'certgate.yaml the file may not be read by the user that certgate runs as'],
      [
        'accounts.yaml',
        'certgate.yaml:11:11 accounts: "accounts.yaml" may not be read by the user that certgate runs as',
      ],
    ] as const) {
      await chmod(`${bench.folder}/${name}`, 0o600)
      const loaded = await asNobody(() => loadConfig(`${bench.folder}/certgate.yaml`, {}))
      assert.ok(problemsOf(loaded, bench.folder).includes(problem), problemsOf(loaded, bench.folder).join('\n'))
      await chmod(`${bench.folder}/${name}`, 0o644)
    }
  })
})

async function asNobody<T>(task: () => Promise<T>): Promise<T> {
  process.seteuid?.(65_534)
  try {
    return await task()
  } finally {
    process.seteuid?.(0)
  }
}
