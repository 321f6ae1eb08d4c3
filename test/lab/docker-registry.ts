// Debian's docker-registry (distribution 2.8) on loopback, with a folder for storage. It knows nothing of the gate, and
// writes absolute Locations.

import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { atEnd, type Ending } from './temporary.ts'

/** Who is let in: `open`: everybody; the others as distribution's configuration has it. */
export type RegistryAuth =
  | { readonly kind: 'open' }
  /** `htpasswd` as the tool of that name writes it: bcrypt */
  | { readonly kind: 'htpasswd'; readonly htpasswd: string }
  | {
      readonly kind: 'token'
      readonly realm: string
      readonly service: string
      readonly issuer: string
      /** PEM: the certificate of whoever signs tokens */
      readonly certificate: string
    }

export interface DockerRegistry {
  readonly origin: string
  /** all it has written so far: a line per request */
  readonly output: () => string
  /** `GET /v2/…`, in the order in which they were answered */
  readonly requests: () => readonly string[]
}

/** To start, ms. It takes a tenth of a second on an idle machine. */
const START_TIME = 30_000

/** @param folder for storage and configuration; made when it is missing */
export async function startDockerRegistry(t: Ending, folder: string, auth: RegistryAuth): Promise<DockerRegistry> {
  await mkdir(folder, { recursive: true })
  const configuration = join(folder, 'config.yml')
  await writeFile(configuration, JSON.stringify(await configurationOf(folder, auth)))
  // Ends with its parent, however that ends.
  const child = spawn('setpriv', ['--pdeathsig', 'KILL', 'docker-registry', 'serve', configuration], {
    env: { PATH: process.env['PATH'], HOME: folder },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  const closed = once(child, 'close')
  atEnd(t, async () => {
    child.kill('SIGKILL')
    await closed
  })
  const output = collectOutput(child)
  const port = await portOf(child, output)
  return {
    origin: `http://127.0.0.1:${port}`,
    output,
    requests: () => [...output().matchAll(/"([A-Z]+ \/\S*) HTTP\/1\.1"/g)].map(([, request = '']) => request),
  }
}

/** It reads YAML, of which JSON is a part. */
async function configurationOf(folder: string, auth: RegistryAuth): Promise<object> {
  return {
    version: '0.1',
    log: { level: 'info' },
    storage: { filesystem: { rootdirectory: join(folder, 'storage') }, delete: { enabled: true } },
    http: { addr: '127.0.0.1:0', relativeurls: false, secret: 'of the test' },
    auth: await authOf(folder, auth),
  }
}

async function authOf(folder: string, auth: RegistryAuth): Promise<object> {
  switch (auth.kind) {
    case 'open':
      return {}
    case 'htpasswd': {
      const path = join(folder, 'htpasswd')
      await writeFile(path, auth.htpasswd)
      return { htpasswd: { realm: 'lab', path } }
    }
    case 'token': {
      const rootcertbundle = join(folder, 'issuer.pem')
      await writeFile(rootcertbundle, auth.certificate)
      const { realm, service, issuer } = auth
      return { token: { realm, service, issuer, rootcertbundle } }
    }
  }
}

function collectOutput(child: ChildProcess): () => string {
  const chunks: string[] = []
  for (const stream of [child.stdout, child.stderr]) {
    stream?.setEncoding('utf8').on('data', (chunk: string) => chunks.push(chunk))
  }
  return () => chunks.join('')
}

async function portOf(child: ChildProcess, output: () => string): Promise<string> {
  const { promise, resolve, reject } = Promise.withResolvers<string>()
  const fail = (what: string) => reject(new Error(`docker-registry ${what}:\n${output()}`))
  const late = setTimeout(() => fail('did not start in time'), START_TIME)
  const look = (): void => {
    const [, port] = /listening on 127\.0\.0\.1:([0-9]+)/.exec(output()) ?? []
    if (port !== undefined) resolve(port)
  }
  child.stdout?.on('data', look)
  child.stderr?.on('data', look)
  child.once('error', error => fail(`was not started: ${error.message}`))
  child.once('close', (code, signal) => fail(`ended with ${code ?? signal}`))
  try {
    return await promise
  } finally {
    clearTimeout(late)
  }
}
