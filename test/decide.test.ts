import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import type { Account, Enrolment, Rights } from '../src/accounts/account.ts'
import { fingerprintOf, keyPinOf } from '../src/accounts/fingerprint.ts'
import { Secret } from '../src/accounts/secret.ts'
import { type Action, ANY_PACKAGE, ask } from '../src/dialects/dialect.ts'
import { npm } from '../src/dialects/npm.ts'
import type { Origin } from '../src/http/origin.ts'
import { type Decision, decide, type Forward } from '../src/lane/decide.ts'
import { credentialOf, type Identity, identify } from '../src/lane/identity.ts'
import type { Peer } from '../src/lane/peer.ts'
import { type Refusal, refuse } from '../src/lane/refusals.ts'
import type { Inspect, Registry, Route } from '../src/lane/route.ts'
import type { Presented } from '../src/lane/tickets.ts'
import { addressLines, upstreamHead } from '../src/lane/upstream-head.ts'

const NOW = Date.parse('2026-11-24T12:00:00Z')
const DAY = 86_400_000
const LEEWAY = 300_000
const FINGERPRINT = fingerprintOf(Buffer.from('a certificate'))

const anonymous: Peer = { kind: 'anonymous' }
const certificate: Peer = {
  kind: 'certificate',
  fingerprint: FINGERPRINT,
  keyPin: keyPinOf(Buffer.from('a key')),
  notBefore: NOW - DAY,
  notAfter: NOW + DAY,
  key: 'Ed25519',
}

const origin: Origin = {
  send: () => assert.fail('decide sends nothing'),
  close() {},
}

function registry(reads: Registry['reads']): Registry {
  const publicUrl = new URL('https://registry.test')
  const upstream = new URL('http://127.0.0.1:4873')
  return {
    name: 'main',
    dialect: npm,
    reads,
    publicUrl,
    upstream,
    basePath: '',
    upstreamOrigins: [],
    origin,
    authorize: undefined,
    addressLines: addressLines(publicUrl),
  }
}

function account(
  rights: Partial<Record<Action, (name: string) => boolean>> = {},
  changes: Partial<Account> = {},
): Account {
  const compiled: Rights = Object.fromEntries(
    Object.entries(rights).map(([action, covers]) => [action, { patterns: ['…'], covers }]),
  )
  return {
    name: 'alice',
    suspended: false,
    credentials: new Map([['main', { field: 'authorization', value: new Secret('Bearer t') }]]),
    rights: new Map([['main', compiled]]),
    ...changes,
  }
}

function enrolment(of: Account, changes: Partial<Enrolment> = {}): Enrolment {
  return {
    account: of,
    pinned: { kind: 'certificate', fingerprint: FINGERPRINT },
    label: 'laptop',
    expires: Number.POSITIVE_INFINITY,
    only: undefined,
    revoked: undefined,
    ...changes,
  }
}

/** @param name of the package; empty: about no package */
function route(action: Action, name = '@acme/tool', reads: Registry['reads'] = 'certificate'): Route {
  return {
    kind: 'registry',
    registry: registry(reads),
    asked: ask(action, name || undefined),
    upstreamTarget: '/x',
    inspect: undefined,
    refusalStatus: status => status,
  }
}

const acme = (name: string): boolean => name.startsWith('@acme/')
const everything = (): boolean => true
const publisher = enrolment(account({ publish: acme }))

function judge(peer: Peer, enrolled: Enrolment | undefined, asked: Route, ticket: Presented = undefined): Decision {
  return decide({ peer, enrolment: enrolled, route: asked, ticket, now: NOW, leeway: LEEWAY })
}

type Row = readonly [name: string, peer: Peer, enrolment: Enrolment | undefined, route: Route]

describe('decide/ok', () => {
  const rows: readonly [...Row, sender: 'account' | 'public'][] = [
    ['a public read without a certificate', anonymous, undefined, route('read', 'x', 'public'), 'public'],
    ['a public read with an unknown certificate', certificate, undefined, route('read', 'x', 'public'), 'public'],
    ['a public read with an enrolled certificate', certificate, publisher, route('read', 'x', 'public'), 'account'],
    ['a read with an enrolled certificate', certificate, publisher, route('read'), 'account'],
    ['a read about no package', certificate, publisher, route('read', ''), 'account'],
    ['a publish within the rights', certificate, publisher, route('publish'), 'account'],
    [
      'an enrolment in its last millisecond',
      certificate,
      { ...publisher, expires: NOW + 1 },
      route('publish'),
      'account',
    ],
    [
      'a certificate in its last millisecond',
      { ...certificate, notAfter: NOW + 1 },
      publisher,
      route('publish'),
      'account',
    ],
    [
      'a certificate from a clock that is ahead',
      { ...certificate, notBefore: NOW + LEEWAY },
      publisher,
      route('publish'),
      'account',
    ],
    ['only: publish', certificate, { ...publisher, only: new Set(['publish']) }, route('publish'), 'account'],
    [
      'a public read with an expired certificate',
      { ...certificate, notAfter: NOW },
      publisher,
      route('read', 'x', 'public'),
      'public',
    ],
    [
      'the right to everything, for a request about no package',
      certificate,
      enrolment(account({ publish: name => name === ANY_PACKAGE })),
      route('publish', ''),
      'account',
    ],
    [
      'account endpoints that the operator opened',
      certificate,
      enrolment(account({ account: everything })),
      route('account'),
      'account',
    ],
  ]
  for (const [name, peer, enrolled, asked, sender] of rows) {
    test(`ok/${name}`, () => {
      const decision = judge(peer, enrolled, asked)
      assert.equal(decision.kind === 'forward' ? decision.sender.kind : decision.kind, sender)
    })
  }
})

describe('decide/refuse', () => {
  const suspended = enrolment(account({ publish: everything }, { suspended: true }))
  const poor = enrolment(account({ publish: everything }, { credentials: new Map() }))
  const revoked = { ...publisher, revoked: { on: '2026-11-01', reason: 'laptop lost' } }
  const rows: readonly [...Row, refusal: Refusal][] = [
    ['a read without a certificate', anonymous, undefined, route('read'), 'certificate-required'],
    ['a publish without a certificate', anonymous, undefined, route('publish'), 'certificate-required'],
    [
      'a publish without a certificate where reads are public',
      anonymous,
      undefined,
      route('publish', 'x', 'public'),
      'certificate-required',
    ],
    ['an unknown certificate', certificate, undefined, route('read'), 'certificate-unknown'],
    [
      'an unusable certificate',
      { kind: 'unusable', fingerprint: FINGERPRINT, problem: 'weak' },
      undefined,
      route('read'),
      'certificate-unusable',
    ],
    ['a certificate at its end', { ...certificate, notAfter: NOW }, publisher, route('publish'), 'certificate-expired'],
    [
      'a certificate past its end',
      { ...certificate, notAfter: NOW - 1 },
      publisher,
      route('read'),
      'certificate-expired',
    ],
    ['an enrolment at its end', certificate, { ...publisher, expires: NOW }, route('publish'), 'enrolment-expired'],
    ['an enrolment past its end', certificate, { ...publisher, expires: NOW - 1 }, route('read'), 'enrolment-expired'],
    [
      'a certificate before its time',
      { ...certificate, notBefore: NOW + LEEWAY + 1 },
      publisher,
      route('publish'),
      'certificate-not-yet-valid',
    ],
    ['a revoked certificate', certificate, revoked, route('publish'), 'certificate-revoked'],
    [
      'a revoked certificate that has expired, too',
      { ...certificate, notAfter: NOW },
      revoked,
      route('read'),
      'certificate-revoked',
    ],
    ['a suspended account', certificate, suspended, route('publish'), 'account-suspended'],
    ['a publish outside the rights', certificate, publisher, route('publish', 'left-pad'), 'right-missing'],
    ['a withdrawal with only the right to publish', certificate, publisher, route('withdraw'), 'right-missing'],
    ['amending with only the right to publish', certificate, publisher, route('amend'), 'right-missing'],
    ['owning with only the right to publish', certificate, publisher, route('own'), 'right-missing'],
    ['a publish about no package', certificate, publisher, route('publish', ''), 'right-missing'],
    [
      'no rights at this registry',
      certificate,
      enrolment(account({}, { rights: new Map() })),
      route('publish'),
      'right-missing',
    ],
    ['account endpoints', certificate, publisher, route('account', ''), 'account-endpoint-closed'],
    [
      'only: read, for a publish',
      certificate,
      { ...publisher, only: new Set(['read']) },
      route('publish'),
      'certificate-restricted',
    ],
    [
      'only: publish, for a read',
      certificate,
      { ...publisher, only: new Set(['publish']) },
      route('read'),
      'certificate-restricted',
    ],
    ['no credential', certificate, poor, route('publish'), 'credential-missing'],
    ['no credential, for a read', certificate, poor, route('read'), 'credential-missing'],
    ['a route that was refused', certificate, publisher, refuse('path-ambiguous', 'dots'), 'path-ambiguous'],
  ]
  for (const [name, peer, enrolled, asked, refusal] of rows) {
    test(`refuse/${name}: ${refusal}`, () => {
      const decision = judge(peer, enrolled, asked)
      assert.equal(decision.kind === 'refused' ? decision.refusal : decision.kind, refusal)
    })
  }

  test('each refusal tells when and which', () => {
    const sentence = (peer: Peer, enrolled: Enrolment): string => {
      const decision = judge(peer, enrolled, route('publish'))
      return decision.kind === 'refused' ? decision.sentence : ''
    }
    assert.match(
      sentence({ ...certificate, notAfter: NOW }, publisher),
      new RegExp(`${FINGERPRINT} expired at 2026-11-24T12:00:00Z`),
    )
    assert.match(sentence(certificate, { ...publisher, expires: NOW }), /enrolment of .* ended at 2026-11-24T12:00:00Z/)
    assert.match(sentence(certificate, revoked), /revoked on 2026-11-01: laptop lost/)
  })
})

describe('decide/inspect', () => {
  const inspect: Inspect = { candidates: ['publish', 'amend'], inspector: () => assert.fail('decide reads no body') }
  const upload: Route = {
    kind: 'registry',
    registry: registry('public'),
    asked: ask('publish', '@acme/tool'),
    upstreamTarget: '/x',
    inspect,
    refusalStatus: status => status,
  }

  test('R28 a body is looked at when one of its meanings may be allowed', () => {
    assert.equal(judge(certificate, publisher, upload).kind, 'inspect')
    const amender = enrolment(account({ amend: acme }))
    assert.equal(judge(certificate, amender, upload).kind, 'inspect')
  })

  const unread: readonly [string, Peer, Enrolment | undefined, Refusal][] = [
    ['anonymous', anonymous, undefined, 'certificate-required'],
    ['unknown', certificate, undefined, 'certificate-unknown'],
    ['without a right', certificate, enrolment(account({ withdraw: everything })), 'right-missing'],
    [
      'without a credential',
      certificate,
      enrolment(account({ publish: everything }, { credentials: new Map() })),
      'credential-missing',
    ],
  ]
  for (const [name, peer, enrolled, refusal] of unread) {
    test(`R28 the body of a client that is ${name} is never looked at`, () => {
      const decision = judge(peer, enrolled, upload)
      assert.equal(decision.kind === 'refused' && decision.refusal, refusal)
    })
  }
})

describe('R01 an identity', () => {
  test('is made by identify alone; a look-alike does not compile', () => {
    const lookAlike = { kind: 'identity' as const, peer: certificate, enrolment: publisher }
    // @ts-expect-error the brand of an Identity cannot be written outside its module
    const forged: Identity = lookAlike
    assert.ok(forged)
    // @ts-expect-error a credential is had for an Identity, not for an enrolment
    assert.throws(() => credentialOf(publisher, 'main'))
    assert.equal(identify(certificate, publisher, NOW, LEEWAY).kind, 'identity')
  })

  test('is what the credential upstream comes from: no other path names one', () => {
    const head = {
      method: 'GET',
      target: '/x',
      host: 'registry.test',
      fields: ['authorization', 'Bearer stolen'],
      framing: { kind: 'none' },
      nominated: [],
      expectsContinue: false,
      keepAlive: true,
    } as const
    const decision = judge(certificate, publisher, route('read')) as Forward
    assert.match(
      upstreamHead(head, decision, decision.sender.kind === 'account' ? decision.sender.credential : undefined, '::1'),
      /\r\nauthorization: Bearer t\r\n/,
    )
    assert.doesNotMatch(upstreamHead(head, decision, undefined, '::1'), /authorization/)
  })
})
