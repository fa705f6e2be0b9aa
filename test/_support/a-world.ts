import { X509Certificate } from 'node:crypto'
import { expect } from 'vitest'
import type { ActiveAuthority } from '../../src/authority/active-authority.ts'
import { type AuthoritySet, activeIssuing, activeRoot, bundledRoots } from '../../src/authority/authority.ts'
import type { Evidence } from '../../src/authority/gate.ts'
import { printJournal } from '../../src/authority/journal.ts'
import { leadsTo } from '../../src/authority/path.ts'
import { denials } from '../../src/authority/revocations.ts'
import { DAY, HOUR } from '../../src/core/duration.ts'
import { issueSvid, prepareSvid } from '../../src/issuance/svid.ts'
import { keyAlgorithm } from '../../src/keys/algorithms.ts'
import { PrivateKey } from '../../src/keys/private-key.ts'
import { Keeper } from '../../src/service/keeper.ts'
import type { RootSource } from '../../src/service/keeper-parts.ts'
import type { TrustBundle } from '../../src/spiffe/trust-bundle.ts'
import { TrustDomain } from '../../src/spiffe/trust-domain.ts'
import { type Certificate, isValidAt, readCertificate } from '../../src/x509/certificate.ts'
import { readPem } from '../../src/x509/pem.ts'
import { aCaller, anEntitlement } from './an-issuer.ts'
import { FakeClock } from './fake-clock.ts'
import { MemoryLedger } from './memory-ledger.ts'
import { MemoryMoment } from './memory-moment.ts'
import { MemoryStore } from './memory-store.ts'
import { recordedEvents } from './recorded-events.ts'
import { seededRandom } from './seeded-random.ts'

/** A root made and kept here. */
export const DEV: RootSource = {
  kind: 'dev',
  root: { algorithm: keyAlgorithm('ecdsa-p256'), lifetimeMs: 3650 * DAY },
}

export type Issued = {
  readonly leaf: Certificate
  readonly chain: readonly Certificate[]
  readonly workload: string
  /** The roots that came with it, and the number of that bundle. */
  readonly bundle: TrustBundle
  readonly issuer: string
}

/** One state directory and all that was issued from it, through every restart. Its clock begins at 2030-01-01 and only a test moves it. */
export class World {
  readonly clock = new FakeClock()
  readonly store = new MemoryStore()
  readonly ledger = new MemoryLedger()
  events = recordedEvents()
  source: RootSource
  issuingLifetimeMs: number
  readonly rootDueBeforeMs: number
  /** What runs now; nothing after a crash. */
  keeper: Keeper | undefined
  readonly issued: Issued[] = []
  /** The roots of every bundle that was ever durable, by sequence. */
  readonly bundles = new Map<number, string>()
  readonly #revoked = new Set<string>()
  /** Serials that were ever on the durable deny list, and the number of each authority’s last durable CRL. */
  readonly #denied = new Set<string>()
  readonly #crlNumbers = new Map<string, bigint>()
  /** What both verifiers found, by the path, the roots and which of them are valid: nothing else of the time matters. */
  readonly #verdicts = new Map<string, boolean>()
  readonly #random = seededRandom(5)
  #leafKey: PrivateKey | undefined

  constructor(source: RootSource = DEV, { issuingLifetimeMs = 30 * DAY, rootDueBeforeMs = 180 * DAY } = {}) {
    this.source = source
    this.issuingLifetimeMs = issuingLifetimeMs
    this.rootDueBeforeMs = rootDueBeforeMs
  }

  /** Another process on the same state: whatever ran before is gone, with all it held in memory. */
  async start(change: Partial<Parameters<typeof Keeper.open>[0]> = {}): Promise<Keeper> {
    this.keeper = undefined
    this.events = recordedEvents()
    this.keeper = await Keeper.open({
      store: this.store,
      trustDomain: TrustDomain.parse('cluster.local'),
      source: this.source,
      issuing: { algorithm: keyAlgorithm('ecdsa-p256'), lifetimeMs: this.issuingLifetimeMs },
      rotation: { rootDueBeforeMs: this.rootDueBeforeMs },
      evidence: () => this.evidence,
      // As if another had run until now.
      lastMoment: new MemoryMoment(this.clock.now()),
      ledger: this.ledger,
      events: this.events,
      clock: this.clock,
      random: this.#random,
      ...change,
    })
    return this.keeper
  }

  get active(): ActiveAuthority {
    return this.keeper?.active.get() as ActiveAuthority
  }

  /** What is durable. */
  get journal(): { readonly revision: number; readonly set: AuthoritySet } {
    return this.store.journal
  }

  /** What an inventory would know: every unexpired SVID, for nobody here ever shows a successor. */
  get evidence(): Evidence {
    const now = this.clock.now()
    const { isRevoked } = denials(this.keeper?.set ?? this.journal.set)
    const live = this.issued.filter(
      ({ leaf, issuer }) => isValidAt(leaf.tbs, now) && !isRevoked(issuer, leaf.tbs.serial),
    )
    return {
      incomplete: undefined,
      workloads: () =>
        [...Map.groupBy(live, ({ workload }) => workload)].map(([name, svids]) => ({
          name,
          namespace: 'shop',
          svids: svids.map(({ issuer, bundle, leaf }) => ({
            issuer,
            bundle: bundle.sequence,
            endsAt: leaf.tbs.notAfter.getTime(),
          })),
        })),
    }
  }

  /** A workload gets an SVID; one without a name is a new one each time. */
  async issue(
    ttlMs = 24 * HOUR,
    workload = `shop/cart-${this.issued.length}`,
    authority = this.active,
  ): Promise<Issued> {
    this.#leafKey ??= await PrivateKey.generate(keyAlgorithm('ecdsa-p256'))
    const { publicKey } = this.#leafKey
    const { der } = await issueSvid(
      prepareSvid(aCaller(), anEntitlement(ttlMs), publicKey, authority, this.clock, this.#random),
    )
    const chain = authority.chainPem.flatMap((pem) =>
      readPem(pem, 100_000, 'nothing else').map((block) => readCertificate(block.der)),
    )
    const issued = {
      leaf: readCertificate(der),
      chain,
      workload,
      bundle: authority.bundle,
      issuer: authority.authority.id,
    }
    this.issued.push(issued)
    return issued
  }

  /** Invariant 6: pairs of live workloads of which one would not take the other's certificate by the newest bundle it holds. */
  broken(): string[] {
    const now = this.clock.now()
    const live = this.issued.filter(({ leaf }) => isValidAt(leaf.tbs, now))
    const holders = [...Map.groupBy(live, ({ workload }) => workload)].map(([name, svids]) => ({
      name,
      bundle: svids.reduce(
        (newest, { bundle }) => (bundle.sequence > newest.sequence ? bundle : newest),
        (svids[0] as Issued).bundle,
      ),
    }))
    return holders.flatMap(({ name, bundle }) => {
      const roots = bundle.roots.map(readCertificate)
      return live
        .filter(({ leaf, chain }) => !this.verifies([leaf, ...chain], roots, now))
        .map(({ workload, leaf }) => `${name} (bundle ${bundle.sequence}) refuses ${workload} (${leaf.tbs.serial})`)
    })
  }

  /** The unexpired SVIDs that the durable bundle does not verify any more. */
  stranded(): readonly Issued[] {
    const now = this.clock.now()
    const roots = bundledRoots(this.journal.set).map((root) => root.certificate)
    return this.issued.filter(
      ({ leaf, chain }) => isValidAt(leaf.tbs, now) && !this.verifies([leaf, ...chain], roots, now),
    )
  }

  /**
   * Proves again, from what is durable and what runs, everything that must hold after whatever happened. SVIDs may lose their place only
   * where an admin took out the root they stood on.
   */
  async check(): Promise<void> {
    if (this.store.text === undefined) return
    const now = this.clock.now()
    const { revision, set } = this.journal
    const roots = bundledRoots(set)

    expect(set.authorities.filter((one) => one.role === 'issuing' && one.state === 'active').length).toBeLessThan(2)
    expect(set.authorities.filter((one) => one.role === 'root' && one.state === 'active').length).toBeLessThan(2)

    const bundle = roots.map((root) => Buffer.from(root.certificate.der).toString('base64')).join()
    if (roots.length > 0) {
      expect(this.bundles.get(set.bundleSequence) ?? bundle, 'one sequence, one bundle').toBe(bundle)
      this.bundles.set(set.bundleSequence, bundle)
      expect(Math.max(...this.bundles.keys()), 'the sequence only grows').toBe(set.bundleSequence)
    }

    for (const { serial } of set.revocations) this.#denied.add(serial)
    for (const { leaf, issuer } of this.issued)
      if (this.#denied.has(leaf.tbs.serial) && isValidAt(leaf.tbs, now))
        expect(denials(set).isRevoked(issuer, leaf.tbs.serial), 'revoked once is revoked for ever').toBe(true)
    for (const { id, crl } of set.crls) {
      expect(crl.tbs.number >= (this.#crlNumbers.get(id) ?? 0n), 'CRL numbers grow').toBe(true)
      this.#crlNumbers.set(id, crl.tbs.number)
    }
    for (const one of set.authorities)
      if (one.role === 'issuing' && one.key === 'memory' && one.state !== 'revoked')
        expect(
          set.crls.some(({ id }) => id === one.id),
          'an issuing authority has its CRL from birth',
        ).toBe(true)

    for (const { leaf, chain } of this.issued) {
      if (!isValidAt(leaf.tbs, now)) continue
      const [issuer] = chain
      const record = set.authorities.find(
        ({ role, certificate }) =>
          role === 'issuing' &&
          (issuer
            ? Buffer.compare(certificate.der, issuer.der) === 0
            : // A root that signs leaves itself stands in no chain.
              Buffer.compare(certificate.tbs.subject, leaf.tbs.issuer) === 0),
      )
      // What signed it is remembered for as long as it lives.
      expect(record, 'the issuer is in the journal').toBeDefined()
      if (record?.state === 'revoked') {
        const certificates = roots.map((root) => root.certificate)
        // A root that comes back later brings nothing back that was revoked with it.
        if (!this.#revoked.has(record.id))
          expect(
            leadsTo([record.certificate, ...record.intermediates], certificates, now),
            'revoked although its root is in the bundle',
          ).toBe(false)
        this.#revoked.add(record.id)
        continue
      }
      if (record?.state === 'tainted') continue
      if (record) expect(leaf.tbs.notAfter <= record.certificate.tbs.notAfter, 'it outlives its issuer').toBe(true)
      expect(
        this.verifies(
          [leaf, ...chain],
          roots.map((root) => root.certificate),
          now,
        ),
        'an SVID is stranded',
      ).toBe(true)
    }

    if (!this.keeper || this.keeper.stopped !== undefined) return
    expect(printJournal(revision, this.keeper.set), 'memory is what is durable').toBe(this.store.text)
    expect(activeRoot(set), 'there is an active root').toBeDefined()
    if (this.active === undefined) {
      const waits = this.keeper.plugged?.waits(set).map(({ verb }) => verb)
      expect(waits, 'nothing signs only where the CA that is plugged in has to wait').toContain('activate')
      return
    }
    expect(this.active.authority.id).toBe(activeIssuing(set)?.id)
    const { notBefore, notAfter } = this.active.authority.certificate.tbs
    if (now < notBefore || now >= notAfter) return
    const { leaf, chain } = await this.issue(HOUR)
    this.issued.pop()
    expect(
      this.verifies(
        [leaf, ...chain],
        roots.map((root) => root.certificate),
        now,
      ),
      'what is signed now verifies in the published bundle',
    ).toBe(true)
    expect(this.keeper.mayVouch(leaf.tbs.issuer, now).length, 'what signs vouches, too').toBeGreaterThan(0)
  }

  /** As a verifier builds paths: what stands in the chain beyond a root that it trusts does not matter to it. */
  verifies(chain: readonly Certificate[], roots: readonly Certificate[], now: Date): boolean {
    const key = [chain, roots].map((some) => some.map((one) => asItIs(one, now)).join()).join(' ')
    const verdict =
      this.#verdicts.get(key) ?? chain.some((_, index) => pathVerifies(chain.slice(0, index + 1), roots, now))
    this.#verdicts.set(key, verdict)
    return verdict
  }
}

/** A certificate and where `now` is from the edges of its time, the last second before its end included. */
function asItIs({ der, tbs: { notBefore, notAfter } }: Certificate, now: Date): string {
  const time = now.getTime()
  const edges = [notBefore.getTime(), notAfter.getTime(), notAfter.getTime() + 1, notAfter.getTime() + 1000]
  return `${edges.filter((edge) => edge <= time).length} ${Buffer.from(der).toString('latin1')}`
}

/** By our own check and by Node's, which shares nothing with it. */
function pathVerifies(path: readonly Certificate[], roots: readonly Certificate[], now: Date): boolean {
  const ours = leadsTo(path, roots, now)
  expect(nodeVerifies(path, roots, now), 'two verifiers agree').toBe(ours)
  return ours
}

function nodeVerifies(path: readonly Certificate[], roots: readonly Certificate[], now: Date): boolean {
  const read = ({ der }: Certificate) => new X509Certificate(Buffer.from(der))
  const isCurrent = (one: X509Certificate) =>
    one.validFromDate <= now && now < new Date(one.validToDate.getTime() + 1000)
  const links = path.map(read)
  if (!links.every(isCurrent)) return false
  const signedBy = (one: X509Certificate, issuer: X509Certificate) =>
    issuer.ca && one.checkIssued(issuer) && one.verify(issuer.publicKey)
  if (!links.every((one, index) => index === 0 || signedBy(links[index - 1] as X509Certificate, one))) return false
  const last = links.at(-1) as X509Certificate
  return roots.map(read).some((root) => isCurrent(root) && (root.raw.equals(last.raw) || signedBy(last, root)))
}
