// The few kinds of schema that the configuration is made of. Their error texts name what is expected; issues.ts makes
// the sentence.

import { z } from 'zod'
import type { Read } from './values.ts'

/** A map with these keys and no others. */
export function keys<S extends z.ZodRawShape>(shape: S, expected?: string) {
  const names = Object.keys(shape).join(', ')
  return z.strictObject(shape, {
    error: issue => (issue.code === 'unrecognized_keys' ? names : (expected ?? `a map with the keys ${names}`)),
  })
}

export function text(expected: string) {
  return z.string({ error: expected })
}

/** Text that `parse` makes something of. */
export function scalar<T>(expected: string, parse: (text: string) => Read<T>) {
  return text(expected).transform((input, context): T => {
    const read = parse(input)
    if (read.kind === 'ok') return read.value
    context.issues.push({ code: 'custom', message: read.problem, params: { hide: read.hide }, input })
    return z.NEVER
  })
}

export function list<T extends z.ZodType>(item: T, expected: string) {
  return z.array(item, { error: expected })
}

export const flag = z.enum(['true', 'false']).transform(word => word === 'true')

/** For `superRefine`: one of these keys stands there, and only one. */
export function exactlyOne(names: readonly string[]) {
  return (value: object, context: z.RefinementCtx): void => {
    // An unknown key was probably meant to be one of them; that is one mistake, and reported already.
    if (context.issues.length > 0) return
    const given = names.filter(name => Object.hasOwn(value, name))
    if (given.length === 1) return
    const some = given.length === 0 ? 'none is given' : `${given.join(' and ')} are given`
    context.addIssue({ code: 'custom', message: `${some}; expected exactly one of ${names.join(', ')}` })
  }
}
