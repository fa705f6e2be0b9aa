import { type Command, Option } from 'commander'
import { print, type Verb } from '../env.ts'
import { STATE_FLAG, STATE_HELP } from '../local-server.ts'
import { outputOption } from '../output-option.ts'
import { RootsApi } from '../roots/api.ts'
import { reasonOf } from '../roots/words.ts'

export const workloadsForget: Verb = {
  name: 'workloads forget',
  summary: 'Cut off a workload that is gone or holds up a rotation: it renews only after it attested again',
  define(command: Command) {
    command
      .argument('<workload>', 'NAMESPACE/NAME, as alcazar workloads shows it')
      .addOption(new Option('--because <text>', 'why, for the ledger (default: asked by you)'))
      .option(STATE_FLAG, STATE_HELP)
      .addOption(outputOption())
  },
  async run(env, [workload = ''], options) {
    const view = await new RootsApi(env, options).forget(workload, reasonOf(env, options))
    print(env, options, view, () => [
      `${workload} is cut off: it holds up nothing any more, and what it has renews nothing.`,
      'That still works where it is trusted, until it ends.',
    ])
  },
}
