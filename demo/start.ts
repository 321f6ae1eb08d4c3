// `npm start`: the gate in front of a real npm registry, on this machine, with all it needs made on the spot.
// `npm start -- --once`: the round trip that a user would make, made and checked by the real npm; then it ends.

import { parseArgs, styleText } from 'node:util'
import { makeRoundTrip } from './round-trip.ts'
import { openStage, type Stage } from './stage.ts'
import { whatToTry } from './what-to-try.ts'

/** The port that the printed commands are easiest to remember with. */
const PORT = 8443

const { values } = parseArgs({ options: { once: { type: 'boolean', default: false } } })

/** A line for each step as it happens. Colours only on a terminal that wants them: styleText obeys NO_COLOR. */
function say(text: string): void {
  process.stdout.write(`${text}\n`)
}

async function runOnce(): Promise<number> {
  const stage = await openStage({ say, port: 0, keepCertificates: false })
  try {
    let failures = 0
    for await (const { ok, name, detail } of makeRoundTrip(stage)) {
      say(`${ok ? styleText('green', '✓') : styleText('red', '✗')} ${name}`)
      if (!ok) say(detail.replace(/^/gm, '    '))
      failures += ok ? 0 : 1
    }
    say(failures === 0 ? 'All of it holds.' : `${failures} did not hold.`)
    return failures === 0 ? 0 : 1
  } finally {
    await stage.close()
  }
}

async function runUntilStopped(): Promise<number> {
  const stage: Stage = await openStage({ say, port: PORT, keepCertificates: true })
  say(whatToTry(stage))
  const { promise, resolve } = Promise.withResolvers<void>()
  // The second one does not wait: Node's own handling is back.
  process.once('SIGINT', () => resolve()).once('SIGTERM', () => resolve())
  await promise
  say('\nStopping.')
  await stage.close()
  return 0
}

process.exitCode = values.once ? await runOnce() : await runUntilStopped()
