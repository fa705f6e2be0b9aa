import { print, type Verb } from '../env.ts'
import { devToken, LocalServer, STATE_FLAG, STATE_HELP } from '../local-server.ts'
import { outputOption } from '../output-option.ts'

export const token: Verb = {
  name: 'token',
  summary: 'Print a service-account token of the dev server on this machine (dev mode only)',
  define(command) {
    command
      .requiredOption('-n, --namespace <name>', 'namespace of the service account')
      .requiredOption('-s, --service-account <name>', 'name of the service account')
      .option(STATE_FLAG, STATE_HELP)
      .addOption(outputOption())
  },
  async run(env, _args, options) {
    const text = await devToken(
      new LocalServer(env, options),
      options.namespace as string,
      options.serviceAccount as string,
    )
    print(env, options, { token: text }, () => [text])
  },
}
