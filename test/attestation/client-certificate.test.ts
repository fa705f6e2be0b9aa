import { describe, expect, test } from 'vitest'
import { attestClientCertificate } from '../../src/attestation/client-certificate.ts'
import type { AuthorityState } from '../../src/authority/authority.ts'
import { printJournal } from '../../src/authority/journal.ts'
import { plus } from '../../src/core/clock.ts'
import { DAY, HOUR, MINUTE, SECOND } from '../../src/core/duration.ts'
import { makeIssuing, makeServing } from '../../src/issuance/ca-certificates.ts'
import { keyAlgorithm } from '../../src/keys/algorithms.ts'
import { PrivateKey, type Signer } from '../../src/keys/private-key.ts'
import type { PublicKey } from '../../src/keys/public-key.ts'
import type { RootSource } from '../../src/service/keeper-parts.ts'
import { type Certificate, readCertificate } from '../../src/x509/certificate.ts'
import { generalizedTime, sequence, TAG, tlv, unsignedInteger, utf8String } from '../../src/x509/der.ts'
import { type Lineage, readLineage, writeLineage } from '../../src/x509/lineage.ts'
import { OID } from '../../src/x509/oids.ts'
import { aCa, type CaOptions, type TestCluster } from '../_support/a-ca.ts'
import { NEVER, opaque, refusal, unavailable, withCertificate, withToken } from '../_support/attested.ts'
import { aCsr } from '../_support/csr.ts'
import { FakeClock } from '../_support/fake-clock.ts'
import { MemoryStore } from '../_support/memory-store.ts'
import { anIntermediate, aRoot, type TestCa } from '../_support/plugged-ca.ts'
import { aSvid, extension, type SvidFields } from '../_support/svids.ts'
import { TokenSigner } from '../_support/tokens.ts'

const signer = new TokenSigner({ alg: 'ES256' })
const LINEAGE: Lineage = {
  podName: 'cart-0',
  podUid: 'uid-of-cart-0',
  serviceAccountUid: 'uid-of-cart',
  renewableUntil: new Date('2030-01-03T00:00:00Z'),
}
const aKey = (algorithm = 'ecdsa-p256') => PrivateKey.generate(keyAlgorithm(algorithm))

/** A CA whose cluster runs cart-0 of shop/cart, and a way to show certificates that it, or somebody else, might have signed. */
async function world(options: CaOptions = {}) {
  const ca = await aCa({ signer, ...options })
  ca.cluster.add({ namespace: 'shop', serviceAccount: 'cart', name: 'cart-0' })
  const active = ca.keeper.active.get()
  if (!active) return expect.fail('no active authority')
  const issuing: { signer: Signer; issuer: Certificate } = {
    signer: active.signer,
    issuer: active.authority.certificate,
  }
  return {
    ...ca,
    issuing,
    svid: (change: Partial<SvidFields> = {}) => aSvid({ ...issuing, now: ca.clock.now(), lineage: LINEAGE, ...change }),
    attestCertificate: (der: Uint8Array) => ca.attest(withCertificate(der), NEVER),
    /** Through the whole of issuance. */
    issued: async (credentials: Parameters<typeof ca.attest>[0]) => {
      const { pem } = await aCsr()
      const context = { requestId: 'r', endpoint: 'istio-ca', peer: '127.0.0.1:1' } as const
      return (await ca.issueSvid({ context, credentials, asked: () => ({ csrPem: pem, ttlSeconds: 0 }) }, NEVER)).svid
        .der
    },
  }
}

/** Dev mode's root, with its key. */
function rootOf({ keeper, store }: Awaited<ReturnType<typeof world>>): { certificate: Certificate; signer: Signer } {
  const root = keeper.set.authorities.find((one) => one.role === 'root')
  if (!root || !store.key) return expect.fail('no root')
  return { certificate: root.certificate, signer: store.key }
}

const lineageOf = (der: Uint8Array) =>
  readLineage(readCertificate(der).tbs.extensions.get(OID.lineage)?.value ?? new Uint8Array())

describe('a client certificate of ours', () => {
  test('renews the identity in it, for the pod in its lineage, without a question', async () => {
    const { cluster, attestCertificate, svid } = await world()
    expect(await attestCertificate(await svid())).toEqual({
      account: { namespace: 'shop', name: 'cart' },
      method: 'client-certificate',
      pod: { name: 'cart-0', uid: 'uid-of-cart-0' },
      lineage: LINEAGE,
      onBehalfBy: undefined,
      svid: '42'.repeat(16),
    })
    expect(cluster.asked).toEqual([])
  })

  test('hands its lineage on unchanged over ten renewals', async () => {
    const { clock, podToken, issued } = await world()
    let der = await issued(withToken(podToken()))
    for (let renewal = 0; renewal < 10; renewal++) {
      await clock.advance(4 * HOUR)
      der = await issued(withCertificate(der))
      expect(lineageOf(der)).toEqual(LINEAGE)
    }
  })

  test('can’t outlive its lineage by renewing: only a token begins another', async () => {
    const { clock, podToken, issued } = await world()
    let der = await issued(withToken(podToken()))
    for (let renewal = 0; renewal < 4; renewal++) {
      await clock.advance(12 * HOUR)
      der = await issued(withCertificate(der))
    }
    await clock.advance(SECOND)
    expect(await refusal(issued(withCertificate(der)))).toMatchObject(opaque('lineage_ended'))
    expect(lineageOf(await issued(withToken(podToken()))).renewableUntil).toEqual(new Date('2030-01-05T00:00:01Z'))
  })

  test('is judged again on every call, not only when it was first seen', async () => {
    const { cluster, attestCertificate, svid } = await world()
    const der = await svid()
    await attestCertificate(der)
    cluster.pods.clear()
    expect(await refusal(attestCertificate(der))).toMatchObject(opaque('pod_gone'))
    cluster.add({ namespace: 'shop', serviceAccount: 'cart', name: 'cart-0' })
    await expect(attestCertificate(der)).resolves.toMatchObject({ account: { name: 'cart' } })
  })
})

describe('a token together with a certificate', () => {
  async function both(header: (token: string) => string) {
    const { attest, podToken, svid } = await world()
    return attest(
      {
        authorization: [header(podToken('bank', 'teller'))],
        clientCertificate: await svid(),
        impersonatedIdentity: undefined,
      },
      NEVER,
    )
  }

  test('decides alone', async () => {
    await expect(both((token) => `Bearer ${token}`)).resolves.toMatchObject({
      account: { namespace: 'bank', name: 'teller' },
      method: 'service-account-token',
      pod: { name: 'teller-0' },
    })
  })

  test.each([
    ['of a bad signature', 'bad_signature', (token: string) => `Bearer ${token.slice(0, -8)}AAAAAAAA`],
    ['that is none', 'malformed_token', () => 'Bearer x'],
    ['of another scheme', 'malformed_token', () => 'Basic x'],
    ['that is empty', 'malformed_token', () => ''],
  ])('is not made good by it: one %s', async (_what, reason, header) => {
    expect(await refusal(both(header))).toMatchObject(opaque(reason))
  })
})

describe('by another hand, a client certificate is refused:', () => {
  type World = Awaited<ReturnType<typeof world>>
  const forged: Record<string, (ca: World) => Promise<Uint8Array>> = {
    'of an issuer nobody knows': async ({ svid }) => {
      const stranger = await aRoot({ clock: new FakeClock() })
      return svid({ signer: stranger.key, issuer: stranger.certificate })
    },
    'under our issuing authority’s name, signed by another key': async ({ svid }) => svid({ signer: await aKey() }),
    'under our issuing authority’s name, signed by a key of another kind': async ({ svid }) =>
      svid({ signer: await aKey('ed25519') }),
    'signed by the good root itself': async (ca) => {
      const root = rootOf(ca)
      return ca.svid({ signer: root.signer, issuer: root.certificate })
    },
    'signed by the good root under our issuing authority’s name': async (ca) => ca.svid({ signer: rootOf(ca).signer }),
    'under the good root’s name, signed by our issuing authority': async (ca) =>
      ca.svid({ issuer: rootOf(ca).certificate }),
    'of an intermediate that the good root signed and the journal does not hold': async (ca) => {
      const key = await aKey()
      const certificate = await makeIssuing(ca.trustDomain, key.publicKey, rootOf(ca), DAY, ca)
      return ca.svid({ signer: key, issuer: certificate })
    },
    'signed by a leaf of ours': async (ca) => {
      const { key, pem: _pem } = await aCsr()
      return ca.svid({ signer: key, issuer: readCertificate(await ca.svid()) })
    },
    'whose signature names another algorithm than what was signed': async ({ svid }) =>
      svid({ outerAlgorithm: keyAlgorithm('ecdsa-p384').signatureAlgorithm }),
    'changed after it was signed': async ({ svid }) => {
      const der = Buffer.from(await svid())
      der[der.indexOf('shop')] = 'S'.charCodeAt(0)
      return der
    },
  }
  test.each(Object.entries(forged))('%s', async (_title, forge) => {
    const ca = await world()
    expect(await refusal(ca.attestCertificate(await forge(ca)))).toMatchObject(opaque('unknown_issuer'))
    expect(ca.cluster.asked).toEqual([])
  })

  const plugged = (ca: TestCa, root: TestCa, maySignCas: boolean): RootSource => ({
    kind: 'plugged-in',
    ca: {
      certificate: ca.certificate,
      signer: ca.key,
      intermediates: [],
      roots: [root.certificate],
      root: root.certificate,
      maySignCas,
    },
  })

  test('signed by the plugged-in CA itself while that signs issuing authorities', async () => {
    const root = await aRoot({ clock: new FakeClock() })
    const ca = await world({ source: plugged(root, root, true) })
    const der = await ca.svid({ signer: root.key, issuer: root.certificate })
    expect(await refusal(ca.attestCertificate(der))).toMatchObject(opaque('unknown_issuer'))
  })

  test('signed by a sister of the plugged-in CA, under the same root', async () => {
    const clock = new FakeClock()
    const root = await aRoot({ clock })
    const [ours, sister] = [await anIntermediate(root, { clock }), await anIntermediate(root, { clock })]
    const ca = await world({ source: plugged(ours, root, false) })
    await expect(ca.attestCertificate(await ca.svid())).resolves.toMatchObject({ account: { name: 'cart' } })
    const der = await ca.svid({ signer: sister.key, issuer: sister.certificate })
    expect(await refusal(ca.attestCertificate(der))).toMatchObject(opaque('unknown_issuer'))
  })
})

describe('an issuing authority of the journal vouches', () => {
  /** A CA whose journal holds the authority that signed `der` in that state, beside the one that signs now. */
  async function inState(state: AuthorityState) {
    const before = await world()
    const der = await before.svid()
    const store = new MemoryStore()
    for (const [id, key] of before.store.keys) store.keys.set(id, key)
    const authorities = before.keeper.set.authorities.map((one) => (one.role === 'issuing' ? { ...one, state } : one))
    store.text = printJournal(7, { ...before.keeper.set, authorities })
    const ca = await world({ store, seed: 2 })
    return { ...ca, attestOld: () => ca.attestCertificate(der) }
  }

  test.each(['active', 'old'] as const)('if it was %s when this process started', async (state) => {
    await expect((await inState(state)).attestOld()).resolves.toMatchObject({ account: { name: 'cart' } })
  })

  test.each(['prepared', 'tainted', 'revoked'] as const)('not if it is %s', async (state) => {
    expect(await refusal((await inState(state)).attestOld())).toMatchObject(opaque('unknown_issuer'))
  })

  test('not after its own end, whatever the certificate says', async () => {
    const ca = await world({ issuingLifetimeMs: 7 * DAY, tokenPolicy: { lineageMs: 400 * DAY } })
    const long = { ...LINEAGE, renewableUntil: new Date('2031-01-01T00:00:00Z') }
    const der = await ca.svid({ notAfter: plus(ca.clock.now(), 60 * DAY), lineage: long })
    await ca.clock.advance(7 * DAY)
    await expect(ca.attestCertificate(der)).resolves.toMatchObject({ account: { name: 'cart' } })
    await ca.clock.advance(SECOND)
    expect(await refusal(ca.attestCertificate(der))).toMatchObject(opaque('unknown_issuer'))
  })

  /** The same certificate before an issuer port that a test holds in its hands. */
  async function vouchedBy(keys: (ours: PublicKey) => readonly PublicKey[]) {
    const ca = await world()
    const der = await ca.svid()
    return attestClientCertificate(
      der,
      ca.trustDomain,
      { mayVouch: () => keys(ca.issuing.signer.publicKey), takenBack: () => undefined },
      ca.cluster.cluster,
      ca.tokenPolicy,
      ca.clock,
      NEVER,
      () => undefined,
    )
  }

  test('by its key: of several with the same name the signature decides', async () => {
    const other = (await aKey()).publicKey
    await expect(vouchedBy((ours) => [other, ours])).resolves.toMatchObject({ account: { name: 'cart' } })
    expect(await refusal(vouchedBy(() => [other, other]))).toMatchObject(opaque('unknown_issuer'))
  })
})

describe('taken back, a client certificate', () => {
  test('that is revoked is refused, and nobody outside learns why', async () => {
    const { keeper, attestCertificate, svid, clock, issuing } = await world()
    const [der, other] = [await svid(), await svid({ serial: new Uint8Array(16).fill(0x4b) })]
    await expect(attestCertificate(der)).resolves.toMatchObject({ account: { name: 'cart' } })
    const { serial, notAfter } = readCertificate(der).tbs
    const issuer = keeper.set.authorities.find(({ certificate }) => certificate === issuing.issuer)?.id as string
    const revocable = { serial, issuer, notAfter, id: 'spiffe://cluster.local/ns/shop/sa/cart' }
    await keeper.revocations.revoke(revocable, { by: 'admin', because: 'INC-17' })
    expect(await refusal(attestCertificate(der))).toMatchObject(opaque('revoked'))
    await expect(attestCertificate(other)).resolves.toMatchObject({ account: { name: 'cart' } })
    await clock.advance(MINUTE)
    expect(await refusal(attestCertificate(der))).toMatchObject(opaque('revoked'))
  })

  test('that was issued before its workload was cut off is refused; a later one is good', async () => {
    const { keeper, attestCertificate, svid, clock, ledger } = await world()
    const before = await svid({ notBefore: plus(clock.now(), -2 * MINUTE) })
    await keeper.roots.forget('shop/cart-0', plus(clock.now(), DAY), { by: 'admin', because: 'it is gone' })
    expect(await refusal(attestCertificate(before))).toMatchObject(opaque('forgotten'))
    await clock.advance(SECOND)
    const after = await svid({ notBefore: plus(clock.now(), -2 * MINUTE) })
    await expect(attestCertificate(after)).resolves.toMatchObject({ account: { name: 'cart' } })
    expect(await refusal(attestCertificate(before))).toMatchObject(opaque('forgotten'))
    expect(ledger.of('authority').at(-1)).toMatchObject({ what: 'workload forgotten' })
  })
})

describe('in its times, a client certificate', () => {
  test('is good through its last second', async () => {
    const { clock, attestCertificate, svid } = await world()
    const der = await svid({ notAfter: clock.now() })
    await clock.advance(999)
    await expect(attestCertificate(der)).resolves.toMatchObject({ account: { name: 'cart' } })
    await clock.advance(1)
    expect(await refusal(attestCertificate(der))).toMatchObject(opaque('expired'))
  })

  test('is good from its first second on', async () => {
    const { clock, attestCertificate, svid } = await world()
    const der = await svid({ notBefore: plus(clock.now(), SECOND) })
    expect(await refusal(attestCertificate(der))).toMatchObject(opaque('not_yet_valid'))
    await clock.advance(SECOND)
    await expect(attestCertificate(der)).resolves.toMatchObject({ account: { name: 'cart' } })
  })

  test('does not renew with a lineage that no token could have begun, whoever signed it', async () => {
    const { clock, attestCertificate, svid } = await world()
    const { notBefore } = readCertificate(await svid()).tbs
    const until = (ms: number) => svid({ lineage: { ...LINEAGE, renewableUntil: plus(notBefore, ms) } })
    const longest = 48 * HOUR + 2 * MINUTE
    await expect(attestCertificate(await until(longest))).resolves.toMatchObject({ account: { name: 'cart' } })
    expect(await refusal(attestCertificate(await until(longest + SECOND)))).toMatchObject(opaque('lineage_ended'))
    expect(clock.now() > notBefore).toBe(true)
  })

  test('renews up to the end of its lineage and not a millisecond longer', async () => {
    const { clock, attestCertificate, svid } = await world()
    const der = await svid({ notAfter: plus(clock.now(), 20 * DAY) })
    await clock.advance(48 * HOUR)
    await expect(attestCertificate(der)).resolves.toMatchObject({ lineage: LINEAGE })
    await clock.advance(1)
    expect(await refusal(attestCertificate(der))).toMatchObject(opaque('lineage_ended'))
  })
})

describe('what our issuing authority signed is refused as a client certificate', () => {
  const uris = (...all: string[]): Partial<SvidFields> => ({ uris: all })
  const strange: Record<string, [reason: string, fields: Partial<SvidFields>]> = {
    'when it is a CA’s': ['not_an_svid', { ca: true }],
    'with two URIs': [
      'not_an_svid',
      uris('spiffe://cluster.local/ns/shop/sa/cart', 'spiffe://cluster.local/ns/shop/sa/admin'),
    ],
    'with the same URI twice': [
      'not_an_svid',
      uris('spiffe://cluster.local/ns/shop/sa/cart', 'spiffe://cluster.local/ns/shop/sa/cart'),
    ],
    'without a URI': ['not_an_svid', uris()],
    'with an https URI': ['not_an_svid', uris('https://cluster.local/ns/shop/sa/cart')],
    'with a trust domain and no path': ['not_an_svid', uris('spiffe://cluster.local')],
    'with a path that climbs': ['not_an_svid', uris('spiffe://cluster.local/ns/shop/sa/..')],
    'with a query in its URI': ['not_an_svid', uris('spiffe://cluster.local/ns/shop/sa/cart?x')],
    'with capitals in the trust domain': ['not_an_svid', uris('spiffe://Cluster.local/ns/shop/sa/cart')],
    'of another trust domain': ['other_trust_domain', uris('spiffe://other.org/ns/shop/sa/cart')],
    'of a trust domain that begins like ours': [
      'other_trust_domain',
      uris('spiffe://cluster.local.evil.org/ns/shop/sa/cart'),
    ],
    'with a path of another shape': ['not_a_service_account', uris('spiffe://cluster.local/shop/cart')],
    'with a path longer than a service account’s': [
      'not_a_service_account',
      uris('spiffe://cluster.local/ns/shop/sa/cart/admin'),
    ],
    'with a path whose words are other ones': [
      'not_a_service_account',
      uris('spiffe://cluster.local/namespace/shop/sa/cart'),
    ],
    'with an extension that no SVID of ours has': [
      'not_an_svid',
      { more: [extension('1.2.3.4', Uint8Array.of(5, 0))] },
    ],
    'with a critical lineage': [
      'not_an_svid',
      { lineage: undefined, more: [extension(OID.lineage, writeLineage(LINEAGE), true)] },
    ],
  }
  test.each(Object.entries(strange))('%s', async (_title, [reason, fields]) => {
    const { cluster, attestCertificate, svid } = await world()
    expect(await refusal(attestCertificate(await svid(fields)))).toMatchObject(opaque(reason))
    expect(cluster.asked).toEqual([])
  })

  test('when it is our own server’s', async () => {
    const ca = await world()
    const { publicKey } = await aKey()
    const parent = { certificate: ca.issuing.issuer, signer: ca.issuing.signer }
    const { der } = await makeServing(['localhost'], publicKey, parent, DAY, ca)
    expect(await refusal(ca.attestCertificate(der))).toMatchObject(opaque('not_an_svid'))
  })

  test.each([
    ['nothing', () => new Uint8Array()],
    ['a word', () => Buffer.from('certificate')],
    ['cut short', (der: Uint8Array) => der.subarray(0, -1)],
    ['followed by a byte', (der: Uint8Array) => Buffer.concat([der, Buffer.of(0)])],
    ['of 65 KiB', () => Buffer.concat([Buffer.of(0x30, 0x83, 0x01, 0x04, 0x00), Buffer.alloc(65 * 1024)])],
  ])('when it is %s', async (_what, mangle) => {
    const { attestCertificate, svid } = await world()
    expect(await refusal(attestCertificate(mangle(await svid())))).toMatchObject(opaque('not_an_svid'))
  })
})

describe('the lineage in a client certificate', () => {
  const text = utf8String
  const fields = (version = 1) => [
    unsignedInteger(Uint8Array.of(version)),
    text('cart-0'),
    text('uid-of-cart-0'),
    text('uid-of-cart'),
    generalizedTime(LINEAGE.renewableUntil),
  ]
  const without = (index: number, instead?: Uint8Array) =>
    sequence(...fields().flatMap((field, at) => (at === index ? (instead ?? []) : [field])))

  test('written here by hand is the lineage of a good one', async () => {
    const { attestCertificate, svid } = await world()
    await expect(attestCertificate(await svid({ lineage: sequence(...fields()) }))).resolves.toMatchObject({
      lineage: LINEAGE,
    })
  })

  const unusable: Record<string, Uint8Array | undefined> = {
    'is missing: it was issued without a pod': undefined,
    'is empty': new Uint8Array(),
    'is garbage': Buffer.from('lineage'),
    'is of version 2': sequence(...fields(2)),
    'is of version 0': sequence(...fields(0)),
    'has a field more': sequence(...fields(), text('more')),
    'has a byte more': Buffer.concat([sequence(...fields()), Buffer.of(0)]),
    'lacks the pod’s name': without(1),
    'lacks the account’s UID': without(3),
    'lacks its end': without(4),
    'has an empty pod UID': without(2, text('')),
    'has a pod UID of 65 characters': without(2, text('u'.repeat(65))),
    'has a pod name of 254 characters': without(1, text('p'.repeat(254))),
    'has a pod name with a space': without(1, text('cart 0')),
    'has a pod name beyond ASCII': without(1, text('cärt-0')),
    'has a name that is no UTF8String': without(1, tlv(TAG.printableString, Buffer.from('cart-0'))),
    'ends at a time that is none': without(4, tlv(TAG.generalizedTime, Buffer.from('20301301000000Z'))),
    'ends at a time with fractions': without(4, tlv(TAG.generalizedTime, Buffer.from('20300103000000.5Z'))),
  }
  test.each(Object.entries(unusable))('renews nothing when it %s', async (_title, lineage) => {
    const { cluster, attestCertificate, svid } = await world()
    expect(await refusal(attestCertificate(await svid({ lineage })))).toMatchObject(opaque('no_lineage'))
    expect(cluster.asked).toEqual([])
  })

  test('is not begun by a token without a pod, so what that got never renews by itself', async () => {
    const { podToken, issued } = await world()
    const unbound = podToken('shop', 'cart', {
      'kubernetes.io': { namespace: 'shop', serviceaccount: { name: 'cart', uid: 'uid-of-cart' } },
    })
    const der = await issued(withToken(unbound))
    expect(await refusal(issued(withCertificate(der)))).toMatchObject(opaque('no_lineage'))
  })
})

describe('the pod and the account behind a client certificate', () => {
  async function given(then: (cluster: TestCluster, now: Date) => void) {
    const ca = await world()
    const der = await ca.svid()
    then(ca.cluster, ca.clock.now())
    return { cluster: ca.cluster, attest: () => ca.attestCertificate(der) }
  }
  const pod = (change: Partial<Parameters<TestCluster['add']>[0]>) => (cluster: TestCluster) =>
    void cluster.add({ namespace: 'shop', serviceAccount: 'cart', name: 'cart-0', ...change })
  const QUESTIONS = ['pod shop/cart-0', 'account shop/cart']

  const gone: Record<string, [reason: string, then: (cluster: TestCluster, now: Date) => void]> = {
    'is gone': ['pod_gone', (cluster) => cluster.pods.clear()],
    'was replaced by one of the same name': [
      'pod_gone',
      (cluster) => {
        cluster.pods.clear()
        pod({ uid: 'uid-of-another' })(cluster)
      },
    ],
    'runs as another account': ['pod_gone', pod({ serviceAccount: 'admin' })],
    'is 61 s past its deletion': ['pod_gone', (cluster, now) => pod({ deletion: plus(now, -61 * SECOND) })(cluster)],
    'lost its account': ['service_account_gone', (cluster) => cluster.accounts.clear()],
    'has an account that was made anew': [
      'service_account_gone',
      (cluster) => cluster.accounts.set('shop/cart', 'uid-of-a-new-cart'),
    ],
  }
  test.each(Object.entries(gone))(
    'refuse it when the pod %s, after asking the API server',
    async (_t, [reason, then]) => {
      const { cluster, attest } = await given(then)
      expect(await refusal(attest())).toMatchObject(opaque(reason))
      expect(cluster.asked).toEqual(QUESTIONS)
    },
  )

  test.each([0, 59, 60])('renew it %i s past the pod’s deletion timestamp, without a question', async (seconds) => {
    const { cluster, attest } = await given((cluster, now) => pod({ deletion: plus(now, -seconds * SECOND) })(cluster))
    await attest()
    expect(cluster.asked).toEqual([])
  })

  const unsure: Record<string, (cluster: TestCluster) => void> = {
    'has not seen them': (cluster) => {
      cluster.blind = true
    },
    'was silent for 61 s': (cluster) => {
      cluster.silence = 61 * SECOND
    },
    'never saw a whole list': (cluster) => {
      cluster.silence = Number.POSITIVE_INFINITY
    },
  }
  test.each(Object.entries(unsure))('are asked for at the API server when the watch %s', async (_title, then) => {
    const { cluster, attest } = await given(then)
    await expect(attest()).resolves.toMatchObject({ pod: { uid: 'uid-of-cart-0' } })
    expect(cluster.asked).toEqual(QUESTIONS)
  })

  const down = (silence: number, blind = false) =>
    given((cluster) => Object.assign(cluster, { silence, blind, down: true }))

  test.each([0, 61 * SECOND, 10 * MINUTE])(
    'are believed from a watch %i ms old while the API server can’t be asked',
    async (silence) => {
      await expect((await down(silence)).attest()).resolves.toMatchObject({ account: { name: 'cart' } })
    },
  )

  test('are not believed from a watch older than attestation.maxStaleness', async () => {
    expect(await refusal((await down(10 * MINUTE + 1)).attest())).toMatchObject(unavailable)
  })

  test.each([0, 5 * MINUTE])(
    'that a watch %i ms old does not show are what nobody can know while the API server can’t be asked',
    async (silence) => {
      expect(await refusal((await down(silence, true)).attest())).toMatchObject(unavailable)
    },
  )
})
