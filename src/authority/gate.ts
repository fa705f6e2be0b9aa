import { shortId } from '../core/bytes.ts'
import { later } from '../core/clock.ts'
import { type Authority, type AuthoritySet, activeRoot, bundledRoots } from './authority.ts'
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
 * followed: whatever bundle it may hold has the root or one that cross-certified it.
 *
 * trusted: that, and it was sent a bundle with the root itself.
 *
 * unused: no certificate it may hold stands on the root, and it follows the root that signs now without this one.
 *
 * Which bundle a workload holds is known by its certificates alone: one that counts here may be the one it has, and then its bundle is, too.
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
  for (const { name: workload, namespace, svids } of evidence.workloads()) {
    live++
    const why = ask?.(svids)
    if (why === undefined) continue
    const last = svids.map(({ notAfter }) => notAfter).reduce(later)
    until = until ? later(until, last) : last
    blockers.push({ workload, namespace, why, until: last })
  }
  const incomplete = ask && evidence.incomplete
  return { open: incomplete === undefined && blockers.length === 0, incomplete, blockers, live, until }
}

/** Gives why a workload with these certificates is in the way; nothing if it isn't. */
type Question = (svids: readonly Standing[]) => string | undefined

function questionOf(set: AuthoritySet, root: Authority, condition: Condition): Question | undefined {
  const since = root.bundledSince
  if (condition === 'unused') return unusedBy(set, root)
  const roots = bundledRoots(set)
  // Every bundle that anybody holds has one of them.
  if (condition === 'followed' && roots.every(({ id }) => id === root.id || isCrossedBy(root, id))) return undefined
  const follows = followedSince(root, roots)
  return (svids) => {
    if (svids.some(({ bundle }) => bundle < follows)) return holding(svids, follows)
    return condition === 'followed' || svids.some(({ bundle }) => bundle >= since) ? undefined : holding(svids, since)
  }
}

function unusedBy(set: AuthoritySet, root: Authority): Question {
  // What the journal does not know may stand on any root: a clock that was set ahead and back makes it forget what had not ended.
  const rootOfIssuer = new Map(
    set.authorities.filter(({ role }) => role === 'issuing').map((one) => [one.id, one.root]),
  )
  const signing = activeRoot(set)
  const staying = bundledRoots(set).filter(({ id }) => id !== root.id)
  const follows = signing ? followedSince(signing, staying) : Number.POSITIVE_INFINITY
  return (svids) => {
    if (svids.some(({ issuer }) => rootOfIssuer.get(issuer) === root.id)) return `stands on ${shortId(root.id)}`
    if (svids.some(({ issuer }) => rootOfIssuer.get(issuer) === undefined)) return `may stand on ${shortId(root.id)}`
    return svids.some(({ bundle }) => bundle < follows) ? holding(svids, follows) : undefined
  }
}

/** Who holds this bundle or a later one, of which none was without these roots since, takes what `root` signs. */
function followedSince(root: Authority, bundled: readonly Authority[]): number {
  return bundled
    .filter(({ id }) => isCrossedBy(root, id))
    .reduce((since, { bundledSince }) => Math.min(since, bundledSince), root.bundledSince)
}

const isCrossedBy = (root: Authority, id: string): boolean => root.cross.some(({ by }) => by === id)

const holding = (svids: readonly Standing[], since: number): string =>
  `holds bundle ${Math.min(...svids.map(({ bundle }) => bundle))}, not ${since} yet`

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
