// The round trip of the demo: the unmodified npm, in homes without a token, does what a user would do, and each step
// says whether it held.

import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { IdentityFiles } from '../src/certfp/certificate.ts'
import { createNpmHome, type NpmHome, type NpmResult, runNpm, writePackage } from '../test/lab/npm.ts'
import type { Stage } from './stage.ts'

export interface Step {
  readonly name: string
  readonly ok: boolean
  /** what npm said, for a step that did not hold */
  readonly detail: string
}

export async function* makeRoundTrip(stage: Stage): AsyncGenerator<Step> {
  const alice = await homeOf(stage, 'alice', stage.alice)
  const stranger = await homeOf(stage, 'stranger', stage.stranger)
  const expired = await homeOf(stage, 'expired', stage.expired)

  const npmrc = await readFile(join(alice.folder, '.npmrc'), 'utf8')
  yield { name: 'no token is in .npmrc', ok: !/token|_auth|password/i.test(npmrc), detail: npmrc }

  const hello = await packageOf(stage, 'hello', 'hello', '1.0.0')
  const published = await runNpm(alice, ['publish'], { cwd: hello })
  yield step('npm publish hello 1.0.0, with the certificate alone', published, published.code === 0)

  const whoami = await runNpm(alice, ['whoami'], { cwd: hello })
  yield step('npm whoami says alice', whoami, whoami.code === 0 && whoami.stdout.trim() === 'alice')

  const app = await packageOf(stage, 'app', 'app', '1.0.0')
  const installed = await runNpm(alice, ['install', 'hello'], { cwd: app })
  const content = await readFile(join(app, 'node_modules', 'hello', 'index.js'), 'utf8').catch(() => '')
  yield step('npm install hello, somewhere else', installed, installed.code === 0 && content.includes('1.0.0'))

  const lock = await readFile(join(app, 'package-lock.json'), 'utf8').catch(() => '')
  const leads =
    lock.includes(`"resolved": "${stage.url}hello/-/hello-1.0.0.tgz"`) && !lock.includes(stage.registryOrigin)
  yield { name: 'the lock file leads to the gate, not to the registry behind it', ok: leads, detail: lock }

  await writePackage(hello, { name: 'hello', version: '1.0.1' })
  yield refused('an unknown certificate', await runNpm(stranger, ['publish'], { cwd: hello }), /is not enrolled here/)
  yield refused('an expired certificate', await runNpm(expired, ['publish'], { cwd: hello }), /expired at \d{4}-/)

  const foreign = await packageOf(stage, 'foreign', 'left-pad', '1.0.0')
  const outside = await runNpm(alice, ['publish'], { cwd: foreign })
  yield refused('a package outside the rights', outside, /account alice has no right to publish left-pad/)

  const view = await runNpm(alice, ['view', 'hello', 'versions', '--json'], { cwd: app })
  yield step('only hello 1.0.0 is in the registry', view, /^\[?\s*"1\.0\.0"\s*\]?$/.test(view.stdout.trim()))
}

function homeOf(stage: Stage, name: string, { certificate, key }: IdentityFiles): Promise<NpmHome> {
  const options = { registry: stage.url, cafile: stage.server, certfile: certificate, keyfile: key }
  return createNpmHome(join(stage.folder, 'homes', name), options)
}

async function packageOf(stage: Stage, folder: string, name: string, version: string): Promise<string> {
  const path = join(stage.folder, 'packages', folder)
  await writePackage(path, { name, version })
  return path
}

function step(name: string, { code, stdout, stderr }: NpmResult, ok: boolean): Step {
  return { name, ok, detail: `npm ended with ${code}\n${stdout}${stderr}`.trimEnd() }
}

function refused(what: string, result: NpmResult, sentence: RegExp): Step {
  const ok = result.code !== 0 && sentence.test(result.stderr)
  return step(`npm publish with ${what} is refused, and npm says why`, result, ok)
}
