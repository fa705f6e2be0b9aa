import type { IssuingKeys } from '../attestation/client-certificate.ts'
import { type ActiveAuthority, activeAuthority, bundleOf } from '../authority/active-authority.ts'
import {
  type Authority,
  type AuthoritySet,
  activeRoot,
  authorityOf,
  bundledRoots,
  mayVouch,
  type Origin,
  withActiveIssuing,
  withoutEnded,
  withPluggedRoots,
} from '../authority/authority.ts'
import { JournalInDoubt } from '../authority/journal.ts'
import { nextAction } from '../authority/next-action.ts'
import { leadsTo } from '../authority/path.ts'
import type { PluggedCa } from '../authority/plugged-ca.ts'
import { equalBytes, shortId } from '../core/bytes.ts'
import { later, loop } from '../core/clock.ts'
import { MINUTE } from '../core/duration.ts'
import { CaError } from '../core/errors.ts'
import { Latest } from '../core/latest.ts'
import { type Making, makeIssuing, makeRoot, type Parent } from '../issuance/ca-certificates.ts'
import { proveSigning } from '../issuance/prove-signing.ts'
import type { KeyAlgorithm } from '../keys/algorithms.ts'
import { PrivateKey, type Signer } from '../keys/private-key.ts'
import type { PublicKey } from '../keys/public-key.ts'
import type { AuthorityRecord, Ledger } from '../ledger/ledger.ts'
import type { TrustDomain } from '../spiffe/trust-domain.ts'
import type { Certificate } from '../x509/certificate.ts'
import type { Events } from './events.ts'
import type { AuthorityStore } from './ports.ts'

/** Where the root of trust comes from: made and kept here (dev mode), or plugged in by an admin. */
export type RootSource =
  | { readonly kind: 'dev'; readonly root: { readonly algorithm: KeyAlgorithm; readonly lifetimeMs: number } }
  | { readonly kind: 'plugged-in'; readonly ca: PluggedCa }

export type KeeperParts = Making & {
  readonly store: AuthorityStore
  readonly trustDomain: TrustDomain
  readonly source: RootSource
  readonly issuing: { readonly algorithm: KeyAlgorithm; readonly lifetimeMs: number }
  readonly ledger: Ledger
  readonly events: Events
}

type Successor = { readonly authority: Authority; readonly signer: Signer }

/** How often the rotator looks whether something is due, however long it is told to wait: clocks jump and machines sleep. */
const LOOK_EVERY_MS = MINUTE

/**
 * Holds the root and the journal, makes issuing authorities and replaces them in time. One at a time: every change goes through `#change`, is
 * durable before it is in memory, and a write whose outcome is unknown ends all changes of this process.
 */
export class Keeper implements IssuingKeys {
  readonly active = new Latest<ActiveAuthority>()
  readonly #parts: KeeperParts
  #source: RootSource
  /** What signs issuing authorities; in dev mode the root itself. */
  #parent: Parent | undefined
  #set: AuthoritySet
  #revision: number
  #holding: string | undefined
  #stopped: unknown
  #queue: Promise<unknown> = Promise.resolve()

  private constructor(parts: KeeperParts, revision: number, set: AuthoritySet) {
    this.#parts = parts
    this.#source = parts.source
    this.#revision = revision
    this.#set = set
  }

  /**
   * Reads the journal, or begins one where there never was one, and makes this process able to sign.
   * @throws CaError `wrong_state`: the state is damaged, incomplete or not of this kind or trust domain · `invalid_argument`: the
   * plugged-in CA does not fit what was published before
   */
  static async open(parts: KeeperParts): Promise<Keeper> {
    const found = await parts.store.read()
    const keeper = found ? new Keeper(parts, found.revision, found.set) : await Keeper.#begin(parts)
    keeper.#checkBelongs()
    if (parts.source.kind === 'plugged-in') await keeper.takePluggedCa(parts.source.ca)
    else {
      await keeper.#openRoot()
      await keeper.tick()
    }
    if (!keeper.active.get())
      throw new CaError('not_ready', 'no issuing authority could be made', { cause: keeper.#stopped })
    return keeper
  }

  get set(): AuthoritySet {
    return this.#set
  }

  /** Why this process changes no authority any more; nothing while it does. */
  get stopped(): unknown {
    return this.#stopped
  }

  mayVouch(subject: Uint8Array, now: Date): readonly PublicKey[] {
    return this.#set.authorities
      .filter((authority) => mayVouch(authority, now) && equalBytes(authority.certificate.tbs.subject, subject))
      .map((authority) => authority.publicKey)
  }

  /** Whether some authority of ours, of whatever state, has that key, or a plugged-in CA above one. */
  isOurs(key: PublicKey): boolean {
    return this.#set.authorities.some(
      ({ publicKey, intermediates }) =>
        equalBytes(publicKey.spki, key.spki) || intermediates.some(({ tbs }) => equalBytes(tbs.publicKey, key.spki)),
    )
  }

  /** Does what is due, every minute, until the signal. */
  run(signal: AbortSignal): Promise<void> {
    return loop(
      this.#parts.clock,
      signal,
      () => LOOK_EVERY_MS,
      () => this.tick(),
    )
  }

  /** Does what is due now. Failures are told as events and tried again at the next look. */
  async tick(): Promise<void> {
    try {
      await this.renewIfDue()
    } catch (error) {
      this.#parts.events.rotationFailed(error)
    }
  }

  /** @throws CaError: why what is due can't be done */
  renewIfDue(): Promise<void> {
    return this.#change(() => this.#rotate())
  }

  /** Takes old issuing authorities that have ended out of the journal; gives how many. @throws CaError: it can't be written */
  async prune(): Promise<number> {
    const before = this.#set.authorities.length
    await this.#change(async () => {
      const alive = withoutEnded(this.#set, this.#parts.clock.now()).authorities
      const authorities = this.#set.authorities.filter((one) => one.state === 'active' || alive.includes(one))
      if (authorities.length < this.#set.authorities.length) await this.#commit({ ...this.#set, authorities })
    })
    return before - this.#set.authorities.length
  }

  /**
   * Takes the CA an admin plugged in, at start or while running.
   * @throws CaError `invalid_argument`: it shares no root with the bundle published before, so nobody who trusts that would trust it
   */
  async takePluggedCa(ca: PluggedCa): Promise<void> {
    await this.#change(async () => {
      const { clock, events } = this.#parts
      const before = bundledRoots(this.#set)
      if (
        before.length > 0 &&
        !ca.roots.some((root) => before.some((known) => equalBytes(known.certificate.der, root.der)))
      )
        throw new CaError(
          'invalid_argument',
          `root-cert.pem shares no certificate with the bundle published so far (${before.map((root) => shortId(root.id)).join(', ')}): whoever trusts that bundle would refuse every new certificate; put the old roots beside the new ones first, and take them out when nothing stands on them`,
        )
      const roots = ca.roots.map((certificate) => {
        const key = equalBytes(certificate.der, ca.certificate.der) ? 'plugged-in' : 'elsewhere'
        return authorityOf(certificate, { role: 'root', state: 'prepared', key }, clock.now())
      })
      const root = roots.find((one) => equalBytes(one.certificate.der, ca.root.der)) as Authority
      // A clock that was set back takes no root away from what was made before.
      const next = withPluggedRoots(this.#set, roots, root, ({ certificate, intermediates }) =>
        leadsTo([certificate, ...intermediates], ca.roots, later(clock.now(), certificate.tbs.notBefore)),
      )
      const successor = ca.maySignCas ? await this.#makeIssuing(ca, stepsOf(ca)) : this.#pluggedIssuing(ca)
      const published = next.bundleSequence !== this.#set.bundleSequence || before.length === 0
      // All in one write: there is no moment at which what signs doesn't lead to what is published.
      await this.#activate(next, successor)
      this.#source = { kind: 'plugged-in', ca }
      this.#parent = ca
      if (published) events.bundlePublished(bundleOf(next), bundledRoots(next))
      events.pluggedCaTaken(root)
      const because = ca.maySignCas ? 'the plugged-in CA was taken' : 'the plugged-in CA may not sign CAs'
      events.authorityActivated(successor.authority, because)
      if (published)
        for (const one of bundledRoots(next))
          await this.#record('bundle published', one, `bundle ${next.bundleSequence}, ${one.state}`)
      await this.#record(
        'plugged-in CA taken',
        root,
        `signs ${ca.maySignCas ? 'issuing authorities' : 'leaves itself'}`,
      )
      await this.#record('issuing authority activated', successor.authority, because)
    })
  }

  static async #begin(parts: KeeperParts): Promise<Keeper> {
    const { store, trustDomain, source, clock } = parts
    const empty = (origin: Origin): AuthoritySet => ({ trustDomain, origin, bundleSequence: 1, authorities: [] })
    if (source.kind === 'plugged-in')
      return new Keeper(parts, await store.begin(empty('plugged-in'), undefined), empty('plugged-in'))
    const key = await PrivateKey.generate(source.root.algorithm)
    const certificate = await makeRoot(trustDomain, key, source.root.lifetimeMs, parts)
    const root = authorityOf(certificate, { role: 'root', state: 'active', key: 'file' }, clock.now())
    const set = { ...empty('dev'), authorities: [root] }
    const keeper = new Keeper(parts, await store.begin(set, key), set)
    await keeper.#record('root made', root, `ends ${certificate.tbs.notAfter.toISOString()}`)
    parts.events.bundlePublished(bundleOf(set), [root])
    return keeper
  }

  #checkBelongs(): void {
    const { trustDomain, source } = this.#parts
    if (this.#set.origin !== source.kind)
      throw new CaError(
        'wrong_state',
        source.kind === 'dev'
          ? 'this state directory was not made by dev mode, and dev mode leaves it alone; choose another with --state-directory'
          : 'this state directory was made by dev mode: its root’s key lies there in the clear, so nothing but dev mode uses it; choose another with --state-directory',
      )
    if (!this.#set.trustDomain.equals(trustDomain))
      throw new CaError(
        'wrong_state',
        `this state directory belongs to the trust domain ${this.#set.trustDomain.name}, not ${trustDomain.name}; choose another with --state-directory, or that trust domain with --trust-domain`,
      )
  }

  async #openRoot(): Promise<void> {
    const root = activeRoot(this.#set)
    if (!root)
      throw new CaError(
        'wrong_state',
        'the journal has no active root; put back a copy that has one, or choose another state directory with --state-directory',
      )
    const signer = await this.#parts.store.rootKey(root.id)
    if (!equalBytes(signer.publicKey.spki, root.publicKey.spki))
      throw new CaError(
        'wrong_state',
        `the key found for the root ${shortId(root.id)} is another root’s; put back the right one`,
      )
    this.#parent = { certificate: root.certificate, signer }
  }

  async #rotate(): Promise<void> {
    const { clock, issuing } = this.#parts
    if (this.#source.kind === 'plugged-in' && !this.#source.ca.maySignCas) return
    const action = nextAction(this.#set, this.#holding, clock.now(), { issuingLifetimeMs: issuing.lifetimeMs })
    if (action.kind === 'wait') return
    if (!this.#parent) throw new CaError('not_ready', 'there is no root to sign an issuing authority')
    const steps = this.#source.kind === 'plugged-in' ? stepsOf(this.#source.ca) : []
    const successor = await this.#makeIssuing(this.#parent, steps)
    await this.#activate(this.#set, successor)
    this.#parts.events.authorityActivated(successor.authority, action.because)
    await this.#record('issuing authority activated', successor.authority, action.because)
  }

  async #makeIssuing(parent: Parent, intermediates: readonly Certificate[]): Promise<Successor> {
    const { trustDomain, issuing, clock } = this.#parts
    const key = await PrivateKey.generate(issuing.algorithm)
    const certificate = await makeIssuing(trustDomain, key.publicKey, parent, issuing.lifetimeMs, this.#parts)
    const authority = authorityOf(
      certificate,
      { role: 'issuing', state: 'active', key: 'memory', intermediates },
      clock.now(),
    )
    return { authority, signer: key }
  }

  #pluggedIssuing({ certificate, intermediates, signer }: PluggedCa): Successor {
    const authority = authorityOf(
      certificate,
      { role: 'issuing', state: 'active', key: 'plugged-in', intermediates },
      this.#parts.clock.now(),
    )
    return { authority, signer }
  }

  /** A new authority signs something that verifies before anybody gets to see it sign. */
  async #activate(set: AuthoritySet, { authority, signer }: Successor): Promise<void> {
    await proveSigning(
      { certificate: authority.certificate, signer },
      authority.intermediates,
      bundledRoots(set).map((root) => root.certificate),
      this.#parts,
    )
    const others = set.authorities.filter(
      (other) => other.role === 'root' || !equalBytes(other.certificate.der, authority.certificate.der),
    )
    const next = withActiveIssuing({ ...set, authorities: others }, authority)
    await this.#commit(withoutEnded(next, this.#parts.clock.now()))
    this.#holding = authority.id
    this.active.set(activeAuthority(this.#set, authority, signer))
  }

  /** Durable first, memory last (invariant 4). */
  async #commit(next: AuthoritySet): Promise<void> {
    this.#revision = await this.#parts.store.write(this.#revision, next)
    this.#set = next
  }

  async #change(action: () => Promise<void>): Promise<void> {
    const turn = this.#queue.then(async () => {
      if (this.#stopped !== undefined)
        throw new CaError('not_ready', 'this process changes no authority any more; restart it', {
          cause: this.#stopped,
        })
      try {
        await action()
      } catch (error) {
        if (error instanceof JournalInDoubt) {
          this.#stopped = error
          this.#parts.events.keeperStopped(error)
        }
        throw error
      }
    })
    this.#queue = turn.catch(() => undefined)
    await turn
  }

  /** The journal is the truth; a ledger that can't be written keeps the server from being ready, and changes nothing that was done. */
  async #record(what: AuthorityRecord['what'], authority: Authority, detail: string): Promise<void> {
    const { ledger, clock, events } = this.#parts
    try {
      await ledger.record({
        kind: 'authority',
        at: clock.now().toISOString(),
        what,
        authority: authority.id,
        detail,
      })
    } catch (error) {
      events.authorityUnrecorded(error)
    }
  }
}

/** What stands between an issuing authority that `ca` signs and the root. */
function stepsOf(ca: PluggedCa): readonly Certificate[] {
  return [ca.certificate, ...ca.intermediates].filter((one) => !ca.roots.some((root) => equalBytes(root.der, one.der)))
}
