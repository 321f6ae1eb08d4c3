// TLS socket → Peer: who the other end proved to be. Read once, at the end of the handshake, and frozen: after the
// client has gone Node no longer knows (R23).

import type { X509Certificate } from 'node:crypto'
import type { TLSSocket } from 'node:tls'
import { LRUCache } from 'lru-cache'
import { type Fingerprint, fingerprintOf, type KeyPin, keyPinOf } from '../accounts/fingerprint.ts'
import { keyUsageAllowsSigning } from './key-usage.ts'

/**
 * `anonymous`: no certificate. `unusable`: one that no account may be reached with, and why. `certificate`: the
 * handshake proved possession of its key.
 */
export type Peer =
  | { readonly kind: 'anonymous' }
  | { readonly kind: 'unusable'; readonly fingerprint: Fingerprint; readonly problem: string }
  | {
      readonly kind: 'certificate'
      readonly fingerprint: Fingerprint
      readonly keyPin: KeyPin
      /** ms since the epoch */
      readonly notBefore: number
      /** ms since the epoch */
      readonly notAfter: number
      /** `ed25519`, `P-256`, `RSA 3072` … */
      readonly key: string
    }

const ANONYMOUS: Peer = Object.freeze({ kind: 'anonymous' })

/** OpenSSL lets chains of 100 KB through; a client certificate of this size has no honest use (R34). */
const CERTIFICATE_SIZE = 16_384
const CLIENT_AUTH = '1.3.6.1.5.5.7.3.2'

const CURVES: ReadonlyMap<string, string> = new Map([
  ['prime256v1', 'P-256'],
  ['secp384r1', 'P-384'],
  ['secp521r1', 'P-521'],
])

/**
 * @param size how many certificates are remembered: parsing one costs as much as ten requests
 */
export function createPeerReader(size = 10_000): (socket: TLSSocket) => Peer {
  const known = new LRUCache<Fingerprint, Peer>({ max: size })

  return socket => {
    // Only the leaf: whatever else is in the chain proves nothing (R02). Not getPeerCertificate(): its conversion of
    // a hostile certificate has crashed Node (R27).
    const certificate = socket.getPeerX509Certificate()
    if (certificate === undefined) return ANONYMOUS
    const fingerprint = fingerprintOf(certificate.raw)
    const found = known.get(fingerprint)
    if (found !== undefined) return found
    const peer = Object.freeze(peerOf(certificate, fingerprint))
    known.set(fingerprint, peer)
    return peer
  }
}

/** Judges a certificate by what it is; whether it is enrolled, and whether it is in time, is asked at each request. */
export function peerOf(certificate: X509Certificate, fingerprint: Fingerprint): Peer {
  const unusable = (problem: string): Peer => ({ kind: 'unusable', fingerprint, problem })
  if (certificate.raw.length > CERTIFICATE_SIZE) return unusable('it is larger than 16 KiB')
  const key = describeKey(certificate)
  if (key.kind === 'weak') return unusable(key.problem)
  const notBefore = Date.parse(certificate.validFrom)
  const notAfter = Date.parse(certificate.validTo)
  if (!Number.isFinite(notBefore) || !Number.isFinite(notAfter)) return unusable('its dates cannot be read')
  // Node names the extended key usage `keyUsage`.
  const purposes = certificate.keyUsage as readonly string[] | undefined
  if (purposes !== undefined && !purposes.includes(CLIENT_AUTH)) {
    return unusable('its extended key usage does not include client authentication')
  }
  if (!keyUsageAllowsSigning(certificate.raw)) return unusable('its key usage does not include digital signature')
  return { kind: 'certificate', fingerprint, keyPin: key.pin, notBefore, notAfter, key: key.name }
}

type Key =
  | { readonly kind: 'strong'; readonly name: string; readonly pin: KeyPin }
  | { readonly kind: 'weak'; readonly problem: string }

/** RSA of 2048 bits, the NIST curves by name, Ed25519; nothing else (R21). Throws never: OpenSSL may not know the key. */
function describeKey(certificate: X509Certificate): Key {
  try {
    const { publicKey } = certificate
    const name = nameOfKey(publicKey.asymmetricKeyType, publicKey.asymmetricKeyDetails ?? {})
    if (name === undefined)
      return { kind: 'weak', problem: 'its key is not RSA of at least 2048 bits, P-256, P-384, P-521 or Ed25519' }
    const spki = publicKey.export({ type: 'spki', format: 'der' })
    if (publicKey.asymmetricKeyType === 'ec' && !namesItsCurve(spki)) {
      return { kind: 'weak', problem: 'its key spells out the parameters of its curve; make it with a named curve' }
    }
    return { kind: 'strong', name, pin: keyPinOf(spki) }
  } catch {
    return { kind: 'weak', problem: 'its key cannot be read' }
  }
}

/** id-ecPublicKey, and the tag of an OBJECT IDENTIFIER: RFC 5480 §2.1.1 allows no other form of the parameters. */
const EC_KEY_BY_NAME = Buffer.from('06072a8648ce3d020106', 'hex')
/** Two headers of a SEQUENCE, of four octets at the most. */
const ALGORITHM_START = 8

/**
 * Whether an elliptic-curve key refers to its curve by name. OpenSSL recognises spelled-out parameters of a named curve,
 * and Node then gives its name; elsewhere such parameters have been a way to forge keys (CVE-2020-0601), and the key
 * would have a second pin (R05, R21).
 */
function namesItsCurve(spki: Buffer): boolean {
  return spki.subarray(0, ALGORITHM_START + EC_KEY_BY_NAME.length).includes(EC_KEY_BY_NAME)
}

interface KeyDetails {
  readonly modulusLength?: number
  readonly publicExponent?: bigint
  readonly namedCurve?: string
}

function nameOfKey(type: string | undefined, details: KeyDetails): string | undefined {
  if (type === 'ed25519') return 'Ed25519'
  if (type === 'ec') return CURVES.get(details.namedCurve ?? '')
  if (type !== 'rsa' && type !== 'rsa-pss') return undefined
  const { modulusLength = 0, publicExponent = 0n } = details
  const strong = modulusLength >= 2048 && publicExponent >= 65_537n && publicExponent % 2n === 1n
  return strong ? `RSA ${modulusLength}` : undefined
}
