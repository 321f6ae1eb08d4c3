// skopeo and podman as a user would run them, in a home of their own and with nothing but a certificate to show.

import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import type { TestIdentity } from './identities.ts'

export interface Ran {
  readonly code: number | null
  readonly stdout: string
  /** what it said, on both streams */
  readonly output: string
}

/** @throws where the program is missing */
export async function run(home: string, program: string, args: readonly string[]): Promise<Ran> {
  const runtime = join(home, 'run')
  await mkdir(runtime, { recursive: true, mode: 0o700 })
  // A login of the machine's would be used in place of none.
  const authfile = join(home, 'auth.json')
  await writeFile(authfile, '{}')
  const child = spawn(program, args, {
    env: {
      PATH: process.env['PATH'],
      HOME: home,
      XDG_RUNTIME_DIR: runtime,
      XDG_DATA_HOME: join(home, 'data'),
      TMPDIR: runtime,
      REGISTRY_AUTH_FILE: authfile,
    },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  const closed = once(child, 'close')
  const [stdout, stderr] = await Promise.all([text(child.stdout), text(child.stderr), closed])
  return { code: child.exitCode, stdout, output: stdout + stderr }
}

/**
 * A directory as of containers-certs.d(5).
 *
 * @param authority PEM: whom to trust
 * @param identity undefined: no client certificate
 */
export async function writeCertificates(
  folder: string,
  authority: string,
  identity: TestIdentity | undefined,
): Promise<string> {
  await mkdir(folder, { recursive: true })
  await writeFile(join(folder, 'ca.crt'), authority)
  if (identity === undefined) return folder
  await writeFile(join(folder, 'client.cert'), identity.certificate)
  await writeFile(join(folder, 'client.key'), identity.key, { mode: 0o600 })
  return folder
}
