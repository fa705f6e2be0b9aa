import {
  type Authority,
  type AuthoritySet,
  bundledRoots,
  type Revocation,
  type SignedCrl,
} from '../authority/authority.ts'
import { crlSet, hasEnded, missingCrls, type WantedCrl } from '../authority/revocations.ts'
import { equalBytes } from '../core/bytes.ts'
import { type Clock, plus } from '../core/clock.ts'
import { DAY, MINUTE } from '../core/duration.ts'
import { makeCrl } from '../issuance/crl.ts'
import type { Signer } from '../keys/private-key.ts'
import { authorityIdOf } from '../keys/public-key.ts'
import type { Events } from './events.ts'

/** How long a CRL of a root of ours lasts at most; it is signed again at half of that. Issuing authorities’ last to their own ends: their keys die first. */
const ROOT_CRL_MS = 90 * DAY
/** How often a CRL that could not be signed is tried again, changes of the journal aside. */
const AGAIN_AFTER_MS = MINUTE

/** Signs the CRLs there must be, with the keys that this process holds and those of roots that it may open. */
export class CrlSigner {
  readonly #clock: Clock
  readonly #events: Pick<Events, 'crlUnsigned'>
  readonly #openRoot: (root: Authority) => Promise<Signer>
  /** By the id of its authority: issuing authorities made here, those that sign no longer included, and plugged-in CAs. */
  readonly #held = new Map<string, Signer>()
  /** When signing last failed, by the clock that is never set. */
  #failedAt: number | undefined

  constructor(
    { clock, events }: { readonly clock: Clock; readonly events: Pick<Events, 'crlUnsigned'> },
    openRoot: (root: Authority) => Promise<Signer>,
  ) {
    this.#clock = clock
    this.#events = events
    this.#openRoot = openRoot
  }

  /** From now on it signs CRLs, for as long as its authority is in the journal. */
  hold(signer: Signer): void {
    this.#held.set(authorityIdOf(signer.publicKey.spki), signer)
  }

  /** Gives back the keys of authorities that are gone. */
  release(set: AuthoritySet): void {
    const known = issuersOf(set)
    for (const id of this.#held.keys()) if (!known.has(id)) this.#held.delete(id)
  }

  /** Whether this process signs for an authority. */
  holds(set: AuthoritySet, id: string): boolean {
    return this.#held.has(id) || ownRoot(set, id) !== undefined
  }

  /** Whether a CRL is to be signed that is worth another try now. */
  isDue(set: AuthoritySet): boolean {
    const waits = this.#failedAt !== undefined && this.#clock.elapsed() - this.#failedAt < AGAIN_AFTER_MS
    return !waits && this.#due(set).length > 0
  }

  /** Which ended certificates have to be on one more CRL, signed here after their end (RFC 5280 §3.3). */
  owed(set: AuthoritySet): (revocation: Revocation) => boolean {
    return owed(set, this.#wanted(set))
  }

  /** Ids of the authorities without whose CRLs the set is not whole. */
  missing(set: AuthoritySet): readonly string[] {
    return this.#missing(set, this.#wanted(set)).map(({ id }) => id)
  }

  /**
   * The set with every CRL that can be signed and is missing, old, or says other than the deny list; the very set if there is none. One that can't
   * be signed is told and left out: for want of it no authority may stay that has to go.
   */
  async complete(set: AuthoritySet): Promise<AuthoritySet> {
    const known = issuersOf(set)
    let crls = set.crls.filter(({ id }) => known.has(id))
    let failed = false
    for (const wanted of this.#due(set)) {
      try {
        const signed = await this.#sign(set, wanted)
        crls = [...crls.filter((other) => !isOf(other, wanted)), signed]
      } catch (error) {
        failed = true
        this.#events.crlUnsigned(wanted.id, error)
      }
    }
    this.#failedAt = failed ? this.#clock.elapsed() : undefined
    const unchanged = crls.length === set.crls.length && crls.every((one, at) => one === set.crls[at])
    return unchanged ? set : { ...set, crls }
  }

  async #sign(set: AuthoritySet, { id, issuer, entries }: WantedCrl): Promise<SignedCrl> {
    const root = ownRoot(set, id)
    const signer = this.#held.get(id) ?? (root && (await this.#openRoot(root)))
    if (!signer) throw new Error('the key is gone')
    const now = this.#clock.now()
    const last = set.crls.filter((one) => one.id === id).reduce((most, { crl }) => max(most, crl.tbs.number), 0n)
    const crl = await makeCrl(
      { certificate: issuer, signer },
      {
        entries,
        // RFC 5280 §5.2.3: they grow. By the clock also where the last one is not known any more, as from a backup of the journal.
        number: max(last + 1n, BigInt(Math.floor(now.getTime() / 1000))),
        nextUpdate: root ? plus(now, ROOT_CRL_MS) : 'with its authority',
      },
      { clock: this.#clock },
    )
    return { id, crl }
  }

  #due(set: AuthoritySet): readonly WantedCrl[] {
    const wanted = this.#wanted(set)
    const missing = this.#missing(set, wanted)
    const now = this.#clock.now()
    const isOld = (one: WantedCrl) =>
      set.crls.some(
        (signed) =>
          isOf(signed, one) &&
          signed.crl.tbs.nextUpdate < one.issuer.tbs.notAfter &&
          now >= plus(signed.crl.tbs.nextUpdate, -ROOT_CRL_MS / 2),
      )
    const isOwed = owed(set, wanted)
    const owing = new Set(
      set.revocations.filter((one) => hasEnded(one, now) && isOwed(one)).map(({ issuer }) => issuer),
    )
    return wanted.filter((one) => one.signedHere && (missing.includes(one) || isOld(one) || owing.has(one.id)))
  }

  #wanted(set: AuthoritySet): readonly WantedCrl[] {
    return crlSet(set, set.revocations, (id) => this.holds(set, id), this.#clock.now())
  }

  #missing(set: AuthoritySet, wanted: readonly WantedCrl[]): readonly WantedCrl[] {
    return missingCrls(
      wanted,
      set.crls.map(({ crl }) => crl),
      this.#clock.now(),
    )
  }
}

function owed(set: AuthoritySet, wanted: readonly WantedCrl[]): (revocation: Revocation) => boolean {
  const signing = new Set(wanted.filter(({ signedHere }) => signedHere).map(({ id }) => id))
  return ({ issuer, until }) =>
    signing.has(issuer) && set.crls.some(({ id, crl }) => id === issuer && crl.tbs.thisUpdate <= until)
}

/** A root whose key can be opened here. */
function ownRoot(set: AuthoritySet, id: string): Authority | undefined {
  return bundledRoots(set).find((root) => root.id === id && root.key !== 'elsewhere' && root.key !== 'plugged-in')
}

/** Ids of all that may have signed something that is trusted, also of what has ended: a clock that is wrong throws no CRL away. */
function issuersOf(set: AuthoritySet): ReadonlySet<string> {
  const trusted = set.authorities.filter(({ state }) => state !== 'revoked')
  return new Set(
    trusted.flatMap(({ certificate, intermediates }) =>
      [certificate, ...intermediates].map(({ tbs }) => authorityIdOf(tbs.publicKey)),
    ),
  )
}

/** A key that stands under two names has a CRL for each. */
const isOf = ({ id, crl }: SignedCrl, wanted: WantedCrl): boolean =>
  id === wanted.id && equalBytes(crl.tbs.issuer, wanted.issuer.tbs.subject)

const max = (a: bigint, b: bigint): bigint => (a > b ? a : b)
