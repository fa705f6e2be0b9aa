import { type Authority, type AuthoritySet, activeRoot, type Origin } from '../authority/authority.ts'
import { type Gate, gate, standingOn, type WorkloadEvidence } from '../authority/gate.ts'
import { deadlineOf, nextAction, rootDueAt } from '../authority/next-action.ts'
import { askedSteps } from '../authority/plugged-roots.ts'
import { conditionOf } from '../authority/transitions.ts'
import { shortId } from '../core/bytes.ts'
import { earlier } from '../core/clock.ts'
import { dueAt } from './authorities-view.ts'
import { type GateView, gateView, ifForced, incomingOf, isLeaving, snapshot } from './authority-steps.ts'
import type { LeftRoot } from './roots.ts'
import { type Seen, STOPPED } from './seen.ts'

/**
 * none: no root is on its way · prepare: a new one is about to be made · distribute: it goes out, some have not been sent it · activate: all have,
 * so it signs next · renew: it signs, some still stand on the one before · retire: nobody does, but not all are known to trust only it · done: the
 * old one is out.
 */
export const PHASES = ['none', 'prepare', 'distribute', 'activate', 'renew', 'retire', 'done'] as const
export type Phase = (typeof PHASES)[number]

export type NamespaceView = {
  readonly namespace: string
  readonly live: number
  /** Live workloads that are not in the way of the next step. */
  readonly ready: number
  /** When the last of the others has ended. */
  readonly until?: string
}

export type RotationView = {
  readonly now: string
  /** Why nothing goes on until the server is restarted. */
  readonly stopped?: string
  readonly phase: Phase
  readonly origin: Origin
  readonly bundleSequence: number
  /** The wish to replace the root; nothing where there is none, or an admin goes step by step. */
  readonly wish?: {
    readonly since: string
    readonly by: 'admin' | 'clock'
    readonly because: string
    readonly to?: string
  }
  /** The ids of the root that signs, of the one that shall, and of those that shall leave. */
  readonly signing?: string
  readonly incoming?: { readonly id: string; readonly bundledSince: number }
  readonly leaving: readonly {
    readonly id: string
    readonly taint?: { readonly because: string; readonly leavesAt: string }
  }[]
  readonly live: number
  readonly ready: number
  readonly namespaces: readonly NamespaceView[]
  /** Of the next step, where it has one. */
  readonly gate?: GateView
  readonly next: {
    readonly what: string
    /** When at the latest, where that can be said. */
    readonly atTheLatest?: string
    /** Whether it happens by itself. */
    readonly byItself: boolean
  }
  /** The root that left the bundle last since the server started, and whom that cut off: how many, and a hundred of them. */
  readonly left?: {
    readonly id: string
    readonly at: string
    readonly bundleSequence: number
    readonly cutOff: number
    readonly named: readonly string[]
  }
  /** When the root that signs is due to be replaced. */
  readonly dueAt?: string
  readonly ifForced: ReturnType<typeof ifForced>
}

const CUT_OFF_NAMED = 100

export function rotationView(seen: Seen, left?: LeftRoot): RotationView {
  const { set, now } = seen
  const evidence = snapshot(seen.evidence)
  const { rotation } = set
  const signing = activeRoot(set)
  const due = signing && dueAt(signing, seen)
  const incoming = incomingOf(set)
  const leaving = set.authorities.filter(({ role, state }) => role === 'root' && isLeaving(state))
  const [first] = leaving
  const ask = (root: Authority, verb: 'activate' | 'revoke') => gate(set, root, conditionOf(root, verb), evidence)
  const found = incoming ? ask(incoming, 'activate') : first && ask(first, 'revoke')
  const standing = first && !incoming ? (standingOn(set, evidence).get(first.id)?.workloads ?? 0) : 0
  const phase = phaseOf(set, incoming, found, standing)
  const namespaces = namespacesOf(evidence.all, found, phase)
  const shown = found && gateView(found)
  return {
    now: now.toISOString(),
    ...(seen.stopped && { stopped: STOPPED }),
    phase,
    origin: set.origin,
    bundleSequence: set.bundleSequence,
    ...(rotation && {
      wish: {
        since: rotation.since.toISOString(),
        by: rotation.by,
        because: rotation.because,
        ...(rotation.to !== undefined && { to: rotation.to }),
      },
    }),
    ...(signing && { signing: signing.id }),
    ...(incoming && { incoming: { id: incoming.id, bundledSince: incoming.bundledSince } }),
    leaving: leaving.map(({ id, taint }) => ({
      id,
      ...(taint && { taint: { because: taint.because, leavesAt: taint.leavesAt.toISOString() } }),
    })),
    live: evidence.all.length,
    ready: namespaces.reduce((sum, { ready }) => sum + ready, 0),
    namespaces,
    ...(shown && { gate: shown }),
    next: nextOf({ ...seen, evidence }, { incoming, first, found }),
    ...(left && {
      left: {
        id: left.root.id,
        at: left.at.toISOString(),
        bundleSequence: left.bundleSequence,
        cutOff: left.cutOff.length,
        named: left.cutOff.slice(0, CUT_OFF_NAMED),
      },
    }),
    ...(due && { dueAt: due.toISOString() }),
    ifForced: ifForced({ ...seen, evidence }, shown),
  }
}

function phaseOf(set: AuthoritySet, incoming: Authority | undefined, found: Gate | undefined, standing: number): Phase {
  if (set.rotation && set.rotation.to === undefined) return 'prepare'
  if (incoming) return found?.open ? 'activate' : 'distribute'
  // Who still reads the ledger knows of nobody who stands on it, which does not mean that nobody does.
  if (found) return standing > 0 || found.incomplete !== undefined ? 'renew' : 'retire'
  return set.rotation ? 'done' : 'none'
}

function namespacesOf(
  all: readonly WorkloadEvidence[],
  found: Gate | undefined,
  phase: Phase,
): readonly NamespaceView[] {
  const living = new Map<string, number>()
  for (const { namespace } of all) living.set(namespace, (living.get(namespace) ?? 0) + 1)
  return [...living]
    .map(([namespace, live]) => {
      if (phase === 'prepare') return { namespace, live, ready: 0 }
      const lagging = found?.namespaces.get(namespace)
      const ready = live - (lagging?.workloads ?? 0)
      return { namespace, live, ready, ...(lagging && { until: new Date(lagging.endsAt).toISOString() }) }
    })
    .sort((a, b) => (a.namespace < b.namespace ? -1 : 1))
}

type Moving = {
  readonly incoming: Authority | undefined
  readonly first: Authority | undefined
  readonly found: Gate | undefined
}

/** What the clock does next, from the very function that it obeys; a wait, in words that say for what. */
function nextOf(seen: Seen, { incoming, first, found }: Moving): RotationView['next'] {
  const { set, evidence, now, policy, holding } = seen
  const active = activeRoot(set)
  if (seen.stopped) return { what: STOPPED, byItself: false }
  const [asked] = policy.plugged ? askedSteps(set, policy.plugged) : []
  if (!active || (set.origin === 'plugged-in' && !asked))
    return { what: 'nothing: the roots are those of the plugged-in CA’s files', byItself: false }
  const action = nextAction(set, holding, evidence, now, policy)
  switch (action.kind) {
    case 'renew-issuing':
      return soon(`a new issuing authority is made: ${action.because}`, now)
    case 'begin-rotation':
      return soon(`the rotation begins: ${action.because}`, now)
    case 'prepare-root':
      return soon('a new root is made', now)
    case 'activate-root':
      return soon(`root ${shortId(action.root.id)} signs`, now)
    case 'revoke-root':
      return soon(`root ${shortId(action.root.id)} leaves the bundle`, now)
    case 'end-rotation':
      return soon('the rotation ends', now)
    case 'wait':
  }
  if (asked) {
    const what = `root ${shortId(asked.root.id)} ${asked.verb === 'activate' ? 'signs' : 'leaves the bundle'}`
    return waiting(what, [action.for?.until], true)
  }
  if (incoming) {
    const crossed = incoming.cross.some(({ by }) => by === active.id)
    const what = `root ${shortId(incoming.id)} signs`
    return waiting(what, [found?.until, crossed ? deadlineOf(active) : undefined], set.rotation !== undefined)
  }
  if (first) {
    const what = `root ${shortId(first.id)} leaves the bundle`
    return waiting(what, [found?.until, first.taint?.leavesAt], set.rotation !== undefined || first.taint !== undefined)
  }
  const due = rootDueAt(active, policy)
  if (!due)
    return {
      what: `nothing: the key of root ${shortId(active.id)} is elsewhere, so its keeper replaces it`,
      byItself: false,
    }
  return waiting(`root ${shortId(active.id)} is due to be replaced`, [due], true)
}

const soon = (what: string, now: Date): RotationView['next'] => ({
  what,
  atTheLatest: now.toISOString(),
  byItself: true,
})

function waiting(what: string, moments: readonly (Date | undefined)[], byItself: boolean): RotationView['next'] {
  const known = moments.filter((one) => one !== undefined)
  return {
    what,
    // Nothing that waits for an admin has a latest moment.
    ...(known.length > 0 && byItself && { atTheLatest: known.reduce(earlier).toISOString() }),
    byItself,
  }
}
