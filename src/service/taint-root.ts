import { bundleOf } from '../authority/active-authority.ts'
import { type Authority, type AuthoritySet, activeRoot, bundledRoots } from '../authority/authority.ts'
import { type Gate, gate, standingOn } from '../authority/gate.ts'
import { transitionFor, vouchingFor, withActiveRoot, withPrepared, withTainted } from '../authority/transitions.ts'
import { shortId } from '../core/bytes.ts'
import { plus } from '../core/clock.ts'
import { CaError } from '../core/errors.ts'
import type { Change, Successor } from './change.ts'
import { checkGate, type Force } from './closed-gate.ts'
import type { KeeperParts } from './keeper-parts.ts'
import type { NewRoots } from './new-root.ts'
import { checkCurrent, checked, describe, proveRoot, type Wish } from './root-steps.ts'

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
  let asked: Gate | undefined
  const active = activeRoot(next)
  checkTaintable(next, target)
  // Who trusts a root that certified this one's key trusts that key: so that root leaves, too, and signs no longer.
  if (target.state === 'active' || vouchingFor(next, target).some(({ id }) => id === active?.id)) {
    const prepared = next.authorities.find(({ role, state }) => role === 'root' && state === 'prepared')
    made = prepared === undefined
    const root = prepared ?? (await newRoots.make(change))
    if (made) next = withPrepared(next, root)
    const incoming = next.authorities.find(({ role, id: one }) => role === 'root' && one === root.id) as Authority
    checkCurrent(incoming, clock.now())
    // Who has not heard of the successor follows its cross-certificates, until the compromised root leaves.
    asked = gate(next, incoming, 'followed', evidence())
    checkGate(asked, `let root ${shortId(root.id)} sign at once`, 'alcazar workloads --lagging', force, clock.now())
    successor = await change.makeIssuing(incoming, await change.parentOf(incoming))
    await proveRoot(next, incoming, successor, parts)
    next = withActiveRoot(next, incoming, 'activate', successor.authority)
    next = { ...next, rotation: next.rotation && { ...next.rotation, to: root.id } }
  }
  const isTarget = ({ role, id: one }: Authority) => role === 'root' && one === target.id
  const compromised = next.authorities.find(isTarget) as Authority
  const affected = standingOn(next, evidence()).get(compromised.id)
  next = withTainted(next, compromised, taint)
  if (successor) await change.activate(next, successor)
  else await change.commit(next)
  if (made) newRoots.taken()
  if (successor) events.bundlePublished(bundleOf(next), bundledRoots(next))
  events.authorityTainted(target, because)
  await change.record(
    'authority tainted',
    target,
    asked ? describe(wish, asked, force) : `by the ${wish.by}: ${because}`,
  )
  if (successor) {
    const signing = activeRoot(next) as Authority
    for (const one of [signing, successor.authority]) events.authorityActivated(one, because)
    await change.record('root activated', signing, because)
    await change.record('issuing authority activated', successor.authority, because)
  }
  return {
    authority: target,
    successor: successor && activeRoot(change.set),
    leavesAt: next.authorities.find(isTarget)?.taint?.leavesAt ?? taint.leavesAt,
    affected: affected?.workloads ?? 0,
    until: affected && new Date(affected.endsAt),
  }
}

/** What never signed or has left is not declared compromised itself, but where a root of the bundle certified its key, that one can be. */
function checkTaintable(set: AuthoritySet, target: Authority): void {
  const { state, id } = target
  if (state === 'active') return
  const vouching = vouchingFor(set, target)
  if ((state !== 'prepared' && state !== 'revoked') || vouching.length === 0) {
    transitionFor(target, 'taint')
    return
  }
  const named = vouching.map((one) => shortId(one.id)).join(', ')
  const commands = vouching.map((one) => `alcazar root taint ${one.id.slice(0, 8)}`).join(', ')
  throw new CaError(
    'wrong_state',
    state === 'prepared'
      ? `root ${shortId(id)} is prepared and never signed: take it out of the bundle with alcazar root revoke ${id.slice(0, 8)}; if its key is stolen, so is the trust in ${named}, which certified it: then ${commands}`
      : `root ${shortId(id)} is out of the bundle; but if its key is stolen, so is the trust in ${named}, which certified it: ${commands}`,
  )
}
