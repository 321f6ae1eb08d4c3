#!/usr/bin/env node
// The operator's command: argv → command. Only this file and the other bins touch the process.

import { readFileSync } from 'node:fs'
import { Command } from 'commander'
import { checkCommand } from './commands/check.ts'
import { serveCommand } from './commands/serve.ts'

const { version } = JSON.parse(readFileSync(new URL('../package.json', import.meta.url), 'utf8')) as { version: string }

const program = new Command('certgate')
  .description('Mutual-TLS authenticating reverse proxy for package registries')
  .version(version)
  .showHelpAfterError('(certgate --help tells what there is)')

program
  .command('serve')
  .description('run the gate until SIGTERM or SIGINT')
  .requiredOption('-c, --config <file>', 'certgate.yaml')
  .action(async ({ config }: { config: string }) => {
    await serveCommand(config, { process, version })
  })

program
  .command('check')
  .description('read the configuration, the accounts and the secrets; say everything that is wrong, and exit')
  .requiredOption('-c, --config <file>', 'certgate.yaml')
  .option('--json', 'print the result as JSON')
  .action(async ({ config, json = false }: { config: string; json?: boolean }) => {
    process.exitCode = await checkCommand(config, { json, env: process.env, stdout: process.stdout })
  })

await program.parseAsync()
