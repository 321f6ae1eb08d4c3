// What a test of the npm command line plays in: a real Verdaccio with a registered user, a gate in front that holds her
// token, and homes of npm that hold certificates and nothing else.

import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { TestContext } from 'node:test'
import { connectClient, type RawResponse } from './client.ts'
import { enrol, makeAccount, startTestGate, type TestGate } from './gate.ts'
import { makeIdentity, type TestIdentity } from './identities.ts'
import { createNpmHome, type NpmHome, type NpmResult, type RunOptions, runNpm, writePackage } from './npm.ts'
import { startTap, type Tap } from './tap.ts'
import { atEnd, freePort, temporaryFolder } from './temporary.ts'
import { startVerdaccio, type Verdaccio } from './verdaccio.ts'

const DAY = 86_400_000
const HOST = 'localhost'
/** What alice may do everything to. */
const OWN = ['@acme/*', 'left', 'large']

/** Whose certificate is in a home of npm. */
export interface Homes {
  readonly alice: NpmHome
  /** a certificate that is not enrolled */
  readonly stranger: NpmHome
  /** enrolled as alice's, and past its end */
  readonly expired: NpmHome
  /** no certificate */
  readonly nobody: NpmHome
}

export interface Scene {
  readonly folder: string
  readonly verdaccio: Verdaccio
  /** what the gate said to Verdaccio */
  readonly tap: Tap
  readonly gate: TestGate
  /** of the gate, with a slash at the end */
  readonly url: string
  /** like `url`, for a second way to the same Verdaccio, where reads need a certificate */
  readonly closedUrl: string
  readonly homes: Homes
  /** her token at Verdaccio, which only the gate has */
  readonly token: string
  readonly alice: TestIdentity
  /** Writes a package. @returns its folder */
  readonly write: (name: string, version: string, files?: Readonly<Record<string, Uint8Array>>) => Promise<string>
  /** undefined `cwd`: a folder without a package */
  readonly npm: (who: NpmHome, args: readonly string[], options?: Partial<RunOptions>) => Promise<NpmResult>
  /** Sends a request, to which only Host is added, without any library's help. */
  readonly ask: (request: string, identity?: TestIdentity) => Promise<RawResponse>
}

export async function openScene(t: TestContext): Promise<Scene> {
  const folder = await temporaryFolder(t)
  const verdaccio = await startVerdaccio({ folder: join(folder, 'verdaccio') })
  atEnd(t, verdaccio.stop)
  const tap = await startTap(t, verdaccio.origin)
  const token = await verdaccio.createUser('alice', 'secret word')
  const [alice, stranger] = [await makeIdentity(), await makeIdentity()]
  const expired = await makeIdentity({
    notBefore: new Date(Date.now() - 2 * DAY),
    notAfter: new Date(Date.now() - DAY),
  })
  const rights = { publish: OWN, amend: OWN, withdraw: OWN, own: OWN }
  const account = makeAccount({ name: 'alice', credential: `Bearer ${token}`, rights })
  const enrolments = [enrol(alice, account), enrol(expired, account)]

  async function open(reads: 'public' | 'certificate'): Promise<TestGate> {
    const port = await freePort()
    const publicUrl = new URL(`https://${HOST}:${port}`)
    return startTestGate(t, { upstream: tap.origin, enrolments, port, registry: { publicUrl, reads } })
  }

  const gate = await open('public')
  const closed = await open('certificate')
  const home = createHomes(folder, [urlOf(gate), urlOf(closed)], gate.certificate)
  return {
    folder,
    verdaccio,
    tap,
    gate,
    url: urlOf(gate),
    closedUrl: urlOf(closed),
    token,
    alice,
    homes: {
      alice: await home('alice', alice),
      stranger: await home('stranger', stranger),
      expired: await home('expired', expired),
      nobody: await home('nobody', undefined),
    },
    async write(name, version, files = {}) {
      const path = join(folder, 'packages', name)
      await writePackage(path, { name, version, files })
      return path
    },
    npm: (who, args, options = {}) => runNpm(who, args, { cwd: folder, ...options }),
    async ask(request, identity) {
      const client = await connectClient(t, { port: gate.port, servername: HOST, identity })
      client.send(request.replace('\r\n', `\r\nHost: ${HOST}:${gate.port}\r\n`))
      const response = await client.response(request.slice(0, request.indexOf(' ')))
      client.socket.destroy()
      return response
    },
  }
}

function urlOf({ port }: TestGate): string {
  return `https://${HOST}:${port}/`
}

type HomeMaker = (name: string, identity: TestIdentity | undefined) => Promise<NpmHome>

/** The second registry is named for a scope, so that the certificate is presented there too. */
function createHomes(folder: string, [registry, closed]: readonly [string, string], server: string): HomeMaker {
  const registries = { registry, scopes: { '@closed': closed } }
  return async (name, identity) => {
    const base = join(folder, name)
    const [cafile, certfile, keyfile] = [`${base}.ca`, `${base}.pem`, `${base}.key`] as const
    await writeFile(cafile, server)
    if (identity === undefined) return createNpmHome(base, { ...registries, cafile })
    await writeFile(certfile, identity.certificate)
    await writeFile(keyfile, identity.key, { mode: 0o600 })
    return createNpmHome(base, { ...registries, cafile, certfile, keyfile })
  }
}
