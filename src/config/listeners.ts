// The addresses to listen on, each with its certificate and key, which must be usable before the gate starts.

import { createPrivateKey, type KeyObject, X509Certificate } from 'node:crypto'
import { createSecureContext } from 'node:tls'
import type { ListenConfig } from './config.ts'
import { readWhole } from './disk.ts'
import { keys, scalar, text } from './shape.ts'
import { complain, itemsAt, readAt, type Sheet } from './sheet.ts'
import type { Path } from './tree.ts'
import { parseAddress, quote } from './values.ts'

export const listener = keys({
  address: scalar('an address and a port, such as 0.0.0.0:8443', parseAddress),
  certificate: text('the path of a PEM file'),
  key: text('the path of a PEM file'),
})

const EXPECTED = 'a list of {address, certificate, key}'
const LIMIT = 1024 * 1024

/** @param resolvePath for the paths in the file */
export async function readListeners(sheet: Sheet, resolvePath: (path: string) => string): Promise<ListenConfig[]> {
  const items = itemsAt(sheet, ['listen'], EXPECTED)
  if (items.length === 0 && sheet.at(['listen']) === undefined)
    complain(sheet, ['listen'], `missing; expected ${EXPECTED}`)
  if (items.length === 0 && Array.isArray(sheet.at(['listen'])))
    complain(sheet, ['listen'], `the list is empty; expected ${EXPECTED}`)
  const read = await Promise.all(items.map(path => readListener(sheet, path, resolvePath)))
  refuseDuplicates(sheet, items, read)
  return read.filter(it => it !== undefined)
}

function refuseDuplicates(
  sheet: Sheet,
  paths: readonly Path[],
  listeners: readonly (ListenConfig | undefined)[],
): void {
  const seen = new Set<string>()
  for (const [index, it] of listeners.entries()) {
    if (it === undefined || it.port === 0) continue
    const address = `${it.host} ${it.port}`
    if (seen.has(address))
      complain(sheet, [...(paths[index] ?? []), 'address'], 'this address stands already in the list')
    seen.add(address)
  }
}

async function readListener(
  sheet: Sheet,
  path: Path,
  resolvePath: (path: string) => string,
): Promise<ListenConfig | undefined> {
  const read = readAt(sheet, path, listener)
  if (read === undefined) return undefined
  const [certificate, key] = await Promise.all([
    readPem(sheet, [...path, 'certificate'], resolvePath(read.certificate), false),
    readPem(sheet, [...path, 'key'], resolvePath(read.key), true),
  ])
  const leaf = certificate && certificateOf(sheet, [...path, 'certificate'], certificate)
  const privateKey = key && keyOf(sheet, [...path, 'key'], key)
  if (certificate === undefined || key === undefined || leaf === undefined || privateKey === undefined) return undefined
  if (!isPair(sheet, path, leaf, privateKey)) return undefined
  if (!isUsable(sheet, path, certificate, key)) return undefined
  // Not enumerable, so that whatever prints a configuration leaves the key out (R14).
  return Object.defineProperty({ ...read.address, certificate, key }, 'key', { enumerable: false })
}

/** @param ownerOnly it holds a private key (R43) */
export async function readPem(sheet: Sheet, path: Path, file: string, ownerOnly: boolean): Promise<Buffer | undefined> {
  const read = await readWhole(file, { limit: LIMIT, ownerOnly })
  return read.kind === 'ok' ? read.value : complain(sheet, path, `${quote(file)} ${read.problem}`)
}

/** The first certificate of a PEM file. */
export function certificateOf(sheet: Sheet, path: Path, pem: Buffer): X509Certificate | undefined {
  try {
    if (!pem.includes('-----BEGIN CERTIFICATE-----')) return complain(sheet, path, 'this file holds no PEM certificate')
    return new X509Certificate(pem)
  } catch {
    return complain(sheet, path, 'the certificate in this file is damaged')
  }
}

function keyOf(sheet: Sheet, path: Path, pem: Buffer): KeyObject | undefined {
  if (/BEGIN ENCRYPTED PRIVATE KEY|^Proc-Type: 4,ENCRYPTED/m.test(pem.toString('latin1'))) {
    return complain(sheet, path, 'the private key in this file is encrypted; expected one without a passphrase')
  }
  try {
    return createPrivateKey(pem)
  } catch {
    // OpenSSL's reason is of no help, and is about the inside of a key.
    return complain(sheet, path, 'this file holds no PEM private key')
  }
}

function isPair(sheet: Sheet, path: Path, certificate: X509Certificate, key: KeyObject): boolean {
  if (!certificate.checkPrivateKey(key)) {
    complain(sheet, [...path, 'key'], 'this key does not belong to the certificate')
    return false
  }
  if (certificate.validToDate.getTime() > Date.now()) return true
  complain(
    sheet,
    [...path, 'certificate'],
    `the certificate expired on ${certificate.validToDate.toISOString().slice(0, 10)}`,
  )
  return false
}

/** What OpenSSL refuses only later: a key that is too short, a damaged chain behind a good certificate. */
function isUsable(sheet: Sheet, path: Path, cert: Buffer, key: Buffer): boolean {
  try {
    createSecureContext({ cert, key, minVersion: 'TLSv1.2' })
    return true
  } catch (error) {
    const reason = error instanceof Error && 'reason' in error ? String(error.reason) : 'unknown reason'
    complain(sheet, [...path, 'certificate'], `TLS cannot use this certificate and its chain (OpenSSL: ${reason})`)
    return false
  }
}
