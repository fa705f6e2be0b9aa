import { bundleOf } from '../authority/active-authority.ts'
import { type Authority, type AuthoritySet, activeRoot, bundledRoots, type Rotation } from '../authority/authority.ts'
import { type Gate, gate } from '../authority/gate.ts'
import type { Action } from '../authority/next-action.ts'
import {
  authorityByPrefix,
  transitionFor,
  vouchingFor,
  withActiveRoot,
  withPrepared,
  withRevoked,
  withTainted,
} from '../authority/transitions.ts'
import { shortId } from '../core/bytes.ts'
import { later, plus } from '../core/clock.ts'
import { CaError } from '../core/errors.ts'
import { proveSigning } from '../issuance/prove-signing.ts'
import { isValidAt } from '../x509/certificate.ts'
import type { Change, Successor } from './change.ts'
import { checkGate, type Force } from './closed-gate.ts'
import type { Keeper, KeeperParts } from './keeper.ts'
import { NewRoots, notOurs } from './new-root.ts'

/** Who asks, and why: for the ledger and the log. */
export type Wish = { readonly by: Rotation['by']; readonly because: string }

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

const MAX_REASON = 500

/**
 * The verbs for roots, for admins and for the clock: each is one change with one journal write, checked against the transition table, the
 * gate and the certificates themselves before it is made.
 */
export class Roots {
  readonly #keeper: Keeper
  readonly #parts: KeeperParts
  readonly #newRoots: NewRoots

  constructor(keeper: Keeper, parts: KeeperParts) {
    this.#keeper = keeper
    this.#parts = parts
    this.#newRoots = new NewRoots(parts)
  }

  /** A new root in the bundle, which does not sign yet. @throws CaError `wrong_state`: one is on its way already */
  prepare(wish: Wish): Promise<Authority> {
    return this.#keeper.change((change) => this.#prepare(change, wish, change.set.rotation))
  }

  /**
   * Begins the whole staged rotation, or takes up the one that was begun, by whatever verb. The clock goes on with it.
   * @throws CaError `wrong_state`: not with a plugged-in CA
   */
  rotate(wish: Wish): Promise<Rotation> {
    return this.#keeper.change(async (change) => {
      this.#checkOwn(change.set)
      const { rotation } = change.set
      if (rotation) return rotation
      const roots = bundledRoots(change.set)
      const prepared = roots.find(({ state }) => state === 'prepared')
      const unfinished = prepared ?? (roots.some(({ state }) => state === 'old') ? activeRoot(change.set) : undefined)
      const begun: Rotation = { to: unfinished?.id, since: this.#parts.clock.now(), ...checked(wish) }
      await change.commit({ ...change.set, rotation: begun })
      const active = activeRoot(change.set) as Authority
      await change.record('rotation begun', unfinished ?? active, `by the ${wish.by}: ${wish.because}`)
      return begun
    })
  }

  /**
   * A prepared root signs from now on, or an old one again.
   * @param id from its beginning; nothing for the one that is prepared
   * @throws CaError `wrong_state`: it is in no state for that, or the gate is closed · `not_found` · `invalid_argument`
   */
  activate(id: string | undefined, wish: Wish, force?: Force): Promise<Authority> {
    return this.#keeper.change(async (change) => {
      this.#checkOwn(change.set)
      const root = id === undefined ? theOne(change.set, 'prepared') : authorityByPrefix(change.set, id, 'root')
      transitionFor(root, 'activate')
      checkCurrent(root, this.#parts.clock.now())
      const found = gate(change.set, root, 'trusted', this.#parts.evidence())
      checkGate(
        found,
        `activate root ${shortId(root.id)}`,
        'alcazar workloads --lagging',
        force,
        this.#parts.clock.now(),
      )
      await this.#activate(change, root, 'activate', describe(wish, found, force))
      return root
    })
  }

  /**
   * Takes back what was begun, one step: a prepared root leaves the bundle, or the root before signs again.
   * @throws CaError `wrong_state`: there is nothing to take back, or the gate is closed
   */
  rollback(wish: Wish, force?: Force): Promise<Authority> {
    return this.#keeper.change(async (change) => {
      this.#checkOwn(change.set)
      const { set } = change
      const prepared = set.authorities.find(({ role, state }) => role === 'root' && state === 'prepared')
      if (prepared) {
        await this.#revoke(change, prepared, checked(wish).because, undefined)
        return activeRoot(this.#keeper.set) as Authority
      }
      if (set.rotation && set.rotation.to === undefined) {
        await change.commit({ ...set, rotation: undefined })
        return activeRoot(set) as Authority
      }
      // One that has to leave for what it certified signs no more.
      const before = set.authorities.findLast(
        ({ role, state, taint }) => role === 'root' && state === 'old' && taint === undefined,
      )
      if (!before)
        throw new CaError('wrong_state', 'there is nothing to take back: no root is prepared, and none waits to leave')
      checkCurrent(before, this.#parts.clock.now())
      const found = gate(set, before, 'trusted', this.#parts.evidence())
      checkGate(
        found,
        `go back to root ${shortId(before.id)}`,
        'alcazar workloads --lagging',
        force,
        this.#parts.clock.now(),
      )
      // The one that signed until now leaves when nothing stands on it any more.
      const rotation: Rotation = { to: before.id, since: this.#parts.clock.now(), ...checked(wish) }
      await this.#activate(change, before, 'rollback', describe(wish, found, force), rotation)
      return before
    })
  }

  /**
   * Out of the bundle.
   * @throws CaError `wrong_state`: it is in no state for that, or something stands on it · `not_found` · `invalid_argument`
   */
  revoke(id: string | undefined, wish: Wish, force?: Force): Promise<Authority> {
    return this.#keeper.change(async (change) => {
      this.#checkOwn(change.set)
      const root = id === undefined ? theOne(change.set, 'old') : authorityByPrefix(change.set, id, 'root')
      const { condition } = transitionFor(root, 'revoke')
      const found = gate(change.set, root, condition, this.#parts.evidence())
      checkGate(
        found,
        `take root ${shortId(root.id)} out of the bundle`,
        `alcazar workloads --on ${root.id.slice(0, 8)}`,
        force,
        this.#parts.clock.now(),
      )
      await this.#revoke(change, root, describe(wish, found, force), force ? found : undefined)
      return root
    })
  }

  /**
   * Declares a root compromised. If it signs, a successor is made (or the prepared one taken) and signs from the same journal write on.
   * @param withinMs the root leaves the bundle after this long at the latest
   * @throws CaError `wrong_state`: it is in no state for that, or there is no cross-certificate and some workloads would break · `not_found`
   */
  taint(id: string, wish: Wish, withinMs: number, force?: Force): Promise<Tainted> {
    return this.#keeper.change(async (change) => {
      this.#checkOwn(change.set)
      const { clock, evidence } = this.#parts
      const target = authorityByPrefix(change.set, id, 'root')
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
        const root = prepared ?? (await this.#newRoots.make(change))
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
        await this.#prove(next, incoming, successor)
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
      if (made) this.#newRoots.taken()
      const { events } = this.#parts
      if (successor) events.bundlePublished(bundleOf(next), bundledRoots(next))
      events.authorityTainted(target, because)
      await change.record('authority tainted', target, `by the ${wish.by}: ${because}`)
      if (successor) await change.record('issuing authority activated', successor.authority, because)
      return {
        authority: target,
        successor: successor && activeRoot(this.#keeper.set),
        leavesAt: next.authorities.find(isTarget)?.taint?.leavesAt ?? taint.leavesAt,
        affected: affected.length,
        until: affected.reduce<Date | undefined>((end, { until }) => (end ? later(end, until) : until), undefined),
      }
    })
  }

  /** Cuts a workload off: it holds up nothing any more, and renews only after it attested again by token. */
  forget(workload: string, until: Date, wish: Wish): Promise<void> {
    return this.#keeper.change(async (change) => {
      const { set } = change
      const at = this.#parts.clock.now()
      const { because } = checked(wish)
      const before = set.forgotten.find((one) => one.workload === workload)
      const still = set.forgotten.filter((one) => one !== before && one.until > at)
      // A clock that was set back brings nothing back that was forgotten.
      const now = before ? { at: later(before.at, at), until: later(before.until, until) } : { at, until }
      const forgotten = [...still, { workload, ...now }]
      await change.commit({ ...set, forgotten })
      await change.record(
        'workload forgotten',
        activeRoot(set) as Authority,
        `${workload}, by the ${wish.by}: ${because}`,
      )
    })
  }

  /** Does what the clock found due. Gives whether something else may be due now. */
  async act(change: Change, action: Exclude<Action, { kind: 'wait' | 'renew-issuing' }>): Promise<boolean> {
    const { clock, events } = this.#parts
    const { set } = change
    switch (action.kind) {
      case 'begin-rotation': {
        const { because } = action
        const prepared = bundledRoots(set).find(({ state }) => state === 'prepared')
        await change.commit({ ...set, rotation: { to: prepared?.id, since: clock.now(), by: 'clock', because } })
        await change.record('rotation begun', activeRoot(set) as Authority, `by the clock: ${because}`)
        return true
      }
      case 'prepare-root':
        await this.#prepare(change, { by: set.rotation?.by ?? 'clock', because: action.because }, set.rotation)
        return true
      case 'activate-root':
        if (action.deadline) events.deadlineReached(action.root)
        await this.#activate(change, action.root, 'activate', action.because)
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
        await change.record('rotation done', activeRoot(set) as Authority, set.rotation?.because ?? '')
        return true
    }
  }

  async #prepare(change: Change, wish: Wish, rotation: Rotation | undefined): Promise<Authority> {
    const { set } = change
    this.#checkOwn(set)
    const { because } = checked(wish)
    const other = bundledRoots(set).find(({ state }) => state !== 'active')
    if (other)
      throw new CaError(
        'wrong_state',
        `root ${shortId(other.id)} is ${other.state} and on its way ${other.state === 'prepared' ? 'in' : 'out'}: one rotation at a time; finish it with alcazar root rotate, or take it back with alcazar root rollback`,
      )
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
    await this.#prove(set, root, successor)
    await change.activate({ ...withActiveRoot(set, root, verb, successor.authority), rotation }, successor)
    this.#parts.events.authorityActivated(root, because)
    await change.record('root activated', root, because)
    await change.record('issuing authority activated', successor.authority, because)
  }

  /** That what `root` will sign verifies for whoever holds only the new bundle's root, and for whoever holds only the old one's. */
  async #prove(set: AuthoritySet, root: Authority, { authority, signer }: Successor): Promise<void> {
    const parent = { certificate: authority.certificate, signer }
    await proveSigning(parent, authority.intermediates, [root.certificate], this.#parts)
    for (const { by, certificate } of root.cross) {
      const old = set.authorities.find(({ id, role, state }) => id === by && role === 'root' && state !== 'revoked')
      if (old) await proveSigning(parent, [...authority.intermediates, certificate], [old.certificate], this.#parts)
    }
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
    events.authorityRevoked(root, because, broken?.blockers.map(({ workload }) => workload) ?? [])
    await change.record(
      'root revoked',
      root,
      `bundle ${next.bundleSequence}: ${because}${
        broken && broken.blockers.length > 0
          ? `; cut off: ${broken.blockers
              .slice(0, 20)
              .map(({ workload }) => workload)
              .join(', ')}${broken.blockers.length > 20 ? ` and ${broken.blockers.length - 20} more` : ''}`
          : ''
      }`,
    )
  }

  #checkOwn(set: AuthoritySet): void {
    if (set.origin === 'plugged-in') throw notOurs()
  }
}

/** @throws CaError `wrong_state`: nothing that it would sign is valid */
function checkCurrent(root: Authority, now: Date): void {
  const { tbs } = root.certificate
  if (isValidAt(tbs, now)) return
  throw new CaError(
    'wrong_state',
    `root ${shortId(root.id)} is valid from ${tbs.notBefore.toISOString()} to ${tbs.notAfter.toISOString()}, and now is ${now.toISOString()}: take it out with alcazar root revoke, and prepare another`,
  )
}

function theOne(set: AuthoritySet, state: 'prepared' | 'old'): Authority {
  const found = bundledRoots(set).filter(
    (root) => root.state === state || (state === 'old' && root.state === 'tainted'),
  )
  const [only, ...more] = found
  if (!only) throw new CaError('wrong_state', `no root is ${state}; alcazar root status shows what there is`)
  if (more.length > 0)
    throw new CaError(
      'invalid_argument',
      `several roots are ${state}: ${found.map(({ id }) => shortId(id)).join(', ')}; name one`,
    )
  return only
}

function checked(wish: Wish): Wish {
  if (wish.because.length > MAX_REASON)
    throw new CaError('invalid_argument', `a reason has at most ${MAX_REASON} characters, not ${wish.because.length}`)
  return { by: wish.by, because: wish.because }
}

/** A step in the ledger's words; going through a closed gate is said. */
function describe(wish: Wish, found: Gate, force: Force | undefined): string {
  const { by, because } = checked(wish)
  const forced =
    force && !found.open ? `; FORCED, breaking ${found.blockers.length} of ${found.live} live workloads` : ''
  return `by the ${by}: ${because}${forced}`
}
