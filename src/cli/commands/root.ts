import { type Command, Option } from 'commander'
import { shortId } from '../../core/bytes.ts'
import { parseDuration, relativeInWords, SECOND } from '../../core/duration.ts'
import type { ServerDescription } from '../../endpoints/admin/routes.ts'
import type { AuthoritiesView, AuthorityView } from '../../service/authorities-view.ts'
import type { StepView } from '../../service/authority-steps.ts'
import { MOST_NAMED } from '../../service/closed-gate.ts'
import { asText, type CliEnv, print, type Verb } from '../env.ts'
import { limitOf } from '../limit.ts'
import { LocalServer, STATE_FLAG, STATE_HELP } from '../local-server.ts'
import { momentInWords } from '../moments.ts'
import { outputOption } from '../output-option.ts'
import { RootsApi } from '../roots/api.ts'
import { allowedToBreak } from '../roots/force.ts'
import { incidentLines, incidentOf, reportLines } from '../roots/incident.ts'
import { addOfflineFlags, prepareSigned, requestOnlineCa } from '../roots/offline.ts'
import { rolledBackLines } from '../roots/rollback.ts'
import { rotateRun } from '../roots/rotate.ts'
import { statusLines } from '../roots/status-text.ts'
import { watch } from '../roots/watch.ts'
import { reasonOf, workloads } from '../roots/words.ts'

type Options = Readonly<Record<string, unknown>>

/** The verbs for roots, under the short name or under that of all authorities. */
export function rootVerbs(group: 'root' | 'authority'): readonly Verb[] {
  const all = group === 'authority'
  const verbs: readonly Verb[] = [
    {
      name: 'status',
      summary: all
        ? 'Show every authority there is or was: roots, issuing authorities, what stands on them, what can be done next'
        : 'Show the roots, how many workloads stand on each, and what can be done next',
      define: (command) =>
        common(command).addOption(
          new Option('--limit <n>', 'how many to list of the workloads in the way of each step').default(10),
        ),
      async run(env, _args, options) {
        const view = await new RootsApi(env, options).authorities(limitOf(options.limit, MOST_NAMED))
        print(env, options, view, () => statusLines(view, all))
      },
    },
    {
      name: 'rotate',
      summary: 'Replace the root step by step, each when it is safe; run again to watch or to take it up',
      define: (command) =>
        common(command)
          .addOption(reason())
          .option('--dry-run', 'say what would happen, and who would break if it were forced now; change nothing')
          .option(
            '--if-due',
            'do nothing unless a rotation is on its way or the root is due by its age (root.rotateBefore), whatever schedule.rotateRoot says; for schedules outside the server',
          )
          .addHelpText(
            'after',
            '\nExit 0: the old root is out. Ctrl-C stops watching (exit 7; npx makes it 130), not the rotation: it goes on by itself where it is safe.\nWith --output json each change is a line; in the last one done is true.',
          ),
      run: rotateRun,
    },
    {
      name: 'prepare',
      summary: 'Make a new root and put it in the bundle, or take one of your own PKI; it does not sign yet',
      define: (command) => addOfflineFlags(common(command).addOption(reason())),
      async run(env, _args, options) {
        if (options.csrOut !== undefined) return requestOnlineCa(env, options)
        if (options.cert !== undefined) return prepareSigned(env, options)
        const view = await new RootsApi(env, options).change('prepare', { because: reasonOf(env, options) })
        done(env, options, view, ({ authorities, bundleSequence }) => {
          const root = authorities.find(({ role, state }) => role === 'root' && state === 'prepared')
          return `Root ${shortId(root?.id ?? '')} is prepared, in the bundle since bundle ${bundleSequence}.`
        })
      },
    },
    stepVerb('activate', 'Let the prepared root sign, once every live workload has been sent it', true, signs),
    stepVerb('rollback', 'Go back one step: discard the prepared root, or let the one before sign again', false),
    stepVerb(
      'revoke',
      'Take an old root out of the bundle, once nothing alive stands on it; or discard a prepared one',
      true,
      ({ bundleSequence, authorities }) => {
        const roots = authorities.filter(({ role, state }) => role === 'root' && state !== 'revoked')
        return `Done: bundle ${bundleSequence} has ${roots.map(({ id, state }) => `${shortId(id)} (${state})`).join(', ')}.`
      },
    ),
    {
      name: 'taint',
      summary: 'Declare a root compromised: another signs at once, and this one leaves the bundle within the hour',
      define: (command) =>
        forcing(common(command))
          .argument('<id...>', 'the root, from the beginning of its id')
          .requiredOption('--because <text>', 'why, for the ledger and the incident report')
          .option('--within <duration>', 'it leaves the bundle after this long at the latest', '1h')
          .addHelpText('after', '\nExample:\n  alcazar root taint 91d0 --because "laptop stolen" --within 30m'),
      run: taint,
    },
  ]
  const named = all ? verbs : [...verbs, bundleVerb]
  return named.map((verb) => ({ ...verb, name: `${group} ${verb.name}` }))
}

const bundleVerb: Verb = {
  name: 'bundle',
  summary: 'Print the trust bundle in PEM: the roots by which to trust this server and what it signs',
  define: (command) => common(command).addHelpText('after', '\nExample:\n  alcazar root bundle > root.pem'),
  async run(env, _args, options) {
    const { status, trustBundle } = (await new LocalServer(env, options).call('GET', '/v1/server')) as ServerDescription
    print(env, options, { bundleSequence: status.bundleSequence, trustBundle }, () => trustBundle.trimEnd().split('\n'))
  },
}

type Step = 'activate' | 'rollback' | 'revoke'

function stepVerb(verb: Step, summary: string, takesId: boolean, says = signs): Verb {
  return {
    name: verb,
    summary,
    define(command) {
      forcing(common(command)).addOption(reason())
      if (takesId) command.argument('[id...]', 'the root, from the beginning of its id; needed where several are meant')
    },
    async run(env, args, options) {
      const api = new RootsApi(env, options)
      const id = idIn(args)
      const breaks = await allowedToBreak(env, api, verb, id, options)
      const before = verb === 'rollback' ? await api.authorities() : undefined
      const view = await api.change(verb, {
        ...(id !== undefined && { id }),
        because: reasonOf(env, options),
        ...(breaks !== undefined && { breaks }),
      })
      if (before) print(env, options, view, () => rolledBackLines(before, view))
      else done(env, options, view, says)
    },
  }
}

async function taint(env: CliEnv, args: readonly string[], options: Options): Promise<void> {
  const api = new RootsApi(env, options)
  const id = idIn(args)
  const withinSeconds = Math.floor(parseDuration(options.within as string) / SECOND)
  const breaks = await allowedToBreak(env, api, 'taint', id, options)
  const tainted = await api.taint({
    id,
    because: options.because,
    withinSeconds,
    ...(breaks !== undefined && { breaks }),
  })
  const first = await api.rotation()
  const json = options.output === 'json'
  if (json) env.out.write(`${JSON.stringify({ ...tainted, done: false })}\n`)
  else env.out.write(asText(incidentLines(tainted, first)))
  const isOver = ({ leaving }: typeof first) => leaving.every(({ id: one }) => !tainted.tainted.leaving.includes(one))
  const unwatched = `The root leaves by itself, at the latest ${momentInWords(new Date(tainted.tainted.leavesAt), new Date(tainted.now))}; alcazar root status shows it`
  const seen = await watch({ env, options, api, first, isOver, unwatched })
  const incident = incidentOf(tainted, seen)
  if (json) env.out.write(`${JSON.stringify({ ...incident, done: true })}\n`)
  else env.out.write(asText(reportLines(incident)))
}

function common(command: Command): Command {
  return command.option(STATE_FLAG, STATE_HELP).addOption(outputOption())
}

function reason(): Option {
  return new Option('--because <text>', 'why, for the ledger (default: asked by you)')
}

function forcing(command: Command): Command {
  return command
    .option('--force', 'even where workloads break: says which, and asks for the root’s id to be typed')
    .addOption(
      new Option(
        '--yes-break <n>',
        'the same without asking, if exactly so many workloads break; “unknown” where nobody can say',
      ).implies({
        force: true,
      }),
    )
}

/** As it is printed, in two words, it may be given in two. */
const idIn = (args: readonly string[]): string | undefined => (args.length === 0 ? undefined : args.join(''))

function signs({ authorities }: AuthoritiesView): string {
  const active = authorities.find(({ role, state }) => role === 'root' && state === 'active')
  return `Root ${shortId(active?.id ?? '')} signs.`
}

/** What was done, and what comes next for each root that is not where it will stay. */
function done(env: CliEnv, options: Options, view: AuthoritiesView, says: (view: AuthoritiesView) => string): void {
  const now = new Date(view.now)
  print(env, options, view, () => [
    says(view),
    ...view.authorities
      .filter(({ role, state }) => role === 'root' && state !== 'active' && state !== 'revoked')
      .flatMap((root) => upcoming(root, now)),
    ...(view.rotating ? ['A rotation is on its way and goes on by itself: alcazar root rotate'] : []),
  ])
}

function upcoming(root: AuthorityView, now: Date): string[] {
  const verb: StepView['verb'] = root.state === 'prepared' ? 'activate' : 'revoke'
  const step = root.steps.find((one) => one.verb === verb)
  if (!step) return []
  const until = step.until === undefined ? '' : `, at the latest ${relativeInWords(new Date(step.until), now)}`
  const waits = step.open ? 'possible now' : `waits for ${step.incomplete ?? `${workloads(step.inTheWay)}${until}`}`
  return [`Next: alcazar root ${verb} ${root.id.slice(0, 8)}    ${waits}`]
}
