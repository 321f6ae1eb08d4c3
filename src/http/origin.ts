// The backend of one registry: opens connections to it and keeps the idle ones. Its address is fixed by the
// configuration; nothing in a request can choose another (R15).

import { connect, isIP } from 'node:net'
import { connect as connectTls } from 'node:tls'
import type { Sweeper } from './sweeper.ts'
import {
  createUpstreamConnection,
  type Link,
  type UpstreamConnection,
  type UpstreamExchange,
  type UpstreamFault,
  type UpstreamHandlers,
  type UpstreamLimits,
  type UpstreamRequest,
} from './upstream.ts'

export interface OriginOptions {
  /** `http:` or `https:`, host and port */
  readonly url: URL
  /** PEM that a TLS upstream is verified against; undefined: the public authorities */
  readonly ca: Buffer | undefined
  readonly limits: UpstreamLimits & { readonly upstreamConnections: number }
  readonly sweeper: Sweeper
}

export interface Origin {
  /**
   * Sends a request. Faults, `busy` among them, arrive at the handlers, never during this call.
   *
   * @param pool idle connections are shared within a pool and never between two: one for each account, so that even a
   *   confused backend cannot answer one account with another's response (R09)
   */
  send(pool: string, request: UpstreamRequest, handlers: UpstreamHandlers): UpstreamExchange
  close(): void
}

export function createOrigin(options: OriginOptions): Origin {
  const { limits, sweeper } = options
  const open = new Set<UpstreamConnection>()
  const idle = new Map<string, UpstreamConnection[]>()
  const dial = dialerOf(options.url, options.ca)

  function openConnection(pool: string): UpstreamConnection {
    const connection = createUpstreamConnection(dial(), limits, sweeper, {
      onIdle: done => {
        const free = idle.get(pool)
        if (free === undefined) idle.set(pool, [done])
        else free.push(done)
      },
      onClose: gone => {
        open.delete(gone)
        forget(pool, gone)
      },
    })
    open.add(connection)
    return connection
  }

  function forget(pool: string, connection: UpstreamConnection): void {
    const free = idle.get(pool)
    const index = free?.indexOf(connection) ?? -1
    if (free === undefined || index === -1) return
    free.splice(index, 1)
    if (free.length === 0) idle.delete(pool)
  }

  /** The most recently used: the others get the chance to grow old and be closed. */
  function takeIdle(pool: string): UpstreamConnection | undefined {
    const free = idle.get(pool)
    const connection = free?.pop()
    if (free?.length === 0) idle.delete(pool)
    return connection
  }

  /** An idle connection of another pool gives way before a request is refused. */
  function makeRoom(): boolean {
    if (open.size < limits.upstreamConnections) return true
    for (const pool of idle.keys()) {
      const oldest = takeIdle(pool)
      if (oldest === undefined) continue
      open.delete(oldest)
      oldest.destroy()
      return true
    }
    return false
  }

  function sendFresh(pool: string, request: UpstreamRequest, handlers: UpstreamHandlers): UpstreamExchange {
    if (makeRoom()) return openConnection(pool).send(request, handlers)
    queueMicrotask(() => handlers.onFault('busy', 'every connection is in use'))
    return NOTHING
  }

  /**
   * A kept-alive connection may be closed by the backend while our request is on its way. A GET that got no byte of
   * an answer is sent once more on a fresh connection; anything else never rides a kept-alive connection, so that it
   * is never in doubt whether a change happened (R30).
   */
  function sendReusing(
    connection: UpstreamConnection,
    pool: string,
    request: UpstreamRequest,
    handlers: UpstreamHandlers,
  ): UpstreamExchange {
    let exchange = connection.send(request, { ...handlers, onFault })

    function onFault(fault: UpstreamFault, cause: string): void {
      if (fault !== 'cut' || connection.isAnswering()) return handlers.onFault(fault, cause)
      exchange = sendFresh(pool, request, handlers)
    }

    return {
      write: chunk => exchange.write(chunk),
      end: () => exchange.end(),
      pause: () => exchange.pause(),
      resume: () => exchange.resume(),
      cancel: () => exchange.cancel(),
    }
  }

  return {
    send(pool, request, handlers) {
      const repeatable = request.framing.kind === 'none' && (request.method === 'GET' || request.method === 'HEAD')
      const connection = repeatable ? takeIdle(pool) : undefined
      if (connection === undefined) return sendFresh(pool, request, handlers)
      return sendReusing(connection, pool, request, handlers)
    },
    close() {
      for (const connection of open) connection.destroy()
    },
  }
}

const NOTHING: UpstreamExchange = {
  write: () => true,
  end() {},
  pause() {},
  resume() {},
  cancel() {},
}

function dialerOf(url: URL, ca: Buffer | undefined): () => Link {
  const host = url.hostname.replace(/^\[|\]$/g, '')
  const tls = url.protocol === 'https:'
  const port = url.port === '' ? (tls ? 443 : 80) : Number(url.port)

  function dialPlain(): Link {
    const socket = connect({ host, port, noDelay: true, keepAlive: true })
    return { socket, connected: 'connect', transport: socket }
  }

  if (!tls) return dialPlain
  const servername = isIP(host) === 0 ? { servername: host } : {}
  const verified = ca === undefined ? {} : { ca }
  return function dialTls() {
    const { socket: transport } = dialPlain()
    const options = { host, ...servername, ...verified, ALPNProtocols: ['http/1.1'] }
    const socket = connectTls({ ...options, minVersion: 'TLSv1.2', socket: transport })
    return { socket, connected: 'secureConnect', transport }
  }
}
