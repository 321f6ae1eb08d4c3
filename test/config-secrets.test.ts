// R14 and R43: where credentials come from, and that nothing shows them.

import assert from 'node:assert/strict'
import { chmod } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import { inspect } from 'node:util'
import { formatProblems } from '../src/config/problem.ts'
import { ACCOUNTS, type Bench, configOf, createBench, GATE, problemsOf } from './lab/configuration.ts'

const REFERENCE = '{bearer: {env: ALICE_NPM_TOKEN}}'

function withCredential(yaml: string): string {
  return ACCOUNTS.replace(REFERENCE, yaml)
}

/** The header field that a credential becomes. */
async function fieldOf(bench: Bench, yaml: string, env: NodeJS.ProcessEnv = {}): Promise<string> {
  const { accounts } = configOf(await bench.load({ accounts: withCredential(yaml), env }))
  const credential = accounts[0]?.credentials.get('npm')
  return `${credential?.field}: ${credential?.value.open()}`
}

describe('a credential becomes a header field', () => {
  const FIELDS: readonly (readonly [yaml: string, field: string])[] = [
    ['{bearer: {env: T}}', 'authorization: Bearer t0ken'],
    ['{raw: {env: T}}', 'authorization: t0ken'],
    ['{basic: {username: alice, password: {env: T}}}', `authorization: Basic ${btoa('alice:t0ken')}`],
    ['{header: {name: X-Api-Key, value: {env: T}}}', 'x-api-key: t0ken'],
    ['{bearer: {file: token}}', 'authorization: Bearer from-file'],
    ['{bearer: {file: ./secrets/crlf}}', 'authorization: Bearer from-file'],
    ['{raw: {command: [printf, "%s %s\\\\n", Token, $HOME]}}', 'authorization: Token $HOME'],
    ['{bearer: {command: [./tool.sh]}}', 'authorization: Bearer from-tool-t0ken'],
  ]
  for (const [yaml, field] of FIELDS) {
    test(yaml, async t => {
      const bench = await createBench(t)
      await bench.write('token', 'from-file\n')
      await bench.write('secrets/crlf', 'from-file\r\n', 0o400)
      await bench.write('tool.sh', '#!/bin/sh\ncat\necho "from-tool-$T"\n', 0o700)
      assert.equal(await fieldOf(bench, yaml, { T: 't0ken', PATH: process.env['PATH'] }), field)
    })
  }
})

describe('what is no secret, or no credential, is refused', () => {
  const VALUE = ' holds a character other than printable ASCII, such as a line break'
  const BAD: readonly (readonly [yaml: string, problem: string])[] = [
    ['{bearer: {env: NOPE}}', '4:27 npm.bearer.env: the environment variable NOPE is not set'],
    ['{bearer: {env: EMPTY}}', '4:27 npm.bearer.env: the environment variable EMPTY is empty'],
    ['{bearer: {env: LINES}}', `4:27 npm.bearer.env: the environment variable LINES${VALUE}`],
    ['{bearer: {env: SPACES}}', '4:27 npm.bearer.env: the environment variable SPACES begins or ends with a space'],
    ['{bearer: {env: npm_canary}}', '4:27 npm.bearer.env: the environment variable named here is not set'],
    ['{raw: {file: nope}}', '4:25 npm.raw.file: "nope" does not exist'],
    ['{raw: {file: empty}}', '4:25 npm.raw.file: "empty" is empty'],
    ['{raw: {file: two-lines}}', `4:25 npm.raw.file: "two-lines"${VALUE}`],
    ['{raw: {file: umlaut}}', `4:25 npm.raw.file: "umlaut"${VALUE}`],
    ['{raw: {file: .}}', '4:25 npm.raw.file: "." is a directory; expected a file'],
    [
      '{raw: {file: open}}',
      '4:25 npm.raw.file: "open" is open to others than its owner (mode 0640); run: chmod 600 open',
    ],
    ['{raw: {command: []}}', '4:28 npm.raw.command: the command is empty; expected a program and its arguments'],
    [
      '{raw: {command: [sh, -c, "echo npm_canary; echo npm_canary >&2; exit 3"]}}',
      '4:28 npm.raw.command: the command failed with exit code 3',
    ],
    [
      '{raw: {command: [./nope]}}',
      '4:28 npm.raw.command: the command does not exist; its path is relative to this file',
    ],
    ['{raw: {command: ["true"]}}', '4:28 npm.raw.command: what the command printed is empty'],
    [
      '{raw: {command: [sh, -c, "yes | head -c 100000"]}}',
      '4:28 npm.raw.command: the command printed more than 64 KiB',
    ],
    [
      '{raw: {env: T, file: token}}',
      '4:18 npm.raw: env and file are given; expected exactly one of env, file, command',
    ],
    [
      '{raw: {env: T}, bearer: {env: T}}',
      '4:12 npm: bearer and raw are given; expected exactly one of bearer, basic, raw, header',
    ],
    ['{}', '4:12 npm: none is given; expected exactly one of bearer, basic, raw, header'],
    ['{baerer: {env: T}}', '4:13 npm: unknown key "baerer"; did you mean bearer?'],
    [
      '{basic: {username: "a:b", password: {env: T}}}',
      '4:31 npm.basic.username: this is not a user name: printable ASCII without a colon',
    ],
    ['{header: {name: "X Key", value: {env: T}}}', '4:28 npm.header.name: this is not the name of a header field'],
    [
      '{header: {name: Content-Length, value: {env: T}}}',
      '4:28 npm.header.name: the gate sets this header field itself',
    ],
    [
      '{header: {name: X-Forwarded-For, value: {env: T}}}',
      '4:28 npm.header.name: the gate sets this header field itself',
    ],
  ]
  for (const [yaml, problem] of BAD) {
    test(yaml, async t => {
      const bench = await createBench(t)
      await bench.write('token', 'x')
      await bench.write('empty', '\n')
      await bench.write('two-lines', 'npm_canary\nnpm_canary\n')
      await bench.write('umlaut', 'npm_c\u00e4nary')
      await bench.write('open', 'npm_canary', 0o640)
      const env = { T: 'x', EMPTY: '', LINES: 'npm_canary\r\nX: y', SPACES: ' npm_canary', PATH: process.env['PATH'] }
      const loaded = await bench.load({ accounts: withCredential(yaml), env })
      const words = problem.replace(' npm', ' accounts.alice.credentials.npm')
      // Paths are shown whole.
      const found = problemsOf(loaded, bench.folder).map(it => it.replace(`"${bench.folder}"`, '"."'))
      assert.deepEqual(found, [`accounts.yaml:${words}`])
      assert.ok(loaded.kind === 'bad')
      assert.doesNotMatch(formatProblems(loaded.problems), /npm_canary/)
    })
  }

  test('a command that hangs is stopped', async t => {
    const bench = await createBench(t)
    const accounts = withCredential('{raw: {command: [sh, -c, "sleep 50; echo late"]}}')
    const loaded = await bench.load({ accounts, env: { PATH: process.env['PATH'] }, commandTime: 200 })
    assert.match(problemsOf(loaded, bench.folder).join(), /took longer than 0.2 s and was stopped/)
  })
})

describe('R43 what holds a secret is for its owner only', () => {
  for (const mode of [0o640, 0o604, 0o620, 0o602, 0o601, 0o644]) {
    test(`R43 a server key of mode ${mode.toString(8)}`, async t => {
      const bench = await createBench(t)
      const key = join(bench.folder, 'server.key')
      await chmod(key, mode)
      assert.deepEqual(problemsOf(await bench.load(), bench.folder), [
        `certgate.yaml:4:10 listen[0].key: "server.key" is open to others than its owner (mode 0${mode.toString(8)}); run: chmod 600 server.key`,
      ])
      await chmod(key, 0o600)
      configOf(await bench.load())
    })
  }

  test('R43 the command to mend it can be pasted whatever the path holds', async t => {
    const bench = await createBench(t)
    await bench.write("it's $(here)", 'x', 0o644)
    const loaded = await bench.load({ accounts: withCredential(`{raw: {file: "it's $(here)"}}`) })
    assert.ok(problemsOf(loaded, bench.folder)[0]?.endsWith("run: chmod 600 'it'\\''s $(here)'"))
  })
})

describe('R14 a secret is shown by nothing', () => {
  test('R14 not by the configuration that holds it', async t => {
    const config = configOf(await (await createBench(t)).load({ env: { ALICE_NPM_TOKEN: 'npm_canary' } }))
    assert.equal(config.accounts[0]?.credentials.get('npm')?.value.open(), 'Bearer npm_canary')
    const shown = [inspect(config, { depth: 20, showHidden: true }), JSON.stringify(config), String(config)].join()
    assert.doesNotMatch(shown, /npm_canary/)
    assert.doesNotMatch(JSON.stringify(config), /PRIVATE KEY/)
    assert.ok(!('key' in JSON.parse(JSON.stringify(config)).listen[0]))
  })

  const CANARY = 'npm_CANARY0CANARY0CANARY0'
  const LITERALS = [
    `{bearer: ${CANARY}}`,
    `{bearer: "${CANARY}"}`,
    `{bearer: {env: ${CANARY}}}`,
    `{bearer: {${CANARY}}}`,
    `{bearer: [${CANARY}]}`,
    `{bearer: {token: ${CANARY}}}`,
    `{token: ${CANARY}}`,
    `{${CANARY}}`,
    CANARY,
    `"Bearer ${CANARY}"`,
    `{basic: {username: alice, password: ${CANARY}}}`,
    `{basic: "alice:${CANARY}"}`,
    `{header: {name: "X-Api-Key: ${CANARY}"}}`,
    `{header: {name: X-Api-Key, value: ${CANARY}}}`,
    `{bearer: {command: [./none, ${CANARY}]}}`,
    `\n        bearer: ${CANARY}`,
    `\n        bearer:\n          ${CANARY}`,
    `\n        bearer: |\n          ${CANARY}`,
    `\n        bearer: *${CANARY}`,
    `\n        bearer: &${CANARY} x`,
    `\n        bearer: !${CANARY} x`,
    `\n        bearer: @${CANARY}`,
    `\n        bearer: "\\q${CANARY}"`,
    `\n        bearer: a: ${CANARY}`,
    `\n        bearer: ${CANARY}: a`,
    `\n        bearer: {env: T} ${CANARY}`,
    `\n        bearer: "a" ${CANARY}`,
    `\n        bearer: ${CANARY}\n        bearer: ${CANARY}`,
    `\n        bearer:\n          env: T\n          ${CANARY}`,
    `{bearer:\n${CANARY}}`,
    `{bearer: npm\n  ${CANARY}}`,
    `\n        ? bearer: ${CANARY}`,
    `\n        bearer: # ${CANARY}`,
  ]
  for (const literal of LITERALS) {
    test(`R14 not by a problem, where it stands in the file: ${JSON.stringify(literal).replaceAll(CANARY, '…')}`, async t => {
      const bench = await createBench(t)
      const accounts = withCredential(literal)
      for (const text of [accounts, ...mangled(accounts, accounts.indexOf(literal), literal.length)]) {
        const loaded = await bench.load({ gate: GATE.replace('reads', 'reeds'), accounts: text, env: { T: 'x' } })
        assert.ok(loaded.kind === 'bad')
        const shown = `${formatProblems(loaded.problems)}${inspect(loaded)}`
        assert.doesNotMatch(shown, /CANARY/, `shown of:\n${text}\n${shown}`)
      }
    })
  }

  test('R14 not by a problem with a URL that it stands in', async t => {
    const bench = await createBench(t)
    const URLS = [
      `http://a:${CANARY}@127.0.0.1`,
      `ftp://${CANARY}@x`,
      `http://x/?token=${CANARY}`,
      `//${CANARY}@x y`,
      `"h@:${CANARY}"`,
    ]
    for (const url of URLS) {
      const loaded = await bench.load({ gate: GATE.replace('http://127.0.0.1:4873', url) })
      assert.ok(loaded.kind === 'bad')
      assert.doesNotMatch(formatProblems(loaded.problems), /CANARY/, url)
    }
  })
})

/** Cut at each place of a stretch, and with each character of it missing. */
function mangled(text: string, from: number, length: number): string[] {
  return Array.from({ length: length + 1 }, (_, i) => from + i).flatMap(at => [
    text.slice(0, at),
    text.slice(0, at) + text.slice(at + 1),
  ])
}
