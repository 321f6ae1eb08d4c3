// What a token has to be good for, in the words of distribution's token specification ("Requesting a Token"). A registry
// asks for the same in its challenges: its own handlers derive it from the method.

import { ANY_PACKAGE, type Asked } from '../dialects/dialect.ts'
import type { Method } from '../http/head.ts'

/** @returns one scope for each repository; none for a request about no repository */
export function scopesOf(method: Method, { action, package: name, mountedFrom }: Asked): readonly string[] {
  if (name === undefined) return action === 'read' ? [] : ['registry:catalog:*']
  const scopes = [`repository:${name}:${actionsOf(method, action)}`]
  // Where the registry chooses from where to mount, nothing can be asked for; it finds what the token lets it find.
  if (mountedFrom !== undefined && mountedFrom !== ANY_PACKAGE) scopes.push(`repository:${mountedFrom}:pull`)
  return scopes
}

function actionsOf(method: Method, action: Asked['action']): string {
  if (action === 'read') return 'pull'
  return method === 'DELETE' ? 'delete' : 'pull,push'
}
