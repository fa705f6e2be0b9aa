import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { activeAuthority } from '../../src/authority/active-authority.ts'
import type { Authority } from '../../src/authority/authority.ts'
import { plus, systemClock } from '../../src/core/clock.ts'
import { DAY } from '../../src/core/duration.ts'
import { systemRandom } from '../../src/core/random.ts'
import { makeCross, makeIssuing } from '../../src/issuance/ca-certificates.ts'
import { issueSvid, prepareSvid } from '../../src/issuance/svid.ts'
import { keyAlgorithm } from '../../src/keys/algorithms.ts'
import { PrivateKey } from '../../src/keys/private-key.ts'
import { TrustDomain } from '../../src/spiffe/trust-domain.ts'
import { certificatePem } from '../../src/x509/pem.ts'
import { aCaller, anEntitlement } from './an-issuer.ts'
import { aSet, issuingOf, rootOf } from './authority-sets.ts'
import { aRoot, type TestCa } from './plugged-ca.ts'

/** What a verifier trusts: the root before the rotation, the one after it, both, those of a second rotation, somebody else's. */
export const BUNDLES = ['old', 'new', 'both', 'newest', 'all', 'stranger'] as const
export type BundleName = (typeof BUNDLES)[number]

/**
 * What a verifier is shown, and which bundles take it. `as-istio` is what istio's agent makes of an answer: all of it in one file, the roots
 * too. Under the newest root, crossed by both before it, the bundle of the one between is left out: who trusts that one trusts the old
 * one too, until the old one and its cross-certificate go, and verifiers that never go back for another candidate need that.
 */
export const CHAINS = {
  old: { old: true, new: false, both: true, stranger: false },
  new: { old: false, new: true, both: true, stranger: false },
  'new-crossed': { old: true, new: true, both: true, newest: false, stranger: false },
  'new-crossed-as-istio': { old: true, new: true, both: true, newest: false, stranger: false },
  'newest-crossed-twice': { old: true, both: true, all: true, newest: true, stranger: false },
  'newest-crossed-twice-as-istio': { old: true, both: true, all: true, newest: true, stranger: false },
} as const satisfies Record<string, Partial<Record<BundleName, boolean>>>
export type ChainName = keyof typeof CHAINS

export type ShownChain = {
  readonly key: PrivateKey
  /** PEM, the leaf first. */
  readonly certificates: readonly string[]
}

export type CrossedChains = {
  readonly chains: Readonly<Record<ChainName, ShownChain>>
  /** PEM. */
  readonly bundles: Readonly<Record<BundleName, string>>
}

/** SVIDs of a mesh whose root is replaced twice, good now, as issuance and `activeAuthority` give them out. */
export async function crossedChains(): Promise<CrossedChains> {
  const making = { clock: systemClock, random: systemRandom }
  const [a, b, c, stranger] = await Promise.all([aRoot(), aRoot(), aRoot(), aRoot()])
  const crossed = async (root: TestCa, by: TestCa) => ({
    by: rootOf(by).id,
    certificate: await makeCross(root.certificate, { certificate: by.certificate, signer: by.key }, making),
  })
  const seen = (days: number) => ({ createdAt: plus(systemClock.now(), days * DAY) })
  const old = rootOf(a, { state: 'old', ...seen(-3) })
  const uncrossed = rootOf(b, seen(-2))
  const next = { ...uncrossed, cross: [await crossed(b, a)] }
  // In the order in which neither OpenSSL nor Envoy could use them.
  const newest = rootOf(c, { ...seen(-1), cross: [await crossed(c, b), await crossed(c, a)] })

  const shown = async (under: TestCa, roots: readonly Authority[]) => {
    const issuer = await PrivateKey.generate(keyAlgorithm('ecdsa-p256'))
    const parent = { certificate: under.certificate, signer: under.key }
    const certificate = await makeIssuing(trustDomain, issuer.publicKey, parent, 30 * DAY, making)
    const issuing = issuingOf({ key: issuer, certificate }, { root: rootOf(under).id })
    const active = activeAuthority(aSet([...roots, issuing]), issuing, issuer)
    const key = await PrivateKey.generate(keyAlgorithm('ecdsa-p256'))
    const caller = aCaller({ lineage: undefined })
    const prepared = prepareSvid(caller, anEntitlement(), key.publicKey, active, making.clock, making.random)
    const certificates = [certificatePem((await issueSvid(prepared)).der), ...active.chainPem]
    return { key, certificates, asIstio: { key, certificates: [...certificates, active.rootsPem] } }
  }
  const ofNew = await shown(b, [old, next])
  const ofNewest = await shown(c, [old, next, newest])
  const bundle = (...roots: TestCa[]) => roots.map((root) => certificatePem(root.certificate.der)).join('')
  return {
    chains: {
      old: await shown(a, [old]),
      new: await shown(b, [old, uncrossed]),
      'new-crossed': ofNew,
      'new-crossed-as-istio': ofNew.asIstio,
      'newest-crossed-twice': ofNewest,
      'newest-crossed-twice-as-istio': ofNewest.asIstio,
    },
    bundles: {
      old: bundle(a),
      new: bundle(b),
      both: bundle(a, b),
      newest: bundle(c),
      all: bundle(a, b, c),
      stranger: bundle(stranger),
    },
  }
}

const trustDomain = TrustDomain.parse('cluster.local')

/** Every pair that CHAINS speaks of, with what it says. */
export function eachPair(): { chain: ChainName; bundle: BundleName; accepted: boolean }[] {
  return Object.entries(CHAINS).flatMap(([chain, bundles]) =>
    Object.entries(bundles).map(([bundle, accepted]) => ({
      chain: chain as ChainName,
      bundle: bundle as BundleName,
      accepted,
    })),
  )
}

/** Writes `chains/<name>.pem`, `keys/<name>.pem` and `bundles/<name>.pem`, and what is to be tried as `pairs`: a chain and a bundle a line. */
export async function writeChains(folder: string, { chains, bundles }: CrossedChains): Promise<void> {
  for (const name of ['chains', 'keys', 'bundles']) mkdirSync(join(folder, name), { recursive: true })
  for (const [name, { key, certificates }] of Object.entries(chains)) {
    writeFileSync(join(folder, 'chains', `${name}.pem`), certificates.join(''))
    await key.store(async (pem) => writeFileSync(join(folder, 'keys', `${name}.pem`), pem, { mode: 0o600 }))
  }
  for (const [name, pem] of Object.entries(bundles)) writeFileSync(join(folder, 'bundles', `${name}.pem`), pem)
  writeFileSync(
    join(folder, 'pairs'),
    eachPair()
      .map(({ chain, bundle }) => `${chain} ${bundle}\n`)
      .join(''),
  )
}

/** A verifier's answers, a line each, `<chain> <bundle> accepts` or `<chain> <bundle> refuses: <why>`, held against CHAINS: what differs. */
export function unexpected(said: string): string[] {
  const answers = new Map(
    said
      .trim()
      .split('\n')
      .map((line) => [line.split(' ', 2).join(' '), line]),
  )
  return eachPair().flatMap(({ chain, bundle, accepted }) => {
    const answer = answers.get(`${chain} ${bundle}`) ?? `${chain} ${bundle}: nothing was said`
    const word = answer.split(' ')[2]
    return word === (accepted ? 'accepts' : 'refuses:') ? [] : [answer]
  })
}
