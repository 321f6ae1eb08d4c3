import type { Dialect } from './dialect.ts'

export const pypi: Dialect = { name: 'pypi', classify: () => ({ kind: 'unknown' }) }
