// Which octets each grammar rule admits, as tables indexed by octet: 1 where admitted.

function tableOf(admits: (octet: number, char: string) => boolean): Uint8Array {
  return Uint8Array.from({ length: 256 }, (_, octet) => (admits(octet, String.fromCharCode(octet)) ? 1 : 0))
}

/** tchar, RFC 9110 §5.6.2: method and field names. */
export const TOKEN = tableOf((_, char) => /[!#$%&'*+\-.^_`|~0-9A-Za-z]/.test(char))

/** field-value with obs-text, RFC 9110 §5.5: HTAB, SP, visible ASCII and 0x80-0xFF; no other control. */
export const FIELD_VALUE = tableOf(octet => octet === 0x09 || (octet >= 0x20 && octet !== 0x7f))

/**
 * What may stand in origin-form, RFC 3986 §3.3 and §3.4: unreserved, pct-encoded, sub-delims, `:@/?`.
 * No `\`, `#`, `"`, `<`, `>`, `^`, `` ` ``, `{`, `|`, `}`, `[`, `]`: servers disagree about each of them.
 */
export const TARGET = tableOf((_, char) => /[A-Za-z0-9\-._~%!$&'()*+,;=:@/?]/.test(char))

/** Whether every octet of `text` (latin1) is in `table`, and there is at least one. */
export function consistsOf(table: Uint8Array, text: string): boolean {
  for (let i = 0; i < text.length; i++) if (table[text.charCodeAt(i)] !== 1) return false
  return text.length > 0
}
