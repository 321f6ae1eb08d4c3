// A gate in a process of its own: under another clock, on a full disk, or where it matters that it lives on. Started
// with gate-child.ts.

import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { Limits, RegistryConfig } from '../../src/config/config.ts'
import type { AccountOptions, LogLine } from './gate.ts'
import { makeServerIdentity, REGISTRY_HOST, type TestIdentity } from './identities.ts'
import { atEnd, type Ending, temporaryFolder } from './temporary.ts'

export interface EnrolmentOptions {
  readonly identity: Pick<TestIdentity, 'fingerprint'>
  readonly account: AccountOptions
}

export interface GateProcessOptions {
  /** origin of the backend */
  readonly upstream: string
  readonly enrolled?: readonly EnrolmentOptions[]
  readonly dialect?: RegistryConfig['dialect']
  readonly reads?: RegistryConfig['reads']
  readonly publicUrl?: string
  readonly limits?: Partial<Limits>
  readonly server?: Pick<TestIdentity, 'certificate' | 'key'>
  /** 0 takes a free one */
  readonly port?: number
  readonly auditFile?: string
  readonly env?: Readonly<Record<string, string>>
}

/** What the child is told. */
export interface Orders extends Required<Omit<GateProcessOptions, 'env'>> {
  readonly server: Pick<TestIdentity, 'certificate' | 'key'>
}

/** What the child tells. */
export type Report =
  | { readonly kind: 'ready'; readonly port: number }
  | { readonly kind: 'log'; readonly line: LogLine }
  | { readonly kind: 'failed'; readonly message: string }

export interface GateProcess {
  readonly port: number
  readonly pid: number
  readonly auditFile: string
  /** the audit file as it stands */
  readonly auditText: () => Promise<string>
  readonly logged: readonly LogLine[]
  /** Resolves when a line of the log is one of `event`; at once when there was one. */
  readonly logs: (event: RegExp) => Promise<LogLine>
  /** @throws when the process has ended, or has met an exception that nobody caught, or a mistake of ours */
  readonly assertWell: () => void
  /** Lets requests in flight end. @throws unless it ends with 0 */
  readonly stop: () => Promise<void>
}

const ENTRY = fileURLToPath(new URL('gate-child.ts', import.meta.url))

/** Resolves when it listens; killed after the test. */
export async function startGateProcess(t: Ending, options: GateProcessOptions): Promise<GateProcess> {
  const { env = {}, ...rest } = options
  const orders: Orders = {
    enrolled: [],
    dialect: 'npm',
    reads: 'certificate',
    publicUrl: `https://${REGISTRY_HOST}`,
    limits: {},
    port: 0,
    ...rest,
    server: rest.server ?? (await makeServerIdentity()),
    auditFile: rest.auditFile ?? join(await temporaryFolder(t), 'audit.jsonl'),
  }
  const child = fork(ENTRY, {
    env: { ...process.env, TZ: 'UTC', ...env },
    serialization: 'advanced',
    execArgv: [],
    stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
  })
  const exited = once(child, 'exit')
  atEnd(t, async () => {
    child.kill('SIGKILL')
    await exited
  })
  return await ready(child, exited, orders)
}

async function ready(child: ChildProcess, exited: Promise<unknown>, orders: Orders): Promise<GateProcess> {
  const logged: LogLine[] = []
  const listening = Promise.withResolvers<number>()
  let output = ''
  for (const stream of [child.stdout, child.stderr]) stream?.setEncoding('utf8').on('data', text => (output += text))
  child.on('message', (report: Report) => {
    if (report.kind === 'ready') listening.resolve(report.port)
    if (report.kind === 'failed') listening.reject(new Error(report.message))
    if (report.kind === 'log') logged.push(report.line)
  })
  void exited.then(() => listening.reject(new Error(ending())))

  function ending(): string {
    return `the gate's process ended with ${child.exitCode ?? child.signalCode}: ${output}`
  }

  function hasEnded(): boolean {
    return child.exitCode !== null || child.signalCode !== null
  }

  async function logs(event: RegExp): Promise<LogLine> {
    for (;;) {
      const found = logged.find(line => event.test(line.event))
      if (found !== undefined) return found
      if (hasEnded()) throw new Error(ending())
      await Promise.race([once(child, 'message'), exited])
    }
  }

  child.send(orders)
  const port = await listening.promise
  return {
    port,
    pid: child.pid ?? 0,
    auditFile: orders.auditFile,
    auditText: () => readFile(orders.auditFile, 'latin1'),
    logged,
    logs,
    assertWell() {
      if (hasEnded()) throw new Error(ending())
      const mistake = logged.find(({ event }) => event.startsWith('mistake'))
      if (mistake !== undefined) throw new Error(`the gate made a mistake: ${JSON.stringify(mistake.facts)}`)
      if (output !== '') throw new Error(`the gate's process printed: ${output}`)
    },
    async stop() {
      child.disconnect()
      await exited
      if (child.exitCode !== 0) throw new Error(ending())
    },
  }
}
