// The closed list of reasons for which a request is not served: a stable name, a status and one sentence each. The
// sentence tells the person who meets it what to do; the log has the cause.

interface Row {
  readonly status: number
  /** One sentence in ASCII; it also becomes the reason phrase. */
  readonly sentence: (...facts: never[]) => string
}

const row = <Facts extends string[]>(status: number, sentence: (...facts: Facts) => string) => ({ status, sentence })

export const REFUSALS = {
  'certificate-required': row(
    403,
    () => 'this needs a client certificate and none was presented; /.certgate/whoami tells how to make one',
  ),
  'certificate-unusable': row(
    403,
    (fingerprint: string, problem: string) => `client certificate ${fingerprint} cannot be used: ${problem}`,
  ),
  'certificate-unknown': row(
    403,
    (fingerprint: string) =>
      `client certificate ${fingerprint} is not enrolled here; send this fingerprint to the operator of the registry`,
  ),
  'certificate-not-yet-valid': row(
    403,
    (fingerprint: string, from: string) =>
      `client certificate ${fingerprint} is not valid before ${from}; check the clock of the machine that made it`,
  ),
  'certificate-expired': row(
    403,
    (fingerprint: string, end: string) =>
      `client certificate ${fingerprint} expired at ${end}; make a new one and have it enrolled`,
  ),
  'enrolment-expired': row(
    403,
    (fingerprint: string, end: string) =>
      `the enrolment of client certificate ${fingerprint} ended at ${end}; ask the operator of the registry to renew it`,
  ),
  'certificate-revoked': row(
    403,
    (fingerprint: string, on: string, reason: string) =>
      `client certificate ${fingerprint} was revoked on ${on}: ${reason}`,
  ),
  'account-suspended': row(
    403,
    (account: string) => `account ${account} is suspended; ask the operator of the registry`,
  ),
  'certificate-restricted': row(
    403,
    (label: string, only: string, action: string) =>
      `this client certificate (${label}) is enrolled only to ${only}, not to ${action}`,
  ),
  'right-missing': row(
    403,
    (account: string, action: string, what: string) => `account ${account} has no right to ${action} ${what}`,
  ),
  'credential-missing': row(
    403,
    (account: string, registry: string) =>
      `account ${account} has no credential for registry ${registry}; ask the operator to add one`,
  ),
  'ticket-malformed': row(400, (problem: string) => `the request for a ticket cannot be read: ${problem}`),
  'ticket-unknown': row(403, () => 'this ticket is not known here, or was forgotten; ask for a new one'),
  'ticket-used': row(403, () => 'this ticket was used before; each is good for one request, so ask for a new one'),
  'ticket-expired': row(403, () => 'this ticket has expired; ask for a new one'),
  'ticket-differs': row(
    403,
    (what: string, bound: string, found: string) =>
      `this ticket is for ${what} ${bound}, and the request is for ${found}`,
  ),
  'account-endpoint-closed': row(
    403,
    () => 'login, token and user endpoints are closed here: the client certificate is the login, no token is needed',
  ),
  'route-unknown': row(
    404,
    (dialect: string) => `this is not a request of the ${dialect} protocol that the gate lets through`,
  ),
  'path-unserved': row(404, () => 'no registry is served under this path; look at the URL that the operator gave you'),
  'path-ambiguous': row(400, (problem: string) => `the path can be read in more than one way: ${problem}`),
  'host-unknown': row(421, () => 'no registry is served under this host name'),
  'host-mismatch': row(421, () => 'the Host field differs from the name of the TLS connection'),
  'upload-unclear': row(400, (problem: string) => `the upload cannot be checked: ${problem}`),
  'upload-encoded': row(415, () => 'the upload is compressed as a whole, so it cannot be checked; send it as it is'),
  'request-malformed': row(400, (detail: string) => `the request is malformed: ${detail}`),
  'request-too-large': row(431, (detail: string) => `the request is refused: ${detail}`),
  'request-too-slow': row(408, (detail: string) => `the request came too slowly: ${detail}`),
  // Nobody reads this one; the status is nginx's, and stands in the log only.
  'client-gone': row(499, () => 'the client closed the connection before the answer was complete'),
  'version-unsupported': row(505, (detail: string) => `only HTTP/1.1 is served here: ${detail}`),
  'method-unsupported': row(501, (detail: string) => `the request is refused: ${detail}`),
  'expectation-unsupported': row(417, (detail: string) => `the request is refused: ${detail}`),
  'audit-unavailable': row(
    503,
    () => 'the audit log cannot be written, so no change is let through; reads still work; try again later',
  ),
  'audit-interrupted': row(
    503,
    () => 'the registry was asked for this change, but its outcome could not be recorded; look whether it happened',
  ),
  'upstream-unreachable': row(502, () => 'the registry behind the gate cannot be reached; try again later'),
  'upstream-busy': row(503, () => 'the gate has no free connection to the registry; try again later'),
  'upstream-timeout': row(504, () => 'the registry behind the gate did not answer in time'),
  'upstream-malformed': row(502, () => 'the registry behind the gate sent an answer that is not well-formed'),
  'upstream-cut': row(502, () => 'the registry behind the gate broke off before its answer was complete'),
  'upstream-credential-rejected': row(
    502,
    (account: string) =>
      `the registry rejected the credential that the gate holds for account ${account}; tell the operator`,
  ),
  'internal-error': row(500, () => 'the gate made a mistake; its log has the details under this request id'),
} as const satisfies Readonly<Record<string, Row>>

export type Refusal = keyof typeof REFUSALS

/** A request that is not served, and why. */
export interface Refused {
  readonly kind: 'refused'
  readonly refusal: Refusal
  readonly status: number
  readonly sentence: string
}

type Facts<R extends Refusal> = Parameters<(typeof REFUSALS)[R]['sentence']>

export function refuse<R extends Refusal>(refusal: R, ...facts: Facts<R>): Refused {
  const { status, sentence } = REFUSALS[refusal]
  // The signature has matched the facts with this row; the table as a whole only says that each row takes strings.
  const say = sentence as (...facts: readonly string[]) => string
  return { kind: 'refused', refusal, status, sentence: say(...facts) }
}

/** A point in time for a sentence: to the second, in UTC. */
export function instant(ms: number): string {
  const date = new Date(ms)
  return Number.isNaN(date.getTime()) ? 'an unknown time' : date.toISOString().replace(/\.\d{3}Z$/, 'Z')
}
