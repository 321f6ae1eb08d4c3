import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { describe, test } from 'node:test'
import type { Inspection } from '../src/dialects/dialect.ts'
import { pypi } from '../src/dialects/pypi.ts'
import type { Fields } from '../src/http/head.ts'
import { parseTarget } from '../src/http/target.ts'

const BOUNDARY = 'b7c1f0a9d2e4'
const FORM: Fields = ['content-type', `multipart/form-data; boundary=${BOUNDARY}`]

const FILE = Buffer.from(`not a wheel, but bytes\r\n--b7c1\r\n\n--${BOUNDARY.slice(1)}\n that have a digest`)
const SHA256 = createHash('sha256').update(FILE).digest('hex')

interface Part {
  readonly name: string
  readonly value: string
  readonly more?: string
  /** further lines of its head */
  readonly lines?: string
}

const text = (name: string, value: string): Part => ({ name, value })

const CONTENT: Part = {
  name: 'content',
  value: FILE.toString('latin1'),
  more: '; filename="my_pkg-1.0-py3-none-any.whl"',
  lines: 'Content-Type: application/octet-stream\r\n',
}

/** As twine sends it. */
const TWINE: readonly Part[] = [
  text('classifiers', 'Private :: A'),
  text('classifiers', 'Private :: B'),
  text('name', 'My-Pkg'),
  text('metadata_version', '2.1'),
  text('version', '1.0'),
  text('filetype', 'bdist_wheel'),
  text('sha256_digest', SHA256),
  text('blake2_256_digest', 'x'),
  text('description', 'A "quoted" text\r\nof two lines, with ü'),
  text(':action', 'file_upload'),
  text('protocol_version', '1'),
  CONTENT,
]

function formOf(parts: readonly Part[]): string {
  const all = parts.map(
    ({ name, value, more = '', lines = '' }) =>
      `--${BOUNDARY}\r\nContent-Disposition: form-data; name="${name}"${more}\r\n${lines}\r\n${value}\r\n`,
  )
  return `${all.join('')}--${BOUNDARY}--\r\n`
}

/** TWINE with some parts replaced by others of the same name; null removes. */
function changed(changes: Readonly<Record<string, string | Part | null>>): readonly Part[] {
  return TWINE.flatMap(part => {
    const change = changes[part.name]
    if (change === undefined) return [part]
    if (change === null) return []
    return [typeof change === 'string' ? { ...part, value: change } : change]
  })
}

function inspect(form: string, size = form.length, fields: Fields = FORM): { before: Inspection; last: Inspection } {
  const parsed = parseTarget('/legacy/')
  assert.ok(parsed.kind === 'target')
  const classified = pypi.classify('POST', parsed.target, fields)
  assert.ok(classified.kind === 'inspect')
  const inspector = classified.inspector()
  const bytes = Buffer.from(form, 'latin1')
  let before: Inspection = { kind: 'undecided' }
  for (let at = 0; at < bytes.length && before.kind !== 'unacceptable'; at += size) {
    before = inspector.push(bytes.subarray(at, at + size))
  }
  const last = inspector.end()
  assert.deepEqual(inspector.end(), last)
  return { before, last }
}

describe('PyPI uploads', () => {
  const published = {
    kind: 'known',
    asked: { action: 'publish', package: 'my-pkg', version: '1.0', digest: `sha256:${SHA256}`, personal: false },
  }

  test('an upload is known from its fields, in pieces of any size, and verified at its end', () => {
    const form = formOf(TWINE)
    for (const size of [1, 2, 3, 5, 7, 13, 64, form.length]) assert.deepEqual(inspect(form, size).last, published)
    assert.deepEqual(inspect(form.slice(0, form.indexOf('not a wheel'))).before, published)
  })

  test('the digest is made where none is promised, and compared in either case', () => {
    assert.deepEqual(inspect(formOf(changed({ sha256_digest: null }))).last, published)
    assert.deepEqual(inspect(formOf(changed({ sha256_digest: SHA256.toUpperCase() }))).last, published)
  })

  test('an empty file has a digest', () => {
    const { last } = inspect(formOf(changed({ sha256_digest: null, content: { ...CONTENT, value: '' } })))
    const empty = createHash('sha256').digest('hex')
    assert.equal(last.kind === 'known' && last.asked.digest, `sha256:${empty}`)
  })

  const accepted: readonly [name: string, parts: readonly Part[]][] = [
    ['another order of the fields', [...TWINE.slice(0, -1).toReversed(), CONTENT]],
    ['an sdist', changed({ content: { ...CONTENT, more: '; filename="My.Pkg-1.0.tar.gz"' } })],
    ['a version spelled otherwise', changed({ version: '1.0.0' })],
    ['no type of the file', changed({ content: { ...CONTENT, lines: '' } })],
    [
      'a field that says it is UTF-8',
      changed({ name: { ...text('name', 'My-Pkg'), lines: 'content-type: text/plain; charset=utf-8\r\n' } }),
    ],
    ['attestations before the file', [text('attestations', '[{}]'), ...TWINE]],
    ['attestations after the file', [...TWINE, text('attestations', '[{}]')]],
    [
      'a signature before the file',
      [{ ...text('gpg_signature', 'sig'), more: '; filename="my_pkg-1.0-py3-none-any.whl.asc"' }, ...TWINE],
    ],
    [
      'a signature after the file',
      [...TWINE, { ...text('gpg_signature', 'sig'), more: '; filename="my_pkg-1.0-py3-none-any.whl.asc"' }],
    ],
  ]
  for (const [name, parts] of accepted) {
    test(`an upload with ${name} is accepted`, () => {
      const { last } = inspect(formOf(parts), 11)
      assert.deepEqual(last.kind === 'known' && [last.asked.package, last.asked.digest], ['my-pkg', `sha256:${SHA256}`])
    })
  }

  test('a boundary may be quoted, and the last line end may be missing', () => {
    const fields = ['content-type', `multipart/form-data; boundary="${BOUNDARY}"`]
    assert.equal(inspect(formOf(TWINE).slice(0, -2), 9, fields).last.kind, 'known')
  })

  test('remove_pkg withdraws, and is known at its end only', () => {
    const form = formOf([text(':action', 'remove_pkg'), text('name', 'My.Pkg'), text('version', '1.0')])
    const { before, last } = inspect(form, 5)
    assert.equal(before.kind, 'undecided')
    assert.deepEqual(last, {
      kind: 'known',
      asked: { action: 'withdraw', package: 'my-pkg', version: '1.0', digest: undefined, personal: false },
    })
  })

  const named = (filename: string): readonly Part[] =>
    changed({ content: { ...CONTENT, more: `; filename="${filename}"` } })
  const removal = [text(':action', 'remove_pkg'), text('name', 'a'), text('version', '1')]
  const good = formOf(TWINE)
  const unacceptable: readonly [name: string, form: string, problem: RegExp][] = [
    ['the file first', formOf([CONTENT, ...TWINE.slice(0, -1)]), /"content" comes before "name"/],
    ['no name', formOf(changed({ name: null })), /comes before "name"/],
    ['no version', formOf(changed({ version: null })), /comes before "name", "version"/],
    ['no action', formOf(changed({ ':action': null })), /comes before .*":action"/],
    ['another action', formOf(changed({ ':action': 'doc_upload' })), /neither file_upload nor remove_pkg/],
    ['the action submit', formOf(changed({ ':action': 'submit', content: null })), /neither file_upload nor/],
    ['no file', formOf(changed({ content: null })), /holds no file/],
    ['two names', formOf([text('name', 'other'), ...TWINE]), /"name" occurs twice/],
    [
      'a name after the file',
      formOf([...changed({ name: null }).slice(0, -1), text('name', 'My-Pkg'), CONTENT, text('name', 'other')]),
      /"name" occurs twice/,
    ],
    ['a description after the file', formOf([...TWINE, text('description', 'x')]), /follows "content"/],
    ['two files', formOf([...TWINE, CONTENT]), /"content" occurs twice/],
    ['two digests', formOf([text('sha256_digest', SHA256), ...TWINE]), /"sha256_digest" occurs twice/],
    ['another file', formOf([{ ...text('evil', 'x'), more: '; filename="a-1.0.zip"' }, ...TWINE]), /"evil" is a file/],
    ['a Name', formOf([text('Name', 'other'), ...TWINE]), /not written plainly/],
    ['a name[]', formOf([text('name[]', 'other'), ...TWINE]), /not written plainly/],
    ['a content.path', formOf([text('content.path', '/etc/passwd'), ...TWINE]), /not written plainly/],
    ['an empty name', formOf(changed({ name: '' })), /"name" is not the name/],
    ['white space in a name', formOf(changed({ name: 'my-pkg ' })), /"name" is not the name/],
    ['a long name', formOf(changed({ name: 'a'.repeat(300) })), /"name" is (?:too long|not the name)/],
    ['an empty version', formOf(changed({ version: '' })), /"version" is not/],
    ['an empty digest', formOf(changed({ sha256_digest: '' })), /not a SHA-256 in hex/],
    ['a digest of other bytes', formOf(changed({ sha256_digest: '0'.repeat(64) })), /not the SHA-256 of the file/],
    ['a changed file', good.replace('not a wheel', 'not a whale'), /not the SHA-256 of the file/],
    ['a file of another package', formOf(named('other-1.0.tar.gz')), /is not one of "name", My-Pkg/],
    ['a file of another version', formOf(named('my_pkg-1.1.tar.gz')), /is not one of "version", 1.0/],
    ['a file that could be of two packages', formOf(named('my-pkg-1b-1.0.tar.gz')), /is not the name of a wheel/],
    ['an egg', formOf(named('my_pkg-1.0.egg')), /is not the name of a wheel/],
    ['a path for a file name', formOf(named('../my_pkg-1.0.tar.gz')), /not written plainly/],
    ['a content that is no file', formOf(changed({ content: text('content', 'x') })), /"content" is not a file/],
    [
      'a signature of another file',
      formOf([...TWINE, { ...text('gpg_signature', 'x'), more: '; filename="a-1.0.zip.asc"' }]),
      /not named my_pkg-1.0-py3-none-any.whl.asc/,
    ],
    ['a signature that is no file', formOf([text('gpg_signature', 'x'), ...TWINE]), /"gpg_signature" is not a file/],
    [
      'a file within a multipart',
      formOf(changed({ content: { ...CONTENT, lines: 'Content-Type: multipart/mixed; boundary=x\r\n' } })),
      /has the type multipart/,
    ],
    [
      'a field in UTF-16',
      formOf(changed({ name: { ...text('name', 'My-Pkg'), lines: 'Content-Type: text/plain; charset=utf-16\r\n' } })),
      /"name" has the type/,
    ],
    ['_charset_', formOf([text('_charset_', 'utf-7'), ...TWINE]), /"_charset_" is not supported/],
    [
      'a transfer encoding',
      formOf(changed({ name: { ...text('name', 'My-Pkg'), lines: 'Content-Transfer-Encoding: base64\r\n' } })),
      /something else than Content-Disposition/,
    ],
    [
      'a length of a part',
      formOf(changed({ name: { ...text('name', 'My-Pkg'), lines: 'Content-Length: 2\r\n' } })),
      /something else than Content-Disposition/,
    ],
    [
      'a folded line',
      formOf(changed({ name: { ...text('name', 'My-Pkg'), lines: ' x\r\n' } })),
      /something else than Content-Disposition/,
    ],
    [
      'two dispositions',
      formOf(changed({ name: { ...text('name', 'My-Pkg'), lines: 'Content-Disposition: form-data; name="x"\r\n' } })),
      /two Content-Disposition/,
    ],
    [
      'two types',
      formOf(changed({ content: { ...CONTENT, lines: `${CONTENT.lines}${CONTENT.lines}` } })),
      /two Content-Type/,
    ],
    [
      'filename*',
      formOf(changed({ content: { ...CONTENT, more: '; filename="my_pkg-1.0.zip"; filename*=utf-8\'\'a-1.0.zip' } })),
      /not written plainly/,
    ],
    [
      'two filenames',
      formOf(changed({ content: { ...CONTENT, more: '; filename="my_pkg-1.0.zip"; filename="a-1.0.zip"' } })),
      /not written plainly/,
    ],
    ['a name without quotes', good.replace('name="version"', 'name=version'), /not written plainly/],
    [
      'a part without a head',
      good.replace('Content-Disposition: form-data; name="version"\r\n', ''),
      /something else|not written plainly/,
    ],
    ['a head without end', `--${BOUNDARY}\r\nContent-Type: ${'a'.repeat(5000)}`, /head is too long/],
    [
      'a line feed alone in a head',
      good.replace('name="version"\r\n', 'name="version"\n'),
      /something else|not written plainly/,
    ],
    ['a preamble', `preamble\r\n${good}`, /does not begin with its boundary/],
    ['a line end first', `\r\n${good}`, /does not begin with its boundary/],
    ['an epilogue', `${good}more`, /follows its last part/],
    ['a second form', `${good}${good}`, /follows its last part/],
    ['white space behind a boundary', good.replace(`--${BOUNDARY}\r\n`, `--${BOUNDARY} \r\n`), /no delimiter/],
    ['a longer boundary within the file', good.replace('bytes', `\r\n--${BOUNDARY}x\r\n`), /no delimiter/],
    ['a boundary behind a line feed alone', good.replace('bytes', `\n--${BOUNDARY}\n`), /no delimiter/],
    ['a boundary in the middle of a line', good.replace('Private :: A', `x--${BOUNDARY}\r\n`), /no delimiter/],
    ['a cut end', good.slice(0, -6), /ends before its last boundary/],
    ['a half line end', good.slice(0, -1), /ends before its last boundary/],
    ['nothing', '', /ends before its last boundary/],
    ['too many parts', formOf([...Array(5001).fill(text('classifiers', 'x')), ...TWINE]), /too many parts/],
    ['a removal with a file', formOf([...removal, { ...CONTENT, more: '; filename="a-1.zip"' }]), /takes none/],
    ['a removal of no version', formOf(removal.slice(0, 2)), /"name" and "version" have to be there/],
    [
      'a removal with a signature',
      formOf([...removal, { ...text('gpg_signature', 'x'), more: '; filename="a-1.zip.asc"' }]),
      /takes none/,
    ],
  ]
  for (const [name, form, problem] of unacceptable) {
    test(`an upload with ${name} is unacceptable`, () => {
      for (const size of form.length > 100_000 ? [4096] : [1, 3, 17, Math.max(1, form.length)]) {
        const { last } = inspect(form, size)
        assert.equal(last.kind, 'unacceptable')
        assert.match(last.kind === 'unacceptable' ? last.problem : '', problem)
      }
    })
  }

  const types: readonly Fields[] = [
    [],
    ['content-type', 'application/x-www-form-urlencoded'],
    ['content-type', 'application/json'],
    ['content-type', 'multipart/form-data'],
    ['content-type', `multipart/mixed; boundary=${BOUNDARY}`],
    ['content-type', `multipart/form-data; boundary=${BOUNDARY}; boundary=x`],
    ['content-type', `multipart/form-data; charset=utf-8; boundary=${BOUNDARY}`],
    ['content-type', `multipart/form-data; boundary="${BOUNDARY}`],
    ['content-type', `multipart/form-data; boundary*=utf-8''${BOUNDARY}`],
    ['content-type', `multipart/form-data; boundary=${'b'.repeat(71)}`],
    [...FORM, ...FORM],
  ]
  for (const fields of types) {
    test(`R18 ${JSON.stringify(fields).slice(0, 100)} is not a form that can be judged`, () => {
      const { last } = inspect(formOf(TWINE), 100, fields)
      assert.match(last.kind === 'unacceptable' ? last.problem : '', /one plain boundary/)
    })
  }
})
