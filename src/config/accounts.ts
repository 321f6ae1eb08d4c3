// The accounts file → accounts and their enrolments.

import { z } from 'zod'
import type { Account, Credential, Enrolment, Right, Rights } from '../accounts/account.ts'
import { compileRights, problemOfPattern } from '../accounts/rights.ts'
import { ACTIONS, type Action } from '../dialects/dialect.ts'
import { DIALECTS } from '../dialects/table.ts'
import type { DialectName } from './config.ts'
import { readCredential } from './credentials.ts'
import { readEnrolments, refuseDuplicates } from './enrolments.ts'
import { stands, unknownKey } from './issues.ts'
import type { Surroundings } from './secrets.ts'
import { flag, keys } from './shape.ts'
import { complain, itemsAt, keysAt, readAt, reportFinding, type Sheet } from './sheet.ts'
import type { Path } from './tree.ts'
import { quote } from './values.ts'

export interface People {
  readonly accounts: readonly Account[]
  readonly enrolments: readonly Enrolment[]
}

export interface AccountsContext extends Surroundings {
  /** with their dialects; undefined: not known, because the other file is broken */
  readonly registries: ReadonlyMap<string, DialectName | undefined> | undefined
}

const top = keys({ accounts: z.unknown().optional(), 'unsafe-empty': flag.default(false) })

/** The parts given as `unknown` are read one by one, so that a bad one hides no other's problems. */
const accountKeys = keys({
  suspended: flag.default(false),
  credentials: z.unknown().optional(),
  rights: z.unknown().optional(),
  certificates: z.unknown().optional(),
})

/** Keys of the file, for the test that the shipped one mentions them all. */
export const ACCOUNT_KEYS: readonly string[] = [top, accountKeys].flatMap(it => Object.keys(it.shape))

const EXPECTED = 'a map of accounts by name'

/** Reports every problem of the file; what it returns counts only where there are none. */
export async function readAccounts(sheet: Sheet, context: AccountsContext): Promise<People> {
  const read = readAt(sheet, [], top)
  const names = keysAt(sheet, ['accounts'], EXPECTED)
  const value = sheet.at(['accounts'])
  // A file that was cut short must not turn everybody away unnoticed (R11).
  if (names.length === 0 && (value === undefined || isEmptyMap(value)) && read?.['unsafe-empty'] !== true) {
    const empty = value === undefined ? stands(value) : 'the map is empty'
    complain(sheet, ['accounts'], `${empty}; expected ${EXPECTED}, or unsafe-empty: true to serve nobody`)
  }
  const entries = await readEntries(sheet, names, context)
  refuseDuplicates(
    sheet,
    entries.flatMap(({ enrolments }) => enrolments),
  )
  return {
    accounts: entries.map(entry => entry.account),
    enrolments: entries.flatMap(({ enrolments }) => enrolments.map(({ enrolment }) => enrolment)),
  }
}

function isEmptyMap(value: unknown): boolean {
  return typeof value === 'object' && value !== null && !Array.isArray(value) && Object.keys(value).length === 0
}

type Entry = Awaited<ReturnType<typeof readAccount>>

/** Commands that may run at a time: each account may have one. */
const AT_A_TIME = 16

async function readEntries(sheet: Sheet, names: readonly string[], context: AccountsContext): Promise<Entry[]> {
  const entries: Entry[] = []
  for (let start = 0; start < names.length; start += AT_A_TIME) {
    const some = names.slice(start, start + AT_A_TIME)
    entries.push(...(await Promise.all(some.map(name => readAccount(sheet, name, context)))))
  }
  return entries
}

const NAME = /^[a-z0-9][a-z0-9._-]{0,63}$/

async function readAccount(sheet: Sheet, name: string, context: AccountsContext) {
  const path = ['accounts', name]
  if (!NAME.test(name)) {
    complain(
      sheet,
      path,
      'this is not a name of an account: small letters, digits, dots, hyphens and underscores, a letter or digit first',
      true,
    )
  }
  const read = readAt(sheet, path, accountKeys)
  const account: Account = {
    name,
    suspended: read?.suspended ?? true,
    credentials: await readCredentials(sheet, [...path, 'credentials'], context),
    rights: readRights(sheet, [...path, 'rights'], context),
  }
  return { account, enrolments: readEnrolments(sheet, [...path, 'certificates'], account) }
}

const BY_REGISTRY = 'a map by name of registry'

/** The names of registries at `path`. */
function registriesAt(sheet: Sheet, path: Path, { registries }: AccountsContext): string[] {
  const names = keysAt(sheet, path, BY_REGISTRY)
  if (registries === undefined) return names
  const known = registries.size === 0 ? 'there are none' : `there are: ${[...registries.keys()].join(', ')}`
  for (const name of names) {
    if (!registries.has(name)) complain(sheet, [...path, name], `no registry has this name; ${known}`, true)
  }
  return names
}

async function readCredentials(
  sheet: Sheet,
  path: Path,
  context: AccountsContext,
): Promise<ReadonlyMap<string, Credential>> {
  const credentials = new Map<string, Credential>()
  for (const registry of registriesAt(sheet, path, context)) {
    const credential = await readCredential(sheet, [...path, registry], context)
    if (credential !== undefined) credentials.set(registry, credential)
  }
  return credentials
}

function readRights(sheet: Sheet, path: Path, context: AccountsContext): ReadonlyMap<string, Rights> {
  const registries = registriesAt(sheet, path, context)
  return new Map(
    registries.map(registry => [
      registry,
      readRightsFor(sheet, [...path, registry], context.registries?.get(registry)),
    ]),
  )
}

/**
 * The right behind each key. What an account has anyhow, to read, cannot be given; to open the login and token
 * endpoints takes a protection away, so its key says so.
 */
const RIGHTS: ReadonlyMap<string, Action> = new Map(
  ACTIONS.filter(action => action !== 'read').map(action => [action === 'account' ? 'unsafe-account' : action, action]),
)

function readRightsFor(sheet: Sheet, path: Path, dialect: DialectName | undefined): Rights {
  const known = [...RIGHTS.keys()]
  const rights: Partial<Record<Action, Right>> = {}
  for (const key of keysAt(sheet, path, `a map with the keys ${known.join(', ')}`)) {
    const action = RIGHTS.get(key)
    if (action === undefined) reportFinding(sheet, unknownKey(path, key, known))
    else rights[action] = readRight(sheet, [...path, key], dialect)
  }
  return rights
}

/** Patterns are shown as the operator wrote them, and compared in the one form that names have in the dialect. */
function readRight(sheet: Sheet, path: Path, dialect: DialectName | undefined): Right {
  const patterns = itemsAt(sheet, path, 'a list of package names').flatMap(item => readPattern(sheet, item))
  const { normalise = (name: string) => name } = dialect === undefined ? {} : DIALECTS[dialect]
  return { patterns, covers: compileRights(patterns.map(pattern => normalise(pattern))) }
}

function readPattern(sheet: Sheet, path: Path): string[] {
  const pattern = sheet.at(path)
  const problem = typeof pattern === 'string' ? problemOfPattern(pattern) : undefined
  if (typeof pattern !== 'string')
    complain(sheet, path, `${stands(pattern)}; expected a package name, in which * and ** may stand`)
  else if (problem !== undefined) complain(sheet, path, `${quote(pattern)} ${problem}`)
  else return [pattern]
  return []
}
