// The table of what real clients do through the gate: each operation is a test of its own, and a line of the table.

import { appendFile } from 'node:fs/promises'
import type { TestContext } from 'node:test'

export interface Operation {
  /** `twine` */
  readonly client: string
  /** as the client tells it */
  readonly version: string
  /** `upload` */
  readonly operation: string
  /** `pypiserver 2.3.0` */
  readonly backend: string
}

/** Where lines go; unset: nowhere. */
const FILE = 'CERTGATE_CLIENT_TABLE'

/** Runs `body` as a subtest; it throws where the operation does not work. */
export async function operation(
  t: TestContext,
  what: Operation,
  body: (t: TestContext) => Promise<void>,
): Promise<void> {
  let result = '✗'
  await t.test(`${what.client} ${what.version}: ${what.operation} (${what.backend})`, async inner => {
    await body(inner)
    result = '✓'
  })
  const file = process.env[FILE]
  if (file !== undefined) await appendFile(file, `${JSON.stringify({ ...what, result })}\n`)
}
