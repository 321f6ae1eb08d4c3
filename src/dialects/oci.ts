import type { Dialect } from './dialect.ts'

export const oci: Dialect = { name: 'oci', classify: () => ({ kind: 'unknown' }) }
