import { bundleOf } from '../authority/active-authority.ts'
import {
  type Authority,
  type AuthoritySet,
  activeRoot,
  bundledRoots,
  isRollback,
  type Rotation,
} from '../authority/authority.ts'
import { type Gate, gate } from '../authority/gate.ts'
import type { Action } from '../authority/next-action.ts'
import { withForgotten } from '../authority/revocations.ts'
import {
  activation,
  authorityByPrefix,
  transitionFor,
  withActiveRoot,
  withPrepared,
  withRevoked,
} from '../authority/transitions.ts'
import { shortId } from '../core/bytes.ts'
import { CaError } from '../core/errors.ts'
import { incomingOf, isLeaving } from './authority-steps.ts'
import type { Change, Changes } from './change.ts'
import { checkGate, type Force, MOST_NAMED } from './closed-gate.ts'
import type { KeeperParts } from './keeper-parts.ts'
import { NewRoots } from './new-root.ts'
import type { PluggedIn } from './plug-in.ts'
import {
  checkCurrent,
  checked,
  checkNoneOnItsWay,
  checkOwn,
  describe,
  namedInParts,
  notOurs,
  proveRoot,
  theOne,
  type Wish,
} from './root-steps.ts'
import { type Tainted, taintRoot } from './taint-root.ts'

/** What lists all who are in the way of a step. */
const WHO_WAITS = `alcazar root status --limit ${MOST_NAMED}`

/** A root that left the bundle, with the workloads that this broke. */
export type LeftRoot = {
  readonly root: Authority
  readonly at: Date
  readonly bundleSequence: number
  readonly cutOff: readonly string[]
}

/**
 * The verbs for roots, for admins and for the clock: each is one change with one journal write, checked against the transition table, the
 * gate and the certificates themselves before it is made.
 */
export class Roots {
  readonly #changes: Changes
  readonly #plugged: PluggedIn | undefined
  readonly #parts: KeeperParts
  readonly #newRoots: NewRoots
  #left: LeftRoot | undefined

  constructor(changes: Changes, plugged: PluggedIn | undefined, parts: KeeperParts) {
    this.#changes = changes
    this.#plugged = plugged
    this.#parts = parts
    this.#newRoots = new NewRoots(parts)
  }

  /** What left the bundle last in this process's life. */
  get left(): LeftRoot | undefined {
    return this.#left
  }

  /** A new root in the bundle, which does not sign yet. @throws CaError `wrong_state`: one is on its way already */
  prepare(wish: Wish): Promise<Authority> {
    return this.#changes.change((change) => this.#prepare(change, wish, change.set.rotation))
  }

  /**
   * Begins the whole staged rotation, or takes up the one that was begun, by whatever verb. The clock goes on with it.
   * @throws CaError `wrong_state`: not with a plugged-in CA
   */
  rotate(wish: Wish): Promise<Rotation> {
    return this.#changes.change(async (change) => {
      checkOwn(change.set)
      const { rotation } = change.set
      if (rotation) return rotation
      const oneLeaves = bundledRoots(change.set).some(({ state }) => state === 'old')
      const unfinished = incomingOf(change.set) ?? (oneLeaves ? activeRoot(change.set) : undefined)
      return this.#begin(change, unfinished, checked(wish))
    })
  }

  /**
   * A prepared root signs from now on; where the CA is plugged in, the one that its files ask for.
   * @param id from its beginning; nothing for the one that is prepared
   * @throws CaError `wrong_state`: it is in no state for that, or the gate is closed · `not_found` · `invalid_argument`
   */
  activate(id: string | undefined, wish: Wish, force?: Force): Promise<Authority> {
    return this.#changes.change(async (change) => {
      const root = this.#target(change.set, id, 'activate')
      const verb = change.set.origin === 'plugged-in' ? activation(root) : 'activate'
      const { condition } = transitionFor(root, verb)
      checkCurrent(root, this.#parts.clock.now())
      const found = gate(change.set, root, condition, this.#parts.evidence())
      this.#pass(found, `activate root ${shortId(root.id)}`, WHO_WAITS, force)
      await this.#activate(change, root, verb, describe(wish, found, force))
      return root
    })
  }

  /**
   * Takes back what was begun, one step: a prepared root leaves the bundle, or the root before signs again.
   * @throws CaError `wrong_state`: there is nothing to take back, or the gate is closed
   */
  rollback(wish: Wish, force?: Force): Promise<Authority> {
    return this.#changes.change(async (change) => {
      checkOwn(change.set)
      const { set } = change
      const prepared = incomingOf(set)
      if (prepared) {
        await this.#revoke(change, prepared, checked(wish).because, undefined)
        return this.#rolledBack(change, `prepared root ${shortId(prepared.id)} is discarded`, wish)
      }
      if (set.rotation && set.rotation.to === undefined) {
        const { because } = checked(wish)
        await change.commit({ ...set, rotation: undefined })
        return this.#rolledBack(change, 'before a root was made', { ...wish, because })
      }
      // One that has to leave for what it certified signs no more.
      const before = set.authorities.findLast(
        ({ role, state, taint }) => role === 'root' && state === 'old' && taint === undefined,
      )
      if (!before)
        throw new CaError('wrong_state', `there is nothing to take back: no root is prepared, and ${noWayBack(set)}`)
      checkCurrent(before, this.#parts.clock.now())
      const found = gate(set, before, transitionFor(before, 'rollback').condition, this.#parts.evidence())
      this.#pass(found, `go back to root ${shortId(before.id)}`, 'alcazar workloads --lagging', force)
      // The one that signed until now leaves when nothing stands on it any more.
      const since = this.#parts.clock.now()
      const rotation: Rotation = { to: before.id, since, ...checked(wish), backTo: before.id }
      await this.#activate(change, before, 'rollback', describe(wish, found, force), rotation)
      return before
    })
  }

  /**
   * Out of the bundle.
   * @throws CaError `wrong_state`: it is in no state for that, or something stands on it · `not_found` · `invalid_argument`
   */
  revoke(id: string | undefined, wish: Wish, force?: Force): Promise<Authority> {
    return this.#changes.change(async (change) => {
      const root = this.#target(change.set, id, 'revoke')
      const { condition } = transitionFor(root, 'revoke')
      // Who is cut off is named, every one.
      const found = gate(change.set, root, condition, this.#parts.evidence(), force && Number.POSITIVE_INFINITY)
      this.#pass(found, `take root ${shortId(root.id)} out of the bundle`, WHO_WAITS, force)
      await this.#revoke(change, root, describe(wish, found, force), force ? found : undefined)
      return root
    })
  }

  /**
   * Declares a root compromised. If it signs, a successor is made (or the prepared one taken) and signs from the same journal write on.
   * @param withinMs the root leaves the bundle after this long at the latest
   * @throws CaError `wrong_state`: it is in no state for that, or some workloads could not follow the successor · `not_found`
   */
  taint(id: string, wish: Wish, withinMs: number, force?: Force): Promise<Tainted> {
    return this.#changes.change((change) => {
      checkOwn(change.set)
      return taintRoot(
        change,
        authorityByPrefix(change.set, id, 'root'),
        { wish, withinMs, force },
        this.#newRoots,
        this.#parts,
      )
    })
  }

  /**
   * Cuts a workload off: it holds up nothing any more, and renews only after it attested again by token.
   * @throws CaError `wrong_state`: the journal is full · `invalid_argument`: the reason is too long
   */
  forget(workload: string, wish: Wish): Promise<void> {
    return this.#changes.change(async (change) => {
      const { set } = change
      const { because } = checked(wish)
      const forgotten = withForgotten(change.withoutEnded(set), workload, this.#parts.clock.now())
      await change.commit({ ...set, forgotten })
      const cut = forgotten.find((one) => one.workload === workload)
      if (cut) this.#parts.events.workloadForgotten(cut, because)
      await change.record(
        'workload forgotten',
        activeRoot(set) as Authority,
        `${workload}, by the ${wish.by}: ${because}`,
      )
    })
  }

  /** Does what the clock found due. Gives whether something else may be due now. */
  async act(change: Change, action: Exclude<Action, { kind: 'wait' | 'renew-issuing' }>): Promise<boolean> {
    const { events } = this.#parts
    const { set } = change
    switch (action.kind) {
      case 'begin-rotation':
        await this.#begin(change, incomingOf(set), { by: 'clock', because: action.because })
        return true
      case 'prepare-root':
        await this.#prepare(change, { by: set.rotation?.by ?? 'clock', because: action.because }, set.rotation)
        return true
      case 'activate-root':
        await this.#activate(change, action.root, activation(action.root), action.because)
        if (action.deadline) events.deadlineReached(action.root)
        return true
      case 'revoke-root':
        await this.#revoke(
          change,
          action.root,
          action.because,
          action.gate.open ? undefined : action.gate,
          set.rotation,
        )
        return true
      case 'end-rotation':
        await change.commit({ ...set, rotation: undefined })
        if (set.rotation) events.rotationDone(set.rotation, activeRoot(set) as Authority)
        await change.record(
          set.rotation && isRollback(set.rotation) ? 'rotation rolled back' : 'rotation done',
          activeRoot(set) as Authority,
          set.rotation?.because ?? '',
        )
        return true
    }
  }

  #pass(found: Gate, what: string, more: string, force: Force | undefined): void {
    checkGate(found, what, more, force, this.#parts.clock.now())
  }

  /** @param to the root to end on, where there is one already */
  async #begin(change: Change, to: Authority | undefined, wish: Wish): Promise<Rotation> {
    const begun: Rotation = { to: to?.id, since: this.#parts.clock.now(), ...wish }
    await change.commit({ ...change.set, rotation: begun })
    const active = activeRoot(change.set) as Authority
    this.#parts.events.rotationBegun(begun, active)
    await change.record('rotation begun', to ?? active, `by the ${wish.by}: ${wish.because}`)
    return begun
  }

  async #rolledBack(change: Change, what: string, { by, because }: Wish): Promise<Authority> {
    const active = activeRoot(change.set) as Authority
    await change.record('rotation rolled back', active, `${what}; by the ${by}: ${because}`)
    return active
  }

  async #prepare(change: Change, wish: Wish, rotation: Rotation | undefined): Promise<Authority> {
    const { set } = change
    checkOwn(set)
    const { because } = checked(wish)
    checkNoneOnItsWay(set)
    const root = await this.#newRoots.make(change)
    const next = withPrepared(set, root)
    await change.commit({ ...next, rotation: rotation && { ...rotation, to: root.id } })
    this.#newRoots.taken()
    this.#parts.events.bundlePublished(bundleOf(next), bundledRoots(next))
    await change.record(
      'root prepared',
      root,
      `bundle ${next.bundleSequence}, ${root.cross.length === 0 ? 'without' : 'with'} a cross-certificate; by the ${wish.by}: ${because}`,
    )
    return root
  }

  async #activate(
    change: Change,
    root: Authority,
    verb: 'activate' | 'rollback',
    because: string,
    rotation: Rotation | undefined = change.set.rotation,
  ): Promise<void> {
    const { set } = change
    const successor = await change.makeIssuing(root, await change.parentOf(root))
    await proveRoot(set, root, successor, this.#parts)
    await change.activate({ ...withActiveRoot(set, root, verb, successor.authority), rotation }, successor)
    for (const one of [root, successor.authority]) this.#parts.events.authorityActivated(one, because)
    await change.record('root activated', root, because)
    await change.record('issuing authority activated', successor.authority, because)
  }

  /** @param rotation goes on, to another root if this was the one to end on */
  async #revoke(
    change: Change,
    root: Authority,
    because: string,
    broken: Gate | undefined,
    rotation?: Rotation,
  ): Promise<void> {
    const after = withRevoked(change.set, root)
    const next =
      rotation && after.rotation === undefined ? { ...after, rotation: { ...rotation, to: undefined } } : after
    await change.commit(next)
    const { events } = this.#parts
    events.bundlePublished(bundleOf(next), bundledRoots(next))
    const cutOff = broken?.longest.map(({ workload }) => workload) ?? []
    this.#left = { root, at: this.#parts.clock.now(), bundleSequence: next.bundleSequence, cutOff }
    events.authorityRevoked(root, because, cutOff)
    const unknown = broken?.incomplete === undefined ? '' : `; nobody can say who else is cut off: ${broken.incomplete}`
    const details = namedInParts(`bundle ${next.bundleSequence}: ${because}${unknown}`, cutOff)
    for (const detail of details) await change.record('root revoked', root, detail)
  }

  /** The root that a verb is for. Of a plugged-in CA only what its files ask for is done, and that may be forced. */
  #target(set: AuthoritySet, id: string | undefined, verb: 'activate' | 'revoke'): Authority {
    if (set.origin !== 'plugged-in')
      return id === undefined
        ? theOne(set, verb === 'activate' ? 'prepared' : 'old')
        : authorityByPrefix(set, id, 'root')
    const asked = (this.#plugged?.waits(set) ?? []).filter((step) => step.verb === verb).map(({ root }) => root)
    const wanted = id === undefined ? undefined : authorityByPrefix(set, id, 'root')
    const [root, ...more] = wanted ? asked.filter((one) => one === wanted) : asked
    if (root && more.length === 0) return root
    throw notOurs()
  }
}

/** Why none of the roots that wait to leave may sign again. */
function noWayBack({ authorities }: AuthoritySet): string {
  const waiting = authorities.filter(({ role, state }) => role === 'root' && isLeaving(state))
  if (waiting.length === 0) return 'none waits to leave'
  return waiting
    .map(({ id, state }) => {
      const why = state === 'tainted' ? 'is compromised' : 'certified one that is compromised'
      return `${shortId(id)} ${why} and can’t sign again`
    })
    .join(', ')
}
