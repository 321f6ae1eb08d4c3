import type { Dialect } from './dialect.ts'

export const maven: Dialect = { name: 'maven', classify: () => ({ kind: 'unknown' }) }
