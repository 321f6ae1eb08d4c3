// Request head → Route: which registry, and what is asked of it. Looks at nothing but the head and the name that the
// TLS connection was opened for.

import { isIP } from 'node:net'
import type { Action, Asked, Dialect, Inspector } from '../dialects/dialect.ts'
import { type RequestHead, valuesOf } from '../http/head.ts'
import type { Origin } from '../http/origin.ts'
import { parseTarget, type Target } from '../http/target.ts'
import { isSetByGate } from './fields.ts'
import { type Refused, refuse } from './refusals.ts'

/** A backend as the lane sees it. */
export interface Registry {
  readonly name: string
  readonly dialect: Dialect
  readonly reads: 'public' | 'certificate'
  readonly publicUrl: URL
  readonly upstream: URL
  readonly origin: Origin
  /** request lines that tell the backend its public address */
  readonly addressLines: string
}

/** What only the body of a request tells. */
export interface Inspect {
  readonly candidates: readonly Action[]
  readonly inspector: () => Inspector
}

export interface RegistryRoute {
  readonly kind: 'registry'
  readonly registry: Registry
  readonly asked: Asked
  /** undefined when `asked` is the whole truth */
  readonly inspect: Inspect | undefined
}

export type Route =
  | RegistryRoute
  | { readonly kind: 'desk'; readonly registry: Registry; readonly target: Target }
  | Refused

const DESK = '.certgate'

/** @param servername the name of the TLS connection (SNI); undefined when the client gave none */
export type Router = (head: RequestHead, servername: string | undefined) => Route

export function createRouter(registries: readonly Registry[]): Router {
  const byHost = new Map(registries.map(registry => [authorityOf(registry.publicUrl.host), registry]))
  const names = new Set(registries.map(registry => registry.publicUrl.hostname))

  return function routeOf(head, servername) {
    const authority = authorityOf(head.host)
    const registry = byHost.get(authority)
    if (registry === undefined) return refuse('host-unknown')
    if (!isConsistent(registry.publicUrl.hostname, servername, names.size)) return refuse('host-mismatch')
    if (head.nominated.some(isSetByGate)) return refuse('request-malformed', 'Connection names an end-to-end field')
    const parsed = parseTarget(head.target)
    if (parsed.kind === 'ambiguous') return refuse('path-ambiguous', parsed.problem)
    const { target } = parsed
    if (target.segments[0] === DESK) return { kind: 'desk', registry, target }
    return classify(registry, head, target)
  }
}

/** Lower case, without a trailing dot, with the port: `B.Test.` is `b.test:443` (CVE-2022-23632). */
function authorityOf(host: string): string {
  const [, name = '', port = '443'] = /^(.*?)\.?(?::([0-9]+))?$/.exec(host.toLowerCase()) ?? []
  return `${name}:${Number(port)}`
}

/**
 * Clients give no SNI for an address. For a name they may leave it out only where there is one name to mean (R16).
 */
function isConsistent(hostname: string, servername: string | undefined, names: number): boolean {
  if (servername !== undefined) return servername.toLowerCase().replace(/\.$/, '') === hostname
  return names === 1 || isIP(hostname.replace(/^\[|\]$/g, '')) !== 0
}

function classify(registry: Registry, head: RequestHead, target: Target): Route {
  const classified = registry.dialect.classify(head.method, target)
  switch (classified.kind) {
    case 'unknown':
      return refuse('route-unknown', registry.dialect.name)
    case 'asked':
      return { kind: 'registry', registry, asked: classified.asked, inspect: undefined }
    case 'inspect':
      if (isEncoded(head)) return refuse('upload-encoded')
      return { kind: 'registry', registry, asked: classified.asked, inspect: classified }
  }
}

function isEncoded(head: RequestHead): boolean {
  return valuesOf(head.fields, 'content-encoding').some(coding => coding.toLowerCase() !== 'identity')
}
