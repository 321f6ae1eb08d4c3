// Any token-based backend that has no dialect of its own: GET and HEAD read, everything else needs the right
// `publish`. The path, without its leading slash, stands for the package's name.

import type { Method } from '../http/head.ts'
import type { Target } from '../http/target.ts'
import { ask, type Classified, type Dialect } from './dialect.ts'

function classify(method: Method, target: Target): Classified {
  // A backend may or may not take `%2f` for a slash: the name would be a guess.
  if (target.segments.some(segment => segment.includes('/'))) return { kind: 'unknown' }
  const name = target.segments.join('/')
  const action = method === 'GET' || method === 'HEAD' || method === 'OPTIONS' ? 'read' : 'publish'
  return { kind: 'asked', asked: ask(action, name === '' ? undefined : name) }
}

export const generic: Dialect = { name: 'generic', classify }
