// Absolute links on the upstream in the documents that pip and uv read, led through the gate: followed as they are, they
// would silently lead past it. Relative ones are right behind any proxy.

import type { Links, Rewrite } from './dialect.ts'

/** A page of the simple index as HTML (PEP 503) or JSON (PEP 691), or the JSON of `/pypi/{name}/json`. */
export const leadLinks: Rewrite = (document, { lead }) =>
  document.trimStart().startsWith('{') ? leadInJson(document, lead) : leadInHtml(document, lead)

type Lead = Links['lead']

/** `<a href>` and `<base href>`. No origin holds a character that HTML escapes. */
function leadInHtml(document: string, lead: Lead): string {
  return document.replace(
    /(\shref\s*=\s*)(?:"([^"]*)"|'([^']*)')/gi,
    (whole, attribute: string, double: string | undefined, single: string | undefined) => {
      const link = double ?? single ?? ''
      const led = lead(link.trim())
      const quote = double === undefined ? "'" : '"'
      return led === link.trim() ? whole : `${attribute}${quote}${led}${quote}`
    },
  )
}

/** `files[].url`, `urls[].url`, `releases.{version}[].url`, and the place of attestations (PEP 740). */
const LINK_KEYS: ReadonlySet<string> = new Set(['url', 'provenance'])

function leadInJson(document: string, lead: Lead): string | undefined {
  try {
    return JSON.stringify(
      JSON.parse(document, (key, value: unknown) =>
        typeof value === 'string' && LINK_KEYS.has(key) ? lead(value) : value,
      ),
    )
  } catch {
    return undefined
  }
}
