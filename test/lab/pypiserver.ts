// A real pypiserver on loopback with users and passwords: the unchanged backend behind the gate. And distributions to
// upload to it.

import { spawn } from 'node:child_process'
import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { cleanEnvironment, demand, type Python, run } from './python.ts'
import { atEnd, type Ending } from './temporary.ts'

export interface PypiserverOptions {
  /** must be new or empty */
  readonly folder: string
  /** what takes a user and a password: `update`, `list`, `download` */
  readonly authenticate: readonly string[]
}

export interface Pypiserver {
  readonly origin: string
  /** where the distributions are */
  readonly store: string
  /** value of Authorization of its only user */
  readonly credential: string
  /** Resolves when what it has written (a line for each request, and errors) says so. */
  readonly until: (written: RegExp) => Promise<void>
}

/**
 * Ends with its parent, whose end closes stdin; tells its port. Threads, since the gate keeps connections open. On
 * wsgiref, which pypi-server itself runs on where nothing else is installed: it hands a body on as it comes.
 */
const PROGRAM = `
import json, os, socketserver, sys, threading
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server
import pypiserver

class Server(socketserver.ThreadingMixIn, WSGIServer):
    daemon_threads = True

options = json.loads(sys.argv[1])
app = pypiserver.app(roots=[options['store']], password_file=options['passwords'], disable_fallback=True,
                     authenticate=options['authenticate'], backend_arg='simple-dir')
server = make_server('127.0.0.1', 0, app, server_class=Server)
threading.Thread(target=lambda: (sys.stdin.read(), os._exit(0)), daemon=True).start()
print(server.server_port, flush=True)
server.serve_forever()
`

const USER = 'backend-user'
const PASSWORD = 'backend-password'

/** Stops when the test is over. @throws with its output when it does not start */
export async function startPypiserver(t: Ending, python: Python, options: PypiserverOptions): Promise<Pypiserver> {
  const { folder, authenticate } = options
  const store = join(folder, 'store')
  const passwords = join(folder, 'htpasswd')
  await mkdir(store, { recursive: true })
  const hash = createHash('sha1').update(PASSWORD).digest('base64')
  await writeFile(passwords, `${USER}:{SHA}${hash}\n`)
  const child = spawn(python.command, ['-c', PROGRAM, JSON.stringify({ store, passwords, authenticate })], {
    env: cleanEnvironment(folder),
    stdio: ['pipe', 'pipe', 'pipe'],
  })
  let output = ''
  child.stderr.setEncoding('utf8').on('data', (chunk: string) => {
    output += chunk
  })

  async function until(written: RegExp): Promise<void> {
    while (!written.test(output)) await once(child.stderr, 'data')
  }

  const closed = once(child, 'close')
  atEnd(t, async () => {
    child.kill()
    await closed
  })
  const [first] = await Promise.race([once(createInterface(child.stdout), 'line'), closed])
  if (!/^[0-9]+$/.test(String(first)) || child.exitCode !== null)
    throw new Error(`pypiserver did not start:\n${output}`)
  return {
    origin: `http://127.0.0.1:${first}`,
    store,
    credential: `Basic ${Buffer.from(`${USER}:${PASSWORD}`).toString('base64')}`,
    until,
  }
}

export interface Distribution {
  readonly name: string
  readonly version: string
  /** bytes of ballast that does not compress */
  readonly size?: number
}

/** A wheel (PEP 427) and a source distribution (PEP 625); the name of the file is the one given, dashes excepted. */
const MAKE = `
import base64, hashlib, io, json, os, sys, tarfile, zipfile
folder, name, version, size = sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4])
escaped = name.replace('-', '_')
module = escaped.replace('.', '_').lower()
metadata = f'Metadata-Version: 2.1\\nName: {name}\\nVersion: {version}\\nClassifier: Private :: A\\nClassifier: Private :: B\\n\\nA text.\\n'
info = f'{escaped}-{version}.dist-info'
files = {
    f'{module}.py': f'version = {version!r}\\n'.encode(),
    f'{module}.bin': os.urandom(size),
    f'{info}/METADATA': metadata.encode(),
    f'{info}/WHEEL': b'Wheel-Version: 1.0\\nGenerator: certgate\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n',
}
sha = lambda data: base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b'=').decode()
record = ''.join(f'{path},sha256={sha(data)},{len(data)}\\n' for path, data in files.items()) + f'{info}/RECORD,,\\n'
wheel = os.path.join(folder, f'{escaped}-{version}-py3-none-any.whl')
with zipfile.ZipFile(wheel, 'w') as archive:
    for path, data in {**files, f'{info}/RECORD': record.encode()}.items():
        archive.writestr(path, data)
sdist = os.path.join(folder, f'{escaped}-{version}.tar.gz')
with tarfile.open(sdist, 'w:gz') as archive:
    for path, data in {'PKG-INFO': metadata.encode(), f'{module}.py': files[f'{module}.py']}.items():
        member = tarfile.TarInfo(f'{escaped}-{version}/{path}')
        member.size = len(data)
        archive.addfile(member, io.BytesIO(data))
print(json.dumps({'wheel': wheel, 'sdist': sdist}))
`

/** @returns the paths of the files */
export async function makeDistributions(
  python: Python,
  folder: string,
  { name, version, size = 0 }: Distribution,
): Promise<{ readonly wheel: string; readonly sdist: string }> {
  await mkdir(folder, { recursive: true })
  const args = ['-c', MAKE, folder, name, version, String(size)]
  return JSON.parse(demand(await run(python.command, args, cleanEnvironment(folder))))
}
