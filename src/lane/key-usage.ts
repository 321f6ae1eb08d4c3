// The one fact about a certificate that Node does not tell: the KeyUsage extension. A walk over the DER of a
// certificate that OpenSSL has already accepted; bounded, without recursion, and any doubt counts as "no".

/** 2.5.29.15, RFC 5280 §4.2.1.3, as a DER OBJECT IDENTIFIER. */
const KEY_USAGE = Buffer.from('0603551d0f', 'hex')
const BIT_STRING = 0x03
const OCTET_STRING = 0x04
/** [3] EXPLICIT Extensions, the last field of TBSCertificate. */
const EXTENSIONS = 0xa3
const DIGITAL_SIGNATURE = 0x80

interface Element {
  readonly tag: number
  /** index of the content */
  readonly start: number
  /** index after the content */
  readonly end: number
}

/**
 * Whether a certificate may be used to sign, as a TLS client does: it has no KeyUsage, or one with digitalSignature.
 *
 * @param der a certificate
 */
export function keyUsageAllowsSigning(der: Buffer): boolean {
  const tbs = childrenOf(der, childrenOf(der, elementAt(der, 0, der.length))?.[0])
  const last = tbs?.at(-1)
  if (last === undefined) return false
  if (last.tag !== EXTENSIONS) return true
  const extensions = childrenOf(der, childrenOf(der, last)?.[0])
  if (extensions === undefined) return false
  const usage = extensions.find(({ start, end }) => der.subarray(start, end).indexOf(KEY_USAGE) === 0)
  return usage === undefined || ((firstBits(der, usage) ?? 0) & DIGITAL_SIGNATURE) !== 0
}

/** First octet of the bits of a KeyUsage extension: `OID, [critical BOOLEAN], OCTET STRING { BIT STRING }`. */
function firstBits(der: Buffer, extension: Element): number | undefined {
  const value = childrenOf(der, extension)?.at(-1)
  if (value?.tag !== OCTET_STRING) return undefined
  const bits = childrenOf(der, value)?.[0]
  return bits?.tag === BIT_STRING && bits.end - bits.start >= 2 ? der[bits.start + 1] : undefined
}

/** All elements in `parent`; undefined when one of them cannot be read. */
function childrenOf(der: Buffer, parent: Element | undefined): Element[] | undefined {
  if (parent === undefined) return undefined
  const children: Element[] = []
  for (let at = parent.start; at < parent.end; ) {
    const child = elementAt(der, at, parent.end)
    if (child === undefined) return undefined
    children.push(child)
    at = child.end
  }
  return children
}

/** Definite lengths of up to three octets, X.690 §8.1.3; a certificate is bounded well below. */
function elementAt(der: Buffer, at: number, limit: number): Element | undefined {
  const tag = der[at]
  const first = der[at + 1]
  if (tag === undefined || first === undefined || first === 0x80 || first > 0x83) return undefined
  const octets = first > 0x80 ? first - 0x80 : 0
  const start = at + 2 + octets
  if (start > limit) return undefined
  const length = octets === 0 ? first : der.readUIntBE(at + 2, octets)
  return start + length <= limit ? { tag, start, end: start + length } : undefined
}
