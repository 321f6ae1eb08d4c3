// Where an upstream credential comes from → Secret. The only place that sees one before it is a Secret; no message made
// here holds a value, or what a command printed (R14).

import { execFile } from 'node:child_process'
import { isAbsolute, join } from 'node:path'
import { Secret } from '../accounts/secret.ts'
import { readWhole } from './disk.ts'
import { exactlyOne, keys, list, text } from './shape.ts'
import { VARIABLE } from './tree.ts'
import { type Bad, bad, ok, quote, type Read } from './values.ts'

export type SecretSource =
  | { readonly kind: 'env'; readonly name: string }
  | { readonly kind: 'file'; readonly path: string }
  | { readonly kind: 'command'; readonly argv: readonly string[] }

const EXPECTED =
  '{env: NAME}, {file: PATH} or {command: [PROGRAM, ARGUMENT…]}; a secret never stands in this file itself'

/** A secret in the accounts file: a reference, never the secret. */
export const secretSource = keys(
  {
    env: text('the name of an environment variable').optional(),
    file: text('the path of a file').optional(),
    command: list(text('an argument'), 'a list of a program and its arguments').optional(),
  },
  EXPECTED,
)
  .superRefine(exactlyOne(['env', 'file', 'command']))
  .transform(({ env, file, command }): SecretSource => {
    if (env !== undefined) return { kind: 'env', name: env }
    return file !== undefined ? { kind: 'file', path: file } : { kind: 'command', argv: command ?? [] }
  })

/** What secrets are looked up in. */
export interface Surroundings {
  readonly env: NodeJS.ProcessEnv
  /** that relative paths start from, and commands run in */
  readonly directory: string
  /** how long a command may take, ms */
  readonly commandTime: number
}

/** @returns the secret as a header field may carry it, or what is wrong, without the value */
export async function resolveSecret(source: SecretSource, surroundings: Surroundings): Promise<Read<Secret>> {
  const raw = await obtain(source, surroundings)
  if (raw.kind === 'bad') return raw
  const value = raw.value.replace(/\r?\n$/, '')
  const problem = problemOfValue(value)
  return problem === undefined ? ok(new Secret(value)) : bad(`${raw.from} ${problem}`)
}

type Obtained = { readonly kind: 'ok'; readonly value: string; readonly from: string } | Bad

async function obtain(source: SecretSource, surroundings: Surroundings): Promise<Obtained> {
  const { env, directory } = surroundings
  switch (source.kind) {
    case 'env':
      return fromEnvironment(source.name, env)
    case 'file':
      return fromFile(isAbsolute(source.path) ? source.path : join(directory, source.path))
    case 'command':
      return fromCommand(source.argv, surroundings)
  }
}

function fromEnvironment(name: string, env: NodeJS.ProcessEnv): Obtained {
  // A token that was put in the place of a name is not spelt like one.
  const from = VARIABLE.test(name) ? `the environment variable ${name}` : 'the environment variable named here'
  const value = env[name]
  return value === undefined ? bad(`${from} is not set`) : { kind: 'ok', value, from }
}

async function fromFile(path: string): Promise<Obtained> {
  const from = quote(path)
  const read = await readWhole(path, { limit: 64 * 1024, ownerOnly: true })
  // latin1: every byte that is not ASCII stays one that `problemOfValue` refuses.
  return read.kind === 'bad'
    ? bad(`${from} ${read.problem}`)
    : { kind: 'ok', value: read.value.toString('latin1'), from }
}

/** No shell: an argument is an argument. */
function fromCommand(argv: readonly string[], { env, directory, commandTime }: Surroundings): Promise<Obtained> {
  const [program, ...args] = argv
  if (program === undefined || program === '')
    return Promise.resolve(bad('the command is empty; expected a program and its arguments'))
  const from = 'what the command printed'
  const options = {
    cwd: directory,
    env,
    timeout: commandTime,
    killSignal: 'SIGKILL',
    maxBuffer: 64 * 1024,
    encoding: 'latin1',
  } as const
  const { promise, resolve } = Promise.withResolvers<Obtained>()
  try {
    const child = execFile(program, args, options, (error, stdout) =>
      resolve(error === null ? { kind: 'ok', value: stdout, from } : bad(describeFailure(error, commandTime))),
    )
    // Nobody will answer its questions. It may have left before it is told so.
    child.stdin?.on('error', () => {}).end()
  } catch {
    resolve(bad('the command cannot be run: an argument holds a NUL byte'))
  }
  return promise
}

interface Failure {
  readonly code?: string | number | null
  readonly killed?: boolean
  readonly signal?: NodeJS.Signals | null
}

function describeFailure({ code, killed, signal }: Failure, commandTime: number): string {
  if (code === 'ERR_CHILD_PROCESS_STDIO_MAXBUFFER') return 'the command printed more than 64 KiB'
  if (killed === true) return `the command took longer than ${commandTime / 1000} s and was stopped`
  if (typeof code === 'number') return `the command failed with exit code ${code}`
  if (code === 'ENOENT') return 'the command does not exist; its path is relative to this file'
  return `the command could not be run (${code ?? signal ?? 'unknown reason'})`
}

/** What would break a header field (RFC 9110 §5.5), or not arrive as it is. */
function problemOfValue(value: string): string | undefined {
  if (value === '') return 'is empty'
  if (/[^\x20-\x7e]/.test(value)) return 'holds a character other than printable ASCII, such as a line break'
  return value.trim() === value ? undefined : 'begins or ends with a space'
}
