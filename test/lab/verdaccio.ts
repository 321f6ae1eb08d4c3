// A real Verdaccio on loopback, without uplinks: nothing it does touches the network. It is the unchanged, token-based
// backend that the tests and the demo put the gate in front of.

import { type ChildProcess, fork } from 'node:child_process'
import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

export interface VerdaccioOptions {
  /** for storage, users and configuration; one that was used before is taken up again, tokens stay valid */
  readonly folder: string
  /** undefined: a free one */
  readonly port?: number
  /** largest body of a publish, as Verdaccio spells it; undefined: `100mb` */
  readonly maxBodySize?: string
}

export interface Verdaccio {
  /** with a slash at the end, as npm writes it */
  readonly url: string
  readonly origin: string
  /** Registers a user. @returns a token; @throws when the name is taken or the password has less than 3 characters */
  readonly createUser: (name: string, password: string) => Promise<string>
  /** all it has written so far: its log has a line per request */
  readonly output: () => string
  /** Resolves when the process is gone; may be called again. */
  readonly stop: () => Promise<void>
}

const PROGRAM = fileURLToPath(new URL('../../node_modules/verdaccio/bin/verdaccio', import.meta.url))

/** To start, ms. It takes half a second on an idle machine. */
const START_TIME = 30_000

/**
 * Runs inside Verdaccio before it. Exits with its parent, however that ends, and tells the port: with `--listen :0`
 * no port is taken between choosing and binding it, but Verdaccio's own log would say 0.
 */
const PRELOADED = `data:text/javascript,${encodeURIComponent(`
  import { subscribe } from 'node:diagnostics_channel'
  process.on('disconnect', () => process.exit())
  subscribe('tracing:net.server.listen:asyncEnd', ({ server }) => process.send({ port: server.address().port }))
`)}`

/**
 * Starts Verdaccio: everyone reads, who has a token publishes and unpublishes, and only they read `@private/*`.
 *
 * @throws with its output when it does not start
 */
export async function startVerdaccio(options: VerdaccioOptions): Promise<Verdaccio> {
  await mkdir(options.folder, { recursive: true })
  const configuration = join(options.folder, 'config.yaml')
  await writeFile(configuration, JSON.stringify(configurationOf(options)))

  const child = fork(PROGRAM, ['--config', configuration, '--listen', `127.0.0.1:${options.port ?? 0}`], {
    cwd: options.folder,
    execArgv: ['--import', PRELOADED],
    // Its own variables, and a proxy's, would change what it does.
    env: { PATH: process.env['PATH'], HOME: options.folder },
    stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
  })
  const closed = new Promise(resolve => child.once('close', resolve))
  const output = collectOutput(child)
  const port = await portOf(child, output)
  const origin = `http://127.0.0.1:${port}`
  return {
    url: `${origin}/`,
    origin,
    createUser: (name, password) => createUser(origin, name, password),
    output,
    async stop() {
      child.kill()
      await closed
    },
  }
}

/** Verdaccio reads YAML, of which JSON is a part. Paths are relative to the file. */
function configurationOf({ maxBodySize = '100mb' }: VerdaccioOptions): object {
  const unlimited = { windowMs: 1000, max: 1_000_000 }
  const signedIn = { access: '$authenticated', publish: '$authenticated', unpublish: '$authenticated' }
  return {
    storage: './storage',
    // The cheapest bcrypt: a token of Verdaccio holds the password, and every request checks it anew.
    auth: { htpasswd: { file: './htpasswd', rounds: 4 } },
    uplinks: {},
    packages: { '@private/*': signedIn, '**': { ...signedIn, access: '$all' } },
    server: { keepAliveTimeout: 60 },
    max_body_size: maxBodySize,
    userRateLimit: unlimited,
    web: { rateLimit: unlimited },
    // Enabled, it asks registry.npmjs.org.
    middlewares: { audit: { enabled: false } },
    log: { type: 'stdout', format: 'pretty', level: 'http', colors: false },
  }
}

function collectOutput(child: ChildProcess): () => string {
  const chunks: string[] = []
  for (const stream of [child.stdout, child.stderr]) {
    stream?.setEncoding('utf8').on('data', (chunk: string) => chunks.push(chunk))
  }
  return () => chunks.join('')
}

async function portOf(child: ChildProcess, output: () => string): Promise<number> {
  const { promise, resolve, reject } = Promise.withResolvers<number>()
  const fail = (what: string) => reject(new Error(`Verdaccio ${what}:\n${output()}`))
  const late = setTimeout(() => fail('did not start in time'), START_TIME)
  child.on('message', message => {
    if (hasPort(message)) resolve(message.port)
  })
  child.once('error', error => fail(`was not started: ${error.message}`))
  // `close` and not `exit`: by then its output has been read to the end.
  child.once('close', (code, signal) => fail(`ended with ${code ?? signal}`))
  try {
    return await promise
  } catch (error) {
    child.kill()
    throw error
  } finally {
    clearTimeout(late)
  }
}

function hasPort(message: unknown): message is { port: number } {
  return typeof message === 'object' && message !== null && 'port' in message && typeof message.port === 'number'
}

/** What `npm adduser` sends. */
async function createUser(origin: string, name: string, password: string): Promise<string> {
  const response = await fetch(`${origin}/-/user/org.couchdb.user:${encodeURIComponent(name)}`, {
    method: 'PUT',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ name, password }),
  })
  const answer: unknown = await response.json()
  const token = typeof answer === 'object' && answer !== null && 'token' in answer ? answer.token : undefined
  if (response.status === 201 && typeof token === 'string' && token !== '') return token
  throw new Error(`Verdaccio did not register ${name}: ${response.status} ${JSON.stringify(answer)}`)
}
