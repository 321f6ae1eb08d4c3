// `certgate serve`: runs the gate until it is told to stop.

import { loadConfig } from '../config/load.ts'
import { formatProblems } from '../config/problem.ts'
import { createLog, factsOf, type Log } from '../ops/log.ts'
import { nodeSupport } from '../ops/node-support.ts'
import { type RunningGate, startGate } from '../wire.ts'
import { summaryOf, summaryWords } from './check.ts'

export interface ServeContext {
  readonly process: NodeJS.Process
  /** of Certgate */
  readonly version: string
}

const STDERR = 2

/** Resolves when the gate is running. Sets the exit code, and starts nothing, when the configuration is bad. */
export async function serveCommand(file: string, { process, version }: ServeContext): Promise<void> {
  // A diagnostic report holds the environment, and with it the secrets that came from there (R14).
  process.report.excludeEnv = true
  const loaded = await loadConfig(file, process.env)
  if (loaded.kind === 'bad') return refuseToStart(process, formatProblems(loaded.problems))
  const log = createLog(STDERR)
  const gate = await startGate(loaded.config, log).catch((error: unknown) => describeFailure(error))
  if (typeof gate === 'string') return refuseToStart(process, `certgate cannot start: ${gate}\n`)
  stopOnSignals(process, gate, log)
  warnOfNode(process, log)

  const { words } = nodeSupport(process.versions.node, Date.now())
  const runtime = `Node ${process.versions.node} (${words}), OpenSSL ${process.versions.openssl}`
  for (const { address, family, port } of gate.addresses) {
    process.stdout.write(`listening on https://${family === 'IPv6' ? `[${address}]` : address}:${port}\n`)
  }
  process.stdout.write(
    `certgate ${version} ready: ${runtime}, TLS session resumption off, ${summaryWords(summaryOf(loaded.config))}\n`,
  )
}

function refuseToStart(process: NodeJS.Process, text: string): void {
  process.stderr.write(text)
  process.exitCode = 1
}

/** `listen EADDRINUSE: address already in use 0.0.0.0:8443` is a sentence already. */
function describeFailure(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}

/** The first signal lets requests in flight end; the second does not wait for them (R37). */
function stopOnSignals(process: NodeJS.Process, gate: RunningGate, log: Log): void {
  let stopping = false

  function leave(code: number): void {
    log.flush()
    process.exit(code)
  }

  async function stop(reason: string, code: number): Promise<void> {
    if (stopping) return leave(code === 0 ? 130 : code)
    stopping = true
    log.write('info', 'stopping; requests in flight may end', { reason })
    await gate.stop()
    leave(code)
  }

  process.on('SIGTERM', () => void stop('SIGTERM', 0))
  process.on('SIGINT', () => void stop('SIGINT', 0))
  process.on('uncaughtException', error => {
    log.write('error', 'uncaught exception', factsOf(error))
    void stop('uncaught exception', 70)
  })
}

/** What makes Node print what must not be printed, or no longer mended (R14, R47). */
function warnOfNode(process: NodeJS.Process, log: Log): void {
  const { supported, words } = nodeSupport(process.versions.node, Date.now())
  if (!supported) log.write('warning', 'this Node gets no security fixes', { node: process.versions.node, words })
  const debug = process.env['NODE_DEBUG']
  if (debug !== undefined) log.write('warning', 'NODE_DEBUG may print secrets; unset it', { NODE_DEBUG: debug })
  if (`${process.execArgv.join(' ')} ${process.env['NODE_OPTIONS'] ?? ''}`.includes('--inspect')) {
    log.write('warning', 'a debugger may be attached: whoever reaches it can read every secret', {})
  }
}
