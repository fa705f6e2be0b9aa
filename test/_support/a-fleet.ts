import { expect } from 'vitest'
import type { ClusterWatch, Pod } from '../../src/attestation/cluster.ts'
import type { ActiveAuthority } from '../../src/authority/active-authority.ts'
import { type AuthoritySet, activeRoot, bundledRoots, type Taint, vouches } from '../../src/authority/authority.ts'
import { type Evidence, gate, type Standing } from '../../src/authority/gate.ts'
import { DAY, HOUR } from '../../src/core/duration.ts'
import { keyAlgorithm } from '../../src/keys/algorithms.ts'
import { Inventory } from '../../src/ledger/inventory.ts'
import type { LedgerRecord } from '../../src/ledger/ledger.ts'
import { inventoryEvidence } from '../../src/service/inventory-evidence.ts'
import { IssuancesUnderWay } from '../../src/service/issuances-under-way.ts'
import type { Keeper } from '../../src/service/keeper.ts'
import type { TrustBundle } from '../../src/spiffe/trust-bundle.ts'
import { type Certificate, isValidAt, readCertificate } from '../../src/x509/certificate.ts'
import { type Issued, World } from './a-world.ts'
import { NEVER } from './attested.ts'
import { beginWithNarrowRoot } from './narrow-root.ts'
import { NO_EVIDENCE } from './no-evidence.ts'

/** A certificate in the inventory, and whether its answer arrived. */
type Row = Standing & {
  readonly svid: Issued
  readonly workload: string
  readonly issuedAt: Date
  readonly notAfter: Date
  readonly predecessor: Row | undefined
  received: boolean
}

/** A process that asks for certificates; two in one pod are one workload. */
export type Holder = {
  readonly workload: string
  /** Never renews. */
  readonly late: boolean
  /** What came last. */
  row: Row | undefined
  bundle: TrustBundle | undefined
}

/** An issuance that was prepared and not answered yet. */
type Flight = {
  readonly holder: Holder
  readonly authority: ActiveAuthority
  readonly predecessor: Row | undefined
  readonly ttlMs: number
  readonly landed: () => void
}

/**
 * A world with workloads that renew, come late, lose answers and go. What is known of them
 * is what the inventory knows; what they hold is what reached them, which is another thing.
 */
export class Fleet extends World {
  readonly holders: Holder[] = []
  rows: Row[] = []
  flights: Flight[] = []
  underWay = new IssuancesUnderWay()
  #inventory = new Inventory()
  /** Pods by UID, which is their name here. */
  readonly #watch: ClusterWatch = {
    pod: (uid) => (this.holders.some(({ workload }) => workload === uid) ? ({} as Pod) : undefined),
    isGone: () => false,
    serviceAccountUid: () => undefined,
    runsOn: () => true,
    silence: () => 0,
  }
  /** Named when a compromised root left before they were ready: they are no longer promised anything. */
  readonly #cutOff = new Set<Row>()
  readonly #rootsOf = new WeakMap<TrustBundle, readonly Certificate[]>()
  #before: AuthoritySet | undefined
  #names = 0
  /** Lets every gate see nobody: what the property must notice. */
  readonly #blind: boolean

  constructor({ blind = false } = {}) {
    super(
      { kind: 'dev', root: { algorithm: keyAlgorithm('ecdsa-p256'), lifetimeMs: 60 * DAY } },
      { issuingLifetimeMs: 6 * DAY, rootDueBeforeMs: 10 * DAY },
    )
    this.#blind = blind
  }

  override get evidence(): Evidence {
    if (this.#blind) return NO_EVIDENCE
    const set = this.keeper && this.keeper.stopped === undefined ? this.keeper.set : this.journal.set
    return this.underWay.among(inventoryEvidence(this.#inventory, this.#watch, set, this.clock.now()))
  }

  /** Begins with a root that allows no CA below its issuing authorities: it can't cross-certify the next. */
  async beginNarrow(): Promise<void> {
    await beginWithNarrowRoot(this, 60 * DAY)
  }

  /** As a server does it: what is alive is read from the ledger. */
  override async start(change: Parameters<World['start']>[0] = {}): Promise<Keeper> {
    this.crash()
    this.#inventory = new Inventory()
    await this.#inventory.rebuild(readAgain(this.ledger.records), 90 * DAY, this.clock, NEVER)
    return super.start(change)
  }

  /** A workload that attests by token, or another process in the pod of one. */
  async join(ttlMs: number, late: boolean, beside?: Holder): Promise<void> {
    const workload = beside?.workload ?? `shop/cart-${this.#names++}`
    const holder: Holder = { workload, late, row: undefined, bundle: undefined }
    this.holders.push(holder)
    await this.#finish(this.#begin(holder, ttlMs), true)
  }

  /** With its certificate where that is taken, else by token. */
  async renew(holder: Holder, ttlMs: number, arrives = true): Promise<void> {
    await this.#finish(this.#begin(holder, ttlMs), arrives)
  }

  /** The same, while other things happen before it is signed. */
  renewSlowly(holder: Holder, ttlMs: number): void {
    this.flights.push(this.#begin(holder, ttlMs))
  }

  async land(): Promise<void> {
    for (const flight of this.flights.splice(0)) await this.#finish(flight, true)
  }

  /** Its pods are gone. */
  leave(workload: string): void {
    for (const { holder, landed } of this.flights) if (holder.workload === workload) landed()
    this.flights = this.flights.filter(({ holder }) => holder.workload !== workload)
    this.rows = this.rows.filter((row) => row.workload !== workload)
    this.holders.splice(0, Number.POSITIVE_INFINITY, ...this.holders.filter((one) => one.workload !== workload))
  }

  async forget(workload: string): Promise<void> {
    await this.clock.advance(1)
    await this.keeper?.roots.forget(workload, { by: 'admin', because: 'it is stuck' })
  }

  /** Another process: whoever waited for an answer gets none. */
  crash(): void {
    this.flights = []
    this.underWay = new IssuancesUnderWay()
    this.keeper = undefined
  }

  /** Everything that must hold after whatever happened. */
  async prove(): Promise<void> {
    const now = this.clock.now()
    // What the clock said had ended counts no more, also when the clock is set back.
    this.rows = this.rows.filter(({ notAfter }) => now <= notAfter)
    this.issued.splice(0, Number.POSITIVE_INFINITY, ...this.issued.filter(({ leaf }) => now <= leaf.tbs.notAfter))
    if (this.store.text === undefined) return
    const { set } = this.journal
    this.#nameCutOff(set)
    this.#before = set
    await this.check()
    this.#checkAuthorities(set)
    expect(await this.refusals(), 'invariant 6').toEqual([])
  }

  /** Invariant 6: who refuses whom, of all that a live workload may present, by all bundles that one may hold. */
  async refusals(): Promise<string[]> {
    const now = this.clock.now()
    const counting = this.rows.filter((row) => this.#counts(row, now) && !this.#cutOff.has(row))
    const presented = counting.filter(({ received }) => received).map(({ svid }) => svid)
    const probe = await this.#probe()
    const verifiers = this.holders
      .filter(({ row }) => row !== undefined && counting.includes(row) && isValidAt(row.svid.leaf.tbs, now))
      .map(({ workload, bundle }) => ({ name: workload, bundle: bundle as TrustBundle }))
    if (this.keeper) verifiers.push({ name: 'a new workload', bundle: this.active.bundle })
    return verifiers.flatMap(({ name, bundle }) => {
      const roots = this.#rootsOf.get(bundle) ?? bundle.roots.map(readCertificate)
      this.#rootsOf.set(bundle, roots)
      return [...presented, ...probe]
        .filter(({ leaf, chain }) => isValidAt(leaf.tbs, now) && !this.verifies([leaf, ...chain], roots, now))
        .map(
          ({ workload, leaf, bundle: { sequence } }) =>
            `${name} (bundle ${bundle.sequence}) refuses ${workload} (${leaf.tbs.serial.slice(0, 8)}, bundle ${sequence})`,
        )
    })
  }

  /** An inventory's rule: unexpired, not replaced (dropped from `rows`), not forgotten. */
  #counts({ workload, issuedAt, notAfter }: Row, now: Date): boolean {
    if (now > notAfter) return false
    const { forgotten } = this.keeper?.stopped === undefined && this.keeper ? this.keeper.set : this.journal.set
    return !forgotten.some((one) => one.workload === workload && issuedAt < one.at)
  }

  #begin(holder: Holder, ttlMs: number): Flight {
    const { row } = holder
    const now = this.clock.now()
    const vouched =
      row !== undefined &&
      this.#counts(row, now) &&
      isValidAt(row.svid.leaf.tbs, now) &&
      (this.keeper?.mayVouch(row.svid.leaf.tbs.issuer, now).length ?? 0) > 0
    // It was used: what it replaced counts no more.
    if (vouched) {
      this.rows = this.rows.filter((one) => one !== row.predecessor)
      const { serial } = row.svid.leaf.tbs
      this.ledger.records.push({ kind: 'shown', at: now.toISOString(), requestId: '', serial })
      this.#inventory.shown(serial, now)
    }
    const authority = this.active
    const standing = {
      issuer: authority.authority.id,
      bundle: authority.bundle.sequence,
      endsAt: now.getTime() + ttlMs,
    }
    const landed = this.underWay.begin({ name: holder.workload, namespace: 'shop', svid: standing })
    return { holder, authority, predecessor: vouched ? row : undefined, ttlMs, landed }
  }

  async #finish({ holder, authority, predecessor, ttlMs, landed }: Flight, arrives: boolean): Promise<void> {
    try {
      const { notBefore, notAfter } = authority.authority.certificate.tbs
      const now = this.clock.now()
      // As `issue-svid` refuses: it has ended, or was taken back since, or is to be by a write in doubt.
      const vouched = this.keeper?.trusted.every((set) => vouches(set, authority.authority, now))
      if (now < notBefore || now >= notAfter || !vouched) return
      const svid = await this.issue(ttlMs, holder.workload, authority)
      const row: Row = {
        svid,
        workload: holder.workload,
        issuer: svid.issuer,
        bundle: svid.bundle.sequence,
        issuedAt: now,
        notAfter: svid.leaf.tbs.notAfter,
        endsAt: svid.leaf.tbs.notAfter.getTime(),
        predecessor,
        received: arrives,
      }
      this.rows.push(row)
      this.#tell(row)
      if (!arrives) return
      holder.row = row
      holder.bundle = svid.bundle
    } finally {
      landed()
    }
  }

  #tell({ svid, workload, issuer, bundle, issuedAt, notAfter, predecessor }: Row): void {
    const record = {
      kind: 'issued' as const,
      at: issuedAt.toISOString(),
      requestId: '',
      peer: '',
      id: 'spiffe://cluster.local/ns/shop/sa/cart',
      serial: svid.leaf.tbs.serial,
      issuer,
      notAfter: notAfter.toISOString(),
      bundleSequence: bundle,
      sha256: '',
      method: 'service-account-token' as const,
      pod: workload.slice('shop/'.length),
      podUid: workload,
      ...(predecessor && { predecessor: predecessor.svid.leaf.tbs.serial }),
    }
    this.ledger.records.push(record)
    this.#inventory.issued(record)
  }

  async #probe(): Promise<Issued[]> {
    const now = this.clock.now()
    if (!this.keeper || !isValidAt(this.active.authority.certificate.tbs, now)) return []
    if (now >= this.active.authority.certificate.tbs.notAfter) return []
    const state = this.journal.set.authorities.find(({ id }) => id === this.active.authority.id)?.state
    // A keeper that stopped in doubt about a taint signs on, and what it signs authenticates nobody after the restart.
    if (state === 'tainted') return []
    const probe = await this.issue(HOUR, 'a probe')
    this.issued.pop()
    return [probe]
  }

  #nameCutOff(set: AuthoritySet): void {
    const before = this.#before
    if (!before) return
    const left = set.authorities.filter(
      ({ id, role, state, taint }) =>
        role === 'root' &&
        state === 'revoked' &&
        taint !== undefined &&
        before.authorities.some((one) => one.id === id && one.role === role && one.state !== 'revoked'),
    )
    if (left.length === 0) return
    // As it was just before they left, what they had certified included: two may leave at one look.
    const ids = left.map(({ id }) => id)
    const then = {
      ...set,
      authorities: set.authorities.map((one) => {
        const cross = before.authorities.find(({ id, role }) => id === one.id && role === one.role)?.cross ?? one.cross
        return ids.includes(one.id) ? { ...one, cross, state: 'tainted' as const } : { ...one, cross }
      }),
    }
    for (const root of left) {
      const named = gate(then, root, 'unused', this.evidence, Number.POSITIVE_INFINITY).longest.map(
        ({ workload }) => workload,
      )
      if (named.length === 0) continue
      const { at, leavesAt } = root.taint as Taint
      const isSetBack = this.clock.now().getTime() < 2 * at.getTime() - leavesAt.getTime()
      expect(this.clock.now() >= leavesAt || isSetBack, 'nobody is cut off before the time that was said').toBe(true)
      for (const row of this.rows) if (named.includes(row.workload)) this.#cutOff.add(row)
    }
  }

  #checkAuthorities(set: AuthoritySet): void {
    expect(set.authorities.filter(({ role, state }) => role === 'root' && state === 'active')).toHaveLength(1)
    for (const root of bundledRoots(set))
      expect(this.store.keys.has(root.id), 'no key is lost that the journal names').toBe(true)
    expect(bundledRoots(set).filter(({ state }) => state === 'prepared').length, 'one rotation at a time').toBeLessThan(
      2,
    )
    expect(activeRoot(set)?.taint, 'what has to leave does not sign').toBeUndefined()
    expect(
      this.ledger.of('authority').filter(({ what }) => what === 'root made').length,
      'no root from nothing',
    ).toBeLessThan(2)
    // A thief’s chain by way of a cross-certificate ends when the compromised root’s time does.
    for (const root of set.authorities.filter(({ role, taint }) => role === 'root' && taint !== undefined))
      for (const by of bundledRoots(set).filter(({ id }) => root.cross.some((cross) => cross.by === id)))
        expect(
          by.taint && root.taint && by.taint.leavesAt <= root.taint.leavesAt,
          'what vouches for it leaves, too',
        ).toBe(true)
  }
}

async function* readAgain(records: readonly LedgerRecord[]): AsyncGenerator<LedgerRecord> {
  yield* records.filter(({ kind }) => kind === 'issued' || kind === 'shown')
}
