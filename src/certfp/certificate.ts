// Makes self-signed X.509 v3 certificates: the identities of `certfp`, and the servers of the demo and the tests.
// The library behind it takes a quarter of a second to load, so only the first certificate loads it.

import { createPublicKey, KeyObject, randomBytes, X509Certificate } from 'node:crypto'
import { link, mkdir, rm, writeFile } from 'node:fs/promises'
import { isIP } from 'node:net'
import { basename, join } from 'node:path'
import type { Extension } from '@peculiar/x509'

export type KeyType = 'ed25519' | 'p256' | 'p384' | 'p521' | 'rsa2048' | 'rsa3072' | 'rsa4096'

export interface CertificateOptions {
  /** subject and issuer, 1 to 64 characters (RFC 5280 appendix A, ub-common-name) */
  readonly commonName: string
  readonly keyType: KeyType
  /** cut to the second, as is `notAfter`; clocks differ, so a caller dates this a little back */
  readonly notBefore: Date
  readonly notAfter: Date
  /** for a server the DNS names and IP addresses that it answers to */
  readonly use: 'client' | { readonly names: readonly string[] }
  /** an existing key of type `keyType`; undefined: a new one is made */
  readonly privateKey?: KeyObject | undefined
}

export interface MadeCertificate {
  /** PEM */
  readonly certificate: string
  /** PKCS#8 PEM, not encrypted */
  readonly key: string
  readonly der: Buffer
}

type X509Library = typeof import('@peculiar/x509')

const RSA = { name: 'RSASSA-PKCS1-v1_5', hash: 'SHA-256', publicExponent: new Uint8Array([1, 0, 1]) }

/** Each does for making a key, for taking one over and for signing. */
const ALGORITHMS = {
  ed25519: { name: 'Ed25519' },
  p256: { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' },
  p384: { name: 'ECDSA', namedCurve: 'P-384', hash: 'SHA-384' },
  p521: { name: 'ECDSA', namedCurve: 'P-521', hash: 'SHA-512' },
  rsa2048: { ...RSA, modulusLength: 2048 },
  rsa3072: { ...RSA, modulusLength: 3072 },
  rsa4096: { ...RSA, modulusLength: 4096 },
} as const satisfies Readonly<Record<KeyType, object>>

/** What Node calls a key of each type: its algorithm and its curve or size. */
const KEY_TYPES: ReadonlyMap<string, KeyType> = new Map([
  ['ed25519', 'ed25519'],
  ['ec prime256v1', 'p256'],
  ['ec secp384r1', 'p384'],
  ['ec secp521r1', 'p521'],
  ['rsa 2048', 'rsa2048'],
  ['rsa 3072', 'rsa3072'],
  ['rsa 4096', 'rsa4096'],
])

/** The type of an existing key, public or private; undefined: no certificate can be made for it here. */
export function keyTypeOf(key: KeyObject): KeyType | undefined {
  const { namedCurve, modulusLength } = key.asymmetricKeyDetails ?? {}
  return KEY_TYPES.get([key.asymmetricKeyType, namedCurve ?? modulusLength].filter(Boolean).join(' '))
}

/**
 * Makes a self-signed certificate, version 3 (rustls takes no other), with the extensions of an end entity: CA:FALSE,
 * digitalSignature, and clientAuth or serverAuth.
 *
 * @throws RangeError for a name, a date or a key that cannot stand in a certificate
 */
export async function makeCertificate(options: CertificateOptions): Promise<MadeCertificate> {
  const { keyType, use } = options
  const subject = checkedName(options.commonName)
  const period = checkedPeriod(options)
  const alternatives = use === 'client' ? undefined : alternativeNames(use.names)
  const privateKey = options.privateKey ?? (await generateKey(keyType))
  const keys = await cryptoKeysOf(privateKey, keyType)

  const x509 = await loadLibrary()
  const made = await x509.X509CertificateGenerator.createSelfSigned({
    ...period,
    // UTF8String spelled out: a bare string with `#` in front is read as hex, and quotes and backslashes as escapes.
    name: new x509.Name([{ CN: [{ utf8String: subject }] }]),
    serialNumber: serialNumber(),
    keys,
    signingAlgorithm: ALGORITHMS[keyType],
    extensions: extensionsOf(x509, alternatives),
  })
  const certificate = new X509Certificate(Buffer.from(made.rawData))
  return {
    certificate: certificate.toString(),
    key: privateKey.export({ type: 'pkcs8', format: 'pem' }).toString(),
    der: certificate.raw,
  }
}

/** The library asks for a Reflect polyfill as it is loaded. */
async function loadLibrary(): Promise<X509Library> {
  await import('reflect-metadata')
  return import('@peculiar/x509')
}

function checkedName(commonName: string): string {
  const { length } = [...commonName]
  if (length < 1 || length > 64) throw new RangeError('the common name of a certificate has 1 to 64 characters')
  return commonName
}

/** Whole seconds: DER allows no fractions (RFC 5280 §4.1.2.5.2), and the library would write them. */
function checkedPeriod(options: CertificateOptions): { notBefore: Date; notAfter: Date } {
  const [notBefore, notAfter] = [wholeSeconds(options.notBefore), wholeSeconds(options.notAfter)]
  // Written so that an invalid date fails too.
  const ordered = notBefore >= 0 && notBefore < notAfter && notAfter < Date.UTC(10_000, 0)
  if (!ordered) throw new RangeError('a certificate must begin before it ends, between the years 1970 and 9999')
  return { notBefore: new Date(notBefore), notAfter: new Date(notAfter) }
}

function wholeSeconds(date: Date): number {
  return Math.floor(date.getTime() / 1000) * 1000
}

const DNS_NAME = /^(\*\.)?[a-z0-9_-]{1,63}(\.[a-z0-9_-]{1,63})*$/i

interface AlternativeName {
  readonly type: 'ip' | 'dns'
  readonly value: string
}

/** At least one: clients read nothing else to see whose the certificate is (RFC 9525 §6.3). */
function alternativeNames(names: readonly string[]): AlternativeName[] {
  if (names.length === 0) throw new RangeError('a server certificate needs a DNS name or an IP address')
  return names.map(alternativeName)
}

function alternativeName(name: string): AlternativeName {
  if (isIP(name) !== 0) return { type: 'ip', value: name }
  if (!DNS_NAME.test(name)) throw new RangeError(`${JSON.stringify(name)} is neither a DNS name nor an IP address`)
  return { type: 'dns', value: name }
}

async function generateKey(keyType: KeyType): Promise<KeyObject> {
  const pair = await crypto.subtle.generateKey(ALGORITHMS[keyType], true, ['sign', 'verify'])
  if (!('privateKey' in pair)) throw new Error(`${keyType} is not a key pair`)
  return KeyObject.from(pair.privateKey)
}

/** The public half comes from the private one, so that the two cannot belong to different pairs. */
async function cryptoKeysOf(privateKey: KeyObject, keyType: KeyType): Promise<CryptoKeyPair> {
  if (keyTypeOf(privateKey) !== keyType) throw new RangeError(`the key is not of type ${keyType}`)
  const algorithm = ALGORITHMS[keyType]
  const pkcs8 = privateKey.export({ type: 'pkcs8', format: 'der' })
  const spki = createPublicKey(privateKey).export({ type: 'spki', format: 'der' })
  return {
    privateKey: await crypto.subtle.importKey('pkcs8', pkcs8, algorithm, true, ['sign']),
    publicKey: await crypto.subtle.importKey('spki', spki, algorithm, true, ['verify']),
  }
}

/** 126 random bits, positive and always 16 octets long (RFC 5280 §4.1.2.2). In hex. */
function serialNumber(): string {
  const octets = randomBytes(16)
  octets.writeUInt8((octets.readUInt8(0) & 0x3f) | 0x40, 0)
  return octets.toString('hex')
}

/** @param alternatives the names of a server; undefined: the certificate is a client's */
function extensionsOf(x509: X509Library, alternatives: AlternativeName[] | undefined): Extension[] {
  const { clientAuth, serverAuth } = x509.ExtendedKeyUsage
  return [
    new x509.BasicConstraintsExtension(false, undefined, true),
    new x509.KeyUsagesExtension(x509.KeyUsageFlags.digitalSignature, true),
    new x509.ExtendedKeyUsageExtension([alternatives === undefined ? clientAuth : serverAuth]),
    ...(alternatives === undefined ? [] : [new x509.SubjectAlternativeNameExtension(alternatives)]),
  ]
}

export interface IdentityFiles {
  /** path of NAME.pem */
  readonly certificate: string
  /** path of NAME.key, readable by its owner only */
  readonly key: string
}

/**
 * Writes NAME.pem and NAME.key, both or neither. A directory that is missing is made for its owner only; one that exists
 * keeps its mode.
 *
 * @throws with code EEXIST when either file is there: a key that was overwritten is lost
 */
export async function writeIdentity(directory: string, name: string, made: MadeCertificate): Promise<IdentityFiles> {
  if (name === '' || basename(name) !== name) throw new RangeError(`${JSON.stringify(name)} is not a file name`)
  await mkdir(directory, { recursive: true, mode: 0o700 })
  const files = { certificate: join(directory, `${name}.pem`), key: join(directory, `${name}.key`) }
  await createWhole(files.key, made.key, 0o600)
  try {
    await createWhole(files.certificate, made.certificate, 0o644)
  } catch (error) {
    await rm(files.key)
    throw error
  }
  return files
}

/** A link appears with all its content or not at all, and unlike a rename it never takes the place of a file. */
async function createWhole(path: string, text: string, mode: number): Promise<void> {
  const draft = `${path}.${randomBytes(8).toString('hex')}`
  try {
    await writeFile(draft, text, { flag: 'wx', mode, flush: true })
    await link(draft, path)
  } finally {
    await rm(draft, { force: true })
  }
}
