// certgate.yaml → the part of the Config that it holds.

import { dirname, isAbsolute, join, resolve } from 'node:path'
import { z } from 'zod'
import { isDroppedFromRequest, isHopByHop, isSetByGate } from '../lane/fields.ts'
import { type Config, DIALECT_NAMES, type DialectName, type Limits, type RegistryConfig } from './config.ts'
import { unknownKey } from './issues.ts'
import { expectedLimit, LIMIT_KEYS, limitNameOf, limitsWith, readLimit } from './limits.ts'
import { certificateOf, listener, readListeners, readPem } from './listeners.ts'
import { flag, keys, list, scalar, text } from './shape.ts'
import { complain, keysAt, readAt, reportFinding, type Sheet } from './sheet.ts'
import type { Path } from './tree.ts'
import { isLoopback, parseOrigin, parsePublicUrl, parseUpstream, quote } from './values.ts'

export type GateConfig = Omit<Config, 'accounts' | 'enrolments'>

/** What may stand where; the parts given as `unknown` are read one by one, so that a bad one hides no other's problems. */
const gate = keys({
  listen: z.unknown().optional(),
  'minimum-tls': z.enum(['1.2', '1.3']).default('1.2'),
  registries: z.unknown().optional(),
  accounts: text('the path of the accounts file'),
  audit: keys({ file: text('the path of the audit file'), 'public-reads': flag.default(false) }),
  limits: z.unknown().optional(),
})

const registry = keys({
  dialect: z.enum(DIALECT_NAMES),
  'public-url': scalar('the URL that clients use, such as https://npm.example.com:8443', parsePublicUrl),
  upstream: scalar('the URL of the backend, such as http://127.0.0.1:4873', parseUpstream),
  'upstream-ca': text('the path of a PEM file').optional(),
  'upstream-origins': list(
    scalar('an origin such as https://backend.example.com', parseOrigin),
    'a list of origins',
  ).default([]),
  'upstream-headers': z.record(z.string(), text('the value of the header')).default({}),
  'token-service': scalar('an origin such as https://auth.example.com', parseOrigin).optional(),
  reads: z.enum(['public', 'certificate']).default('certificate'),
  'unsafe-plain-upstream': flag.default(false),
})

/** Every key of the file, for the test that the shipped one mentions them all. */
export const GATE_KEYS: readonly string[] = [
  ...[gate, registry, listener, gate.shape.audit].flatMap(it => Object.keys(it.shape)),
  ...LIMIT_KEYS,
]

/** The accounts file, as the operator would name it; undefined when none is named. Asked of a broken sheet too. */
export function accountsFileOf(sheet: Sheet): string | undefined {
  const named = sheet.at(['accounts'])
  return typeof named === 'string' ? besides(sheet.file, named) : undefined
}

/**
 * The registries that the accounts may speak of, with their dialects as far as they can be told; undefined when the
 * sheet cannot tell.
 */
export function dialectsOf(sheet: Sheet): ReadonlyMap<string, DialectName | undefined> | undefined {
  const registries = sheet.sound ? sheet.at(['registries']) : undefined
  if (typeof registries !== 'object' || registries === null) return undefined
  const dialectAt = (name: string) => DIALECT_NAMES.find(it => it === sheet.at(['registries', name, 'dialect']))
  return new Map(Object.keys(registries).map(name => [name, dialectAt(name)]))
}

function besides(file: string, path: string): string {
  return isAbsolute(path) ? path : join(dirname(file), path)
}

/** @returns undefined when anything is bad; then every problem is reported */
export async function readGate(sheet: Sheet): Promise<GateConfig | undefined> {
  const read = readAt(sheet, [], gate)
  const [listen, registries] = await Promise.all([
    readListeners(sheet, path => besides(sheet.file, path)),
    readRegistries(sheet),
  ])
  const limits = readLimits(sheet)
  if (read === undefined) return undefined
  return {
    listen,
    minimumTls: read['minimum-tls'] === '1.3' ? 'TLSv1.3' : 'TLSv1.2',
    registries,
    audit: { file: resolve(besides(sheet.file, read.audit.file)), publicReads: read.audit['public-reads'] },
    limits,
  }
}

/** Stands in the audit log and in other keys' place: short, and the same in every spelling. */
export const NAME = /^[a-z0-9][a-z0-9-]{0,63}$/
const EXPECTED = 'a map of registries by name'

async function readRegistries(sheet: Sheet): Promise<RegistryConfig[]> {
  const value = sheet.at(['registries'])
  const names = keysAt(sheet, ['registries'], EXPECTED)
  if (value === undefined) complain(sheet, ['registries'], `missing; expected ${EXPECTED}`)
  else if (names.length === 0 && typeof value === 'object' && !Array.isArray(value) && value !== null) {
    complain(sheet, ['registries'], `the map is empty; expected ${EXPECTED}`)
  }
  const read = await Promise.all(names.map(name => readRegistry(sheet, name)))
  refuseSharedHosts(
    sheet,
    read.filter(it => it !== undefined),
  )
  return read.filter(it => it !== undefined)
}

async function readRegistry(sheet: Sheet, name: string): Promise<RegistryConfig | undefined> {
  const path = ['registries', name]
  if (!NAME.test(name)) {
    complain(
      sheet,
      path,
      'this is not a name of a registry: small letters, digits and hyphens, and no hyphen first',
      true,
    )
  }
  const read = readAt(sheet, path, registry)
  if (read === undefined) return undefined
  const { upstream, 'token-service': service, 'unsafe-plain-upstream': unsafe } = read
  refusePlain(sheet, path, 'upstream', upstream, unsafe)
  // The account's password is what it gets.
  if (service !== undefined) refusePlain(sheet, path, 'token-service', new URL(service), unsafe)
  return {
    name,
    dialect: read.dialect,
    publicUrl: read['public-url'],
    upstream: read.upstream,
    upstreamOrigins: read['upstream-origins'],
    upstreamHeaders: readHeaders(sheet, [...path, 'upstream-headers'], read['upstream-headers']),
    tokenService: read['token-service'],
    upstreamCa: await readUpstreamCa(sheet, [...path, 'upstream-ca'], read['upstream-ca'], read.upstream),
    reads: read.reads,
  }
}

function refusePlain(sheet: Sheet, path: Path, key: string, { protocol, hostname, host }: URL, unsafe: boolean): void {
  if (protocol === 'https:' || isLoopback(hostname) || unsafe) return
  complain(
    sheet,
    [...path, key],
    `${quote(host)} is another host, and credentials would cross the network in clear; use https, or set unsafe-plain-upstream: true in this registry`,
  )
}

async function readUpstreamCa(
  sheet: Sheet,
  path: Path,
  file: string | undefined,
  upstream: URL,
): Promise<Buffer | undefined> {
  if (file === undefined) return undefined
  if (upstream.protocol === 'http:')
    return complain(sheet, path, 'this is of no use with an http upstream; remove it or use https')
  const pem = await readPem(sheet, path, besides(sheet.file, file), false)
  return pem && certificateOf(sheet, path, pem) && pem
}

/** A field that the gate sets, or that frames a message, is not to be had twice. */
function readHeaders(sheet: Sheet, path: Path, headers: Readonly<Record<string, string>>): ReadonlyMap<string, string> {
  for (const [name, value] of Object.entries(headers)) {
    const problem = problemOfHeader(name.toLowerCase(), value)
    if (problem !== undefined) complain(sheet, [...path, name], problem, true)
  }
  return new Map(Object.entries(headers).map(([name, value]) => [name.toLowerCase(), value]))
}

function problemOfHeader(name: string, value: string): string | undefined {
  if (!/^[a-z0-9-]+$/.test(name)) return 'this is not the name of a header: letters, digits and hyphens'
  if (isSetByGate(name) || isHopByHop(name) || !isDroppedFromRequest(name)) {
    return 'this header is not one that the gate keeps from clients, or it sets it itself; only such as X-Outside-Url may stand here'
  }
  return /^[\x20-\x7e]+$/.test(value) ? undefined : 'the value holds something else than visible ASCII'
}

/** Host, port and path tell which registry a request is for. */
function refuseSharedHosts(sheet: Sheet, registries: readonly RegistryConfig[]): void {
  const holders = new Map<string, string>()
  for (const { name, dialect, publicUrl } of registries) {
    const path = ['registries', name, 'public-url']
    const holder = holders.get(publicUrl.href)
    holders.set(publicUrl.href, holder ?? name)
    if (holder !== undefined)
      complain(sheet, path, `${quote(publicUrl.href)} is already the public URL of registry ${holder}`)
    // docker, podman and skopeo ask for /v2/ at the root of a host, whatever path stands in an image's name.
    if (dialect === 'oci' && publicUrl.pathname !== '/') {
      complain(sheet, path, 'OCI clients ask for /v2/ at the root of a host; write the URL without a path')
    }
  }
}

function readLimits(sheet: Sheet): Limits {
  const path = ['limits']
  const chosen: Partial<Record<keyof Limits, number>> = {}
  // All of it may be commented out, as in the shipped file.
  const names = sheet.at(path) === null ? [] : keysAt(sheet, path, 'a map of limits by name')
  for (const key of names) {
    const name = limitNameOf(key)
    if (name === undefined) {
      reportFinding(sheet, unknownKey(path, key, LIMIT_KEYS))
      continue
    }
    const value = readAt(
      sheet,
      [...path, key],
      scalar(expectedLimit(name), text => readLimit(name, text)),
    )
    if (value !== undefined) chosen[name] = value
  }
  return limitsWith(chosen)
}
