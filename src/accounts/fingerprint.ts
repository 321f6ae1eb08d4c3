// What identifies a client certificate: SHA-256 over its DER bytes, or over its public key, in one canonical spelling.
// Everything that compares identities compares values made here.

import { createHash } from 'node:crypto'

declare const brand: unique symbol

/** SHA-256 of a DER certificate: 64 lower-case hex digits. */
export type Fingerprint = string & { readonly [brand]: 'sha256 of a DER certificate' }

/** SHA-256 of a DER SubjectPublicKeyInfo (RFC 5280 §4.1.2.7): 64 lower-case hex digits. */
export type KeyPin = string & { readonly [brand]: 'sha256 of a DER SubjectPublicKeyInfo' }

export type ParsedDigest =
  | { readonly kind: 'digest'; readonly hex: string }
  | { readonly kind: 'bad'; readonly problem: string }

const HEX = /^[0-9a-f]+$/
const PREFIX = /^sha256( fingerprint=|:)/
const COLON_HEX = /^[0-9a-f]{2}(:[0-9a-f]{2})+$/
const SSH_BASE64 = /^SHA256:([A-Za-z0-9+/]{43})=?$/

/**
 * Reads a fingerprint in any accepted spelling: hex in any case, with or without colons, `sha256:` in front;
 * the whole line that openssl prints; or `SHA256:` and base64, as ssh prints it.
 *
 * The value of a certificate and of a key pin are spelled alike; the caller knows which it asked for.
 */
function parseDigest(text: string, remedy: string): ParsedDigest {
  const ssh = SSH_BASE64.exec(text.trim())?.[1]
  if (ssh !== undefined) return { kind: 'digest', hex: Buffer.from(ssh, 'base64').toString('hex') }
  const digits = text.trim().toLowerCase().replace(PREFIX, '')
  const hex = COLON_HEX.test(digits) ? digits.replaceAll(':', '') : digits
  if (!HEX.test(hex)) return { kind: 'bad', problem: `is not a SHA-256 in hex or in ssh's base64 form; ${remedy}` }
  if (hex.length === 64) return { kind: 'digest', hex }
  return { kind: 'bad', problem: `${describeLength(hex.length)}; ${remedy}` }
}

function describeLength(digits: number): string {
  if (digits === 40) return 'has 40 hex digits, so it is a SHA-1; a SHA-256 has 64'
  if (digits === 32) return 'has 32 hex digits, so it is an MD5; a SHA-256 has 64'
  return `has ${digits} hex digits; a SHA-256 has 64`
}

/** The command that prints the fingerprint this gate wants, for messages that refuse another. */
export const PRINT_FINGERPRINT = 'openssl x509 -in id.pem -noout -fingerprint -sha256'
const PRINT_KEY_PIN = 'openssl x509 -in id.pem -noout -pubkey | openssl pkey -pubin -outform der | openssl dgst -sha256'

export type Parsed<T> = { readonly kind: 'ok'; readonly value: T } | { readonly kind: 'bad'; readonly problem: string }

/** Reads a certificate fingerprint; SHA-1 and MD5 are refused with the command that prints the right one (R12). */
export function parseFingerprint(text: string): Parsed<Fingerprint> {
  const parsed = parseDigest(text, `\`${PRINT_FINGERPRINT}\` prints the right one`)
  return parsed.kind === 'bad' ? parsed : { kind: 'ok', value: parsed.hex as Fingerprint }
}

/** Reads a key pin, with the same spellings as a fingerprint. */
export function parseKeyPin(text: string): Parsed<KeyPin> {
  const parsed = parseDigest(text, `\`${PRINT_KEY_PIN}\` prints the right one`)
  return parsed.kind === 'bad' ? parsed : { kind: 'ok', value: parsed.hex as KeyPin }
}

/** @param der the certificate, DER */
export function fingerprintOf(der: Uint8Array): Fingerprint {
  return sha256(der) as Fingerprint
}

/** @param spki the SubjectPublicKeyInfo, DER */
export function keyPinOf(spki: Uint8Array): KeyPin {
  return sha256(spki) as KeyPin
}

function sha256(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex')
}
