// Which dialect goes by which name of the configuration.

import type { DialectName } from '../config/config.ts'
import { cargo } from './cargo.ts'
import type { Dialect } from './dialect.ts'
import { generic } from './generic.ts'
import { maven } from './maven.ts'
import { npm } from './npm.ts'
import { oci } from './oci.ts'
import { pypi } from './pypi.ts'

export const DIALECTS: Readonly<Record<DialectName, Dialect>> = { npm, cargo, pypi, oci, maven, generic }
