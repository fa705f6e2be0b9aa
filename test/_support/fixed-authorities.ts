import { attestedCaller } from '../../src/attestation/caller.ts'
import { type ActiveAuthority, activeAuthority } from '../../src/authority/active-authority.ts'
import { authorityOf, emptySet } from '../../src/authority/authority.ts'
import type { Clock } from '../../src/core/clock.ts'
import { DAY, HOUR } from '../../src/core/duration.ts'
import type { RandomBytes } from '../../src/core/random.ts'
import { makeCross, makeIssuing, makeRoot, makeServing, type Parent } from '../../src/issuance/ca-certificates.ts'
import { makeCrl } from '../../src/issuance/crl.ts'
import { prepareSvid } from '../../src/issuance/svid.ts'
import type { PublicKey } from '../../src/keys/public-key.ts'
import { serviceAccountId } from '../../src/spiffe/spiffe-id.ts'
import { TrustDomain } from '../../src/spiffe/trust-domain.ts'
import { readCertificate, writeCertificate } from '../../src/x509/certificate.ts'
import type { Lineage } from '../../src/x509/lineage.ts'
import { FakeClock } from './fake-clock.ts'
import { fixedPublicKey, RecordingSigner } from './fixed-keys.ts'
import { seededRandom } from './seeded-random.ts'

const trustDomain = TrustDomain.parse('cluster.local')
const account = { namespace: 'shop', name: 'cart' }

/** What is asked to be signed, by keys that stay the same, at a time that stands still: the bytes that golden files show. */
export async function fixedTbs() {
  const making: { clock: Clock; random: RandomBytes } = { clock: new FakeClock(), random: seededRandom(1) }
  const rootSigner = new RecordingSigner(fixedPublicKey('root'))
  const issuingKey = fixedPublicKey('issuing')
  const issuingSigner = new RecordingSigner(issuingKey)
  const workload = fixedPublicKey('workload')

  const root = await asked(rootSigner, () => makeRoot(trustDomain, rootSigner, 3650 * DAY, making))
  const underRoot = parent(root, rootSigner)
  const issuing = await asked(rootSigner, () => makeIssuing(trustDomain, issuingKey, underRoot, 30 * DAY, making))
  const underIssuing = parent(issuing, issuingSigner)
  const serving = await asked(issuingSigner, () =>
    makeServing(
      ['alcazar.example', '*.alcazar.svc', '192.0.2.1', '2001:db8::1'],
      workload,
      underIssuing,
      24 * HOUR,
      making,
    ),
  )
  const crl = await asked(issuingSigner, () =>
    makeCrl(
      underIssuing,
      {
        number: 3n,
        nextUpdate: 'with its authority',
        entries: [
          { serial: '00f3a1', revokedAt: new Date('2029-12-31T12:00:00Z'), reason: undefined },
          { serial: '41'.repeat(16), revokedAt: new Date('2029-12-31T13:00:00Z'), reason: 'keyCompromise' },
        ],
      },
      making,
    ),
  )
  // An older root, of another key and with chance of its own.
  const oldSigner = new RecordingSigner(workload)
  const before = { ...making, random: seededRandom(2) }
  const oldRoot = await asked(oldSigner, () => makeRoot(trustDomain, oldSigner, 1000 * DAY, before))
  const cross = await asked(oldSigner, () => makeCross(underRoot.certificate, parent(oldRoot, oldSigner), before))
  const active = activeWith(underRoot, underIssuing)
  const svid = (key: PublicKey, lineage?: Lineage): Uint8Array => {
    const caller = attestedCaller({
      account,
      method: 'service-account-token',
      pod: undefined,
      lineage,
      onBehalfBy: undefined,
      svid: undefined,
    })
    const entitlement = { id: serviceAccountId(trustDomain, account), ttlMs: 24 * HOUR }
    return prepareSvid(caller, entitlement, key, active, making.clock, making.random).tbs.bytes
  }
  return {
    root,
    issuing,
    serving,
    crl,
    svid: svid(workload),
    svidWithRsaKey: svid(fixedPublicKey('rsaWorkload')),
    cross,
    svidWithLineage: svid(workload, {
      podName: 'cart-6d4cf56db6-x2x7z',
      podUid: '8f14e45f-ceea-467f-a8d0-5b0f9e6c2d11',
      serviceAccountUid: 'c9f0f895-fb98-4b7a-9c5d-1e2f3a4b5c6d',
      renewableUntil: new Date('2030-01-03T00:00:00Z'),
    }),
  }
}

/** The one thing that was asked to be signed. What comes of it is refused, since nothing signs. */
async function asked(signer: RecordingSigner, make: () => Promise<unknown>): Promise<Uint8Array> {
  const before = signer.asked.length
  const outcome = await make().then(
    () => 'signed',
    (error: unknown) => error,
  )
  const [tbs] = signer.asked.slice(before)
  if (!tbs) throw new Error('nothing was asked to be signed', { cause: outcome })
  return tbs
}

function parent(tbs: Uint8Array, signer: RecordingSigner): Parent {
  const { signatureAlgorithm } = fixedPublicKey('root').algorithm
  return { certificate: readCertificate(writeCertificate(tbs, signatureAlgorithm, Uint8Array.of(0))), signer }
}

function activeWith(root: Parent, issuing: Parent): ActiveAuthority {
  const at = new Date('2030-01-01T00:00:00Z')
  const authorities = [
    authorityOf(root.certificate, { role: 'root', state: 'active', key: 'file' }, at),
    authorityOf(issuing.certificate, { role: 'issuing', state: 'active', key: 'memory' }, at),
  ] as const
  return activeAuthority({ ...emptySet(trustDomain, 'dev'), authorities }, authorities[1], issuing.signer)
}
