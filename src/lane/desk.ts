// The gate's own endpoints, under /.certgate/ on every public URL.

import type { Rights } from '../accounts/account.ts'
import type { Exchange } from '../http/exchange.ts'
import { answerJson } from './answer.ts'
import type { Decision } from './decide.ts'
import type { Identity } from './identity.ts'
import type { Peer } from './peer.ts'
import { type Outcome, outcomeOf } from './record.ts'
import { instant, type Refused, refuse } from './refusals.ts'

export interface DeskJob {
  readonly exchange: Exchange
  readonly decision: Extract<Decision, { kind: 'desk' }>
  readonly peer: Peer
  /** request id */
  readonly id: string
  /** bytes of a request that are still read after the answer */
  readonly drain: number
  readonly answerRefusal: (refused: Refused) => void
}

export function answerDesk(job: DeskJob): Outcome {
  const { exchange, decision, peer, id, drain } = job
  const { method } = exchange.head
  const endpoint = decision.target.segments.slice(1).join('/')
  if (endpoint !== 'whoami' || (method !== 'GET' && method !== 'HEAD')) {
    const refused = refuse('route-unknown', 'desk')
    job.answerRefusal(refused)
    return outcomeOf(refused)
  }
  answerJson(exchange, 200, whoami(peer, decision.standing), id, drain)
  return { status: 200, refused: undefined, cause: undefined, unsent: 0 }
}

/** Makes a key and a self-signed certificate for five years; OpenSSL 1.1.1 and later. */
const MAKE_CERTIFICATE = 'openssl req -x509 -newkey ed25519 -nodes -days 1825 -subj /CN=me -keyout id.key -out id.pem'

/**
 * Who the gate thinks the client is. An unknown certificate is answered too: this is how a newcomer learns what to
 * send to the operator.
 */
function whoami(peer: Peer, standing: Identity | Refused): Record<string, unknown> {
  return { certificate: describePeer(peer), ...describeStanding(peer, standing) }
}

function describePeer(peer: Peer): Record<string, unknown> | null {
  switch (peer.kind) {
    case 'anonymous':
      return null
    case 'unusable':
      return { fingerprint: peer.fingerprint }
    case 'certificate': {
      const { fingerprint, keyPin, key, notBefore, notAfter } = peer
      return { fingerprint, key_pin: keyPin, key, not_before: instant(notBefore), not_after: instant(notAfter) }
    }
  }
}

function describeStanding(peer: Peer, standing: Identity | Refused): Record<string, unknown> {
  if (standing.kind === 'identity') return describeAccount(standing)
  const hint = peer.kind === 'anonymous' ? { make_one: MAKE_CERTIFICATE } : {}
  return { account: null, refusal: standing.refusal, message: standing.sentence, ...hint }
}

function describeAccount({ peer, enrolment }: Identity): Record<string, unknown> {
  const { account, label, expires, only } = enrolment
  const registries = new Set([...account.credentials.keys(), ...account.rights.keys()])
  return {
    account: account.name,
    label,
    expires: instant(Math.min(peer.notAfter, expires)),
    only: only === undefined ? null : [...only],
    rights: Object.fromEntries([...registries].map(name => [name, rightsAt(account.rights.get(name))])),
  }
}

function rightsAt(rights: Rights = {}): Record<string, readonly string[]> {
  return Object.fromEntries(Object.entries(rights).map(([action, right]) => [action, right.patterns]))
}
