import { shortId } from '../core/bytes.ts'
import { later } from '../core/clock.ts'
import { type Authority, type AuthoritySet, activeRoot } from './authority.ts'
import type { Condition } from './transitions.ts'

/** One unexpired SVID that was not replaced: the part of it that a gate asks for. */
export type Standing = {
  /** The id of the issuing authority. */
  readonly issuer: string
  /** Sequence of the bundle that came with it. */
  readonly bundle: number
  readonly notAfter: Date
}

/** What is known of one live workload. */
export type WorkloadEvidence = {
  readonly name: string
  readonly namespace: string
  readonly svids: readonly Standing[]
}

/** What is known of all of them. */
export type Evidence = {
  /** Why something may be unknown, and so every gate is closed; nothing if all is known. */
  readonly incomplete: string | undefined
  readonly workloads: () => Iterable<WorkloadEvidence>
}

/** Nobody is alive: what holds before the first certificate. */
export const NO_EVIDENCE: Evidence = { incomplete: undefined, workloads: () => [] }

/** One workload for which a step would not be safe now. */
export type Blocker = {
  readonly workload: string
  readonly namespace: string
  readonly why: string
  /** Its certificates have ended then, and it blocks no longer, whatever it does. */
  readonly until: Date
}

/** Whether a step may be taken now; if not, who is in the way, and until when at the latest. */
export type Gate = {
  readonly open: boolean
  /** Why nothing can be said at all. */
  readonly incomplete: string | undefined
  readonly blockers: readonly Blocker[]
  readonly live: number
  /** When the last of them has ended. */
  readonly until: Date | undefined
}

/**
 * Whether `condition` holds for every live workload with `authority`, a root (DESIGN invariant 6).
 *
 * trusted: it can verify what the root will sign. With a cross-certificate by the root that signs now, a workload needs to have been sent a bundle with
 * the root in it; without one, every certificate it may hold must have come with such a bundle.
 *
 * unused: no certificate it may hold stands on the root, and all came with a bundle that has the root that signs now.
 */
export function gate(
  set: AuthoritySet,
  authority: Authority,
  condition: Condition | undefined,
  evidence: Evidence,
): Gate {
  const ask = condition === undefined ? undefined : questionOf(set, authority, condition)
  const blockers: Blocker[] = []
  let live = 0
  let until: Date | undefined
  for (const workload of evidence.workloads()) {
    live++
    const why = ask?.(workload.svids)
    if (why === undefined) continue
    const last = workload.svids.reduce((end, { notAfter }) => later(end, notAfter), new Date(0))
    until = until ? later(until, last) : last
    blockers.push({ workload: workload.name, namespace: workload.namespace, why, until: last })
  }
  const incomplete = ask && evidence.incomplete
  return { open: incomplete === undefined && blockers.length === 0, incomplete, blockers, live, until }
}

/** Gives why a workload with these certificates is in the way; nothing if it isn't. */
type Question = (svids: readonly Standing[]) => string | undefined

function questionOf(set: AuthoritySet, root: Authority, condition: Condition): Question {
  const signing = activeRoot(set)
  if (condition === 'trusted') {
    const since = root.bundledSince
    // A workload follows the cross-certificate from the root that all trust now.
    if (signing && root.cross.some(({ by }) => by === signing.id))
      return (svids) => (svids.some(({ bundle }) => bundle >= since) ? undefined : holding(svids, since))
    return (svids) => (svids.every(({ bundle }) => bundle >= since) ? undefined : holding(svids, since))
  }
  const under = new Set(set.authorities.filter((one) => one.root === root.id).map(({ id }) => id))
  const since = signing ? signing.bundledSince : Number.POSITIVE_INFINITY
  return (svids) => {
    if (svids.some(({ issuer }) => under.has(issuer) || issuer === root.id)) return `stands on ${shortId(root.id)}`
    return svids.every(({ bundle }) => bundle >= since) ? undefined : holding(svids, since)
  }
}

function holding(svids: readonly Standing[], since: number): string {
  const oldest = svids.reduce((least, { bundle }) => Math.min(least, bundle), Number.POSITIVE_INFINITY)
  return `holds bundle ${oldest}, not ${since} yet`
}

/** How many live workloads stand on each authority: on issuing authorities, and on the roots these stand on. */
export function standingOn(set: AuthoritySet, evidence: Evidence): ReadonlyMap<string, number> {
  const rootOfIssuer = new Map(set.authorities.map(({ id, root }) => [id, root]))
  const counts = new Map<string, number>()
  for (const { svids } of evidence.workloads()) {
    const on = new Set<string>()
    for (const { issuer } of svids) {
      on.add(issuer)
      const root = rootOfIssuer.get(issuer)
      if (root !== undefined) on.add(root)
    }
    for (const id of on) counts.set(id, (counts.get(id) ?? 0) + 1)
  }
  return counts
}
