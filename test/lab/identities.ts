// Keys and certificates for tests, made anew in each run. The slow ones are made once for a test file.

import { X509Certificate } from 'node:crypto'
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

export async function makeIdentity(options: Partial<CertificateOptions> = {}): Promise<TestIdentity> {
  const now = Date.now()
  const { certificate, key, der } = await makeCertificate({
    commonName: 'test client',
    keyType: 'ed25519',
    notBefore: new Date(now - 60_000),
    notAfter: new Date(now + 365 * DAY),
    use: 'client',
    ...options,
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
