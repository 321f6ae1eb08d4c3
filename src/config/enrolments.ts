// The certificates of an account → enrolments. A certificate belongs to one account.

import { z } from 'zod'
import type { Account, Enrolment } from '../accounts/account.ts'
import { type Parsed, parseFingerprint, parseKeyPin } from '../accounts/fingerprint.ts'
import { ACTIONS } from '../dialects/dialect.ts'
import { exactlyOne, keys, list, scalar } from './shape.ts'
import { complain, itemsAt, readAt, type Sheet } from './sheet.ts'
import type { Path } from './tree.ts'
import { bad, ok, parseDate, parseEnd, parseLine, quote, type Read } from './values.ts'

const LONGEST_LABEL = 64
const LONGEST_REASON = 200

/** @param parse whose sentence goes on from the text that it is about */
function pinned<T>(expected: string, parse: (text: string) => Parsed<T>) {
  return scalar(expected, (text): Read<T> => {
    const parsed = parse(text)
    return parsed.kind === 'ok' ? ok(parsed.value) : bad(`${quote(text)} ${parsed.problem}`)
  })
}

const revocation = keys({
  on: scalar('the date of the revocation', text => mapOk(parseDate(text), text)),
  reason: scalar('the reason, for the record', text => parseLine(text, LONGEST_REASON)),
})

function mapOk<T>(read: Read<unknown>, value: T): Read<T> {
  return read.kind === 'ok' ? ok(value) : read
}

const certificate = keys({
  fingerprint: pinned('the SHA-256 of a certificate', parseFingerprint).optional(),
  'public-key': pinned('the SHA-256 of a public key', parseKeyPin).optional(),
  label: scalar('what the holder calls it, such as laptop', text => parseLine(text, LONGEST_LABEL)),
  added: scalar('a date', parseDate).optional(),
  expires: scalar('a date or a time', parseEnd).optional(),
  only: list(z.enum(ACTIONS), `a list of ${ACTIONS.join(', ')}`).optional(),
  revoked: revocation.optional(),
})

const checkedCertificate = certificate
  .superRefine(exactlyOne(['fingerprint', 'public-key']))
  .superRefine((it, context) => {
    // A key outlives every certificate made with it, whose dates its holder chooses (R05).
    if (it['public-key'] !== undefined && it.expires === undefined) {
      context.addIssue({
        code: 'custom',
        message: 'a public-key needs expires: its holder can make a new certificate at any time',
      })
    }
    if (it.only?.length === 0) {
      context.addIssue({
        code: 'custom',
        path: ['only'],
        message: 'the list is empty; name an action, or use revoked to switch the certificate off',
      })
    }
  })

/** Keys of a certificate, for the test that the shipped file mentions them all. */
export const CERTIFICATE_KEYS: readonly string[] = [certificate, revocation].flatMap(it => Object.keys(it.shape))

/** An enrolment and where it stands. */
export interface PlacedEnrolment {
  readonly enrolment: Enrolment
  readonly path: Path
}

export function readEnrolments(sheet: Sheet, path: Path, account: Account): PlacedEnrolment[] {
  return itemsAt(sheet, path, 'a list of certificates').flatMap(item => {
    const enrolment = readEnrolment(sheet, item, account)
    return enrolment === undefined ? [] : [{ enrolment, path: item }]
  })
}

function readEnrolment(sheet: Sheet, path: Path, account: Account): Enrolment | undefined {
  const read = readAt(sheet, path, checkedCertificate)
  const pinnedTo = read && pinnedOf(read)
  if (read === undefined || pinnedTo === undefined) return undefined
  return {
    account,
    pinned: pinnedTo,
    label: read.label,
    expires: read.expires ?? Number.POSITIVE_INFINITY,
    only: read.only && new Set(read.only),
    revoked: read.revoked,
  }
}

function pinnedOf({ fingerprint, 'public-key': pin }: z.output<typeof certificate>): Enrolment['pinned'] | undefined {
  if (fingerprint !== undefined) return { kind: 'certificate', fingerprint }
  return pin && { kind: 'key', pin }
}

/** With two entries for one certificate, which one counts would be chance (R11). */
export function refuseDuplicates(sheet: Sheet, placed: readonly PlacedEnrolment[]): void {
  const seen = new Map<string, PlacedEnrolment>()
  for (const it of placed) {
    const { pinned: by } = it.enrolment
    const key = by.kind === 'certificate' ? `fingerprint ${by.fingerprint}` : `public-key ${by.pin}`
    const other = seen.get(key)
    if (other === undefined) seen.set(key, it)
    else complainOfDuplicate(sheet, it, other)
  }
}

function complainOfDuplicate(sheet: Sheet, { enrolment, path }: PlacedEnrolment, other: PlacedEnrolment): void {
  const field = enrolment.pinned.kind === 'certificate' ? 'fingerprint' : 'public-key'
  const line = sheet.lineOf([...other.path, field])
  const holder = `${other.enrolment.account.name} (${other.enrolment.label})`
  complain(
    sheet,
    [...path, field],
    `this ${field} stands already on line ${line}, for ${holder}; it can belong to one only`,
  )
}
