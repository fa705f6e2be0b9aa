import { shortId } from '../../core/bytes.ts'
import { relativeInWords } from '../../core/duration.ts'
import type { AuthoritiesView, AuthorityView } from '../../service/authorities-view.ts'
import { workloads } from './words.ts'

/** What a rollback took back: it is over, or ends by itself. A command to go on with would begin another rotation. */
export function rolledBackLines(before: AuthoritiesView, view: AuthoritiesView): string[] {
  const root = (has: (one: AuthorityView) => boolean, { authorities } = before) =>
    authorities.find((one) => one.role === 'root' && has(one))
  const signing = shortId(root(({ state }) => state === 'active', view)?.id ?? '')
  const prepared = root(({ state }) => state === 'prepared')
  if (prepared) return [`Prepared root ${shortId(prepared.id)} is discarded; ${signing} signs on.`]
  const signed = root(({ state }) => state === 'active')
  const leaving = signed && root(({ id, state }) => id === signed.id && state !== 'active', view)
  if (!leaving) return [`The rotation is taken back before a new root was made; ${signing} signs on.`]
  return [`Rolled back: ${signing} signs; ${shortId(leaving.id)} ${leaves(leaving, view)}. Nothing to do.`]
}

function leaves({ state, steps }: AuthorityView, { now }: AuthoritiesView): string {
  if (state === 'revoked') return 'has left the bundle'
  const step = steps.find(({ verb }) => verb === 'revoke')
  if (!step) return 'leaves when nothing stands on it'
  const latest =
    step.until === undefined ? '' : `, at the latest ${relativeInWords(new Date(step.until), new Date(now))}`
  const waits = step.open ? 'now' : (step.incomplete ?? `${workloads(step.inTheWay)} in the way${latest}`)
  return `leaves when nothing stands on it (${waits})`
}
