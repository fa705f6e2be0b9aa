import type { IssuingKeys } from '../attestation/client-certificate.ts'
import { type ActiveAuthority, activeAuthority } from '../authority/active-authority.ts'
import {
  type Authority,
  type AuthoritySet,
  activeRoot,
  authorityOf,
  bundledRoots,
  isKeyOf,
  vouching,
  withoutEnded,
} from '../authority/authority.ts'
import { JournalInDoubt } from '../authority/journal.ts'
import { type Action, nextAction, type RotationPolicy } from '../authority/next-action.ts'
import type { PluggedCa } from '../authority/plugged-ca.ts'
import type { TakenBack } from '../authority/revocations.ts'
import { withActive } from '../authority/transitions.ts'
import { equalBytes, shortId } from '../core/bytes.ts'
import { loop } from '../core/clock.ts'
import { MINUTE, SECOND } from '../core/duration.ts'
import { CaError, causesOf } from '../core/errors.ts'
import { Latest } from '../core/latest.ts'
import { makeIssuing } from '../issuance/ca-certificates.ts'
import { proveSigning } from '../issuance/prove-signing.ts'
import { PrivateKey } from '../keys/private-key.ts'
import { authorityIdOf, type PublicKey } from '../keys/public-key.ts'
import type { Tbs } from '../x509/certificate.ts'
import type { Change, Successor } from './change.ts'
import { ClockJumps } from './clock-jumps.ts'
import { DeadlineAlerts } from './deadline-alerts.ts'
import { beginState, checkBelongs, rootToSignBy } from './first-state.ts'
import type { KeeperParts } from './keeper-parts.ts'
import { OfflineRoots } from './offline-roots.ts'
import { leafSigner, type OpenParent, Parents } from './parents.ts'
import { PluggedIn } from './plug-in.ts'
import { recordAuthority } from './record-authority.ts'
import { Revocations } from './revocations.ts'
import { Roots } from './roots.ts'
import type { Seen } from './seen.ts'
import { Serving } from './serving.ts'
import { CrlSigner } from './signed-crls.ts'
import { Turns } from './turns.ts'

/** How often the rotator looks whether something is due, however long it is told to wait: clocks jump and machines sleep. */
const LOOK_EVERY_MS = MINUTE
/** The same while a root is on its way in or out. */
const LOOK_WHILE_ROTATING_MS = 2 * SECOND

/**
 * Holds the root and the journal, makes issuing authorities and replaces them in time. One at a time: every change goes through `change`, is
 * durable before it is in memory, and a write whose outcome is unknown ends all changes of this process.
 */
export class Keeper implements IssuingKeys {
  readonly active = new Latest<ActiveAuthority>()
  /** What signs our own certificate. */
  readonly serving: Serving
  /** The admin's verbs, and what the clock does with roots. */
  readonly roots: Roots
  /** Roots whose keys are elsewhere, and what signs for them here. */
  readonly offline: OfflineRoots
  readonly revocations: Revocations
  /** Where the CA is plugged in. */
  readonly plugged: PluggedIn | undefined
  readonly #crls: CrlSigner
  readonly #parts: KeeperParts
  readonly #parents: Parents
  readonly #jumps: ClockJumps
  readonly #deadline: DeadlineAlerts
  #set: AuthoritySet
  /** What a write under way or in doubt makes of it. */
  #asked: AuthoritySet | undefined
  #revision: number
  #holding: Successor | undefined
  readonly #turns: Turns
  /** Whether the last look failed. */
  #failed = false

  private constructor(parts: KeeperParts, revision: number, set: AuthoritySet, jumps: ClockJumps) {
    this.#parts = parts
    this.plugged = parts.source.kind === 'plugged-in' ? new PluggedIn(parts.source.ca, parts) : undefined
    this.#revision = revision
    this.#set = set
    this.#parents = new Parents(parts.store)
    this.serving = new Serving(parts.clock)
    this.#jumps = jumps
    this.#deadline = new DeadlineAlerts(parts)
    this.#turns = new Turns(parts.events)
    this.roots = new Roots(this, this.plugged, parts)
    this.offline = new OfflineRoots(this, parts)
    this.#crls = new CrlSigner(parts, async (root) => (await this.#parentOf(root)).signer)
    this.revocations = new Revocations(this, this.#crls, parts)
  }

  /**
   * Reads the journal, or begins one where there never was one, and makes this process able to sign.
   * @throws CaError `wrong_state`: the state is damaged, incomplete or not of this kind or trust domain · `invalid_argument`: the
   * plugged-in CA does not fit what was published before
   */
  static async open(parts: KeeperParts): Promise<Keeper> {
    const found = await parts.store.read()
    const jumps = await ClockJumps.open(parts.lastMoment, found?.set, parts)
    const { revision, set } = found ?? (await beginState(parts))
    const keeper = new Keeper(parts, revision, set, jumps)
    checkBelongs(keeper.set, parts.source.kind, parts.trustDomain)
    let failed: unknown
    if (parts.source.kind === 'plugged-in') await keeper.takePluggedCa(parts.source.ca)
    else {
      // A start that could not sign says so at once.
      await keeper.#parentOf(rootToSignBy(keeper.set, parts.clock.now()))
      failed = await keeper.renewIfDue().catch((error: unknown) => error)
    }
    failed ??= keeper.stopped
    // A plugged-in CA may have to wait, and then nothing signs until it may.
    if (!keeper.active.get() && (!keeper.plugged || failed !== undefined))
      throw new CaError('not_ready', `no issuing authority could be made: ${causesOf(failed)}`, { cause: failed })
    keeper.#failed = failed !== undefined
    if (failed) parts.events.rotationFailed(failed)
    return keeper
  }

  get set(): AuthoritySet {
    return this.#set
  }

  /** Trust counts where each of these gives it: a write that takes some away does so from when it is asked, and gives none back by its failure. */
  get trusted(): readonly AuthoritySet[] {
    return this.#asked ? [this.#set, this.#asked] : [this.#set]
  }

  /** Whether the clock jumped less than an hour ago: until then nothing is taken for ended for ever. */
  get doubtsClock(): boolean {
    return this.#jumps.unsettled()
  }

  /** This moment, for those who show it. */
  seen(): Seen {
    const { evidence, clock } = this.#parts
    return {
      set: this.#set,
      evidence: evidence(),
      now: clock.now(),
      policy: this.#policy,
      holding: this.#holding?.authority.id,
      gone: new Set([...this.#parents.gone, ...this.#lostKeys()]),
      stopped: this.stopped !== undefined,
    }
  }

  /** Why this process changes no authority any more; nothing while it does. */
  get stopped(): unknown {
    return this.#turns.stopped
  }

  mayVouch(subject: Uint8Array, now: Date): readonly PublicKey[] {
    const [known = [], ...asked] = this.trusted.map((set) => vouching(set, subject, now))
    return known.filter((key) => asked.every((keys) => keys.some(({ spki }) => equalBytes(spki, key.spki))))
  }

  takenBack({ serial, notBefore }: Tbs, issuer: PublicKey, workload: string): TakenBack | undefined {
    return this.revocations.takenBack(authorityIdOf(issuer.spki), { serial, notBefore, workload })
  }

  isOurs(key: PublicKey): boolean {
    return isKeyOf(this.#set, key) || this.plugged?.isKeyOf(key) === true
  }

  /** Does what is due, every minute and while a root is on its way and nothing fails every two seconds, until the signal. */
  run(signal: AbortSignal): Promise<void> {
    const { clock } = this.#parts
    let looked = clock.elapsed()
    const look = async () => {
      await this.#jumps.note()
      const { rotation } = this.#set
      const moving =
        rotation !== undefined ||
        bundledRoots(this.#set).some(({ taint }) => taint) ||
        (this.plugged?.waits(this.#set).length ?? 0) > 0
      if ((!moving || this.#failed) && clock.elapsed() - looked < LOOK_EVERY_MS) return
      looked = clock.elapsed()
      await this.tick()
    }
    return loop(clock, signal, () => LOOK_WHILE_ROTATING_MS, look)
  }

  /** Does all that is due now. Failures are told as events, and tried again in a minute unless nothing is done any more. */
  async tick(): Promise<void> {
    if (this.stopped !== undefined) return
    try {
      await this.renewIfDue()
      this.#failed = false
    } catch (error) {
      this.#failed = true
      this.#parts.events.rotationFailed(error)
    }
  }

  /** @throws CaError: why what is due can't be done */
  async renewIfDue(): Promise<void> {
    await this.change(() => this.#parts.store.confirm(this.#revision))
    // One action may make the next one due; there are no more kinds of action than this.
    for (let step = 0; step < 8 && (await this.change((change) => this.#act(change))); step++);
    await this.change((change) => this.revocations.renew(change))
    this.plugged?.settle(this.#set, this.#parts.evidence())
    this.serving.settle(this.#set, this.active.get())
  }

  /**
   * Takes the files of a plugged-in CA, at start or while running, and does of what they ask what may be done now.
   * @throws CaError `invalid_argument`: it shares no root with the bundle published before, so nobody who trusts that would trust it; or it can't sign
   */
  async takePluggedCa(ca: PluggedCa): Promise<void> {
    await this.change(async (change) => {
      this.#crls.hold(ca.signer)
      await this.plugged?.take(change, ca)
    })
    await this.tick()
  }

  /**
   * Runs one change after the other.
   * @throws CaError `not_ready`: this process changes no authority any more, or nobody knows whether this was done · what `action` throws
   */
  change<T>(action: (change: Change) => Promise<T>): Promise<T> {
    return this.#turns.run(async () => {
      const done = await action(this.#changing())
      // After it: the first change of a start asks whether the journal is still this process’s to go by.
      for (const { root, id } of await this.#parents.retire(this.#set)) {
        const whose = id === root.id ? 'it' : `of its online CA ${shortId(id)}: the root`
        await recordAuthority(this.#parts, 'root key destroyed', root, `${whose} has left the bundle`)
      }
      return done
    })
  }

  /** Does the next thing that is due; whether there was one. */
  async #act(change: Change): Promise<boolean> {
    const { clock, evidence, events } = this.#parts
    const holding = this.#holding?.authority.id
    const action: Action = nextAction(change.set, holding, evidence(), clock.now(), this.#policy)
    // A clock that jumped makes no deadline.
    this.#deadline.note(action.kind === 'wait' && !this.doubtsClock ? action.overdue : undefined)
    if (action.kind === 'wait') return false
    if (action.kind !== 'renew-issuing') return !this.doubtsClock && this.roots.act(change, action)
    const root = activeRoot(change.set)
    if (!root) throw new CaError('not_ready', 'there is no root to sign an issuing authority')
    const successor = await change.makeIssuing(root, await change.parentOf(root))
    await change.activate(withActive(change.set, successor.authority), successor)
    events.authorityActivated(successor.authority, action.because)
    await change.record('issuing authority activated', successor.authority, action.because)
    return true
  }

  /** Ids of issuing authorities whose keys ended with the processes that made them. */
  #lostKeys(): readonly string[] {
    return this.#set.authorities
      .filter(({ id, role, key }) => role === 'issuing' && key === 'memory' && !this.#crls.holds(this.#set, id))
      .map(({ id }) => id)
  }

  get #policy(): RotationPolicy {
    const { issuing, rotation } = this.#parts
    return { issuingLifetimeMs: issuing.lifetimeMs, ...rotation, plugged: this.plugged?.wish }
  }

  #changing(): Change {
    const keeper = this
    return {
      get set() {
        return keeper.#set
      },
      commit: async (next) => {
        await this.#commit(next)
        // The bundle that goes out with every answer is the one the journal holds.
        this.#publish()
      },
      activate: (next, successor) => this.#activate(next, successor),
      parentOf: (root) => this.#parentOf(root),
      makeIssuing: (root, parent) => this.#makeIssuing(root, parent),
      withoutEnded: (set) => this.#withoutEnded(set),
      record: (what, authority, detail) => recordAuthority(this.#parts, what, authority, detail),
    }
  }

  async #parentOf(root: Authority): Promise<OpenParent> {
    if (!this.plugged) return this.#parents.of(root)
    const parent = this.plugged.parentOf(root)
    this.#crls.hold(parent.signer)
    return parent
  }

  async #makeIssuing(root: Authority, parent: OpenParent): Promise<Successor> {
    const { trustDomain, issuing, clock } = this.#parts
    if (parent.signsLeavesFrom !== undefined) return leafSigner(root, parent, parent.signsLeavesFrom, clock.now())
    const key = await PrivateKey.generate(issuing.algorithm)
    const certificate = await makeIssuing(trustDomain, key.publicKey, parent, issuing.lifetimeMs, this.#parts)
    const authority = authorityOf(
      certificate,
      { role: 'issuing', state: 'active', key: 'memory', intermediates: parent.intermediates, root: root.id },
      clock.now(),
    )
    return { authority, signer: key }
  }

  /** A new authority signs something that verifies before anybody gets to see it sign. */
  async #activate(next: AuthoritySet, { authority, signer }: Successor): Promise<void> {
    await proveSigning(
      { certificate: authority.certificate, signer },
      authority.intermediates,
      bundledRoots(next).map((root) => root.certificate),
      this.#parts,
    )
    this.#crls.hold(signer)
    await this.#commit(this.#withoutEnded(next))
    this.#holding = { authority, signer }
    this.serving.hold(this.#holding)
    this.#publish()
  }

  #publish(): void {
    if (!this.#holding) return
    const active = activeAuthority(this.#set, this.#holding.authority, this.#holding.signer)
    this.active.set(active)
    this.serving.settle(this.#set, active)
  }

  #withoutEnded(set: AuthoritySet): AuthoritySet {
    if (this.doubtsClock) return set
    return this.revocations.withoutEnded(withoutEnded(set, this.#parts.clock.now()))
  }

  /** Durable first, memory last (invariant 4); but what is to lose its trust has none from here on. */
  async #commit(next: AuthoritySet): Promise<void> {
    const whole = await this.#crls.complete(next)
    this.#asked = whole
    try {
      this.#revision = await this.#parts.store.write(this.#revision, whole)
    } catch (error) {
      if (!(error instanceof JournalInDoubt)) this.#asked = undefined
      // Nothing was written, but what is there is not what this process goes by.
      if (error instanceof CaError && error.code === 'conflict')
        throw new JournalInDoubt(error.message, { cause: error })
      throw error
    }
    this.#set = whole
    this.#asked = undefined
  }
}
