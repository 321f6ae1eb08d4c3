// YAML text → plain values, the place of each, and what is wrong with the YAML itself. Knows nothing of what the files
// mean, but for where a secret might stand.
//
// Every scalar stays the text that the operator wrote (YAML's failsafe schema): `no` is not a boolean, a fingerprint of
// digits is not a number that loses half of them, a date is not an object. Whoever asks for a value says how to read it.

import {
  isAlias,
  isMap,
  isNode,
  isScalar,
  isSeq,
  type Node,
  parseDocument,
  type Scalar,
  visit,
  type YAMLError,
  type YAMLMap,
} from 'yaml'
import type { Stretch } from './problem.ts'

/** Maps have no prototype: `__proto__` is a key like any other. `null` is a key or an item without a value. */
export type Plain = string | null | readonly Plain[] | { readonly [key: string]: Plain }
export type Path = readonly (string | number)[]

/** What is wrong with the YAML, and where. */
export interface Fault {
  readonly offset: number
  readonly message: string
  /** the values of the file cannot be told because of it */
  readonly fatal: boolean
}

export interface Tree {
  readonly value: Plain
  readonly faults: readonly Fault[]
  /** there is something, and no fault is fatal */
  readonly sound: boolean
  /** the offset of the value at a path; where that is missing, of the nearest that is there */
  readonly placeOf: (path: Path) => number | undefined
  /** the offset of the last key of a path; of an item, where the path ends in a number */
  readonly placeOfKey: (path: Path) => number | undefined
  /** where secrets might stand, whatever the operator was told */
  readonly secrets: readonly Stretch[]
}

export function parseTree(text: string): Tree {
  const document = parseDocument(text, {
    schema: 'failsafe',
    strict: true,
    // Checked below: the library compares each key with all before it, which takes minutes for 100,000 accounts.
    uniqueKeys: false,
    prettyErrors: false,
    // Below `error`, a second document goes unnoticed.
    logLevel: 'error',
  })
  const root = document.contents
  const errors = [...document.errors, ...document.warnings]
  const exhausted = errors.filter(({ code }) => code === 'RESOURCE_EXHAUSTION').slice(0, 1)
  const faults = (exhausted.length > 0 ? exhausted : errors).map(faultOf)
  const value = exhausted.length > 0 ? null : plainOf(root, faults)
  const isBroken = faults.some(({ fatal }) => fatal)
  const keysOf = createKeyIndex()
  return {
    value,
    faults: distinct(faults),
    sound: value !== null && !isBroken,
    placeOf: path => placeOf(root, path, keysOf),
    placeOfKey: path => placeOfKey(root, path, keysOf),
    secrets: [...secretNodes(root), ...(isBroken ? secretLines(text) : [])],
  }
}

/** Our own sentences: the library's quote the source, which may be a secret (R14). */
const SENTENCES = {
  ALIAS_PROPS: 'an alias cannot have a tag or an anchor',
  BAD_ALIAS: 'this is not an anchor or an alias; put text that begins with & or * in quotes',
  BAD_COLLECTION_TYPE: 'this tag does not go with this value; remove it',
  BAD_DIRECTIVE: 'this directive is not known; remove it',
  BAD_DQ_ESCAPE: 'this escape sequence does not exist; write \\\\ for a backslash, or use single quotes',
  BAD_INDENT: 'this is not indented like what it belongs to, or a closing bracket is missing',
  BAD_PROP_ORDER: 'anchors and tags must stand behind the indicator, before the value',
  BAD_SCALAR_START: 'text that begins with this character must stand in quotes',
  BLOCK_AS_IMPLICIT_KEY: 'a second colon stands on this line; put text that holds a colon and a space in quotes',
  BLOCK_IN_FLOW: 'a block cannot stand between brackets',
  DUPLICATE_KEY: 'this key stands already in the same map; each may stand once',
  IMPOSSIBLE: 'this cannot be read as YAML',
  KEY_OVER_1024_CHARS: 'this key is longer than 1024 characters',
  MISSING_CHAR: 'a closing quote, a bracket, a comma or a colon is missing',
  MULTILINE_IMPLICIT_KEY: 'a key must stand on one line, with a colon behind it',
  MULTIPLE_ANCHORS: 'a value can have one anchor only',
  MULTIPLE_DOCS: 'a second document begins here; the file must hold one',
  MULTIPLE_TAGS: 'a value can have one tag only',
  NON_STRING_KEY: 'a key must be text',
  RESOURCE_EXHAUSTION: 'this is nested too deeply',
  TAB_AS_INDENT: 'a tab stands in the indentation; use spaces',
  TAG_RESOLVE_FAILED: 'tags are not used here; remove it',
  UNEXPECTED_TOKEN: 'this does not belong here',
} as const satisfies Readonly<Record<YAMLError['code'], string>>

function faultOf({ code, pos }: YAMLError): Fault {
  return { offset: pos[0], message: SENTENCES[code], fatal: code !== 'TAG_RESOLVE_FAILED' }
}

function distinct(faults: readonly Fault[]): Fault[] {
  return [...new Map(faults.map(fault => [`${fault.offset} ${fault.message}`, fault])).values()]
}

/** @param faults gets what has no plain value */
function plainOf(node: Node | null, faults: Fault[]): Plain {
  if (isScalar(node)) return textOf(node)
  if (isSeq<Node>(node)) return node.items.map(item => plainOf(item, faults))
  if (isMap<Node, Node | null>(node)) return plainMap(node, faults)
  if (isAlias(node)) {
    // An alias of aliases grows without bound, and a value in two places has no one line to point to.
    const message = 'aliases are not used here; write the value itself'
    faults.push({ offset: offsetOf(node), message, fatal: true })
  }
  return null
}

function plainMap(node: YAMLMap<Node, Node | null>, faults: Fault[]): Plain {
  const map: { [key: string]: Plain } = Object.create(null)
  for (const { key, value } of node.items) {
    const name = isScalar(key) ? textOf(key) : null
    if (name === null) faults.push({ offset: offsetOf(key ?? node), message: SENTENCES.NON_STRING_KEY, fatal: true })
    else if (Object.hasOwn(map, name))
      faults.push({ offset: offsetOf(key), message: SENTENCES.DUPLICATE_KEY, fatal: false })
    else map[name] = plainOf(value, faults)
  }
  return map
}

function textOf(node: Scalar): string | null {
  const { value, source, type } = node
  if (type === 'PLAIN' && source === '') return null
  // A %YAML directive brings back the schema that makes other things of text.
  return typeof value === 'string' ? value : (source ?? null)
}

function offsetOf(node: Node): number {
  return node.range?.[0] ?? 0
}

type Pairs = ReadonlyMap<string, { readonly key: Node; readonly value: Node | null }>
type KeyIndex = (map: YAMLMap<Node, Node | null>) => Pairs

/** Finding 100,000 accounts one by one in the library's list of pairs would take minutes. */
function createKeyIndex(): KeyIndex {
  const indexes = new WeakMap<object, Pairs>()
  return map => {
    const known = indexes.get(map)
    if (known !== undefined) return known
    const pairs = new Map(map.items.map(pair => [isScalar(pair.key) ? (textOf(pair.key) ?? '') : '', pair]))
    indexes.set(map, pairs)
    return pairs
  }
}

function stepInto(node: Node | null, step: string | number, keysOf: KeyIndex): Node | null | undefined {
  if (isMap<Node, Node | null>(node)) return keysOf(node).get(String(step))?.value
  return isSeq<Node>(node) ? node.items[Number(step)] : undefined
}

function placeOf(root: Node | null, path: Path, keysOf: KeyIndex): number | undefined {
  if (path.length === 0) return undefined
  const node = path.reduce<Node | null | undefined>((at, step) => stepInto(at ?? null, step, keysOf), root)
  const hasText = node && !(isScalar(node) && textOf(node) === null)
  return hasText ? offsetOf(node) : placeOfKey(root, path, keysOf)
}

function placeOfKey(root: Node | null, path: Path, keysOf: KeyIndex): number | undefined {
  const last = path.at(-1)
  if (last === undefined) return undefined
  const above = path.slice(0, -1)
  const map = above.reduce<Node | null | undefined>((at, step) => stepInto(at ?? null, step, keysOf), root)
  const key = isMap<Node, Node | null>(map) ? keysOf(map).get(String(last))?.key : stepInto(map ?? null, last, keysOf)
  return key ? offsetOf(key) : placeOf(root, above, keysOf)
}

/** Below such a key every text may be a secret. */
const SECRET_KEY = /^(credentials|bearer|basic|raw|header|password|value|token|secret)$/
const KNOWN_WORD = /^(credentials|bearer|basic|raw|header|password|value|token|secret|env|file|command|username|name)$/
/** How names of environment variables are spelt and tokens are not. */
export const VARIABLE = /^[A-Z][A-Z0-9_]*$/

/** The texts below a secret's key, but for the words that are expected there. */
function secretNodes(root: Node | null): Stretch[] {
  const found: Stretch[] = []
  visit(root, {
    Pair(_, { key, value }) {
      const name = isScalar(key) ? textOf(key) : null
      if (!isNode(key) || name === null || !SECRET_KEY.test(name)) return undefined
      found.push(...secretTexts(value, name, endOf(key)))
      return visit.SKIP
    },
  })
  return found
}

/**
 * @param under the key that this is the value of
 * @param from where that key ends
 */
function secretTexts(node: unknown, under: string | null, from: number): Stretch[] {
  if (!isNode(node)) return []
  // A token may begin like an anchor, a tag or an alias, which stand before the value's own place.
  const bare = !isAlias(node) && node.tag === undefined && node.anchor === undefined
  if (bare && isScalar(node)) {
    // A token may stand behind a #, too.
    if (textOf(node) === null) return [{ start: from + 1, end: from + 2 }]
    if (isHarmless(node, under)) return []
  }
  if (!bare || !isMap<Node, Node | null>(node)) return [{ start: bare ? offsetOf(node) : from + 1, end: endOf(node) }]
  return node.items.flatMap(({ key, value }) => {
    const name = isScalar(key) ? textOf(key) : null
    // The keys of `credentials` are names of registries; elsewhere an unknown key may be a token in braces.
    const named = under === 'credentials' || (name !== null && KNOWN_WORD.test(name))
    const own = named ? [] : [{ start: offsetOf(key), end: endOf(key) }]
    return [...own, ...secretTexts(value, name, endOf(key))]
  })
}

/** What is expected there and is no secret, as long as it looks like what is expected. */
const HARMLESS = new Map([
  ['env', VARIABLE],
  ['file', /^/],
  ['username', /^[\w.@+-]{1,64}$/],
  ['name', /^[A-Za-z0-9-]{1,64}$/],
])

function isHarmless(node: Scalar, under: string | null): boolean {
  return HARMLESS.get(under ?? '')?.test(textOf(node) ?? '') === true
}

function endOf(node: Node): number {
  return node.range?.[1] ?? 0
}

const SECRET_LINE = /\b(?:bearer|basic|raw|header|password|value|token|secret)\b["']?\s*[:=].*$/gim
/** From this word to the next key of an account that holds no secret. */
const SECRET_BLOCK =
  /\bcredentials?\b["']?\s*:[\s\S]*?(?=^[\s-]*(?:suspended|rights|certificates|fingerprint|public-key)\b|(?![\s\S]))/gim

/** Where the YAML is broken, its structure does not tell what is whose: then the words have to. */
function secretLines(text: string): Stretch[] {
  return [SECRET_LINE, SECRET_BLOCK].flatMap(pattern => Array.from(text.matchAll(pattern), stretchOfMatch))
}

/** What stands behind the key. */
function stretchOfMatch({ 0: words, index }: RegExpExecArray): Stretch {
  return { start: index + words.search(/[:=]/) + 1, end: index + words.length }
}
