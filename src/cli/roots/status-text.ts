import { shortId } from '../../core/bytes.ts'
import { durationInWords, MINUTE, relativeInWords } from '../../core/duration.ts'
import type { StatusView } from '../../endpoints/admin/authority-routes.ts'
import { keyAlgorithm } from '../../keys/algorithms.ts'
import { sealedWith } from '../../keys/seal.ts'
import type { AuthoritiesView, AuthorityView } from '../../service/authorities-view.ts'
import type { StepView } from '../../service/authority-steps.ts'
import { MOST_NAMED } from '../../service/closed-gate.ts'
import { BACKDATE_MS } from '../../x509/profiles.ts'
import { endInWords, momentInWords } from '../moments.ts'
import { blockerLines, columns, count, HOMES, workloads } from './words.ts'

/**
 * Every root with what stands under it, what is wrong with it and what can be done next.
 * @param all revoked roots too, and issuing authorities that sign no longer
 */
export function statusLines(view: StatusView, all: boolean): string[] {
  const now = new Date(view.now)
  const roots = view.authorities.filter(({ role }) => role === 'root')
  const shown = roots.filter(({ state }) => all || state !== 'revoked')
  const table = columns([
    ['ROOT', 'STATE', 'AGE', 'ENDS IN', 'STANDS ON IT', 'KEY'],
    ...shown.map((root) => [
      shortId(root.id),
      root.state,
      age(root, now),
      endsIn(root, now),
      `${count(root.live)} live`,
      `${keyAlgorithm(root.algorithm).label}, ${HOMES[root.key]}`,
    ]),
  ])
  const issuing = issuingLines(view, all, now)
  const hidden = roots.length - shown.length
  return [
    ...(view.stopped === undefined ? [] : [`warning: ${view.stopped}`]),
    table[0] as string,
    ...shown.flatMap((root, index) => [table[index + 1] as string, ...under(view, root, issuing, now)]),
    ...(hidden > 0 ? [`${hidden} revoked before: alcazar authority status`] : []),
    `Bundle ${view.bundleSequence}, ${workloads(view.live)}.${
      view.rotating && view.stopped === undefined
        ? ' A rotation is on its way; watch it, or take it up: alcazar root rotate'
        : ''
    }`,
    ...(view.incomplete === undefined ? [] : [`Not all that is alive is known: ${view.incomplete}.`]),
    ...(view.sealedWith !== undefined && view.authorities.some(({ key }) => key === 'sealed')
      ? [`Sealed files are sealed with ${sealedWith(view.sealedWith)}.`]
      : []),
    ...view.forgotten.map(
      ({ workload, at, until }) =>
        `Cut off: what ${workload} held before ${momentInWords(new Date(at), now)} (until ${momentInWords(new Date(until), now)})`,
    ),
    ...refusingLines(view.refusing, now),
  ]
}

/** How many clients that refused us are named one by one. */
const REFUSING = 10

function refusingLines(refusing: StatusView['refusing'], now: Date): string[] {
  if (refusing.length === 0) return []
  const named = columns(
    refusing
      .slice(0, REFUSING)
      .map(({ address, alert, times, last }) => [
        `  ${address}`,
        `${alert}, ${count(times)} time${times === 1 ? '' : 's'}`,
        `last ${relativeInWords(new Date(last), now)}`,
      ]),
  )
  const left = refusing.length - named.length
  return [
    `${count(refusing.length)} client address${refusing.length === 1 ? '' : 'es'} refused our own certificate within a day; is their root-cert.pem an older one?`,
    ...named,
    ...(left > 0 ? [`  … ${count(left)} more: alcazar root status --output json`] : []),
  ]
}

const INDENT = ' '.repeat(11)

/** What signed before is worth a line while something alive stands on it. */
function issuingLines({ authorities }: AuthoritiesView, all: boolean, now: Date): ReadonlyMap<string, string> {
  const shown = authorities.filter(
    ({ role, state, live }) => role === 'issuing' && (all || state === 'active' || live > 0),
  )
  const rows = columns(shown.map((one) => issuingRow(one, now)))
  return new Map(shown.map(({ id }, index) => [id, `  issuing  ${rows[index]}`]))
}

function under(view: StatusView, root: AuthorityView, issuing: ReadonlyMap<string, string>, now: Date): string[] {
  const shown = view.authorities.filter((one) => one.root === root.id && issuing.has(one.id))
  const lines = [
    ...(root.cross.length > 0 && (root.state === 'prepared' || root.state === 'active')
      ? [`crossed by ${root.cross.map(({ by }) => shortId(by)).join(', ')}: who trusts only that follows`]
      : []),
    ...[root, ...shown].flatMap((one) =>
      one.warnings.map((warning) => `warning: ${one.role === 'root' ? '' : `issuing ${shortId(one.id)}: `}${warning}`),
    ),
    ...nextLines(view, root, now),
  ]
  return [...shown.map(({ id }) => issuing.get(id) as string), ...lines.map((line) => `${INDENT}${line}`)]
}

function issuingRow(one: AuthorityView, now: Date): string[] {
  return [
    shortId(one.id),
    one.state,
    `${age(one, now)} old, ${endInWords(new Date(one.notAfter), now)}${one.dueAt === undefined ? '' : `, renewed ${relativeInWords(new Date(one.dueAt), now)}`}`,
    `${count(one.live)} live`,
    HOMES[one.key],
  ]
}

/** Making it may take a while: a token’s key, a clock read before the signature. */
const MADE_WITHIN_MS = MINUTE

/** Of what was made here, since then: its certificate is dated back. What was made elsewhere is older than what is known of it here. */
function age({ createdAt, notBefore }: AuthorityView, now: Date): string {
  const [made, began] = [new Date(createdAt), new Date(notBefore)]
  const since = made.getTime() - began.getTime() <= BACKDATE_MS + MADE_WITHIN_MS ? made : began
  return durationInWords(Math.max(0, now.getTime() - since.getTime()))
}

const endsIn = ({ notAfter }: AuthorityView, now: Date): string => {
  const left = new Date(notAfter).getTime() - now.getTime()
  return left < 0 ? 'ended' : durationInWords(left)
}

function nextLines(view: StatusView, root: AuthorityView, now: Date): string[] {
  const plugged = view.origin === 'plugged-in'
  if (root.state === 'active') return plugged ? pluggedLines(view) : activeLines(view, root, now)
  // Of a plugged-in CA there is at most one, whatever the root is: what its files ask for.
  const verb = plugged ? root.steps[0]?.verb : root.state === 'prepared' ? 'activate' : 'revoke'
  const step = root.steps.find((one) => one.verb === verb)
  if (!step) return []
  const byItself = plugged || view.rotating || root.state === 'tainted'
  const does = verb === 'activate' ? 'it signs' : 'it leaves the bundle'
  return stepLines(step, {
    does,
    now,
    command: `alcazar root ${verb} ${root.id.slice(0, 8)}`,
    more: `alcazar root status --limit ${MOST_NAMED}`,
    byItself,
    ...(root.taint && { atTheLatest: new Date(root.taint.leavesAt) }),
  })
}

function pluggedLines({ authorities }: AuthoritiesView): string[] {
  const waits = authorities.some(({ steps }) => steps.length > 0)
  return waits ? [] : ['next: its files are replaced by whoever plugged it in; or alcazar import']
}

function activeLines(view: StatusView, root: AuthorityView, now: Date): string[] {
  const { authorities, rotating, stopped, rotationScheduled } = view
  const moving = authorities.some((one) => one.role === 'root' && ['prepared', 'old', 'tainted'].includes(one.state))
  if (moving || rotating || stopped !== undefined) return []
  const due = root.dueAt === undefined ? undefined : new Date(root.dueAt)
  const scheduled = rotationScheduled === undefined ? undefined : new Date(rotationScheduled)
  const when =
    scheduled && (!due || scheduled < due)
      ? `, by the schedule ${momentInWords(scheduled, now)}`
      : due && (due <= now ? ', due now' : `, by itself ${relativeInWords(due, now)}`)
  return [`next: a new root${when ?? ''}    possible now: alcazar root rotate`]
}

type StepWords = {
  readonly does: string
  readonly command: string
  readonly more: string
  readonly byItself: boolean
  readonly now: Date
  readonly atTheLatest?: Date
}

function stepLines(step: StepView, { does, command, more, byItself, now, atTheLatest }: StepWords): string[] {
  if (step.open) return [`next: ${does}    ${byItself ? 'about to happen by itself' : `possible now: ${command}`}`]
  if (step.incomplete !== undefined && step.inTheWay === 0)
    return [`next: ${does}    closed: nobody can say whether it is safe: ${step.incomplete}`]
  const ends = [step.until && new Date(step.until), atTheLatest].filter((one) => one instanceof Date)
  const latest = ends.length === 0 ? undefined : new Date(Math.min(...ends.map((one) => one.getTime())))
  const by = latest && `, at the latest ${relativeInWords(latest, now)}`
  return [
    `next: ${does}    closed: ${workloads(step.inTheWay)} in the way${step.incomplete === undefined ? '' : `, maybe more (${step.incomplete})`}${by ?? ''}`,
    ...blockerLines(step, now, more),
  ]
}
