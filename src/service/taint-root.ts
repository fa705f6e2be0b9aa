import { bundleOf } from '../authority/active-authority.ts'
import { type Authority, type AuthoritySet, activeRoot, bundledRoots } from '../authority/authority.ts'
import { type Evidence, type Gate, gate } from '../authority/gate.ts'
import { transitionFor, vouchingFor, withActiveRoot, withPrepared, withTainted } from '../authority/transitions.ts'
import { shortId } from '../core/bytes.ts'
import { plus } from '../core/clock.ts'
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
  /** What leaves because of it: itself, where it is in the bundle yet, and the roots that certified it. */
  readonly leaving: readonly Authority[]
  /** Live workloads with a certificate on one of these. */
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
  const { bundleSequence } = next
  let successor: Successor | undefined
  let made = false
  let asked: Gate | undefined
  const active = activeRoot(next)
  // Who trusts a root that certified this one's key trusts that key: so that root leaves, too, and signs no longer.
  if (target.state === 'active' || vouchingFor(next, target).some(({ id }) => id === active?.id)) {
    if (target.state !== 'active') transitionFor(target, 'taint')
    const prepared = bundledRoots(next).find(({ id, state }) => state === 'prepared' && id !== target.id)
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
  } else transitionFor(target, 'taint')
  const isTarget = ({ role, id: one }: Authority) => role === 'root' && one === target.id
  const compromised = next.authorities.find(isTarget) as Authority
  next = withTainted(next, compromised, taint)
  const leaving = bundledRoots(next).filter((root) => isTarget(root) || vouchingFor(next, target).includes(root))
  const affected = standingUnder(next, leaving, evidence())
  if (successor) await change.activate(next, successor)
  else await change.commit(next)
  if (made) newRoots.taken()
  if (next.bundleSequence !== bundleSequence) events.bundlePublished(bundleOf(next), bundledRoots(next))
  events.authorityTainted(target, because)
  if (target.state === 'prepared') {
    events.authorityRevoked(target, because, [])
    await change.record('root revoked', target, `bundle ${next.bundleSequence}: ${because}`)
  }
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
    leaving,
    ...affected,
  }
}

function standingUnder(
  { authorities }: AuthoritySet,
  roots: readonly Authority[],
  { workloads }: Evidence,
): Pick<Tainted, 'affected' | 'until'> {
  const issuers = new Set(authorities.filter(({ root }) => roots.some(({ id }) => id === root)).map(({ id }) => id))
  let affected = 0
  let last = 0
  for (const { svids } of workloads()) {
    const standing = svids.filter(({ issuer }) => issuers.has(issuer))
    if (standing.length > 0) affected++
    last = standing.reduce((latest, { endsAt }) => Math.max(latest, endsAt), last)
  }
  return { affected, until: affected > 0 ? new Date(last) : undefined }
}
