// The configuration as the rest of the program sees it: checked, resolved, frozen. `load.ts` makes it from the two
// files; nothing else does.

import type { Account, Enrolment } from '../accounts/account.ts'

/** One address to listen on. */
export interface ListenConfig {
  readonly host: string
  /** 0 takes a free one */
  readonly port: number
  /** PEM, the certificate chain */
  readonly certificate: Buffer
  /** PEM; never printed */
  readonly key: Buffer
}

export const DIALECT_NAMES = ['npm', 'cargo', 'pypi', 'oci', 'maven', 'generic'] as const
export type DialectName = (typeof DIALECT_NAMES)[number]

/** One backend behind the gate. */
export interface RegistryConfig {
  readonly name: string
  readonly dialect: DialectName
  /** where clients reach it: `https`, a host, perhaps a port, a path that ends in a slash */
  readonly publicUrl: URL
  /** where the backend is: `http` or `https`, a path that ends in a slash */
  readonly upstream: URL
  /** further origins under which the backend writes links to itself */
  readonly upstreamOrigins: readonly string[]
  /** request fields that this backend wants beside the usual ones, by name in lower case */
  readonly upstreamHeaders: ReadonlyMap<string, string>
  /** the origin whose tokens the backend takes in place of the credential; undefined: none but the upstream's own */
  readonly tokenService: string | undefined
  /** PEM of the CA (or the self-signed certificate) that a TLS upstream is verified against; undefined: the public ones */
  readonly upstreamCa: Buffer | undefined
  readonly reads: 'public' | 'certificate'
}

/** Every bound of the gate. Times in ms, sizes in bytes. */
export interface Limits {
  /** from TCP accept to the end of the TLS handshake */
  readonly handshake: number
  /** from the first byte of a request head to its last */
  readonly head: number
  /** request and response head, and a chunked body's trailers */
  readonly headSize: number
  /** fields in a head */
  readonly headFields: number
  /** between two requests on a connection */
  readonly keepAlive: number
  /** without a byte of progress in a body, in either direction */
  readonly idle: number
  /** bytes per second, averaged over ten seconds, that an upload must reach */
  readonly minimumRate: number
  /** what is still read of an upload that was refused, so that the client gets to see the answer: bytes */
  readonly drainSize: number
  /** the same for a client with no enrolled certificate */
  readonly drainSizeUnknown: number
  /** and for how long */
  readonly drainTime: number
  /** how much of an upload is looked at to find the package's name */
  readonly peek: number
  /** open client connections */
  readonly connections: number
  /** to connect to the upstream, TLS included */
  readonly upstreamConnect: number
  /** from the end of the request to the first byte of the upstream's answer */
  readonly upstreamAnswer: number
  /** an idle upstream connection is kept this long; less than the upstream keeps it */
  readonly upstreamKeepAlive: number
  /** open connections to one upstream */
  readonly upstreamConnections: number
  /** after SIGTERM, for requests in flight */
  readonly shutdown: number
  /** by which an upload may outlast the certificate that it began with */
  readonly uploadGrace: number
  /** a certificate that starts later than this from now is refused: the client's clock may be ahead */
  readonly clockLeeway: number
  /** how long a ticket is good for */
  readonly ticket: number
  /** how long a ticket to read is good for, any number of times */
  readonly readTicket: number
}

export interface Config {
  readonly listen: readonly ListenConfig[]
  readonly minimumTls: 'TLSv1.2' | 'TLSv1.3'
  readonly registries: readonly RegistryConfig[]
  readonly accounts: readonly Account[]
  readonly enrolments: readonly Enrolment[]
  readonly audit: { readonly file: string; readonly publicReads: boolean }
  readonly limits: Limits
}

/** One thing wrong in a configuration file. `line` and `column` count from 1; undefined when it is about the file as a whole. */
export interface Problem {
  readonly file: string
  readonly line: number | undefined
  readonly column: number | undefined
  /** one sentence: what is wrong and what would be right */
  readonly message: string
  /** the source line and a caret under the place */
  readonly excerpt: string | undefined
}

export type Loaded =
  | { readonly kind: 'ok'; readonly config: Config }
  | { readonly kind: 'bad'; readonly problems: readonly Problem[] }
