// Keys and certificates for tests, made anew in each run. The slow ones are made once for a test file.

import { createPrivateKey, X509Certificate } from 'node:crypto'
import { type Fingerprint, fingerprintOf, type KeyPin, keyPinOf } from '../../src/accounts/fingerprint.ts'
import { type CertificateOptions, makeCertificate } from '../../src/certfp/certificate.ts'

export interface TestIdentity {
  /** PEM */
  readonly certificate: string
  /** PEM */
  readonly key: string
  readonly fingerprint: Fingerprint
  readonly keyPin: KeyPin
}

const DAY = 86_400_000

/** @param options `privateKey` as PEM: a certificate around an existing key */
export async function makeIdentity(
  options: Partial<Omit<CertificateOptions, 'privateKey'>> & { readonly privateKey?: string } = {},
): Promise<TestIdentity> {
  const now = Date.now()
  const { privateKey, ...rest } = options
  const { certificate, key, der } = await makeCertificate({
    commonName: 'test client',
    keyType: 'ed25519',
    notBefore: new Date(now - 60_000),
    notAfter: new Date(now + 365 * DAY),
    use: 'client',
    ...rest,
    ...(privateKey === undefined ? {} : { privateKey: createPrivateKey(privateKey) }),
  })
  const spki = new X509Certificate(certificate).publicKey.export({ type: 'spki', format: 'der' })
  return { certificate, key, fingerprint: fingerprintOf(der), keyPin: keyPinOf(spki) }
}

/** The name that test registries go by. */
export const REGISTRY_HOST = 'registry.test'

export function makeServerIdentity(): Promise<TestIdentity> {
  return makeIdentity({
    commonName: REGISTRY_HOST,
    keyType: 'p256',
    use: { names: [REGISTRY_HOST, 'other.test', 'localhost', '127.0.0.1'] },
  })
}

export interface OddOptions {
  readonly modulusLength?: number
  readonly publicExponent?: 3 | 65537
  /** bits of KeyUsage, as @peculiar/x509 numbers them */
  readonly usage?: number
  /** object identifiers of ExtendedKeyUsage */
  readonly purposes?: readonly string[]
  /** bytes of an extension that means nothing */
  readonly padding?: number
}

/** An RSA certificate such as `certfp` would not make. @returns DER */
export async function makeOddCertificate(options: OddOptions): Promise<Buffer> {
  await import('reflect-metadata')
  const x509 = await import('@peculiar/x509')
  const { modulusLength = 2048, publicExponent = 65_537, usage, purposes, padding } = options
  const algorithm = {
    name: 'RSASSA-PKCS1-v1_5',
    hash: 'SHA-256',
    modulusLength,
    publicExponent: new Uint8Array(publicExponent === 3 ? [3] : [1, 0, 1]),
  }
  const keys = await crypto.subtle.generateKey(algorithm, true, ['sign', 'verify'])
  const extensions = [
    ...(usage === undefined ? [] : [new x509.KeyUsagesExtension(usage, true)]),
    ...(purposes === undefined ? [] : [new x509.ExtendedKeyUsageExtension([...purposes])]),
    ...(padding === undefined ? [] : [new x509.Extension('1.2.3.4', false, new Uint8Array(padding))]),
  ]
  const made = await x509.X509CertificateGenerator.createSelfSigned({
    serialNumber: '01',
    name: 'CN=odd',
    notBefore: new Date(Date.now() - 60_000),
    notAfter: new Date(Date.now() + DAY),
    keys,
    signingAlgorithm: algorithm,
    extensions,
  })
  return Buffer.from(made.rawData)
}
