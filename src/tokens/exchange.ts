// For registries that take tokens of a token service in place of a credential (OCI): gets the token for the client, with
// the account's credential or, for public reads, without one. The client never sees a challenge.

import { LRUCache } from 'lru-cache'
import type { Credential } from '../accounts/account.ts'
import { type Inquiry, inquire, type Reply } from '../http/inquiry.ts'
import type { Origin } from '../http/origin.ts'
import type { Sweeper } from '../http/sweeper.ts'
import type { Sender } from '../lane/decide.ts'
import { refuse } from '../lane/refusals.ts'
import type { Authorization, Authorize } from '../lane/route.ts'
import { ownCredential, poolOf, refusalOfChallenge } from '../lane/sender.ts'
import { ownHead } from '../lane/upstream-head.ts'
import { readToken } from './answer.ts'
import { type Demand, type Realm, readDemand, type TokenPlaces } from './demand.ts'
import { scopesOf } from './scope.ts'

export interface TokenExchange extends TokenPlaces {
  /** the upstream */
  readonly origin: Origin
  /** the configured token service; undefined: none */
  readonly service: Origin | undefined
  /** request lines that tell the backend its public address */
  readonly addressLines: string
  /** ms until an answer has to be whole */
  readonly time: number
  readonly sweeper: Sweeper
}

type Denied = Extract<Authorization, { kind: 'denied' }>
type TokenDemand = Extract<Demand, { kind: 'token' }>

/** A token in the cache. */
interface Kept {
  readonly kind: 'kept'
  readonly token: Credential
  /** what it was given for; another one is not to be had by it */
  readonly credential: Credential | undefined
  /** monotonic ms */
  readonly expires: number
}

/** Each is some kilobytes; the longest unused are forgotten first, and cost one more question. */
const TOKENS = 4096
const ANSWER_SIZE = 64 * 1024

export function createTokenExchange(exchange: TokenExchange): Authorize {
  const { sweeper } = exchange
  const tokens = new LRUCache<string, Kept>({ max: TOKENS })
  const probes = createFlights<Demand | Denied>()
  const fetches = createFlights<Kept | Denied>()
  let known: Demand | undefined

  async function probe(): Promise<Demand | Denied> {
    const demand = await askDemand(exchange)
    if (demand.kind !== 'denied') known = demand
    return demand
  }

  function forget(demand: Demand): void {
    if (known === demand) known = undefined
  }

  function usable(key: string, credential: Credential | undefined): Kept | undefined {
    const found = tokens.get(key)
    return found !== undefined && found.credential === credential && sweeper.now() < found.expires ? found : undefined
  }

  async function withToken(demand: TokenDemand, sender: Sender, scopes: readonly string[]): Promise<Authorization> {
    const key = [poolOf(sender), ...scopes].join('\n')

    async function fetchAndKeep(): Promise<Kept | Denied> {
      const fetched = await fetchToken(exchange, demand, sender, scopes)
      if (fetched.kind === 'kept') tokens.set(key, fetched)
      return fetched
    }

    const kept = usable(key, ownCredential(sender)) ?? (await fetches.join(key, fetchAndKeep))
    if (kept.kind === 'denied') return kept

    function onRejected(): void {
      if (tokens.get(key) === kept) tokens.delete(key)
      forget(demand)
    }

    return { kind: 'granted', credential: kept.token, onRejected }
  }

  return async function authorize(sender, method, asked) {
    const demand = known ?? (await probes.join('', probe))
    if (demand.kind === 'denied') return demand
    if (demand.kind === 'token') return withToken(demand, sender, scopesOf(method, asked))
    const credential = ownCredential(sender)
    // That a password is demanded of somebody who has none is no news.
    return { kind: 'granted', credential, onRejected: () => credential !== undefined && forget(demand) }
  }
}

interface Flights<Result> {
  /** Joins what is under way under this key, or sets out. */
  readonly join: (key: string, start: () => Promise<Result>) => Promise<Result>
}

function createFlights<Result>(): Flights<Result> {
  const underWay = new Map<string, Promise<Result>>()
  return {
    join(key, start) {
      const flying = underWay.get(key) ?? start().finally(() => underWay.delete(key))
      underWay.set(key, flying)
      return flying
    },
  }
}

function ask(exchange: TokenExchange, inquiry: Inquiry): Promise<Reply> {
  return inquire(inquiry, { size: ANSWER_SIZE, time: exchange.time }, exchange.sweeper)
}

/** Without a credential, so that it shows what the registry wants. */
async function askDemand(exchange: TokenExchange): Promise<Demand | Denied> {
  const head = ownHead(`${exchange.basePath}/v2/`, exchange.addressLines, undefined)
  const reply = await ask(exchange, { origin: exchange.origin, pool: 'public', head })
  if (reply.kind === 'fault') return deniedByFault(reply, 'GET /v2/')
  const read = readDemand(reply.head, exchange)
  return read.kind === 'demand' ? read.demand : malformed(read.cause)
}

async function fetchToken(
  exchange: TokenExchange,
  { realm, service }: TokenDemand,
  sender: Sender,
  scopes: readonly string[],
): Promise<Kept | Denied> {
  const place = placeOf(exchange, realm)
  if (place === undefined) return malformed('the token service is not configured any more')
  const asked = exchange.sweeper.now()
  const credential = ownCredential(sender)
  const head = ownHead(withQuery(realm.target, service, scopes), place.addressLines, credential)
  const reply = await ask(exchange, { origin: place.origin, pool: poolOf(sender), head })
  if (reply.kind === 'fault') return deniedByFault(reply, 'token service')
  const { status } = reply.head
  if (status === 401 || status === 403) return rejected(sender, status)
  if (status !== 200) return malformed(`the token service answered ${status}`)
  const token = readToken(reply.body)
  if (token === undefined) return malformed('the answer of the token service holds no token that can be read')
  const expires = asked + token.lifetime
  return { kind: 'kept', token: { field: 'authorization', value: token.value }, credential, expires }
}

function placeOf(
  exchange: TokenExchange,
  { at, host }: Realm,
): Pick<TokenExchange, 'origin' | 'addressLines'> | undefined {
  if (at === 'upstream') return exchange
  return exchange.service && { origin: exchange.service, addressLines: `host: ${host}\r\n` }
}

function withQuery(target: string, service: string | undefined, scopes: readonly string[]): string {
  const query = new URLSearchParams(scopes.map(scope => ['scope', scope]))
  if (service !== undefined) query.set('service', service)
  return query.size === 0 ? target : `${target}${target.includes('?') ? '&' : '?'}${query}`
}

function rejected(sender: Sender, status: number): Denied {
  // That nobody reads there without a certificate is no trouble for the operator to hear of.
  const cause = sender.kind === 'public' ? undefined : `the token service answered ${status}`
  return { kind: 'denied', refused: refusalOfChallenge(sender), cause }
}

function malformed(cause: string): Denied {
  return { kind: 'denied', refused: refuse('upstream-malformed'), cause }
}

function deniedByFault({ fault, cause }: Extract<Reply, { kind: 'fault' }>, what: string): Denied {
  return { kind: 'denied', refused: refuse(`upstream-${fault}`), cause: `${what}: ${cause}` }
}
