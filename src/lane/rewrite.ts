// Where fields do not cure it, a body names the upstream: a small document is read whole, its links are led through the
// gate, and its length and entity tag are made right.

import { createHash } from 'node:crypto'
import type { Links } from '../dialects/dialect.ts'
import { type Fields, type RequestHead, valuesOf } from '../http/head.ts'
import type { Registry } from './route.ts'

/** A document that is larger than this is not one that a registry of the ecosystem serves. */
export const REWRITTEN_SIZE = 32 * 1024 * 1024

/** How much of memory several may share. */
export interface Budget {
  /** @returns false when there is not as much left */
  readonly take: (bytes: number) => boolean
  readonly give: (bytes: number) => void
}

/** @param size bytes */
export function createBudget(size: number): Budget {
  let left = size
  return {
    take(bytes) {
      if (bytes > left) return false
      left -= bytes
      return true
    },
    give(bytes) {
      left += bytes
    },
  }
}

/** What tells where a backend thinks it is, and where it is. */
export type Places = Pick<Registry, 'publicUrl' | 'upstream' | 'upstreamOrigins' | 'basePath'>

/**
 * The path at the gate of what a backend names in its own terms: by its own address, by a further origin of the
 * operator's list, or by the public host that it was told of, with or without knowing of TLS and of the gate's prefix.
 *
 * @param origin of the link
 * @param path what follows it
 * @returns undefined when it leads elsewhere
 */
export function pathAtGate(places: Places, origin: URL, path: string): string | undefined {
  const { publicUrl, upstream, upstreamOrigins, basePath } = places
  const prefix = publicUrl.pathname.slice(0, -1)
  const knowsHost = /^https?:$/.test(origin.protocol) && origin.host === publicUrl.host
  if (!knowsHost && origin.origin !== upstream.origin && !upstreamOrigins.includes(origin.origin)) return undefined
  const knowsPrefix = knowsHost && isBelow(path, prefix)
  // Of two paths that both fit, the longer one was meant.
  if (knowsPrefix && prefix.length >= basePath.length) return path
  if (isBelow(path, basePath)) return prefix + path.slice(basePath.length)
  return knowsHost ? path : prefix + path
}

function isBelow(path: string, base: string): boolean {
  return base === '' || path === base || path.startsWith(`${base}/`)
}

/** Leads links that a backend writes to itself to the gate, and leaves all others as they are. */
export function linksOf(registry: Places): Links {
  const { publicUrl, upstream } = registry

  function lead(link: string): string {
    const [, authority, path = ''] = /^((?:https?:)?\/\/[^/?#]+)(.*)$/is.exec(link) ?? []
    const origin = authority === undefined ? null : URL.parse(authority, upstream)
    const led = origin === null ? undefined : pathAtGate(registry, origin, path)
    return led === undefined ? link : publicUrl.origin + led
  }

  return { publicBase: publicUrl.href.replace(/\/$/, ''), lead }
}

/**
 * Whether links that a backend writes by the host it was told of are wrong: it knows nothing of the gate's prefix, or
 * takes its name from somewhere else.
 */
export function isDisplaced({ publicUrl, upstream, upstreamOrigins }: Places): boolean {
  return publicUrl.pathname !== upstream.pathname || upstreamOrigins.length > 0
}

/** Tells apart what the gate serves here, by its present configuration, from what the upstream serves. */
function markOf({ publicUrl, reads, basePath, upstreamOrigins }: Registry): string {
  const configuration = JSON.stringify([publicUrl.href, reads, basePath, upstreamOrigins])
  return `-cg${createHash('sha256').update(configuration).digest('hex').slice(0, 8)}`
}

/** What the upstream says of its own bytes; nobody gets to see those. */
const OF_THE_BYTES = ['accept-ranges', 'content-md5', 'digest', 'content-digest', 'repr-digest']

/** The fields of a rewritten document; its entity tag is marked (RFC 9110 §8.8.3). */
export function rewrittenFields(fields: Fields, registry: Registry): string[] {
  const mark = markOf(registry)
  const kept: string[] = []
  for (let i = 0; i < fields.length; i += 2) {
    const name = fields[i] ?? ''
    const value = fields[i + 1] ?? ''
    if (!OF_THE_BYTES.includes(name)) kept.push(name, name === 'etag' ? value.replace(/"$/, `${mark}"`) : value)
  }
  return kept
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
    .filter(tag => /^(?:W\/)?"[^"]*"$/.test(tag) && tag.endsWith(`${mark}"`))
    .map(tag => tag.replace(`${mark}"`, '"'))
  if (tags.length > 0) fields.push('if-none-match', tags.join(', '))
  return { ...head, fields }
}
