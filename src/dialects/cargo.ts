import type { Dialect } from './dialect.ts'

export const cargo: Dialect = { name: 'cargo', classify: () => ({ kind: 'unknown' }) }
