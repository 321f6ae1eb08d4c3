// Every bound of the gate in one table: the schema, the frozen defaults and the manual's test derive from it.

import type { Limits } from './config.ts'
import { bad, parseCount, parseDuration, parseSize, type Read } from './values.ts'

export interface LimitRow {
  readonly kind: 'duration' | 'size' | 'count'
  /** as an operator would write it, as are `least` and `most` */
  readonly standard: string
  readonly least: string
  readonly most: string
  /** one line, to stand in the manual */
  readonly means: string
}

function duration(standard: string, least: string, most: string, means: string): LimitRow {
  return { kind: 'duration', standard, least, most, means }
}

function size(standard: string, least: string, most: string, means: string): LimitRow {
  return { kind: 'size', standard, least, most, means }
}

function count(standard: string, least: string, most: string, means: string): LimitRow {
  return { kind: 'count', standard, least, most, means }
}

export const LIMITS = {
  handshake: duration('10s', '100ms', '5m', 'from TCP accept to the end of the TLS handshake'),
  head: duration('10s', '100ms', '5m', 'from the first byte of a request head to its last'),
  headSize: size('16KiB', '1KiB', '256KiB', "a request's or a response's head, and a chunked body's trailers"),
  headFields: count('100', '10', '1000', 'fields in a head'),
  keepAlive: duration('65s', '100ms', '1h', 'between two requests on a connection'),
  idle: duration('60s', '100ms', '1h', 'without a byte of progress in a body, in either direction'),
  minimumRate: size('1KiB', '0', '1GiB', 'per second, averaged over ten seconds, that an upload must reach'),
  drainSize: size('32MiB', '0', '1GiB', 'still read of a refused upload, so that the client gets to see the answer'),
  drainSizeUnknown: size('64KiB', '0', '1GiB', 'the same for a client with no enrolled certificate'),
  drainTime: duration('10s', '100ms', '10m', 'and for how long'),
  peek: size('4MiB', '4KiB', '256MiB', "of an upload that is looked at to find the package's name"),
  connections: count('10000', '1', '1000000', 'open client connections'),
  upstreamConnect: duration('5s', '100ms', '5m', 'to connect to the upstream, TLS included'),
  upstreamAnswer: duration(
    '60s',
    '100ms',
    '1h',
    "from the end of a request to the first byte of the upstream's answer",
  ),
  upstreamKeepAlive: duration('4s', '100ms', '1h', 'for an idle upstream connection; less than the upstream keeps it'),
  upstreamConnections: count('512', '1', '100000', 'open connections to one upstream'),
  shutdown: duration('30s', '0s', '1h', 'for requests in flight when the gate is told to stop'),
  uploadGrace: duration('10m', '0s', '1d', 'by which an upload may outlast the certificate that it began with'),
  clockLeeway: duration(
    '5m',
    '0s',
    '1d',
    "by which a client's clock may be ahead: its certificate begins later than now",
  ),
  ticket: duration('60s', '1s', '1h', 'that a ticket is good for, once'),
  readTicket: duration('15m', '1s', '1d', 'that a ticket to read is good for, any number of times'),
} as const satisfies Readonly<Record<keyof Limits, LimitRow>>

/** `headSize` is `head-size` in the file. */
function keyOf(name: string): string {
  return name.replace(/[A-Z]/g, letter => `-${letter.toLowerCase()}`)
}

const NAMES = Object.keys(LIMITS) as (keyof Limits)[]
const NAME_OF_KEY: ReadonlyMap<string, keyof Limits> = new Map(NAMES.map(name => [keyOf(name), name]))

/** The keys of `limits` in certgate.yaml. */
export const LIMIT_KEYS: readonly string[] = [...NAME_OF_KEY.keys()]

export function limitNameOf(key: string): keyof Limits | undefined {
  return NAME_OF_KEY.get(key)
}

const READERS = { duration: parseDuration, size: parseSize, count: parseCount } as const

/** What stands there, for the message when it is missing. */
export function expectedLimit(name: keyof Limits): string {
  const { kind, means }: LimitRow = LIMITS[name]
  return `a ${kind}: ${means}`
}

/** Reads one limit as an operator wrote it. */
export function readLimit(name: keyof Limits, text: string): Read<number> {
  const { kind, least, most }: LimitRow = LIMITS[name]
  const read = READERS[kind](text)
  if (read.kind === 'bad') return read
  if (read.value >= amount(kind, least) && read.value <= amount(kind, most)) return read
  return bad(`${JSON.stringify(text)} is out of range; from ${least} to ${most} is accepted`)
}

/** An amount of this table. */
function amount(kind: LimitRow['kind'], text: string): number {
  const read = READERS[kind](text)
  if (read.kind === 'bad') throw new Error(`limits: ${read.problem}`)
  return read.value
}

/** @param chosen what differs from the defaults */
export function limitsWith(chosen: Partial<Limits>): Limits {
  return Object.freeze({ ...DEFAULT_LIMITS, ...chosen })
}

export const DEFAULT_LIMITS: Limits = Object.freeze(
  // The table has a row for every name, and `fromEntries` cannot say so.
  Object.fromEntries(NAMES.map(name => [name, amount(LIMITS[name].kind, LIMITS[name].standard)])) as unknown as Limits,
)
