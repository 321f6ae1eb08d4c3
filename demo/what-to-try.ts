// What the demo prints when it runs: each command ready to be pasted into another terminal.

import type { Stage } from './stage.ts'

export function whatToTry({ url, server, alice, stranger, registryOrigin, auditFile }: Stage): string {
  const place = url.replace('https:', '')
  const npmrc = [`registry=${url}`, `${place}:certfile=${alice.certificate}`, `${place}:keyfile=${alice.key}`]
  return `
Three lines tell npm to present a client certificate. The fourth only makes it trust this demo's server:

  ${[...npmrc, `cafile=${server}`].join('\n  ')}

In another terminal, publish a package; there is no token anywhere:

  mkdir -p /tmp/certgate-demo/hello && cd /tmp/certgate-demo/hello
  printf '%s\\n' '${[...npmrc, `cafile=${server}`].join("' \\\n    '")}' > .npmrc
  npm init --yes --scope=@alice && npm publish
  npm whoami

Install it somewhere else:

  mkdir -p /tmp/certgate-demo/app && cd /tmp/certgate-demo/app && cp ../hello/.npmrc .
  npm init --yes && npm install @alice/hello

See yourself refused: another certificate, and a package that alice has no right to:

  cd /tmp/certgate-demo/hello && npm version patch && npm publish '--${place}:certfile=${stranger.certificate}' '--${place}:keyfile=${stranger.key}'
  npm pkg set name=left-pad && npm publish

Ask the gate who it thinks you are:

  curl --cacert '${server}' --cert '${alice.certificate}' --key '${alice.key}' ${url}.certgate/whoami

The registry itself, unchanged, is at ${registryOrigin}; what happened is in ${auditFile}
Ctrl-C stops it all.
`
}
