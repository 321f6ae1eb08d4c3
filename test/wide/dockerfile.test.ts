// Does what the Dockerfile says without a Docker engine: each stage is a folder, its commands run there on the Node
// that runs the tests, and what comes out is started. Needs git, npm and the npm registry.

import assert from 'node:assert/strict'
import { cp, mkdir, readFile, stat } from 'node:fs/promises'
import { delimiter, dirname, join, resolve } from 'node:path'
import { test } from 'node:test'
import { type Ending, temporaryFolder } from '../lab/temporary.ts'
import { mustRun, runTool } from '../lab/tool.ts'

interface Instruction {
  readonly word: string
  readonly rest: string
}

interface Stage {
  readonly name: string
  readonly base: string
  /** stands for `/` */
  readonly root: string
  workdir: string
  readonly env: Record<string, string>
  readonly settings: Map<string, string>
}

function instructionsOf(text: string): Instruction[] {
  return text
    .replace(/^#.*\n/gm, '')
    .replace(/\\\n/g, ' ')
    .split('\n')
    .filter(line => line.trim() !== '')
    .map(line => {
      const [, word = '', rest = ''] = /^([A-Z]+) +(.*)$/.exec(line) ?? []
      return { word, rest }
    })
}

function within(stage: Stage, path: string): string {
  return join(stage.root, resolve(stage.workdir, path))
}

/** What would be sent to the engine: the files under version control or about to be, less what .dockerignore leaves out. */
async function makeContext(t: Ending): Promise<string> {
  const context = await temporaryFolder(t)
  const [star, ...wanted] = (await readFile('.dockerignore', 'utf8')).split('\n').filter(line => /^[^#]/.test(line))
  assert.equal(star, '*', 'what is not named stays outside')
  const allowed = wanted.map(line => {
    assert.match(line, /^![\w./-]+$/)
    return line.slice(1)
  })
  const listed = await mustRun('git', ['ls-files', '-z', '--cached', '--others', '--exclude-standard'])
  for (const file of listed.split('\0').filter(Boolean)) {
    if (!allowed.some(path => file === path || file.startsWith(`${path}/`))) continue
    await cp(file, join(context, file))
  }
  return context
}

/** Nothing of an outer npm, and a cache of its own: the image's commands empty it. */
function environmentOf(stage: Stage, cache: string): Record<string, string | undefined> {
  const outer = /^npm_(?!config_)|^npm_config_(?:local_|global_)?prefix$|^NODE_(?:ENV|TEST_CONTEXT)$/i
  const unwanted = Object.keys(process.env).filter(name => outer.test(name))
  return {
    ...Object.fromEntries(unwanted.map(name => [name, undefined])),
    PATH: [dirname(process.execPath), process.env['PATH']].join(delimiter),
    npm_config_cache: cache,
    ...stage.env,
  }
}

async function copy(stage: Stage, stages: readonly Stage[], context: string, rest: string): Promise<void> {
  const words = rest.split(' ')
  const from = words[0]?.startsWith('--from=') ? words.shift()?.slice('--from='.length) : undefined
  const source = from === undefined ? undefined : stages.find(({ name }) => name === from)
  assert.ok(from === undefined || source !== undefined, `no stage ${from}`)
  const target = words.pop() ?? ''
  for (const path of words) {
    const origin = source === undefined ? join(context, path) : within(source, path)
    const isFolder = (await stat(origin)).isDirectory()
    await cp(origin, isFolder || !target.endsWith('/') ? within(stage, target) : within(stage, join(target, path)), {
      recursive: true,
    })
  }
}

/** @returns the last stage */
async function build(t: Ending): Promise<Stage> {
  const context = await makeContext(t)
  const cache = await temporaryFolder(t)
  const stages: Stage[] = []
  for (const { word, rest } of instructionsOf(await readFile('Dockerfile', 'utf8'))) {
    if (word === 'FROM') {
      const [, base = '', name = ''] = /^(\S+)(?: AS (\S+))?$/.exec(rest) ?? []
      const root = await temporaryFolder(t)
      stages.push({ name, base, root, workdir: '/', env: {}, settings: new Map() })
      continue
    }
    const stage = stages.at(-1)
    assert.ok(stage !== undefined)
    switch (word) {
      case 'WORKDIR':
        stage.workdir = rest
        await mkdir(within(stage, '.'), { recursive: true })
        break
      case 'COPY':
        await copy(stage, stages, context, rest)
        break
      case 'RUN':
        await mustRun('sh', ['-euc', rest], {
          cwd: within(stage, '.'),
          env: environmentOf(stage, cache),
          limit: 300_000,
        })
        break
      case 'ENV': {
        const [, name = '', value = ''] = /^(\w+)=(\S+)$/.exec(rest) ?? []
        stage.env[name] = value
        break
      }
      default:
        assert.match(word, /^(?:USER|EXPOSE|ENTRYPOINT|CMD)$/, `${word} is not known to this test`)
        stage.settings.set(word, rest)
    }
  }
  const last = stages.at(-1)
  assert.ok(last !== undefined)
  return last
}

test('the Dockerfile builds an image that starts', { timeout: 600_000 }, async t => {
  const image = await build(t)
  assert.match(image.base, /^node:26-slim$/)
  assert.match(image.settings.get('USER') ?? '', /^[1-9]\d*:[1-9]\d*$/)
  assert.equal(image.settings.get('EXPOSE'), '8443')

  const [node, script = '', ...none] = JSON.parse(image.settings.get('ENTRYPOINT') ?? '') as string[]
  assert.deepEqual([node, none], ['node', []])
  const { version } = JSON.parse(await readFile('package.json', 'utf8')) as { version: string }
  const env = { ...image.env, HOME: '/nonexistent' }
  const run = (args: readonly string[]) =>
    runTool(process.execPath, [within(image, script), ...args], { cwd: '/', env })

  const told = await run(['--version'])
  assert.deepEqual([told.code, told.stdout, told.stderr], [0, `${version}\n`, ''])

  const [command, ...args] = JSON.parse(image.settings.get('CMD') ?? '') as string[]
  assert.equal(command, 'serve')
  const served = await run([command, ...args])
  // There is no such configuration on this machine; it gets so far as to say so.
  assert.equal(served.code, 1)
  assert.match(served.stderr, /^\/etc\/certgate\/certgate\.yaml/)

  for (const missing of ['node_modules/verdaccio', 'node_modules/typescript', 'node_modules/node', 'src', 'test']) {
    await assert.rejects(stat(within(image, missing)), { code: 'ENOENT' })
  }
})
