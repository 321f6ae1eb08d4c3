// What an OCI registry wants to be shown, learnt from its answer to `GET /v2/` (distribution's token specification).

import { valuesOf } from '../http/head.ts'
import type { ResponseHead } from '../http/response-head.ts'
import type { Places } from '../lane/rewrite.ts'
import { type Challenge, parseChallenges } from './challenge.ts'

export type Demand =
  /** the credential itself, or nothing at all: then it does no harm */
  | { readonly kind: 'credential' }
  /** a token of the service at `realm` */
  | { readonly kind: 'token'; readonly realm: Realm; readonly service: string | undefined }

/** A token service. */
export interface Realm {
  /** `service`: the configured one; `upstream`: the backend is its own */
  readonly at: 'upstream' | 'service'
  /** of its host */
  readonly host: string
  /** path and query */
  readonly target: string
}

/** Where token services may be: the account's password goes nowhere else (R15). */
export interface TokenPlaces extends Places {
  /** origin */
  readonly tokenService: string | undefined
}

export type ReadDemand =
  | { readonly kind: 'demand'; readonly demand: Demand }
  | { readonly kind: 'unacceptable'; readonly cause: string }

const CREDENTIAL: Demand = Object.freeze({ kind: 'credential' })

/** @param head of the answer to `GET /v2/` without a credential */
export function readDemand({ status, fields }: ResponseHead, places: TokenPlaces): ReadDemand {
  if (status === 200) return { kind: 'demand', demand: CREDENTIAL }
  if (status !== 401) return { kind: 'unacceptable', cause: `the upstream answered ${status} to GET /v2/` }
  const challenges = parseChallenges(valuesOf(fields, 'www-authenticate'))
  const bearer = challenges.find(({ scheme }) => scheme === 'bearer')
  // Where both are offered, only a token lets those read who have no credential.
  if (bearer !== undefined) return demandOf(bearer, places)
  if (challenges.some(({ scheme }) => scheme === 'basic')) return { kind: 'demand', demand: CREDENTIAL }
  return { kind: 'unacceptable', cause: 'the upstream demands neither a token nor a password for /v2/' }
}

function demandOf({ parameters }: Challenge, places: TokenPlaces): ReadDemand {
  const url = URL.parse(parameters.get('realm') ?? '')
  if (url === null || !/^https?:$/.test(url.protocol) || url.username !== '' || url.password !== '') {
    return { kind: 'unacceptable', cause: 'the realm of the upstream is not the URL of a token service' }
  }
  const realm = realmAt(url, places)
  if (realm !== undefined)
    return { kind: 'demand', demand: { kind: 'token', realm, service: parameters.get('service') } }
  return {
    kind: 'unacceptable',
    cause: `the realm is at ${url.origin}, which is neither the upstream nor the configured token-service; no credential goes there`,
  }
}

/**
 * A backend that is its own token service names itself by whatever address it knows, the gate's own among them (Gitea's
 * ROOT_URL); the request goes to the upstream's address all the same.
 */
function realmAt(url: URL, places: TokenPlaces): Realm | undefined {
  const { upstream, upstreamOrigins, publicUrl, basePath, tokenService } = places
  const { host, search, pathname } = url
  if (url.origin === upstream.origin || upstreamOrigins.includes(url.origin)) {
    return { at: 'upstream', host, target: pathname + search }
  }
  if (url.origin === tokenService) return { at: 'service', host, target: pathname + search }
  if (host === publicUrl.host) return { at: 'upstream', host, target: basePath + pathname + search }
  return undefined
}
