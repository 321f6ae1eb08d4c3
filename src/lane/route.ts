// Request head → Route: which registry, and what is asked of it. Looks at nothing but the head and the name that the
// TLS connection was opened for.

import { isIP } from 'node:net'
import type { Credential } from '../accounts/account.ts'
import type { Action, Asked, Dialect, Inspector } from '../dialects/dialect.ts'
import { isEncoded, type Method, type RequestHead } from '../http/head.ts'
import type { Origin } from '../http/origin.ts'
import { parseTarget, type Target } from '../http/target.ts'
import type { Sender } from './decide.ts'
import { isEndToEnd } from './fields.ts'
import { type Refused, refuse } from './refusals.ts'
import { isDisplaced } from './rewrite.ts'

/** A backend as the lane sees it. */
export interface Registry {
  readonly name: string
  readonly dialect: Dialect
  readonly reads: 'public' | 'certificate'
  readonly publicUrl: URL
  readonly upstream: URL
  /** of the upstream, without a slash at the end */
  readonly basePath: string
  /** further origins under which the upstream writes links to itself */
  readonly upstreamOrigins: readonly string[]
  readonly origin: Origin
  /** Exchanges the sender's credential for what the upstream takes; undefined: it takes the credential itself. */
  readonly authorize: Authorize | undefined
  /** request lines that tell the backend its public address */
  readonly addressLines: string
}

/** Asked before anything of a request goes upstream. Never rejects. */
export type Authorize = (sender: Sender, method: Method, asked: Asked) => Promise<Authorization>

export type Authorization =
  | {
      readonly kind: 'granted'
      /** to send; undefined: none is needed, or none is to be had */
      readonly credential: Credential | undefined
      /** The upstream answered 401 to it: what was believed about it is forgotten. */
      readonly onRejected: () => void
    }
  /** `cause`: for the operator */
  | { readonly kind: 'denied'; readonly refused: Refused; readonly cause: string | undefined }

/** What only the body of a request tells. */
export interface Inspect {
  readonly candidates: readonly Action[]
  readonly inspector: () => Inspector
}

export interface RegistryRoute {
  readonly kind: 'registry'
  readonly registry: Registry
  readonly asked: Asked
  /** origin-form, for the upstream: the bytes that were judged, behind the upstream's own base path */
  readonly upstreamTarget: string
  /** undefined when `asked` is the whole truth */
  readonly inspect: Inspect | undefined
  /** the status with which clients of the ecosystem understand a refusal of this request */
  readonly refusalStatus: (status: number) => number
}

export type Route = RegistryRoute | { readonly kind: 'desk'; readonly endpoint: string } | Refused

const DESK = '.certgate'

/** @param servername the name of the TLS connection (SNI); undefined when the client gave none */
export type Router = (head: RequestHead, servername: string | undefined) => Route

export function createRouter(registries: readonly Registry[]): Router {
  const byHost = Map.groupBy(registries, registry => authorityOf(registry.publicUrl.host))
  for (const sharing of byHost.values())
    sharing.sort((a, b) => b.publicUrl.pathname.length - a.publicUrl.pathname.length)
  const names = new Set(registries.map(registry => registry.publicUrl.hostname))

  return function routeOf(head, servername) {
    const [hostname, port] = splitAuthority(head.host)
    const sharing = byHost.get(`${hostname}:${port}`)
    if (sharing === undefined) return refuse('host-unknown')
    if (!isConsistent(hostname, servername, names.size)) return refuse('host-mismatch')
    if (head.nominated.some(isEndToEnd)) return refuse('request-malformed', 'Connection names an end-to-end field')
    const parsed = parseTarget(head.target)
    if (parsed.kind === 'ambiguous') return refuse('path-ambiguous', parsed.problem)
    const { target } = parsed
    const registry = sharing.find(({ publicUrl }) => isUnder(target.raw, publicUrl.pathname))
    const own = registry === undefined ? target : below(target, registry.publicUrl.pathname)
    if (own.segments[0] === DESK) return { kind: 'desk', endpoint: own.segments.slice(1).join('/') }
    return registry === undefined ? refuse('path-unserved') : classify(registry, head, own)
  }
}

/** @param prefix a path of plain characters that ends in a slash; compared as it was sent, so that nothing is decoded twice */
function isUnder(raw: string, prefix: string): boolean {
  const bare = prefix.slice(0, -1)
  return raw.startsWith(prefix) || raw === bare || raw.startsWith(`${bare}?`)
}

function below(target: Target, prefix: string): Target {
  if (prefix === '/') return target
  const depth = prefix.split('/').length - 2
  const rest = target.raw.slice(prefix.length - 1)
  return { ...target, raw: rest.startsWith('/') ? rest : `/${rest}`, segments: target.segments.slice(depth) }
}

/** Lower case, without a trailing dot, with the port: `B.Test.` is `b.test:443` (CVE-2022-23632). */
function splitAuthority(host: string): readonly [hostname: string, port: number] {
  const [, name = '', port = '443'] = /^(.*?)\.?(?::([0-9]+))?$/.exec(host.toLowerCase()) ?? []
  return [name, Number(port)]
}

function authorityOf(host: string): string {
  return splitAuthority(host).join(':')
}

/**
 * Clients give no SNI for an address. For a name they may leave it out only where there is one name to mean (R16).
 */
function isConsistent(hostname: string, servername: string | undefined, names: number): boolean {
  if (servername !== undefined) return servername.toLowerCase().replace(/\.$/, '') === hostname
  return names === 1 || isIP(hostname.replace(/^\[|\]$/g, '')) !== 0
}

function classify(registry: Registry, head: RequestHead, target: Target): Route {
  const classified = registry.dialect.classify(head.method, target, head.fields)
  if (classified.kind === 'unknown') return refuse('route-unknown', registry.dialect.name)
  if (classified.kind === 'inspect' && isEncoded(head.fields)) return refuse('upload-encoded')
  const asked = withLinks(classified.asked, registry)
  const inspect = classified.kind === 'inspect' ? classified : undefined
  const upstreamTarget = `${registry.basePath}${target.raw}`
  const refusalStatus = (status: number) => registry.dialect.refusalStatus?.(status, target, head.method) ?? status
  return { kind: 'registry', registry, asked, upstreamTarget, inspect, refusalStatus }
}

function withLinks(asked: Asked, registry: Registry): Asked {
  return asked.relink !== undefined && isDisplaced(registry) ? { ...asked, rewrite: asked.relink } : asked
}
