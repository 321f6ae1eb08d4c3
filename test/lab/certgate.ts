// The command `certgate serve` as an operator runs it, in a process of its own; all that it prints is kept.

import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import { atEnd, type Ending } from './temporary.ts'

const CERTGATE = fileURLToPath(new URL('../../src/certgate.ts', import.meta.url))

export interface ServeOptions {
  /** certgate.yaml; it should take a free port */
  readonly config: string
  readonly env?: Readonly<Record<string, string>>
  /** options of Node */
  readonly node?: readonly string[]
}

export interface Serving {
  readonly port: number
  readonly kill: (signal: NodeJS.Signals) => void
  /** standard output and standard error so far */
  readonly output: () => string
  /** Resolves when the output matches. @throws when the process ends before */
  readonly until: (pattern: RegExp) => Promise<RegExpExecArray>
  /** Resolves with the exit code, or the signal, when the process is gone and its output is read to the end. */
  readonly ended: Promise<number | NodeJS.Signals | null>
}

/** Resolves when it is ready; killed after the test. */
export async function serve(t: Ending, { config, env = {}, node = [] }: ServeOptions): Promise<Serving> {
  const child = spawn(process.execPath, [...node, CERTGATE, 'serve', '--config', config], {
    env: { PATH: process.env['PATH'], ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  let output = ''
  let wake = (): void => {}
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding('utf8').on('data', (chunk: string) => {
      output += chunk
      wake()
    })
  }
  let over = false
  const ended = once(child, 'close').then(() => {
    over = true
    wake()
    return child.exitCode ?? child.signalCode
  })
  atEnd(t, () => {
    child.kill('SIGKILL')
    return ended
  })

  async function until(pattern: RegExp): Promise<RegExpExecArray> {
    for (;;) {
      const found = pattern.exec(output)
      if (found !== null) return found
      if (over) throw new Error(`certgate ended with ${child.exitCode ?? child.signalCode}:\n${output}`)
      await new Promise<void>(resolve => {
        wake = resolve
      })
    }
  }

  const [, port] = await until(/listening on https:\/\/\S+:(\d+)\n[\s\S]*ready: .*\n/)
  return { port: Number(port), kill: signal => void child.kill(signal), output: () => output, until, ended }
}
