import type { Caller } from '../attestation/caller.ts'
import type { AuthoritySet, Revocation } from '../authority/authority.ts'
import {
  type Denials,
  denials,
  MAX_REVOCATIONS,
  type TakenBack as Reason,
  reachOf,
  withoutEndedRevocations,
  withRevocation,
} from '../authority/revocations.ts'
import { shortId } from '../core/bytes.ts'
import { CaError } from '../core/errors.ts'
import type { Change, Changes } from './change.ts'
import type { CrlSet } from './crl-set.ts'
import type { KeeperParts } from './keeper-parts.ts'
import type { Wish } from './root-steps.ts'
import type { CrlSigner } from './signed-crls.ts'

/** A certificate that may be revoked, as the ledger knows it. */
export type Revocable = {
  readonly serial: string
  /** Its SPIFFE ID. */
  readonly id: string
  readonly issuer: string
  readonly notAfter: Date
}

/** How far a revocation reaches: it is on a CRL · its issuing authority is · it will be, or its issuing authority will · only its renewal is refused. */
export type Reached = 'crl' | 'authority' | 'later' | 'renewal'

/** A revocation with what it leads to, for JSON. */
export type RevocationView = {
  readonly serial: string
  readonly issuer: string
  readonly at: string
  readonly until: string
  readonly because: string
  readonly reached: Reached
  /** The same in words. */
  readonly says: string
}

export type RevocationsView = {
  readonly now: string
  readonly revocations: readonly RevocationView[]
  /** Authorities without whose CRLs the set at `/crl` is not whole. */
  readonly missingCrls: readonly string[]
}

/** The deny list: what admins put on it, what the clock does with it, and what attestation and the gate ask of it. */
export class Revocations {
  readonly #changes: Changes
  readonly #crls: CrlSigner
  readonly #parts: Pick<KeeperParts, 'clock' | 'events' | 'evidence'>
  readonly #denials = new WeakMap<AuthoritySet, Denials>()
  readonly #listed = new WeakMap<AuthoritySet, ReadonlySet<string>>()

  constructor(changes: Changes, crls: CrlSigner, parts: Pick<KeeperParts, 'clock' | 'events' | 'evidence'>) {
    this.#changes = changes
    this.#crls = crls
    this.#parts = parts
  }

  /** What the journal denies now. */
  get denials(): Denials {
    return this.#denialsOf(this.#changes.set)
  }

  /** Why a client certificate authenticates nobody: by the journal, or by what a write under way or in doubt makes of it. */
  takenBack(issuer: string, certificate: Parameters<Denials['takenBack']>[1]): Reason | undefined {
    for (const set of this.#changes.trusted) {
      const reason = this.#denialsOf(set).takenBack(issuer, certificate)
      if (reason) return reason
    }
    return undefined
  }

  /** Why a caller that was attested since then would not be now; nothing if it would. */
  takenBackSince({ account, pod, svid }: Caller, since: Date): Reason | undefined {
    if (svid === undefined) return undefined
    const name = pod && `${account.namespace}/${pod.name}`
    const sets = this.#changes.trusted
    if (sets.some(({ revocations }) => revocations.some(({ serial }) => serial === svid))) return 'revoked'
    return sets.some(({ forgotten }) => forgotten.some(({ workload, at }) => workload === name && at >= since))
      ? 'forgotten'
      : undefined
  }

  /**
   * Takes a certificate back: it authenticates nobody from the journal's write on, and stands on its authority’s CRL where its key is here. Once is
   * enough; a second time changes nothing.
   * @throws CaError `wrong_state`: it has ended, or the list is full · `invalid_argument`: the reason is too long
   */
  revoke({ serial, id, issuer, notAfter }: Revocable, { by, because }: Wish): Promise<void> {
    return this.#changes.change(async (change) => {
      const { clock, events } = this.#parts
      const { set } = change
      const at = clock.now()
      if (notAfter < at)
        throw new CaError('wrong_state', `${serial} ended at ${notAfter.toISOString()}; there is nothing to revoke`)
      const { length } = set.revocations
      const room = length < MAX_REVOCATIONS ? set.revocations : change.withoutEnded(set).revocations
      const revocation = { serial, issuer, at, until: notAfter, because }
      const revocations = withRevocation(room, revocation)
      if (revocations === room) return
      await change.commit({ ...set, revocations })
      events.certificateRevoked(revocation, id)
      await change.record('certificate revoked', { id: issuer }, `${serial} of ${id}, by the ${by}: ${because}`)
    })
  }

  /** The set without revocations that have ended and are need be on no CRL any more. */
  withoutEnded(set: AuthoritySet): AuthoritySet {
    const revocations = withoutEndedRevocations(set.revocations, this.#parts.clock.now(), this.#crls.owed(set))
    return revocations === set.revocations ? set : { ...set, revocations }
  }

  /** Everything on the list, the newest last. */
  view(): RevocationsView {
    const { set } = this.#changes
    return {
      now: this.#parts.clock.now().toISOString(),
      revocations: set.revocations.map((one) => this.#viewOf(one)),
      missingCrls: this.#crls.missing(set),
    }
  }

  crls(): CrlSet {
    const { set } = this.#changes
    return { crls: set.crls.map(({ id, crl }) => ({ id, der: crl.der })), missing: this.#crls.missing(set) }
  }

  /** Signs what CRLs are due, and revokes the issuing authorities whose keys are gone and on which nothing stands but what was revoked. */
  async renew(change: Change): Promise<void> {
    this.#crls.release(change.set)
    if (this.#crls.isDue(change.set)) {
      const next = await this.#crls.complete(change.set)
      if (next !== change.set) await change.commit(next)
    }
    const due = this.#dueAuthorities(change.set)
    if (due.length === 0) return
    await change.commit({ ...change.set, revocations: due.reduce(withRevocation, change.set.revocations) })
    for (const one of due) {
      this.#parts.events.certificateRevoked(one, undefined)
      const detail = `${one.serial}, an issuing authority: ${one.because}`
      await change.record('certificate revoked', { id: one.issuer }, detail)
    }
  }

  #denialsOf(set: AuthoritySet): Denials {
    const known = this.#denials.get(set) ?? denials(set)
    this.#denials.set(set, known)
    return known
  }

  /** What stands on the CRLs of a set: ids of authorities, each with a serial number. */
  #listedIn(set: AuthoritySet): ReadonlySet<string> {
    const known =
      this.#listed.get(set) ??
      new Set(set.crls.flatMap(({ id, crl }) => crl.tbs.entries.map(({ serial }) => `${id} ${serial}`)))
    this.#listed.set(set, known)
    return known
  }

  #dueAuthorities(set: AuthoritySet): readonly Revocation[] {
    const { isRevoked } = this.denials
    const found = new Map<string, Revocation>()
    const judged = new Set<string>()
    for (const one of set.revocations) {
      if (judged.has(one.issuer)) continue
      judged.add(one.issuer)
      const reach = reachOf(one, set, (id) => this.#crls.holds(set, id))
      if (reach.kind === 'revoke authority' && !isRevoked(reach.revocation.issuer, reach.revocation.serial))
        found.set(one.issuer, { ...reach.revocation, at: this.#parts.clock.now() })
    }
    if (found.size === 0) return []
    const { incomplete, workloads } = this.#parts.evidence()
    // Nobody knows who else stands on it.
    if (incomplete !== undefined) return []
    for (const { svids } of workloads()) for (const { issuer } of svids) found.delete(issuer)
    return [...found.values()]
  }

  #viewOf(revocation: Revocation): RevocationView {
    const { serial, issuer, at, until, because } = revocation
    return {
      serial,
      issuer,
      at: at.toISOString(),
      until: until.toISOString(),
      because,
      ...this.#reachOf(revocation),
    }
  }

  #reachOf(revocation: Revocation): Pick<RevocationView, 'reached' | 'says'> {
    const { set } = this.#changes
    const { serial, issuer } = revocation
    const listed = this.#listedIn(set)
    const on = (id: string, wanted: string) => listed.has(`${id} ${wanted}`)
    if (on(issuer, serial)) return { reached: 'crl', says: `on the CRL of authority ${shortId(issuer)}` }
    const reach = reachOf(revocation, set, (id) => this.#crls.holds(set, id))
    if (reach.kind === 'own CRL')
      return {
        reached: 'later',
        says: `on the next CRL of authority ${shortId(issuer)}, which could not be signed yet`,
      }
    if (reach.kind !== 'revoke authority')
      return { reached: 'renewal', says: `on no CRL: ${reach.kind === 'renewal alone' ? reach.because : ''}` }
    const above = reach.revocation.issuer
    if (on(above, reach.revocation.serial))
      return {
        reached: 'authority',
        says: `its issuing authority ${shortId(issuer)}, whose key is gone, is on the CRL of authority ${shortId(above)}`,
      }
    return {
      reached: 'later',
      says: `on no CRL yet: the key of its issuing authority ${shortId(issuer)} is gone, which goes on the CRL of authority ${shortId(above)} once all others that stand on it were reissued (alcazar workloads --on ${issuer.slice(0, 8)})`,
    }
  }
}
