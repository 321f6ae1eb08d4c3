// Config → running gate. The only file that knows every part; it puts them together and takes them apart again.

import { randomBytes } from 'node:crypto'
import type { AddressInfo } from 'node:net'
import { createDirectory } from './accounts/directory.ts'
import { openAuditLog } from './audit/log.ts'
import type { Config, Limits, RegistryConfig } from './config/config.ts'
import { DIALECTS } from './dialects/table.ts'
import type { Exchange } from './http/exchange.ts'
import { createOrigin, type Origin } from './http/origin.ts'
import { createSweeper, type Sweeper } from './http/sweeper.ts'
import { refusalAnswer, refusalOfFault } from './lane/answer.ts'
import { createClock } from './lane/clock.ts'
import { type Client, type Gateway, handle, type Snapshot } from './lane/gateway.ts'
import { type Listener, listen } from './lane/listener.ts'
import { createPeerReader } from './lane/peer.ts'
import { createRecorder } from './lane/record.ts'
import { createBudget } from './lane/rewrite.ts'
import { createRouter, type Registry } from './lane/route.ts'
import { createTicketOffice } from './lane/tickets.ts'
import { addressLines } from './lane/upstream-head.ts'
import { factsOf, type Log } from './ops/log.ts'
import { createTokenExchange } from './tokens/exchange.ts'

export interface RunningGate {
  readonly addresses: readonly AddressInfo[]
  /** Lets requests in flight end, up to the limit `shutdown`; then closes everything. */
  readonly stop: () => Promise<void>
  /** Closes everything at once. */
  readonly kill: () => void
}

/** What documents that are being rewritten take at a time, bytes. */
const REWRITING = 256 * 1024 * 1024

/** Tickets that are kept at a time; each is some hundred bytes. */
const TICKETS = 100_000

/**
 * Starts a gate.
 *
 * @param wall ms since the epoch; what certificates and enrolments are compared with
 * @throws when an address cannot be bound or the audit file cannot be opened; nothing is left open then
 */
export async function startGate(config: Config, log: Log, wall: () => number = Date.now): Promise<RunningGate> {
  const { limits } = config
  const audit = await openAuditLog(config.audit.file, {
    onFailure: error => log.write('error', 'audit log cannot be written; changes are refused', factsOf(error)),
    onRecovery: lost => log.write('warning', 'audit log can be written again', { lines_lost: lost }),
  })
  const sweeper = createSweeper(sweepInterval(limits))
  const origins: Origin[] = []
  const openOrigin: OpenOrigin = (url, ca) => {
    const origin = createOrigin({ url, ca, limits, sweeper })
    origins.push(origin)
    return origin
  }
  const registries = config.registries.map(registry => createRegistry(registry, limits, sweeper, openOrigin))
  const snapshot: Snapshot = {
    directory: createDirectory(config.enrolments),
    routeOf: createRouter(registries),
    registries: new Map(registries.map(registry => [registry.name, registry])),
    limits,
  }
  const recorder = createRecorder(audit, config.audit, sweeper.now)
  const gateway: Gateway = {
    snapshot: () => snapshot,
    clock: createClock(wall, by => log.write('warning', 'the clock was set back; expired stays expired', { ms: by })),
    now: sweeper.now,
    newId: createIds(),
    recorder,
    tickets: createTicketOffice(TICKETS),
    rewriting: createBudget(REWRITING),
    onMistake: (id, error) => log.write('error', 'mistake in the gate', { id, ...factsOf(error) }),
    onTrouble: (id, registry, refused, cause) =>
      log.write('warning', 'request spoilt by the upstream', { id, registry, refusal: refused.refusal, cause }),
  }
  const listeners: Listener[] = []
  const underWay = createCounter()

  function onExchange(client: Client, exchange: Exchange): void {
    underWay.enter()
    void handle(gateway, client, exchange).finally(underWay.leave)
  }

  function close(): void {
    for (const listener of listeners) listener.destroy()
    for (const origin of origins) origin.close()
    sweeper.stop()
  }

  try {
    for (const { host, port, certificate, key } of config.listen) {
      listeners.push(
        await listen({
          host,
          port,
          certificate,
          key,
          minimumTls: config.minimumTls,
          limits,
          sweeper,
          readPeer: createPeerReader(),
          onExchange,
          onFault: (client, fault, detail) => answerFault(gateway, client, fault, detail),
        }),
      )
    }
  } catch (error) {
    close()
    await audit.close()
    throw error
  }

  return {
    addresses: listeners.map(listener => listener.address),
    kill: close,
    async stop() {
      await Promise.race([Promise.all(listeners.map(listener => listener.drain())), after(limits.shutdown)])
      close()
      // The records of the last requests are written after their connections have closed.
      await underWay.none()
      await audit.close()
    },
  }
}

interface Counter {
  readonly enter: () => void
  readonly leave: () => void
  /** Resolves when as many have left as have entered. */
  readonly none: () => Promise<void>
}

function createCounter(): Counter {
  let inside = 0
  let onNone = (): void => {}
  return {
    enter: () => void inside++,
    leave: () => {
      if (--inside === 0) onNone()
    },
    none: () =>
      new Promise(resolve => {
        if (inside === 0) resolve()
        onNone = resolve
      }),
  }
}

/** Opens what is closed with the gate. */
type OpenOrigin = (url: URL, ca: Buffer | undefined) => Origin

function createRegistry(config: RegistryConfig, limits: Limits, sweeper: Sweeper, openOrigin: OpenOrigin): Registry {
  const { name, reads, publicUrl, upstream, upstreamOrigins, tokenService, upstreamCa } = config
  const origin = openOrigin(upstream, upstreamCa)
  const basePath = upstream.pathname.replace(/\/$/, '')
  const lines = addressLines(publicUrl, config.upstreamHeaders)
  const common = { publicUrl, upstream, upstreamOrigins, basePath, origin, addressLines: lines }
  // Only OCI registries send their clients elsewhere for a token.
  const service = config.dialect === 'oci' && tokenService ? openOrigin(new URL(tokenService), upstreamCa) : undefined
  const exchange = { ...common, tokenService, service, time: limits.upstreamAnswer, sweeper }
  const authorize = config.dialect === 'oci' ? createTokenExchange(exchange) : undefined
  return { ...common, name, reads, dialect: DIALECTS[config.dialect], authorize }
}

function answerFault(gateway: Gateway, client: Client, ...[fault, detail]: Parameters<typeof refusalOfFault>) {
  const id = gateway.newId()
  const refused = refusalOfFault(fault, detail)
  gateway.recorder.unreadable({ id, time: gateway.clock(), address: client.address, peer: client.peer }, refused)
  return refusalAnswer(refused, id)
}

/** Unguessable as a whole, so that nobody can ask an operator about another's request; ordered within a process. */
function createIds(): () => string {
  const prefix = randomBytes(6).toString('hex')
  let count = 0
  return () => `${prefix}-${(++count).toString(36)}`
}

/** Often enough that no limit is overrun by more than a quarter of it, and never more than ten times a second. */
function sweepInterval(limits: Limits): number {
  const shortest = Math.min(limits.head, limits.keepAlive, limits.idle, limits.upstreamAnswer, limits.upstreamConnect)
  return Math.min(1000, Math.max(20, shortest / 4))
}

function after(ms: number): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>()
  setTimeout(resolve, ms).unref()
  return promise
}
