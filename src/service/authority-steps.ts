import { type Authority, type AuthoritySet, activeRoot, bundledRoots } from '../authority/authority.ts'
import { type Evidence, type Gate, gate, type WorkloadEvidence } from '../authority/gate.ts'
import { askedSteps } from '../authority/plugged-roots.ts'
import { conditionOf, possibleVerbs, transitionFor, type Verb, vouchingFor } from '../authority/transitions.ts'
import { mayCertifyRoots } from '../issuance/ca-certificates.ts'
import type { Seen } from './seen.ts'

/** Whether a step may be taken now, for JSON. */
export type GateView = {
  readonly open: boolean
  /** Why nobody can say for sure. */
  readonly incomplete?: string
  /** How many live workloads it would break now. */
  readonly inTheWay: number
  /** Of these, those that are in the way for longest. */
  readonly first: readonly BlockerView[]
  /** When the last certificate that is in the way has ended, whatever they do. */
  readonly until?: string
}

export type BlockerView = {
  readonly workload: string
  readonly namespace: string
  readonly why: string
  readonly until: string
}

/** A verb that is possible for a root now, the gate aside. */
export type StepView = GateView & { readonly verb: Verb }

type Moment = Pick<Seen, 'set' | 'evidence' | 'now' | 'policy'>

const OPEN: GateView = { open: true, inTheWay: 0, first: [] }

/** The evidence as it is now: what asks it several times reads the inventory once. */
export function snapshot({
  incomplete,
  unknownUntil,
  workloads,
}: Evidence): Evidence & { readonly all: readonly WorkloadEvidence[] } {
  const all = [...workloads()]
  return { incomplete, unknownUntil, workloads: () => all, all }
}

/** What an admin can do to a root now, in the order of the transition table, and whom it would break; of a plugged-in CA what its files ask for. */
export function stepsOf(seen: Moment, root: Authority, named: number): readonly StepView[] {
  const { set, evidence, policy } = seen
  if (set.origin === 'plugged-in')
    return (policy.plugged ? askedSteps(set, policy.plugged) : [])
      .filter((step) => step.root === root)
      .map(({ verb }) => ({ verb, ...gateView(gate(set, root, conditionOf(root, verb), evidence, named)) }))
  const verbs: readonly Verb[] = root.state === 'active' ? ['taint'] : possibleVerbs(root)
  return verbs.map((verb) => ({ verb, ...gateOf(seen, root, verb, named) }))
}

/** As `Roots` asks it. */
function gateOf(seen: Moment, root: Authority, verb: Verb, named: number): GateView {
  const { set, evidence } = seen
  if (verb !== 'taint') return gateView(gate(set, root, transitionFor(root, verb).condition, evidence, named))
  const active = activeRoot(set)
  if (!active || [root, ...vouchingFor(set, root)].every(({ id }) => id !== active.id)) return OPEN
  const prepared = incomingOf(set)
  const successor = prepared && prepared.id !== root.id ? prepared : imagined(seen, active)
  return gateView(gate(set, successor, 'followed', evidence, named))
}

export function incomingOf(set: AuthoritySet): Authority | undefined {
  return set.authorities.find(({ role, state }) => role === 'root' && state === 'prepared')
}

/** The root that would be made now, as far as gates ask. */
function imagined({ set, now }: Moment, active: Authority): Authority {
  const certifying = bundledRoots(set).filter(
    ({ key, certificate }) => key !== 'elsewhere' && mayCertifyRoots(certificate, now),
  )
  return {
    ...active,
    id: 'not made yet',
    state: 'prepared',
    bundledSince: set.bundleSequence + 1,
    cross: certifying.map(({ id, certificate }) => ({ by: id, certificate })),
    taint: undefined,
  }
}

/**
 * Whom it would break if the rest of a rotation were forced now, step by step.
 * @param next the gate of the next step, where a root is on its way
 */
export function ifForced(
  seen: Moment,
  next: GateView | undefined,
): { readonly activate?: GateView; readonly revoke?: GateView } {
  const { set, evidence } = seen
  const active = activeRoot(set)
  if (!active || set.origin === 'plugged-in') return {}
  const prepared = incomingOf(set)
  // An old root is on its way out.
  if (!prepared && next) return { revoke: next }
  const incoming = prepared ?? imagined(seen, active)
  const before = { ...active, state: 'old' as const }
  const after = {
    ...set,
    authorities: [
      ...set.authorities.filter(({ role, state }) => role !== 'root' || (state !== 'active' && state !== 'prepared')),
      before,
      { ...incoming, state: 'active' as const },
    ],
  }
  return {
    activate: next ?? gateView(gate(set, incoming, conditionOf(incoming, 'activate'), evidence)),
    revoke: gateView(gate(after, before, conditionOf(before, 'revoke'), evidence)),
  }
}

export const isLeaving = (state: Authority['state']): boolean => state === 'old' || state === 'tainted'

export function gateView({ open, incomplete, inTheWay, longest, until }: Gate): GateView {
  return {
    open,
    ...(incomplete !== undefined && { incomplete }),
    inTheWay,
    first: longest.map((one) => ({ ...one, until: one.until.toISOString() })),
    ...(until && { until: until.toISOString() }),
  }
}
