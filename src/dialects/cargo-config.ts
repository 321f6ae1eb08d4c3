// The index's config.json says where crates are fetched and where the API is. A static file in most backends, so no
// field of the request cures it: it is rewritten to lead to the gate.

import { z } from 'zod'
import type { Rewrite } from './dialect.ts'

/** <https://doc.rust-lang.org/cargo/reference/registry-index.html#index-configuration>; what else stands there stays. */
const indexConfig = z.looseObject({ dl: z.string(), api: z.string().nullish() })

/**
 * `dl` may be a template with markers such as `{crate}`: they stand behind its origin, and are not touched.
 *
 * `api` has to lead here, and where cargo sends its ticket with downloads `dl` has to, too: a ticket is for the gate
 * and for nobody else. What leads elsewhere is a backend that writes an origin which the configuration does not name.
 */
export const rewriteConfig: Rewrite = (document, { lead, publicBase }, { readsNeedCertificate }) => {
  const config = parse(document)
  if (config === undefined) return undefined
  const { 'auth-required': _, dl, api, ...rest } = config
  const led = { dl: lead(dl), api: typeof api === 'string' ? lead(api) : undefined }
  const leadsHere = (link: string): boolean => link === publicBase || link.startsWith(`${publicBase}/`)
  if (led.api !== undefined && !leadsHere(led.api)) return undefined
  if (readsNeedCertificate && !leadsHere(led.dl)) return undefined
  // What the backend demands for reads is the gate's affair; cargo shall send a ticket where the gate demands one.
  return JSON.stringify({ ...led, ...rest, ...(readsNeedCertificate ? { 'auth-required': true } : {}) })
}

function parse(document: string): z.infer<typeof indexConfig> | undefined {
  try {
    return indexConfig.safeParse(JSON.parse(document)).data
  } catch {
    return undefined
  }
}
