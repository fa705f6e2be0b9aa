import { shortId } from '../core/bytes.ts'
import { type Authority, type AuthoritySet, activeRoot, bundledRoots } from './authority.ts'
import type { Condition } from './transitions.ts'

/** One unexpired SVID that was not replaced: the part of it that a gate asks for. */
export type Standing = {
  /** The id of the issuing authority. */
  readonly issuer: string
  /** Sequence of the bundle that came with it. */
  readonly bundle: number
  /** Its notAfter, in milliseconds since 1970. */
  readonly endsAt: number
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
  /** When whatever is unknown has ended, where that can be said. */
  readonly unknownUntil?: Date | undefined
  readonly workloads: () => Iterable<WorkloadEvidence>
}

/** One workload for which a step would not be safe now. */
export type Blocker = {
  readonly workload: string
  readonly namespace: string
  readonly why: string
  /** Those of its certificates that are in the way have ended then, and it blocks no longer, whatever else it gets until then. */
  readonly until: Date
}

/** How many of those in the way are named where nobody asks for more or fewer: there may be a hundred thousand. */
export const NAMED = 10

/** Whether a step may be taken now; if not, who is in the way, and until when at the latest. */
export type Gate = {
  readonly open: boolean
  /** Why nothing can be said at all. */
  readonly incomplete: string | undefined
  readonly live: number
  /** For how many of them the step would not be safe. */
  readonly inTheWay: number
  /** When the last of these has ended, and what is unknown where that can be said. */
  readonly until: Date | undefined
  /** Those of them that end last, by name where they end together: as many as were asked for. */
  readonly longest: readonly Blocker[]
  /** The same by namespace. */
  readonly namespaces: ReadonlyMap<string, Tally>
}

/** How many live workloads, and when the last certificate that makes them count has ended (milliseconds since 1970). */
export type Tally = { readonly workloads: number; readonly endsAt: number }

/**
 * Whether `condition` holds for every live workload with `authority`, a root (DESIGN invariant 6). All of it is seen in one walk, since the evidence
 * may be another a moment later.
 *
 * followed: whatever bundle it may hold has the root or one that cross-certified it.
 *
 * trusted: that, and it was sent a bundle with the root itself.
 *
 * unused: no certificate it may hold stands on the root, and it follows the root that signs now without this one.
 *
 * Which bundle a workload holds is known by its certificates alone: one that counts here may be the one it has, and then its bundle is, too.
 * @param named how many of those in the way are named
 */
export function gate(
  set: AuthoritySet,
  authority: Authority,
  condition: Condition | undefined,
  evidence: Evidence,
  named = NAMED,
): Gate {
  const ask = condition === undefined ? undefined : questionOf(set, authority, condition)
  const longest = new Longest(named)
  const namespaces: Tallies = new Map()
  let live = 0
  let inTheWay = 0
  let last = 0
  for (const { name: workload, namespace, svids } of evidence.workloads()) {
    live++
    const found = ask?.(svids)
    if (found === undefined) continue
    const { why, endsAt } = found
    inTheWay++
    last = Math.max(last, endsAt)
    longest.add({ workload, namespace, why, endsAt })
    count(namespaces, namespace, endsAt)
  }
  const incomplete = ask && evidence.incomplete
  const open = incomplete === undefined && inTheWay === 0
  const unknownUntil = incomplete === undefined ? 0 : (evidence.unknownUntil?.getTime() ?? 0)
  const ends = Math.max(last, unknownUntil)
  const until = ends === 0 ? undefined : new Date(ends)
  return { open, incomplete, live, inTheWay, until, longest: longest.blockers(), namespaces }
}

type Found = Pick<Blocker, 'workload' | 'namespace' | 'why'> & { readonly endsAt: number }

/** Finds those that end last without keeping the others: to keep a hundred thousand objects costs far more than to make them. */
class Longest {
  readonly #wanted: number
  readonly #found: Found[] = []
  /** The last that is wanted as far as is known; nothing while they are too few. */
  #last: Found | undefined

  constructor(wanted: number) {
    this.#wanted = wanted
  }

  add(one: Found): void {
    if (this.#last && byEnd(one, this.#last) > 0) return
    if (this.#found.push(one) >= this.#wanted + SORTED_AT_ONCE) this.#cut()
  }

  blockers(): readonly Blocker[] {
    this.#cut()
    return this.#found.map(({ endsAt, ...one }) => ({ ...one, until: new Date(endsAt) }))
  }

  #cut(): void {
    this.#found.sort(byEnd).splice(this.#wanted)
    if (this.#found.length === this.#wanted) this.#last = this.#found.at(-1)
  }
}

const SORTED_AT_ONCE = 1000

const byEnd = (a: Found, b: Found): number => b.endsAt - a.endsAt || (a.workload < b.workload ? -1 : 1)

/**
 * Gives why a workload with these certificates is in the way, and when the last of those for which it is has ended; nothing if it isn't. What else it
 * has, as each renewal gives it, is in nobody's way and puts that off no further.
 */
type Question = (svids: readonly Standing[]) => { readonly why: string; readonly endsAt: number } | undefined

function questionOf(set: AuthoritySet, root: Authority, condition: Condition): Question | undefined {
  const since = root.bundledSince
  if (condition === 'unused') return unusedBy(set, root)
  const roots = bundledRoots(set)
  // Every bundle that anybody holds has one of them.
  if (condition === 'followed' && roots.every(({ id }) => id === root.id || isCrossedBy(root, id))) return undefined
  const follows = followedSince(root, roots)
  return (svids) => {
    const [oldest, newest] = bundlesOf(svids)
    if (oldest >= follows && (condition === 'followed' || newest >= since)) return undefined
    const endsAt = lastBefore(follows, svids)
    if (condition === 'followed') return { why: holding(oldest, follows), endsAt }
    return { why: holding(oldest, oldest < follows ? follows : since), endsAt: Math.max(endsAt, unsent(since, svids)) }
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
    let [stands, mayStand, endsAt] = [false, false, 0]
    let oldest = Number.POSITIVE_INFINITY
    for (const one of svids) {
      const under = rootOfIssuer.get(one.issuer)
      const free = under !== undefined && under !== root.id
      if (free && one.bundle >= follows) continue
      if (under === root.id) stands = true
      else if (!free) mayStand = true
      oldest = Math.min(oldest, one.bundle)
      endsAt = Math.max(endsAt, one.endsAt)
    }
    if (endsAt === 0) return undefined
    if (stands) return { why: `stands on ${shortId(root.id)}`, endsAt }
    return { why: mayStand ? `may stand on ${shortId(root.id)}` : holding(oldest, follows), endsAt }
  }
}

/** Who holds this bundle or a later one, of which none was without these roots since, takes what `root` signs. */
function followedSince(root: Authority, bundled: readonly Authority[]): number {
  return bundled
    .filter(({ id }) => isCrossedBy(root, id))
    .reduce((since, { bundledSince }) => Math.min(since, bundledSince), root.bundledSince)
}

const isCrossedBy = (root: Authority, id: string): boolean => root.cross.some(({ by }) => by === id)

function bundlesOf(svids: readonly Standing[]): readonly [oldest: number, newest: number] {
  let [oldest, newest] = [Number.POSITIVE_INFINITY, 0]
  for (const { bundle } of svids) {
    if (bundle < oldest) oldest = bundle
    if (bundle > newest) newest = bundle
  }
  return [oldest, newest]
}

/** When the last of those has ended that came with a bundle before this one; 0 where none did. */
function lastBefore(bundle: number, svids: readonly Standing[]): number {
  let last = 0
  for (const one of svids) if (one.bundle < bundle) last = Math.max(last, one.endsAt)
  return last
}

/** When the last has ended that no later one outlives which came with this bundle or a newer; 0 where one does. */
function unsent(bundle: number, svids: readonly Standing[]): number {
  let sent = 0
  for (const one of svids) if (one.bundle >= bundle) sent = Math.max(sent, one.endsAt)
  const last = lastBefore(bundle, svids)
  return last > sent ? last : 0
}

const holding = (bundle: number, since: number): string => `holds bundle ${bundle}, not ${since} yet`

/** Who stands on each authority: on issuing authorities, and on the roots these stand on. Each until its last certificate there has ended. */
export function standingOn(set: AuthoritySet, evidence: Evidence): ReadonlyMap<string, Tally> {
  const rootOfIssuer = new Map(set.authorities.map(({ id, root }) => [id, root]))
  const standing: Tallies = new Map()
  for (const { svids } of evidence.workloads()) {
    const ends = new Map<string, number>()
    for (const { issuer, endsAt } of svids)
      for (const id of [issuer, rootOfIssuer.get(issuer)])
        if (id !== undefined) ends.set(id, Math.max(ends.get(id) ?? 0, endsAt))
    for (const [id, endsAt] of ends) count(standing, id, endsAt)
  }
  return standing
}

type Tallies = Map<string, { workloads: number; endsAt: number }>

function count(tallies: Tallies, key: string, endsAt: number): void {
  const others = tallies.get(key)
  if (others) {
    others.workloads++
    others.endsAt = Math.max(others.endsAt, endsAt)
  } else tallies.set(key, { workloads: 1, endsAt })
}
