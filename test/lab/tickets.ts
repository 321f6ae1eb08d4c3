// Asks a gate for a ticket, as a helper of a client that cannot present a certificate does.

import type { TestContext } from 'node:test'
import type { TicketBinding } from '../../src/lane/tickets.ts'
import { type ClientOptions, connectClient, type RawResponse } from './client.ts'
import { REGISTRY_HOST } from './identities.ts'

export interface TicketDesk extends ClientOptions {
  /** public URL of a registry; undefined: `https://registry.test` */
  readonly url?: string
}

/** What a ticket may be asked for: all but the registry may be left out. */
export type TicketRequest = Partial<TicketBinding>

/** @param more header lines */
export async function askForTicket(
  t: TestContext,
  { url = `https://${REGISTRY_HOST}`, ...options }: TicketDesk,
  request: TicketRequest,
  ...more: readonly string[]
): Promise<RawResponse> {
  const { host, hostname, pathname } = new URL(url)
  const client = await connectClient(t, { servername: hostname, ...options })
  const body = JSON.stringify({ registry: 'main', ...request })
  const lines = [
    `POST ${pathname.replace(/\/$/, '')}/.certgate/tickets HTTP/1.1`,
    `Host: ${host}`,
    `Content-Length: ${Buffer.byteLength(body)}`,
    'Connection: close',
    ...more,
  ]
  client.send(`${lines.join('\r\n')}\r\n\r\n${body}`)
  return client.response()
}

/** @returns the text of a ticket; @throws with the answer when there is none */
export async function ticketFor(t: TestContext, desk: TicketDesk, request: TicketRequest): Promise<string> {
  const { status, body } = await askForTicket(t, desk, request)
  const answer: unknown = JSON.parse(body)
  const ticket = typeof answer === 'object' && answer !== null && 'ticket' in answer ? answer.ticket : undefined
  if (status === 201 && typeof ticket === 'string') return ticket
  throw new Error(`no ticket: ${status} ${body}`)
}
