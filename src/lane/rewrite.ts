// Where fields do not cure it, a body names the upstream: a small document is read whole, its links are led through the
// gate, and its length and entity tag are made right.

import { createHash } from 'node:crypto'
import type { Links } from '../dialects/dialect.ts'
import { type Fields, type RequestHead, valuesOf } from '../http/head.ts'
import type { Registry } from './route.ts'

/** A document that is larger than this is not one that a registry of the ecosystem serves. */
export const REWRITTEN_SIZE = 32 * 1024 * 1024

/** Leads links to one of the upstream's origins to the gate, and leaves all others as they are. */
export function linksOf({ publicUrl, upstream, upstreamOrigins, basePath }: Registry): Links {
  const base = publicUrl.href.replace(/\/$/, '')
  const origins = [upstream.origin, ...upstreamOrigins]

  function lead(link: string): string {
    const origin = origins.find(it => link === it || link.startsWith(`${it}/`))
    if (origin === undefined) return link
    const path = link.slice(origin.length)
    return path.startsWith(`${basePath}/`) || path === basePath ? base + path.slice(basePath.length) : base + path
  }

  return { publicBase: base, lead }
}

/** Tells apart what the gate serves here, by its present configuration, from what the upstream serves. */
function markOf({ publicUrl, reads }: Registry): string {
  return `-cg${createHash('sha256').update(`${reads} ${publicUrl.href}`).digest('hex').slice(0, 8)}`
}

/** Entity tags of rewritten documents, RFC 9110 §8.8.3. */
export function markTags(fields: Fields, registry: Registry): string[] {
  const mark = markOf(registry)
  return fields.map((text, i) => (fields[i - 1] === 'etag' && i % 2 === 1 ? text.replace(/"$/, `${mark}"`) : text))
}

/**
 * What the gate answers itself, or what says nothing about the document as it is served: when the upstream changed its
 * own tells nothing about the gate's configuration, which is in the mark of a tag.
 */
const NOT_ASKED = ['accept-encoding', 'range', 'if-range', 'if-none-match', 'if-modified-since']

/** The request for a document that will be rewritten: plain, whole, and with the upstream's own tags. */
export function plainRequest(head: RequestHead, registry: Registry): RequestHead {
  const mark = markOf(registry)
  const fields: string[] = []
  for (let i = 0; i < head.fields.length; i += 2) {
    const name = head.fields[i] ?? ''
    if (!NOT_ASKED.includes(name)) fields.push(name, head.fields[i + 1] ?? '')
  }
  fields.push('accept-encoding', 'identity')
  const tags = valuesOf(head.fields, 'if-none-match')
    .flatMap(value => value.split(','))
    .map(tag => tag.trim())
    .filter(tag => tag.endsWith(`${mark}"`))
    .map(tag => tag.replace(`${mark}"`, '"'))
  if (tags.length > 0) fields.push('if-none-match', tags.join(', '))
  return { ...head, fields }
}
