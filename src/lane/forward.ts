// Carries a judged request to its registry and the answer back. Streams both ways with back-pressure; of a change, the
// head waits until it is recorded, or where the body decides the last bytes, and the answer until it is recorded.

import { type Asked, isChange, type Rewrite } from '../dialects/dialect.ts'
import type { Exchange, Response } from '../http/exchange.ts'
import { isEncoded, type Method } from '../http/head.ts'
import type { ResponseHead } from '../http/response-head.ts'
import type { UpstreamExchange, UpstreamFault } from '../http/upstream.ts'
import type { Clock } from './clock.ts'
import type { Forward } from './decide.ts'
import { type Peeked, refusalOfAbort } from './peek.ts'
import type { Entry, Outcome } from './record.ts'
import { type Refused, refuse } from './refusals.ts'
import { type Budget, linksOf, plainRequest, REWRITTEN_SIZE } from './rewrite.ts'
import type { Authorization, Registry } from './route.ts'
import { endOf, ownCredential, poolOf, refusalOfChallenge, refusalOfEnd } from './sender.ts'
import { clientResponse, upstreamHead } from './upstream-head.ts'

export interface ForwardJob {
  readonly exchange: Exchange
  readonly decision: Forward
  /** what has been read of the body to judge it */
  readonly peeked: Peeked | undefined
  readonly entry: Entry
  /** request id */
  readonly id: string
  /** the client's address */
  readonly address: string
  /** Says a refusal to the client, once, while no answer has begun. @returns it as it was said */
  readonly answerRefusal: (refused: Refused) => Refused
  /** bytes of a request that are still read after an early answer */
  readonly drain: number
  /** ms since the epoch */
  readonly clock: Clock
  /** ms by which an upload may outlast the certificate that it began with */
  readonly uploadGrace: number
  /** what all documents that are being rewritten may take */
  readonly rewriting: Budget
}

/** The answer to a change is held until it is recorded; one longer than this is let out as it comes. */
const HELD_ANSWER = 1024 * 1024

/** Resolves when the exchange is over, whichever way. Rejects only for a mistake of ours. */
export function forward(job: ForwardJob): Promise<Outcome> {
  const { exchange, decision, peeked, entry } = job
  const { registry, asked, sender } = decision
  const change = isChange(asked.action)
  const bodyless = exchange.head.framing.kind === 'none'
  // Where the head says all, a backend may act before it has seen the body: so all is checked and recorded before the
  // head is sent. Only a body that decides something itself is worth waiting for.
  const settled = bodyless || peeked === undefined
  const { promise, resolve, reject } = Promise.withResolvers<Outcome>()
  let upstream: UpstreamExchange | undefined
  let over = false
  let uploaded = false
  let lastChunk: Buffer | undefined
  let response: Response | undefined
  let answered = false
  let answerDone = false
  let heldAnswer: Buffer[] | undefined
  let heldSize = 0
  let taken = 0
  let pouring: Buffer[] | undefined
  let rewrite: Rewrite | undefined
  let onRejected = (): void => {}

  function settle(outcome: Outcome): void {
    over = true
    job.rewriting.give(taken)
    taken = 0
    resolve(outcome)
  }

  function stop(refused: Refused, cause?: string): void {
    if (over) return
    over = true
    upstream?.cancel()
    if (answered) exchange.cut()
    const status = answered ? (response?.status ?? 0) : job.answerRefusal(refused).status
    settle({ status, refused, cause, unsent: 0 })
  }

  async function start(): Promise<void> {
    const authorization = await authorizationFor(decision, exchange.head.method)
    if (authorization.kind === 'denied') return stop(authorization.refused, authorization.cause)
    // While a token was fetched, the client may have gone: then there is no change to record.
    if (over) return
    const { credential } = authorization
    onRejected = authorization.onRejected
    const certain = settled ? lastWord(decision, peeked) : asked
    if ('refusal' in certain) return stop(certain)
    if (change && settled && !(await entry.begin(certain))) return stop(refuse('audit-unavailable'))
    if (over) return
    const head = asked.rewrite === undefined ? exchange.head : plainRequest(exchange.head, registry)
    upstream = registry.origin.send(
      poolOf(sender),
      {
        method: head.method,
        head: upstreamHead(head, decision, credential, job.address),
        framing: head.framing,
      },
      { onHead, onData, onEnd, onFault, onWritable: () => exchange.resume() },
    )
    uploaded = bodyless
    if (!bodyless) startUpload()
  }

  function startUpload(): void {
    for (const chunk of peeked?.prefix ?? []) pass(chunk)
    const ending = endOf(sender)
    exchange.read({
      data(chunk) {
        // Expiry is a schedule, so what is under way may end; not for ever, or a trickle would outlive it (R04).
        if (job.clock() >= ending + job.uploadGrace) return stop(refusalOfEnd(sender))
        const inspection = peeked?.inspector.push(chunk)
        if (inspection?.kind === 'unacceptable') stop(refuse('upload-unclear', inspection.problem))
        else if (!over && response === undefined) pass(chunk)
      },
      end: () => void finishUpload().catch(reject),
    })
  }

  function pass(chunk: Buffer): void {
    const next = settled ? chunk : lastChunk
    lastChunk = chunk
    if (next !== undefined && upstream?.write(next) === false) exchange.pause()
  }

  async function finishUpload(): Promise<void> {
    if (over || response !== undefined) return
    if (!settled) await releaseUpload()
    if (over || response !== undefined) return
    uploaded = true
    upstream?.end()
  }

  /** Until here the upstream has seen an incomplete document, in which it cannot know what to do. */
  async function releaseUpload(): Promise<void> {
    const certain = lastWord(decision, peeked)
    if ('refusal' in certain) return stop(certain)
    if (change && !(await entry.begin(certain))) return stop(refuse('audit-unavailable'))
    if (lastChunk !== undefined && response === undefined) upstream?.write(lastChunk)
  }

  function onHead(head: ResponseHead): void {
    if (head.status === 401) {
      onRejected()
      return stop(refusalOfChallenge(sender), 'the upstream answered 401')
    }
    response = clientResponse(exchange.head, head, decision, job.id)
    rewrite = head.status === 200 && exchange.head.method !== 'HEAD' ? asked.rewrite : undefined
    // An answer before the end of the request: the rest of the upload is of no use to anybody.
    if (!uploaded) exchange.pause()
    if (rewrite !== undefined && isEncoded(head.fields))
      return stop(refuse('upstream-malformed'), 'its document is compressed, though it was asked for as it is')
    if (change || rewrite !== undefined) heldAnswer = []
    else letOut(response)
  }

  function letOut(answer: Response): void {
    answered = true
    exchange.respond(answer)
  }

  function onData(chunk: Buffer): void {
    if (pouring !== undefined) return void pouring.push(chunk)
    if (heldAnswer === undefined) {
      if (!exchange.write(chunk)) upstream?.pause()
      return
    }
    if (over || (rewrite !== undefined && !reserve(chunk.length))) return
    heldAnswer.push(chunk)
    heldSize += chunk.length
    if (rewrite !== undefined && heldSize > REWRITTEN_SIZE)
      return stop(refuse('upstream-malformed'), 'too large to be rewritten')
    if (rewrite === undefined && heldSize > HELD_ANSWER) release()
  }

  /** A document is held whole until its reader has it, and readers may be many and slow (R35). */
  function reserve(bytes: number): boolean {
    const granted = job.rewriting.take(bytes)
    if (granted) taken += bytes
    else stop(refuse('upstream-busy'), 'too many documents are being rewritten')
    return granted
  }

  function onEnd(): void {
    answerDone = true
    if (heldAnswer !== undefined) release()
    else if (pouring === undefined) finish()
  }

  function release(): void {
    upstream?.pause()
    releaseAnswer().catch(reject)
  }

  async function releaseAnswer(): Promise<void> {
    const status = response?.status ?? 0
    const recorded =
      !change || (await entry.complete({ status, refused: undefined, cause: undefined, unsent: heldSize }))
    if (over || response === undefined || heldAnswer === undefined) return
    if (!recorded) return stop(refuse('audit-interrupted'))
    const chunks = rewrite === undefined ? heldAnswer : rewritten(rewrite, registry, heldAnswer)
    if (chunks === undefined)
      return stop(refuse('upstream-malformed'), 'its document cannot be read, so no link in it can be led here')
    heldAnswer = undefined
    letOut(rewrite === undefined ? response : withLength(response, chunks))
    pouring = chunks.flatMap(slicesOf)
    pour()
  }

  /** Sends what was held, no faster than it is read. */
  function pour(): void {
    if (over || pouring === undefined) return
    for (let next = pouring.shift(); next !== undefined; next = pouring.shift()) {
      if (!exchange.write(next)) return
    }
    pouring = undefined
    if (answerDone) finish()
    else upstream?.resume()
  }

  function finish(): void {
    if (over) return
    exchange.end(job.drain)
    settle({ status: response?.status ?? 0, refused: undefined, cause: undefined, unsent: 0 })
  }

  function onFault(fault: UpstreamFault, cause: string): void {
    stop(refuse(`upstream-${fault}`), cause)
  }

  exchange.onAbort(cause => stop(refusalOfAbort(cause)))
  exchange.onWritable(() => (pouring === undefined ? upstream?.resume() : pour()))
  const aborted = exchange.aborted()
  if (aborted === undefined) start().catch(reject)
  else stop(refusalOfAbort(aborted))
  return promise
}

/** Before anything of the body is read: a registry's token may have to be fetched first. */
function authorizationFor(
  { registry, asked, sender }: Forward,
  method: Method,
): Authorization | Promise<Authorization> {
  if (registry.authorize !== undefined) return registry.authorize(sender, method, asked)
  return { kind: 'granted', credential: ownCredential(sender), onRejected() {} }
}

function rewritten(rewrite: Rewrite, registry: Registry, chunks: readonly Buffer[]): readonly Buffer[] | undefined {
  const context = { readsNeedCertificate: registry.reads === 'certificate' }
  const text = rewrite(Buffer.concat(chunks).toString('utf8'), linksOf(registry), context)
  return text === undefined ? undefined : [Buffer.from(text)]
}

const SLICE = 65_536

function slicesOf(chunk: Buffer): Buffer[] {
  const slices: Buffer[] = []
  for (let at = 0; at < chunk.length; at += SLICE) slices.push(chunk.subarray(at, at + SLICE))
  return slices
}

function withLength(response: Response, chunks: readonly Buffer[]): Response {
  const length = chunks.reduce((sum, chunk) => sum + chunk.length, 0)
  return { ...response, framing: { kind: 'length', length } }
}

/** What a whole request turned out to be has to be what was allowed, and what its ticket is for. */
function lastWord({ asked, ticket }: Forward, peeked: Peeked | undefined): Asked | Refused {
  const certain = peeked === undefined ? asked : inspectedAsked(asked, peeked)
  if ('refusal' in certain) return certain
  const promised = ticket?.binding.digest
  if (promised === undefined || promised === certain.digest) return certain
  return refuse('ticket-differs', 'digest', promised, certain.digest ?? 'an unknown one')
}

function inspectedAsked(asked: Asked, peeked: Peeked): Asked | Refused {
  const inspection = peeked.inspector.end()
  switch (inspection.kind) {
    case 'undecided':
      return refuse('upload-unclear', 'it ended too early')
    case 'unacceptable':
      return refuse('upload-unclear', inspection.problem)
    case 'known': {
      const same = inspection.asked.action === asked.action && inspection.asked.package === asked.package
      return same ? inspection.asked : refuse('upload-unclear', 'its end contradicts its beginning')
    }
  }
}
