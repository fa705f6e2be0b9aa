import { bundleOf } from '../authority/active-authority.ts'
import { type Authority, activeRoot, bundledRoots } from '../authority/authority.ts'
import { gate } from '../authority/gate.ts'
import { transitionFor, vouchingFor, withActiveRoot, withPrepared, withTainted } from '../authority/transitions.ts'
import { shortId } from '../core/bytes.ts'
import { later, plus } from '../core/clock.ts'
import type { Change, Successor } from './change.ts'
import { checkGate, type Force } from './closed-gate.ts'
import type { KeeperParts } from './keeper-parts.ts'
import type { NewRoots } from './new-root.ts'
import { checkCurrent, checked, proveRoot, type Wish } from './root-steps.ts'

/** What a taint leads to, for the incident report. */
export type Tainted = {
  readonly authority: Authority
  /** What signs instead. */
  readonly successor: Authority | undefined
  readonly leavesAt: Date
  /** Live workloads with a certificate on it. */
  readonly affected: number
  /** When the last of these certificates has ended. */
  readonly until: Date | undefined
}

export type TaintWish = { readonly wish: Wish; readonly withinMs: number; readonly force: Force | undefined }

/** `Roots.taint`, within a change. */
export async function taintRoot(
  change: Change,
  target: Authority,
  { wish, withinMs, force }: TaintWish,
  newRoots: NewRoots,
  parts: KeeperParts,
): Promise<Tainted> {
  const { clock, evidence, events } = parts
  const { because } = checked(wish)
  const taint = { at: clock.now(), because, leavesAt: plus(clock.now(), withinMs) }
  let next = change.set
  let successor: Successor | undefined
  let made = false
  const active = activeRoot(next)
  // Who trusts a root that certified this one's key trusts that key: so that root leaves, too, and signs no longer.
  if (target.state === 'active' || vouchingFor(next, target).some(({ id }) => id === active?.id)) {
    if (target.state !== 'active') transitionFor(target, 'taint')
    const prepared = next.authorities.find(({ role, state }) => role === 'root' && state === 'prepared')
    made = prepared === undefined
    const root = prepared ?? (await newRoots.make(change))
    if (made) next = withPrepared(next, root)
    const incoming = next.authorities.find(({ role, id: one }) => role === 'root' && one === root.id) as Authority
    checkCurrent(incoming, clock.now())
    // Who has not heard of the successor follows its cross-certificates, until the compromised root leaves.
    checkGate(
      gate(next, incoming, 'followed', evidence()),
      `let root ${shortId(root.id)} sign at once`,
      'alcazar workloads --lagging',
      force,
      clock.now(),
    )
    successor = await change.makeIssuing(incoming, await change.parentOf(incoming))
    await proveRoot(next, incoming, successor, parts)
    next = withActiveRoot(next, incoming, 'activate', successor.authority)
    next = { ...next, rotation: next.rotation && { ...next.rotation, to: root.id } }
  } else transitionFor(target, 'taint')
  const isTarget = ({ role, id: one }: Authority) => role === 'root' && one === target.id
  const compromised = next.authorities.find(isTarget) as Authority
  const affected = gate(next, compromised, 'unused', evidence()).blockers.filter(({ why }) =>
    why.startsWith('stands on'),
  )
  next = withTainted(next, compromised, taint)
  if (successor) await change.activate(next, successor)
  else await change.commit(next)
  if (made) newRoots.taken()
  if (successor) events.bundlePublished(bundleOf(next), bundledRoots(next))
  events.authorityTainted(target, because)
  await change.record('authority tainted', target, `by the ${wish.by}: ${because}`)
  if (successor) {
    const signing = activeRoot(next) as Authority
    events.authorityActivated(signing, because)
    await change.record('root activated', signing, because)
    await change.record('issuing authority activated', successor.authority, because)
  }
  return {
    authority: target,
    successor: successor && activeRoot(change.set),
    leavesAt: next.authorities.find(isTarget)?.taint?.leavesAt ?? taint.leavesAt,
    affected: affected.length,
    until: affected.reduce<Date | undefined>((end, { until }) => (end ? later(end, until) : until), undefined),
  }
}
