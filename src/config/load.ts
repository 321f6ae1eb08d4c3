// The two configuration files → a frozen Config, or everything that is wrong with them. Bad input never throws.

import { dirname, resolve } from 'node:path'
import { readAccounts } from './accounts.ts'
import type { Loaded, Problem } from './config.ts'
import { deepFreeze } from './freeze.ts'
import { accountsFileOf, dialectsOf, readGate } from './gate.ts'
import { complain, openSheet, type Sheet } from './sheet.ts'
import { quote } from './values.ts'

/** That a command may take to print its secret, ms. */
const COMMAND_TIME = 10_000

/**
 * Reads certgate.yaml and the accounts file that it names, and fetches the secrets.
 *
 * @param file of certgate.yaml; problems name it as it is given here
 * @param env where secrets of the form `{env: NAME}` are looked up
 * @param commandTime how long the command of a secret may take, ms
 * @returns the problems of both files, by file and position
 */
export async function loadConfig(file: string, env: NodeJS.ProcessEnv, commandTime = COMMAND_TIME): Promise<Loaded> {
  const opened = await openSheet(file)
  if (opened.kind === 'bad') return refused([aboutFile(file, `the file ${opened.problem}`)])
  const sheet = opened.value
  const gate = sheet.sound ? await readGate(sheet) : undefined
  const accounts = await openAccounts(sheet)
  const people = accounts?.sound
    ? await readAccounts(accounts, {
        env,
        commandTime,
        directory: dirname(resolve(accounts.file)),
        registries: dialectsOf(sheet),
      })
    : undefined
  const problems = [...sheet.problems(), ...(accounts?.problems() ?? [])]
  if (problems.length > 0) return refused(problems)
  // Both are there when nothing was reported; if not, a mistake of ours must not let the gate start.
  if (gate === undefined || people === undefined) return refused([aboutFile(file, 'this configuration cannot be used')])
  return deepFreeze<Loaded>({ kind: 'ok', config: { ...gate, ...people } })
}

/** A file that cannot be read is reported where it is named. */
async function openAccounts(sheet: Sheet): Promise<Sheet | undefined> {
  const file = accountsFileOf(sheet)
  if (file === undefined) return undefined
  const opened = await openSheet(file)
  return opened.kind === 'ok' ? opened.value : complain(sheet, ['accounts'], `${quote(file)} ${opened.problem}`)
}

function aboutFile(file: string, message: string): Problem {
  return { file, line: undefined, column: undefined, message, excerpt: undefined }
}

function refused(problems: readonly Problem[]): Loaded {
  return deepFreeze<Loaded>({ kind: 'bad', problems })
}
