import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { access, glob, readFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { describe, test } from 'node:test'
import { promisify } from 'node:util'

const run = promisify(execFile)
const documents: string[] = []
for await (const file of glob('**/*.md', { exclude: ['node_modules', 'dist'] })) documents.push(file)

const FOLDERS = /^(?:src|test|demo|config|certs|deploy|docs|bench|\.ci)\//

describe('documents', () => {
  for (const document of documents) {
    test(`${document}: the files that it names exist`, async () => {
      const text = await readFile(document, 'utf8')
      const links = [...text.matchAll(/\]\(([^)#]+)\)/g)]
        .map(([, link = '']) => link)
        .filter(link => !/^https?:/.test(link))
      for (const link of links) await access(join(dirname(document), link))
      const named = [...text.matchAll(/`([^`\s]+)`/g)].map(([, word = '']) => word).filter(word => FOLDERS.test(word))
      for (const path of named) await access(path)
    })

    test(`${document}: the scripts that it names exist`, async () => {
      const text = await readFile(document, 'utf8')
      const { scripts } = JSON.parse(await readFile('package.json', 'utf8')) as { scripts: Record<string, string> }
      for (const [, script = ''] of text.matchAll(/npm run (?:-s )?([a-z][a-z:]*)/g)) {
        assert.ok(script in scripts, `npm run ${script}`)
      }
    })

    test(`${document}: the commands and options that it names exist`, async () => {
      const text = await readFile(document, 'utf8')
      for (const [, command = '', rest = ''] of text.matchAll(/certgate -- ([a-z]+)((?: [^\s`]+)*)/g)) {
        const { stdout } = await run(process.execPath, ['src/certgate.ts', command, '--help'])
        for (const [option] of rest.matchAll(/--[a-z-]+/g)) assert.ok(stdout.includes(option), `${command} ${option}`)
      }
    })
  }

  test('README: the refusals and dialects that it names exist', async () => {
    const text = await readFile('README.md', 'utf8')
    for (const [, name = ''] of text.matchAll(/^\| `([a-z]+)` \|/gm)) await access(`src/dialects/${name}.ts`)
  })

  test('nothing speaks of a machine or of how it was made', async () => {
    const { stdout } = await run('git', ['ls-files'])
    for (const file of stdout.trim().split('\n')) {
      if (file === 'test/documents.test.ts' || file.endsWith('.json')) continue
      const text = await readFile(file, 'utf8').catch(() => '')
      assert.doesNotMatch(text, /\/work\/|\bissue #?[0-9]|\bsession [0-9]|\/root\//, file)
    }
  })
})
