// Programs of the machine, run to their end. One that is not installed fails the test that needs it: a test that
// quietly does nothing proves nothing.

import { type ChildProcessWithoutNullStreams, spawn } from 'node:child_process'
import { once } from 'node:events'
import { buffer } from 'node:stream/consumers'

export interface ToolOptions {
  /** standard input, which is then closed */
  readonly input?: string
  readonly cwd?: string
  /** beside that of the tests; undefined removes a variable */
  readonly env?: Readonly<Record<string, string | undefined>>
  /** ms after which it is killed */
  readonly limit?: number
}

export interface ToolResult {
  /** null: killed by a signal */
  readonly code: number | null
  readonly signal: NodeJS.Signals | null
  /** latin1, so that every byte shows */
  readonly stdout: string
  /** latin1 */
  readonly stderr: string
}

const LIMIT = 60_000

/** @throws when there is no such program, or when it did not end in time */
export async function runTool(
  command: string,
  args: readonly string[],
  options: ToolOptions = {},
): Promise<ToolResult> {
  const child = startTool(command, args, options)
  const limit = options.limit ?? LIMIT
  let late = false
  const timer = setTimeout(() => {
    late = true
    child.kill('SIGKILL')
  }, limit)
  const closed = once(child, 'close')
  if (options.input !== undefined) child.stdin.write(options.input)
  child.stdin.end()
  try {
    const [stdout, stderr] = await Promise.all([buffer(child.stdout), buffer(child.stderr), closed])
    if (late) throw new Error(`${command} did not end within ${limit} ms: ${stderr.toString('latin1')}`)
    return {
      code: child.exitCode,
      signal: child.signalCode,
      stdout: stdout.toString('latin1'),
      stderr: stderr.toString('latin1'),
    }
  } finally {
    clearTimeout(timer)
  }
}

/** Runs a program that must succeed. @returns its standard output */
export async function mustRun(command: string, args: readonly string[], options: ToolOptions = {}): Promise<string> {
  const { code, signal, stdout, stderr } = await runTool(command, args, options)
  if (code !== 0) throw new Error(`${command} ${args.join(' ')} ended with ${code ?? signal}: ${stdout}${stderr}`)
  return stdout
}

/** The caller speaks with it and ends it. Times of certificates are in UTC, messages in English. */
export function startTool(
  command: string,
  args: readonly string[],
  { cwd, env = {} }: ToolOptions = {},
): ChildProcessWithoutNullStreams {
  const child = spawn(command, args, {
    cwd,
    env: { ...process.env, TZ: 'UTC', LC_ALL: 'C.UTF-8', ...env },
    stdio: 'pipe',
  })
  // It may close its input before all is written; what it says of that is in its output.
  child.stdin.on('error', () => {})
  return child
}
