import { shortId } from '../../core/bytes.ts'
import { relativeInWords } from '../../core/duration.ts'
import { CaError } from '../../core/errors.ts'
import type { RotationView } from '../../service/rotation-view.ts'
import { asText, type CliEnv, print } from '../env.ts'
import { RootsApi } from './api.ts'
import { dryRunLines } from './dry-run.ts'
import { lasted } from './progress.ts'
import { watch } from './watch.ts'
import { reasonOf } from './words.ts'

/**
 * Begins a rotation, or joins the one on its way, and watches it to its end.
 * @throws CaError `wrong_state`: it was taken back meanwhile · as `watch`
 */
export async function rotateRun(
  env: CliEnv,
  _args: readonly string[],
  options: Readonly<Record<string, unknown>>,
): Promise<void> {
  const api = new RootsApi(env, options)
  const before = await api.rotation()
  if (options.dryRun) return print(env, options, before, () => dryRunLines(before))
  if (options.ifDue && isNotDue(before)) return notDue(env, options, before)
  const first = await api.rotate(reasonOf(env, options))
  const { end } = await watch({ env, options, api, first, isOver, unwatched: UNWATCHED })
  const replaced = isReplaced(before, end)
  if (options.output === 'json') env.out.write(`${JSON.stringify({ ...end, done: true, replaced })}\n`)
  if (!replaced)
    throw new CaError('wrong_state', `the rotation was taken back meanwhile: root ${shortId(end.signing ?? '')} signs`)
  if (options.output !== 'json') env.out.write(asText(summary(before, first.wish?.since ?? before.now, end)))
}

/** Whether it ended on the root that it was to end on, where there was one already; else on another than before. */
function isReplaced({ wish, incoming, leaving, signing }: RotationView, end: RotationView): boolean {
  const wanted = wish?.to ?? incoming?.id ?? (leaving.some(({ taint }) => !taint) ? signing : undefined)
  return wanted === undefined ? end.signing !== signing : end.signing === wanted
}

const UNWATCHED =
  'The rotation goes on by itself where it is safe; run alcazar root rotate to watch again, or go back with alcazar root rollback'

const isOver = ({ phase }: RotationView): boolean => phase === 'none' || phase === 'done'

/** What nobody here replaces is never due: a root whose key is elsewhere, or a plugged-in CA. */
const isNotDue = ({ phase, dueAt, now }: RotationView): boolean =>
  phase === 'none' && (dueAt === undefined || new Date(now) < new Date(dueAt))

function notDue(env: CliEnv, options: Readonly<Record<string, unknown>>, view: RotationView): void {
  const { signing = '', dueAt, now, next } = view
  const why =
    dueAt === undefined
      ? next.what
      : `root ${shortId(signing)} is due by its age ${relativeInWords(new Date(dueAt), new Date(now))}`
  if (options.output === 'json') env.out.write(`${JSON.stringify({ ...view, done: true, replaced: false })}\n`)
  else env.out.write(asText([`Not due: ${why}. Nothing was done.`]))
}

function summary(before: RotationView, since: string, end: RotationView): string[] {
  const out = before.signing === end.signing ? before.leaving.map(({ id }) => id) : [before.signing ?? '']
  const took = `The bundle is ${end.bundleSequence}; it took ${lasted(since, end.now)}.`
  return [
    `Done: root ${shortId(end.signing ?? '')} signs, and ${out.map(shortId).join(', ') || 'no other'} is out of the bundle. ${took}`,
  ]
}
