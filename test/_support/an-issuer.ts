import { attestedCaller, type Caller } from '../../src/attestation/caller.ts'
import { type ActiveAuthority, activeAuthority } from '../../src/authority/active-authority.ts'
import { DAY, HOUR } from '../../src/core/duration.ts'
import { makeIssuing, makeRoot } from '../../src/issuance/ca-certificates.ts'
import { keyAlgorithm } from '../../src/keys/algorithms.ts'
import { PrivateKey, type Signer } from '../../src/keys/private-key.ts'
import type { Entitlement } from '../../src/policy/issuance-policy.ts'
import { serviceAccountId } from '../../src/spiffe/spiffe-id.ts'
import { TrustDomain } from '../../src/spiffe/trust-domain.ts'
import type { Lineage } from '../../src/x509/lineage.ts'
import { aSet, issuingOf, rootOf } from './authority-sets.ts'
import { FakeClock } from './fake-clock.ts'
import type { TestCa } from './plugged-ca.ts'
import { seededRandom } from './seeded-random.ts'

const trustDomain = TrustDomain.parse('cluster.local')

/** A root and an issuing authority under it, as the keeper makes them, and what issuance asks for besides. Its clock stands at 2030-01-01. */
export async function anIssuer(
  options: { algorithm?: string; rootLifetimeMs?: number; issuingLifetimeMs?: number; seed?: number } = {},
) {
  const clock = new FakeClock()
  const random = seededRandom(options.seed ?? 1)
  const making = { clock, random }
  const rootKey = await PrivateKey.generate(keyAlgorithm('ecdsa-p256'))
  const root: TestCa = {
    key: rootKey,
    certificate: await makeRoot(trustDomain, rootKey, options.rootLifetimeMs ?? 3650 * DAY, making),
  }
  const key = await PrivateKey.generate(keyAlgorithm(options.algorithm ?? 'ecdsa-p256'))
  const certificate = await makeIssuing(
    trustDomain,
    key.publicKey,
    { certificate: root.certificate, signer: rootKey },
    options.issuingLifetimeMs ?? 30 * DAY,
    making,
  )
  const issuing: TestCa = { key, certificate }
  /** The same authority with another signer: one that a test has tampered with. */
  const activeWith = (signer: Signer): ActiveAuthority => {
    const authority = issuingOf(issuing)
    return activeAuthority(aSet([rootOf(root), authority]), authority, signer)
  }
  return { clock, random, making, trustDomain, root, issuing, active: activeWith(key), activeWith }
}

export const lineage: Lineage = {
  podName: 'cart-0',
  podUid: 'uid-of-cart-0',
  serviceAccountUid: 'uid-of-cart',
  renewableUntil: new Date('2030-01-03T00:00:00Z'),
}

/** Who asks: `shop/cart`, by the token of a pod. */
export const aCaller = (change: Partial<Caller> = {}): Caller =>
  attestedCaller({
    account: { namespace: 'shop', name: 'cart' },
    method: 'service-account-token',
    pod: { name: 'cart-0', uid: 'uid-of-cart-0' },
    lineage,
    onBehalfBy: undefined,
    svid: undefined,
    ...change,
  })

/** What `shop/cart` may have. */
export const anEntitlement = (ttlMs = 24 * HOUR): Entitlement => ({
  id: serviceAccountId(trustDomain, { namespace: 'shop', name: 'cart' }),
  ttlMs,
})
