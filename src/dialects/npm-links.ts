// The links to tarballs in a package document. npm follows them as they are and writes them into lock files: one that
// names the backend, or misses the gate's prefix, would lead past the gate without a word.

import type { Links, Rewrite } from './dialect.ts'

/** A package document, whole or abbreviated, or the manifest of one version. */
export const leadTarballs: Rewrite = (text, links) => {
  const document = parse(text)
  if (!isMap(document)) return undefined
  const { versions } = document
  const manifests = isMap(versions) ? Object.values(versions) : []
  for (const manifest of [document, ...manifests]) leadTarball(manifest, document['name'], links)
  return JSON.stringify(document)
}

type JsonMap = Record<string, unknown>

function isMap(value: unknown): value is JsonMap {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

/**
 * What follows the base of a registry's links is `/{name}/-/{file}`. Verdaccio's link to the package `npm`, served
 * under `/npm/`, looks as if it had the prefix already; the name tells.
 */
function leadTarball(manifest: unknown, name: unknown, { lead, publicBase }: Links): void {
  const dist = isMap(manifest) ? manifest['dist'] : undefined
  if (!isMap(dist) || typeof dist['tarball'] !== 'string') return
  const led = lead(dist['tarball'])
  const at = led.startsWith(`${publicBase}/`) ? led.lastIndexOf(`/${name}/-/`) : -1
  dist['tarball'] = at === -1 ? led : publicBase + led.slice(at)
}
