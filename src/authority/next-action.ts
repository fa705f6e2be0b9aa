import { shortId } from '../core/bytes.ts'
import { earlier, later, plus } from '../core/clock.ts'
import { DAY } from '../core/duration.ts'
import type { Certificate } from '../x509/certificate.ts'
import { type Authority, type AuthoritySet, activeIssuing, activeRoot, type Taint } from './authority.ts'
import { type Evidence, type Gate, gate } from './gate.ts'
import { askedSteps, canRenew, type PluggedWish } from './plugged-roots.ts'
import { conditionOf } from './transitions.ts'

export type RotationPolicy = {
  /** How long an issuing authority lives, unless its root ends sooner. */
  readonly issuingLifetimeMs: number
  /** How long before its end a root's replacement begins by itself; at most a sixth of its life. */
  readonly rootDueBeforeMs: number
  /** Where the CA is plugged in, whoever changes its files decides what is due. */
  readonly plugged?: PluggedWish | undefined
}

/** What the rotator does next; it only obeys. */
export type Action =
  | { readonly kind: 'renew-issuing'; readonly because: string }
  | { readonly kind: 'begin-rotation'; readonly because: string }
  | { readonly kind: 'prepare-root'; readonly because: string }
  /** `deadline`: the gate is closed, and waiting longer would be worse. */
  | { readonly kind: 'activate-root'; readonly root: Authority; readonly because: string; readonly deadline: boolean }
  /** `gate` names all who are cut off, where it is closed and a compromised root leaves all the same. */
  | { readonly kind: 'revoke-root'; readonly root: Authority; readonly because: string; readonly gate: Gate }
  | { readonly kind: 'end-rotation' }
  /** `overdue`: the deadline of the root that signs is over, and its successor has to wait for these all the same. */
  | { readonly kind: 'wait'; readonly until: Date; readonly for?: Gate; readonly overdue?: Overdue }

export type Overdue = { readonly root: Authority; readonly gate: Gate }

/** What is replaced is replaced before a sixth of its life is left. */
const RENEW_AT_REMAINING = 1 / 6
/** A closed gate holds up the clock until a tenth of the old root's life is left, or this. */
const DEADLINE_AT_REMAINING = 1 / 10
const DEADLINE_BEFORE_MS = 30 * DAY

/**
 * What is due, the most urgent first: something that signs, then a compromised root's leaving, then the rotation that was begun.
 * @param holding the id of the issuing authority whose key this process holds, if it does
 */
export function nextAction(
  set: AuthoritySet,
  holding: string | undefined,
  evidence: Evidence,
  now: Date,
  policy: RotationPolicy,
): Action {
  const issuing = issuingAction(set, holding, now, policy)
  // A root that has ended signs no issuing authority: its replacement is what is due then. But not at a start, by a clock that may be wrong.
  const isReplaced = holding !== undefined && hasEnded(activeRoot(set), now)
  if (issuing.kind !== 'wait' && !isReplaced && canRenew(set, policy.plugged)) return issuing
  const root =
    set.origin === 'plugged-in'
      ? policy.plugged && pluggedAction(set, policy.plugged, evidence, now)
      : rootAction(set, evidence, now, policy)
  if (root === undefined) return issuing
  return root.kind === 'wait' && issuing.kind === 'wait' && issuing.until < root.until
    ? { ...root, until: issuing.until }
    : root
}

function issuingAction(
  set: AuthoritySet,
  holding: string | undefined,
  now: Date,
  policy: RotationPolicy,
): Extract<Action, { kind: 'renew-issuing' | 'wait' }> {
  const active = activeIssuing(set)
  if (!active) return { kind: 'renew-issuing', because: 'there was no issuing authority' }
  // A key in memory ends with its process.
  if (active.id !== holding && active.key !== 'memory')
    return { kind: 'renew-issuing', because: 'its key is opened again after a restart' }
  if (active.id !== holding)
    return { kind: 'renew-issuing', because: 'the key of the last issuing authority ended with its process' }
  const { notBefore, notAfter } = active.certificate.tbs
  const above = windowAbove(set, active)
  // What signs leaves by a key that is kept was certified by others, who renew it.
  if (!above || active.key !== 'memory') return { kind: 'wait', until: plus(notAfter, 1000) }
  if (now < notBefore && above.begin <= now)
    return { kind: 'renew-issuing', because: 'the clock was set back to before it' }
  const renewal = renewalOf(active)
  if (now < renewal) return { kind: 'wait', until: renewal }
  // A successor is worth making: nothing above caps it to the same end.
  if (earlier(plus(now, policy.issuingLifetimeMs), above.end) > notAfter)
    return { kind: 'renew-issuing', because: 'less than a sixth of its life is left' }
  return { kind: 'wait', until: plus(notAfter, 1000) }
}

function rootAction(set: AuthoritySet, evidence: Evidence, now: Date, policy: RotationPolicy): Action | undefined {
  const active = activeRoot(set)
  if (!active) return undefined
  const leaving = leavingAction(set, evidence, now)
  if (leaving && leaving.kind !== 'wait') return leaving
  const { rotation } = set
  if (!rotation) {
    if (leaving) return leaving
    const due = rootDueAt(active, policy)
    if (due === undefined) return undefined
    if (now < due) return { kind: 'wait', until: due }
    return {
      kind: 'begin-rotation',
      because: `root ${shortId(active.id)} ends at ${active.certificate.tbs.notAfter.toISOString()}`,
    }
  }
  const { because } = rotation
  // One rotation at a time: what is still on its way out leaves first.
  if (rotation.to === undefined)
    return leaving ? { ...leaving, ...overdue(active, leaving.for, now) } : { kind: 'prepare-root', because }
  const to = set.authorities.find(({ id, role }) => id === rotation.to && role === 'root')
  if (to?.state === 'prepared') return activation(set, active, to, because, evidence, now)
  // Old ones that still stand in the bundle are what is left to do.
  return leaving ?? { kind: 'end-rotation' }
}

/** What the files of a plugged-in CA ask for: each step at its gate, however long that takes. */
function pluggedAction(set: AuthoritySet, wish: PluggedWish, evidence: Evidence, now: Date): Action | undefined {
  let wait: Action | undefined
  for (const { verb, root } of askedSteps(set, wish)) {
    const found = gate(set, root, conditionOf(root, verb), evidence)
    if (found.open)
      return verb === 'activate'
        ? { kind: 'activate-root', root, because: 'the plugged-in CA stands under it', deadline: false }
        : { kind: 'revoke-root', root, because: 'it is not in root-cert.pem any more', gate: found }
    wait ??= { kind: 'wait', until: found.until && found.until > now ? found.until : plus(now, DAY), for: found }
  }
  return wait
}

/** Compromised roots leave by themselves, and in a rotation the old ones: at the gate, the former at the latest when it was said. */
function leavingAction(
  set: AuthoritySet,
  evidence: Evidence,
  now: Date,
): Extract<Action, { kind: 'revoke-root' | 'wait' }> | undefined {
  const { rotation } = set
  const retiring = rotation !== undefined && (rotation.to ?? activeRoot(set)?.id) === activeRoot(set)?.id
  let wait: Extract<Action, { kind: 'wait' }> | undefined
  for (const root of set.authorities) {
    if (root.role !== 'root' || (root.state !== 'old' && root.state !== 'tainted')) continue
    // What is old without a rotation is the admin's to take out.
    if (!root.taint && !retiring) continue
    const found = gate(set, root, conditionOf(root, 'revoke'), evidence)
    if (found.open) return { kind: 'revoke-root', root, because: 'nothing stands on it any more', gate: found }
    if (root.taint && isOver(root.taint, now))
      return {
        kind: 'revoke-root',
        root,
        because: `it was declared compromised: ${root.taint.because}`,
        gate: gate(set, root, 'unused', evidence, Number.POSITIVE_INFINITY),
      }
    const until = [found.until, root.taint?.leavesAt]
      .filter((one) => one !== undefined && one > now)
      .reduce<Date>((least, one) => earlier(least, one as Date), plus(now, DAY))
    wait = wait && wait.until <= until ? wait : { kind: 'wait', until, for: found }
  }
  return wait
}

/** The time that was given is over; also where the clock was set back by more than that, which would give it again. */
function isOver({ at, leavesAt }: Taint, now: Date): boolean {
  return now >= leavesAt || now.getTime() < at.getTime() - (leavesAt.getTime() - at.getTime())
}

function activation(
  set: AuthoritySet,
  active: Authority,
  to: Authority,
  because: string,
  evidence: Evidence,
  now: Date,
): Action {
  if (hasEnded(to, now))
    return {
      kind: 'revoke-root',
      root: to,
      because: 'it ended before it signed',
      gate: gate(set, to, undefined, evidence),
    }
  const found = gate(set, to, conditionOf(to, 'activate'), evidence)
  if (found.open) return { kind: 'activate-root', root: to, because, deadline: false }
  const deadline = deadlineOf(active)
  // Nobody follows a root that has ended; and whoever follows none yet waits for the end of its certificates.
  const followed = now >= deadline && !hasEnded(active, now) ? gate(set, to, 'followed', evidence) : undefined
  if (followed?.open)
    return { kind: 'activate-root', root: to, because: `root ${shortId(active.id)} is about to end`, deadline: true }
  const until = [found.until, deadline]
    .filter((one) => one !== undefined && one > now)
    .reduce<Date>((least, one) => earlier(least, one as Date), plus(now, DAY))
  return { kind: 'wait', until, for: found, ...overdue(active, followed ?? found, now) }
}

function overdue(root: Authority, gate: Gate | undefined, now: Date): { readonly overdue?: Overdue } {
  return gate && now >= deadlineOf(root) ? { overdue: { root, gate } } : {}
}

const hasEnded = (root: Authority | undefined, now: Date): boolean =>
  root !== undefined && now > root.certificate.tbs.notAfter

/** When an authority's successor is due. */
export function renewalOf(authority: Authority): Date {
  const { begin, end } = lifeOf(authority)
  return new Date(end.getTime() - (end.getTime() - begin.getTime()) * RENEW_AT_REMAINING)
}

/**
 * When a root's replacement begins by itself. Never for one that somebody keeps elsewhere on purpose, which is theirs to replace; an imported one
 * is here only for as long as it must be.
 */
export function rootDueAt(root: Authority, policy: Pick<RotationPolicy, 'rootDueBeforeMs'>): Date | undefined {
  if (isKeptElsewhere(root)) return undefined
  return later(renewalOf(root), plus(lifeOf(root).end, -policy.rootDueBeforeMs))
}

/** From when on a closed gate holds up the clock no longer. */
export function deadlineOf(root: Authority): Date {
  const { begin, end } = lifeOf(root)
  const life = end.getTime() - begin.getTime()
  return new Date(end.getTime() - Math.min(life * DEADLINE_AT_REMAINING, DEADLINE_BEFORE_MS))
}

/** For how long the root that signs should have been replaced, in milliseconds; negative: until then. Nothing where its successor is somebody else's to make. */
export function overdueMs(set: AuthoritySet, now: Date): number | undefined {
  const active = activeRoot(set)
  if (!active || set.origin === 'plugged-in' || isKeptElsewhere(active)) return undefined
  return now.getTime() - deadlineOf(active).getTime()
}

const isKeptElsewhere = ({ key, wasInTheClear }: Authority): boolean => key === 'elsewhere' && !wasInTheClear

/** When an authority can sign: a root with an online CA only while that one can. */
function lifeOf({ certificate, online }: Authority): Window {
  return windowOf([certificate, ...(online ? [online.certificate, ...online.intermediates] : [])])
}

/** When all that stands above an issuing authority is valid; nothing if there is no root. */
function windowAbove(set: AuthoritySet, { intermediates }: Authority): Window | undefined {
  const root = activeRoot(set)?.certificate
  return root && windowOf([root, ...intermediates])
}

type Window = { readonly begin: Date; readonly end: Date }

/** When all of them are valid. */
function windowOf(certificates: readonly Certificate[]): Window {
  return {
    begin: certificates.map(({ tbs }) => tbs.notBefore).reduce(later),
    end: certificates.map(({ tbs }) => tbs.notAfter).reduce(earlier),
  }
}
