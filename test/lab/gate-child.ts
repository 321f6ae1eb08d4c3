// The other end of gate-process.ts: runs a gate as it is told, until its parent lets go of it. Without a parent that
// speaks to it, it does nothing.

import type { Enrolment } from '../../src/accounts/account.ts'
import { DEFAULT_LIMITS } from '../../src/config/limits.ts'
import type { Log } from '../../src/ops/log.ts'
import { type RunningGate, startGate } from '../../src/wire.ts'
import { makeAccount, makeRegistry } from './gate.ts'
import type { EnrolmentOptions, Orders, Report } from './gate-process.ts'

function report(report: Report): void {
  // The parent may be gone already; the gate ends then.
  if (process.connected) process.send?.(report, undefined, {}, () => {})
}

const log: Log = {
  write: (level, event, facts) => report({ kind: 'log', line: { level, event, facts } }),
  flush() {},
}

function enrolmentOf({ identity, account }: EnrolmentOptions): Enrolment {
  return {
    account: makeAccount(account),
    pinned: { kind: 'certificate', fingerprint: identity.fingerprint },
    label: 'laptop',
    expires: Number.POSITIVE_INFINITY,
    only: undefined,
    revoked: undefined,
  }
}

function run(orders: Orders): Promise<RunningGate> {
  const { server, enrolled } = orders
  const enrolments = enrolled.map(enrolmentOf)
  return startGate(
    {
      listen: [
        {
          host: '127.0.0.1',
          port: orders.port,
          certificate: Buffer.from(server.certificate),
          key: Buffer.from(server.key),
        },
      ],
      minimumTls: 'TLSv1.2',
      registries: [
        makeRegistry({
          dialect: orders.dialect,
          publicUrl: new URL(orders.publicUrl),
          upstream: new URL(orders.upstream),
          reads: orders.reads,
        }),
      ],
      accounts: [...new Set(enrolments.map(({ account }) => account))],
      enrolments,
      audit: { file: orders.auditFile, publicReads: false },
      limits: { ...DEFAULT_LIMITS, ...orders.limits },
    },
    log,
  )
}

process.once('message', (orders: Orders) => {
  run(orders).then(
    gate => {
      process.once('disconnect', () => void gate.stop())
      const [address] = gate.addresses
      report(address === undefined ? { kind: 'failed', message: 'no address' } : { kind: 'ready', port: address.port })
    },
    (error: unknown) => report({ kind: 'failed', message: String(error) }),
  )
})
