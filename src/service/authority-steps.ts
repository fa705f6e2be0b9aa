import { type Authority, type AuthoritySet, activeRoot } from '../authority/authority.ts'
import { type Evidence, type Gate, gate, type WorkloadEvidence } from '../authority/gate.ts'
import { askedSteps, type PluggedWish } from '../authority/plugged-roots.ts'
import { conditionOf, possibleVerbs, TRANSITIONS, type Verb } from '../authority/transitions.ts'

/** Whether a step may be taken now, for JSON. */
export type GateView = {
  readonly open: boolean
  /** Why nobody can say for sure. */
  readonly incomplete?: string
  /** How many live workloads it would break now. */
  readonly inTheWay: number
  /** Of these, those that are in the way for longest. */
  readonly first: readonly BlockerView[]
  /** When the last of them has ended, whatever they do. */
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

const OPEN: GateView = { open: true, inTheWay: 0, first: [] }

/** The evidence as it is now: what asks it several times reads the inventory once. */
export function snapshot({
  incomplete,
  workloads,
}: Evidence): Evidence & { readonly all: readonly WorkloadEvidence[] } {
  const all = [...workloads()]
  return { incomplete, workloads: () => all, all }
}

/** What an admin can do to a root now, in the order of the transition table, and whom it would break; of a plugged-in CA what its files ask for. */
export function stepsOf(
  set: AuthoritySet,
  root: Authority,
  evidence: Evidence,
  { named, plugged }: { readonly named: number; readonly plugged: PluggedWish | undefined },
): readonly StepView[] {
  if (set.origin === 'plugged-in')
    return (plugged ? askedSteps(set, plugged) : [])
      .filter((step) => step.root === root)
      .map(({ verb }) => ({ verb, ...gateView(gate(set, root, conditionOf(root, verb), evidence, named)) }))
  const verbs: readonly Verb[] = root.state === 'active' ? ['taint'] : possibleVerbs(root)
  return verbs.map((verb) => ({ verb, ...gateOf(set, root, verb, evidence, named) }))
}

function gateOf(set: AuthoritySet, root: Authority, verb: Verb, evidence: Evidence, named: number): GateView {
  if (verb === 'taint') return root.state === 'active' ? gateOfSuccessor(set, root, evidence, named) : OPEN
  const condition = TRANSITIONS.find((one) => one.verb === verb && one.from === root.state)?.condition
  return gateView(gate(set, root, condition, evidence, named))
}

/** Who does not know the successor of a compromised root follows its cross-certificate, where there is one. */
function gateOfSuccessor(set: AuthoritySet, root: Authority, evidence: Evidence, named: number): GateView {
  const incoming = incomingOf(set) ?? imagined(set, root)
  return incoming.cross.some(({ by }) => by === root.id)
    ? OPEN
    : gateView(gate(set, incoming, 'trusted', evidence, named))
}

export function incomingOf(set: AuthoritySet): Authority | undefined {
  return set.authorities.find(({ role, state }) => role === 'root' && state === 'prepared')
}

/** The root that would be made now, as far as gates ask. */
function imagined(set: AuthoritySet, active: Authority): Authority {
  return {
    ...active,
    id: 'not made yet',
    state: 'prepared',
    bundledSince: set.bundleSequence + 1,
    cross: active.key === 'elsewhere' ? [] : [{ by: active.id, certificate: active.certificate }],
    taint: undefined,
  }
}

/**
 * Whom it would break if the rest of a rotation were forced now, step by step.
 * @param next the gate of the next step, where a root is on its way
 */
export function ifForced(
  set: AuthoritySet,
  evidence: Evidence,
  next: GateView | undefined,
): { readonly activate?: GateView; readonly revoke?: GateView } {
  const active = activeRoot(set)
  if (!active || set.origin === 'plugged-in') return {}
  const prepared = incomingOf(set)
  // An old root is on its way out.
  if (!prepared && next) return { revoke: next }
  const incoming = prepared ?? imagined(set, active)
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
    activate: next ?? gateView(gate(set, incoming, 'trusted', evidence)),
    revoke: gateView(gate(after, before, 'unused', evidence)),
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
