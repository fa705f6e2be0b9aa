import { print, type Verb } from '../env.ts'
import { outputOption } from '../output-option.ts'

export const version: Verb = {
  name: 'version',
  summary: 'Print the versions of Alcazar and of what it runs on',
  define(command) {
    command.addOption(outputOption())
  },
  async run(env, _args, options) {
    const facts = {
      alcazar: env.version,
      node: process.versions.node,
      openssl: process.versions.openssl,
      platform: `${process.platform} ${process.arch}`,
    }
    print(env, options, facts, () => [
      `alcazar ${facts.alcazar} (Node.js ${facts.node}, OpenSSL ${facts.openssl}, ${facts.platform})`,
    ])
  },
}
