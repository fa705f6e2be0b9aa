import { attestedCaller } from '../../src/attestation/caller.ts'
import { activeAuthority } from '../../src/authority/active-authority.ts'
import { authorityOf, emptySet } from '../../src/authority/authority.ts'
import { DAY, HOUR } from '../../src/core/duration.ts'
import { makeCross, makeIssuing, makeRoot, makeServing } from '../../src/issuance/ca-certificates.ts'
import { issueSvid, prepareSvid } from '../../src/issuance/svid.ts'
import { keyAlgorithm } from '../../src/keys/algorithms.ts'
import { PrivateKey } from '../../src/keys/private-key.ts'
import { serviceAccountId } from '../../src/spiffe/spiffe-id.ts'
import { TrustDomain } from '../../src/spiffe/trust-domain.ts'
import type { Lineage } from '../../src/x509/lineage.ts'
import { FakeClock } from './fake-clock.ts'
import { fixedPublicKey } from './fixed-keys.ts'
import { seededRandom } from './seeded-random.ts'

export type IssuedKind =
  | 'root'
  | 'cross'
  | 'issuing'
  | 'serving'
  | 'svid'
  | 'svid for an RSA key'
  | 'svid with a lineage'

export type IssuedOptions = {
  now?: string
  trustDomain?: string
  namespace?: string
  serviceAccount?: string
  algorithms?: { root?: string; issuing?: string }
  rootLifetimeMs?: number
  ttlMs?: number
  servingNames?: readonly string[]
  seed?: number
}

/** One certificate of every kind that Alcazar issues, as it issues them, with keys of this run. */
export async function issuedCertificates(options: IssuedOptions = {}) {
  const making = { clock: new FakeClock(options.now), random: seededRandom(options.seed ?? 1) }
  const trustDomain = TrustDomain.parse(options.trustDomain ?? 'cluster.local')
  const account = { namespace: options.namespace ?? 'shop', name: options.serviceAccount ?? 'cart' }
  const key = (name = 'ecdsa-p256') => PrivateKey.generate(keyAlgorithm(name))

  const rootKey = await key(options.algorithms?.root)
  const root = await makeRoot(trustDomain, rootKey, options.rootLifetimeMs ?? 3650 * DAY, making)
  const oldRootKey = await key(options.algorithms?.root)
  const oldRoot = await makeRoot(trustDomain, oldRootKey, options.rootLifetimeMs ?? 3650 * DAY, making)
  const cross = await makeCross(root, { certificate: oldRoot, signer: oldRootKey }, making)
  const issuingKey = await key(options.algorithms?.issuing)
  const underRoot = { certificate: root, signer: rootKey }
  const issuing = await makeIssuing(trustDomain, issuingKey.publicKey, underRoot, 30 * DAY, making)
  const workload = (await key()).publicKey
  const serving = await makeServing(
    options.servingNames ?? ['alcazar.example', '192.0.2.1', '2001:db8::1'],
    workload,
    { certificate: issuing, signer: issuingKey },
    24 * HOUR,
    making,
  )

  const at = making.clock.now()
  const authorities = [
    authorityOf(root, { role: 'root', state: 'active', key: 'file' }, at),
    authorityOf(issuing, { role: 'issuing', state: 'active', key: 'memory' }, at),
  ] as const
  const set = { ...emptySet(trustDomain, 'dev'), authorities }
  const active = activeAuthority(set, authorities[1], issuingKey)
  const svid = async (publicKey = workload, lineage?: Lineage): Promise<Uint8Array> => {
    const entitlement = { id: serviceAccountId(trustDomain, account), ttlMs: options.ttlMs ?? 24 * HOUR }
    const caller = attestedCaller({
      account,
      method: 'service-account-token',
      pod: undefined,
      lineage,
      onBehalfBy: undefined,
      svid: undefined,
    })
    return (await issueSvid(prepareSvid(caller, entitlement, publicKey, active, making.clock, making.random))).der
  }
  const lineage = {
    podName: 'cart-0',
    podUid: '8f14e45f-ceea-467f-a8d0-5b0f9e6c2d11',
    serviceAccountUid: 'c9f0f895-fb98-4b7a-9c5d-1e2f3a4b5c6d',
    renewableUntil: new Date(at.getTime() + 48 * HOUR),
  }
  const ders: Readonly<Record<IssuedKind, Uint8Array>> = {
    root: root.der,
    cross: cross.der,
    issuing: issuing.der,
    serving: serving.der,
    svid: await svid(),
    'svid for an RSA key': await svid(fixedPublicKey('rsaWorkload')),
    'svid with a lineage': await svid(workload, lineage),
  }
  return { ders, oldRoot: oldRoot.der, keys: { root: rootKey.publicKey, issuing: issuingKey.publicKey, workload } }
}
