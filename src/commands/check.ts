// `certgate check`: everything that is wrong with a configuration, or what it holds.

import type { Writable } from 'node:stream'
import type { Config } from '../config/config.ts'
import { loadConfig } from '../config/load.ts'
import { formatProblems } from '../config/problem.ts'
import { instant } from '../lane/refusals.ts'

export interface CheckContext {
  readonly json: boolean
  readonly env: NodeJS.ProcessEnv
  readonly stdout: Writable
}

/** @returns the exit code: 0 when the gate would start with this configuration, 1 when not */
export async function checkCommand(file: string, { json, env, stdout }: CheckContext): Promise<number> {
  const loaded = await loadConfig(file, env)
  const problems = loaded.kind === 'bad' ? loaded.problems : []
  const summary = loaded.kind === 'ok' ? summaryOf(loaded.config) : undefined
  const text = summary === undefined ? formatProblems(problems) : `${file}: ${summaryWords(summary)}\n`
  stdout.write(json ? `${JSON.stringify({ ok: summary !== undefined, problems, ...summary })}\n` : text)
  return summary === undefined ? 1 : 0
}

export interface Summary {
  readonly registries: number
  readonly accounts: number
  readonly certificates: number
  /** the first enrolment to end, of those that have not */
  readonly next_expiry: { readonly account: string; readonly label: string; readonly expires: string } | undefined
}

export function summaryOf(config: Config, now = Date.now()): Summary {
  const next = config.enrolments
    .filter(({ expires, revoked }) => Number.isFinite(expires) && expires > now && revoked === undefined)
    .reduce<(typeof config.enrolments)[number] | undefined>(
      (first, enrolment) => (first === undefined || enrolment.expires < first.expires ? enrolment : first),
      undefined,
    )
  return {
    registries: config.registries.length,
    accounts: config.accounts.length,
    certificates: config.enrolments.length,
    next_expiry: next && { account: next.account.name, label: next.label, expires: instant(next.expires) },
  }
}

export function summaryWords({ registries, accounts, certificates, next_expiry: next }: Summary): string {
  const expiry = next === undefined ? 'no expiry set' : `next expiry ${next.expires} (${next.label} of ${next.account})`
  return `${count(registries, 'registry', 'registries')}, ${count(certificates, 'certificate')} of ${count(accounts, 'account')}, ${expiry}`
}

function count(number: number, one: string, many = `${one}s`): string {
  return `${number} ${number === 1 ? one : many}`
}
