// TLS in, exchanges out. Asks every client for a certificate and refuses nothing in the handshake: a client that is
// refused there reports a network fault, and its user learns nothing.

import { constants } from 'node:crypto'
import type { AddressInfo } from 'node:net'
import { createServer, type TLSSocket } from 'node:tls'
import { type Connection, type ConnectionLimits, type FaultAnswer, serveConnection } from '../http/connection.ts'
import type { Exchange } from '../http/exchange.ts'
import type { HeadFault } from '../http/head.ts'
import type { Sweeper } from '../http/sweeper.ts'
import type { Client } from './gateway.ts'
import type { Peer } from './peer.ts'

export interface ListenerOptions {
  readonly host: string
  /** 0 takes a free one */
  readonly port: number
  /** PEM */
  readonly certificate: Buffer
  /** PEM */
  readonly key: Buffer
  readonly minimumTls: 'TLSv1.2' | 'TLSv1.3'
  /** times in ms */
  readonly limits: ConnectionLimits & { readonly handshake: number; readonly connections: number }
  readonly sweeper: Sweeper
  readonly readPeer: (socket: TLSSocket) => Peer
  readonly onExchange: (client: Client, exchange: Exchange) => void
  readonly onFault: (client: Client, fault: HeadFault | 'too-slow', detail: string) => FaultAnswer
}

export interface Listener {
  readonly address: AddressInfo
  /** Stops accepting, and lets requests in flight end. Resolves when all connections are closed. */
  readonly drain: () => Promise<void>
  readonly destroy: () => void
}

/** Forward secrecy and authenticated encryption only (R41); the first three are those of TLS 1.3. */
const CIPHERS = [
  'TLS_AES_128_GCM_SHA256',
  'TLS_AES_256_GCM_SHA384',
  'TLS_CHACHA20_POLY1305_SHA256',
  'ECDHE-ECDSA-AES128-GCM-SHA256',
  'ECDHE-RSA-AES128-GCM-SHA256',
  'ECDHE-ECDSA-AES256-GCM-SHA384',
  'ECDHE-RSA-AES256-GCM-SHA384',
  'ECDHE-ECDSA-CHACHA20-POLY1305',
  'ECDHE-RSA-CHACHA20-POLY1305',
].join(':')

/**
 * No tickets: a resumed session proves nothing anew, and a stolen ticket would be a bearer secret (R03). No
 * renegotiation: a cheap way to make a server work (R31).
 */
const SECURE_OPTIONS =
  constants.SSL_OP_NO_TICKET |
  constants.SSL_OP_NO_RENEGOTIATION |
  constants.SSL_OP_NO_COMPRESSION |
  constants.SSL_OP_CIPHER_SERVER_PREFERENCE

/** @throws when the address cannot be bound */
export async function listen(options: ListenerOptions): Promise<Listener> {
  const { limits, sweeper } = options
  const connections = new Set<Connection>()
  let draining = false

  const server = createServer({
    cert: options.certificate,
    key: options.key,
    minVersion: options.minimumTls,
    ciphers: CIPHERS,
    secureOptions: SECURE_OPTIONS,
    // HTTP/1.0 is agreed to, so that it can be answered with a 505 that says what would be right.
    ALPNProtocols: ['http/1.1', 'http/1.0'],
    // Without `ca` no list of names is sent: Go and Java would withhold a self-signed certificate (R42).
    requestCert: true,
    rejectUnauthorized: false,
    handshakeTimeout: limits.handshake,
    noDelay: true,
    keepAlive: true,
  })
  server.maxConnections = limits.connections

  function accept(socket: TLSSocket): void {
    const client = clientOf(socket, options.readPeer)
    if (client === undefined) return void socket.destroy()
    const connection = serveConnection(socket, limits, sweeper, {
      onExchange: exchange => options.onExchange(client, exchange),
      onFault: (fault, detail) => options.onFault(client, fault, detail),
      onClose: () => void connections.delete(connection),
    })
    connections.add(connection)
    if (draining) connection.drain()
  }

  server.on('secureConnection', accept)
  // A failed handshake closes its socket; without these listeners it would end the process (R32).
  server.on('tlsClientError', (_error, socket) => void socket.destroy())
  await bound(server, options.host, options.port)
  const address = server.address()
  if (address === null || typeof address === 'string') throw new Error('a TCP listener has no address')

  return {
    address,
    drain() {
      draining = true
      const { promise, resolve } = Promise.withResolvers<void>()
      server.close(() => resolve())
      for (const connection of connections) connection.drain()
      return promise
    },
    destroy() {
      server.close()
      for (const connection of connections) connection.destroy()
    },
  }
}

/** Frozen for the life of the connection. @returns undefined when the certificate cannot even be read */
function clientOf(socket: TLSSocket, readPeer: (socket: TLSSocket) => Peer): Client | undefined {
  try {
    const { servername, remoteAddress = '' } = socket as TLSSocket & { servername?: string | false | null }
    return Object.freeze({
      peer: readPeer(socket),
      servername: typeof servername === 'string' ? servername : undefined,
      address: remoteAddress.replace(/^::ffff:(?=\d+\.)/, ''),
    })
  } catch {
    return undefined
  }
}

function bound(server: ReturnType<typeof createServer>, host: string, port: number): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>()
  server.once('error', reject)
  server.listen({ host, port }, () => {
    server.off('error', reject)
    server.on('error', () => {})
    resolve()
  })
  return promise
}
