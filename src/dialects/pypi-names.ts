// Names and versions of Python packages: their one form, and which of them a file's name tells. The file's name is what
// some servers (pypiserver) go by and the form's fields what others do, so both have to say the same.

/** PEP 503: `My_Pkg`, `my.pkg` and `my--pkg` are one project. Leaves `*` and `/` of patterns alone. */
export function normaliseName(name: string): string {
  return name.replace(/[-_.]+/g, '-').toLowerCase()
}

/** PEP 508. */
const NAME = /^[A-Z0-9](?:[A-Z0-9._-]*[A-Z0-9])?$/i

const LONGEST_NAME = 214

export function isName(text: string): boolean {
  return text.length <= LONGEST_NAME && NAME.test(text)
}

export interface FileFacts {
  /** as the file spells it */
  readonly name: string
  /** as the file spells it */
  readonly version: string
}

/** A version in a file's name begins with a digit: where it did not, pypiserver would look for one further on. */
const WHEEL =
  /^(?<name>[A-Za-z0-9](?:[A-Za-z0-9._]*[A-Za-z0-9])?)-(?<version>[0-9][A-Za-z0-9._!+]*)(?:-[0-9][A-Za-z0-9._]*)?(?:-[A-Za-z0-9._]+){3}\.whl$/

/** One dash, as PEP 625 has it. */
const SDIST =
  /^(?<name>[A-Za-z0-9](?:[A-Za-z0-9._]*[A-Za-z0-9])?)-(?<version>[0-9][A-Za-z0-9._!+]*?)(?:\.tar\.gz|\.zip)$/

/**
 * Dashes within the name, as setuptools wrote it until 2024. Only where no reader can take another dash for the one
 * before the version: pypiserver cuts `a-1b-1.0.tar.gz` and `a-py3.7-b-1.0.zip` after the `a`.
 */
const DASHED_SDIST =
  /^(?<name>[A-Za-z][A-Za-z0-9_]*(?:-[A-Za-z][A-Za-z0-9_]*)+)-(?<version>[0-9]+[A-Za-z._!+][A-Za-z0-9._!+]*?)(?:\.tar\.gz|\.zip)$/

/** What a wheel (PEP 427) or a source distribution (PEP 625) is of; undefined where that cannot be told for certain. */
export function factsOfFile(file: string): FileFacts | undefined {
  if (file.length > LONGEST_FILE) return undefined
  const groups = (WHEEL.exec(file) ?? SDIST.exec(file) ?? DASHED_SDIST.exec(file))?.groups
  const { name, version } = groups ?? {}
  return name === undefined || version === undefined ? undefined : { name, version }
}

const LONGEST_FILE = 255

/** PEP 440, appendix B, without white space around it. */
const VERSION =
  /^v?(?:(?<epoch>[0-9]+)!)?(?<release>[0-9]+(?:\.[0-9]+)*)(?:[-_.]?(?<stage>alpha|a|beta|b|preview|pre|c|rc)[-_.]?(?<stageNumber>[0-9]*))?(?<post>-(?<postDash>[0-9]+)|[-_.]?(?:post|rev|r)[-_.]?(?<postNumber>[0-9]*))?(?<dev>[-_.]?dev[-_.]?(?<devNumber>[0-9]*))?(?:\+(?<local>[a-z0-9]+(?:[-_.][a-z0-9]+)*))?$/i

const STAGES: Readonly<Record<string, string>> = { alpha: 'a', beta: 'b', c: 'rc', pre: 'rc', preview: 'rc' }

/** Of a version, its normal form (PEP 440) without zeros at the end of the release; of any other text, itself. */
export function normaliseVersion(text: string): string {
  const groups = VERSION.exec(text)?.groups
  if (groups === undefined) return text.toLowerCase().replace(/[-_]/g, '-')
  const { epoch, release = '', stage, stageNumber, post, postDash, postNumber, dev, devNumber, local } = groups
  const numbers = release.split('.').map(numeral)
  while (numbers.length > 1 && numbers.at(-1) === '0') numbers.pop()
  const stageName = stage?.toLowerCase() ?? ''
  return [
    epoch === undefined || numeral(epoch) === '0' ? '' : `${numeral(epoch)}!`,
    numbers.join('.'),
    stage === undefined ? '' : `${STAGES[stageName] ?? stageName}${numeral(stageNumber)}`,
    post === undefined ? '' : `.post${numeral(postDash ?? postNumber)}`,
    dev === undefined ? '' : `.dev${numeral(devNumber)}`,
    local === undefined ? '' : `+${local.toLowerCase().replace(/[-_]/g, '.')}`,
  ].join('')
}

/** Without leading zeros; an absent number is 0. */
function numeral(digits: string | undefined): string {
  return (digits ?? '').replace(/^0+(?=.)/, '') || '0'
}
