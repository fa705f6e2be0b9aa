import { describe, expect, test } from 'vitest'
import { attestation } from '../../src/attestation/attest.ts'
import type { ClusterWatch, Pod } from '../../src/attestation/cluster.ts'
import { MINUTE, SECOND } from '../../src/core/duration.ts'
import { aCa, type CaOptions, type TestCluster } from '../_support/a-ca.ts'
import { NEVER, refusal, unavailable, withCertificate, withToken } from '../_support/attested.ts'
import { aSvid } from '../_support/svids.ts'
import { TokenSigner } from '../_support/tokens.ts'

const signer = new TokenSigner({ alg: 'ES256' })
const CART = 'spiffe://cluster.local/ns/shop/sa/cart'
const TRUSTED = [{ namespace: 'istio-system', name: 'ztunnel' }]
const OPAQUE = {
  code: 'unauthenticated',
  message: 'request impersonation authentication failure',
  reason: 'impersonation',
}

/** node-1 runs ztunnel-1 and cart-0; node-2 runs teller-0 of another namespace. The admin trusts ztunnel's account. */
async function world(options: CaOptions = {}) {
  const ca = await aCa({ signer, trustedNodeAccounts: TRUSTED, ...options })
  ca.cluster.review = () => ({
    authenticated: true,
    username: 'system:serviceaccount:istio-system:ztunnel',
    audiences: ['istio-ca'],
  })
  ca.cluster.add({ namespace: 'istio-system', serviceAccount: 'ztunnel', name: 'ztunnel-1' })
  ca.cluster.add({ namespace: 'shop', serviceAccount: 'cart', name: 'cart-0' })
  ca.cluster.add({ namespace: 'bank', serviceAccount: 'teller', name: 'teller-0', node: 'node-2' })
  const token = ca.podToken('istio-system', 'ztunnel')
  const ask = (requested: string, by = token) => ca.attest(withToken(by, requested), NEVER)
  return { ...ca, ask }
}

const change = (cluster: TestCluster, uid: string, fields: Partial<Pod>) => {
  const pod = cluster.pods.get(uid)
  if (!pod) return expect.fail(`no pod ${uid}`)
  cluster.pods.set(uid, { ...pod, ...fields })
}

describe('a node’s proxy', () => {
  test('may ask on behalf of an account that a pod on its node runs as', async () => {
    const { cluster, ask } = await world()
    expect(await ask(CART)).toEqual({
      account: { namespace: 'shop', name: 'cart' },
      method: 'impersonation',
      pod: undefined,
      lineage: undefined,
      onBehalfBy: { namespace: 'istio-system', name: 'ztunnel' },
    })
    expect(cluster.asked).toEqual([])
  })

  test('may ask for its own identity in the same way', async () => {
    const { ask } = await world()
    await expect(ask('spiffe://cluster.local/ns/istio-system/sa/ztunnel')).resolves.toMatchObject({
      account: { namespace: 'istio-system', name: 'ztunnel' },
      method: 'impersonation',
    })
  })

  test('that asks for nobody else is just itself', async () => {
    const { attest, podToken } = await world()
    await expect(attest(withToken(podToken('istio-system', 'ztunnel')), NEVER)).resolves.toMatchObject({
      account: { name: 'ztunnel' },
      method: 'service-account-token',
      onBehalfBy: undefined,
    })
  })

  test('may be one of several that the admin trusts', async () => {
    const { ask } = await world({
      trustedNodeAccounts: [
        { namespace: 'kube-system', name: 'proxy' },
        { namespace: 'istio-system', name: 'ztunnel' },
      ],
    })
    await expect(ask(CART)).resolves.toMatchObject({ method: 'impersonation' })
  })

  test('may ask for a pod that is still shutting down', async () => {
    const { cluster, clock, ask } = await world()
    change(cluster, 'uid-of-cart-0', { deletion: clock.now() })
    await expect(ask(CART)).resolves.toMatchObject({ account: { name: 'cart' } })
  })

  test('may ask for an account of which one pod ended and another runs', async () => {
    const { cluster, ask } = await world()
    cluster.add({ namespace: 'shop', serviceAccount: 'cart', name: 'cart-1', ended: true })
    await expect(ask(CART)).resolves.toMatchObject({ account: { name: 'cart' } })
  })
})

describe('is refused in one wording, with its reason in the log alone:', () => {
  type World = Awaited<ReturnType<typeof world>>
  const refused: Record<string, [detail: string, attempt: (world: World) => Promise<unknown>]> = {
    'a caller whose account nobody trusts': [
      'shop/cart is not a trusted node account',
      ({ ask, podToken }) => ask(CART, podToken('shop', 'cart')),
    ],
    'a caller of the trusted name in another namespace': [
      'bank/ztunnel is not a trusted node account',
      ({ ask, podToken }) => ask(CART, podToken('bank', 'ztunnel')),
    ],
    'a caller whose token is bound to no pod': [
      'only a token bound to a pod',
      ({ ask, podToken }) =>
        ask(
          CART,
          podToken('istio-system', 'ztunnel', {
            'kubernetes.io': {
              namespace: 'istio-system',
              serviceaccount: { name: 'ztunnel', uid: 'uid-of-ztunnel' },
            },
          }),
        ),
    ],
    'a caller whose token is bound to the node itself': [
      'only a token bound to a pod',
      ({ ask, podToken }) =>
        ask(
          CART,
          podToken('istio-system', 'ztunnel', {
            'kubernetes.io': {
              namespace: 'istio-system',
              serviceaccount: { name: 'ztunnel', uid: 'uid-of-ztunnel' },
              node: { name: 'node-1', uid: 'uid-of-node-1' },
            },
          }),
        ),
    ],
    'a caller that shows a client certificate, however good': [
      'only a token bound to a pod',
      async ({ attest, keeper, clock }) => {
        const active = keeper.active.get()
        if (!active) return expect.fail('no active authority')
        const der = await aSvid({
          signer: active.signer,
          issuer: active.authority.certificate,
          now: clock.now(),
          uris: ['spiffe://cluster.local/ns/istio-system/sa/ztunnel'],
          lineage: {
            podName: 'ztunnel-1',
            podUid: 'uid-of-ztunnel-1',
            serviceAccountUid: 'uid-of-ztunnel',
            renewableUntil: new Date('2030-01-03T00:00:00Z'),
          },
        })
        return attest(withCertificate(der, CART), NEVER)
      },
    ],
    'a caller whose pod is on no node': [
      'is not there, or on no node',
      ({ cluster, ask }) => {
        change(cluster, 'uid-of-ztunnel-1', { node: '' })
        return ask(CART)
      },
    ],
    'a caller whose pod has ended': [
      'is not there, or on no node',
      ({ cluster, ask }) => {
        change(cluster, 'uid-of-ztunnel-1', { ended: true })
        return ask(CART)
      },
    ],
    'a caller whose pod is gone, although TokenReview still takes its token': [
      'is not there, or on no node',
      ({ cluster, ask }) => {
        cluster.pods.delete('uid-of-ztunnel-1')
        return ask(CART)
      },
    ],
    'a caller whose pod was replaced by one of the same name': [
      'is not there, or on no node',
      ({ cluster, ask }) => {
        cluster.pods.delete('uid-of-ztunnel-1')
        cluster.add({ namespace: 'istio-system', serviceAccount: 'ztunnel', name: 'ztunnel-1', uid: 'uid-of-another' })
        return ask(CART)
      },
    ],
    'a caller whose pod runs as another account': [
      'is not there, or on no node',
      ({ cluster, ask }) => {
        change(cluster, 'uid-of-ztunnel-1', { serviceAccount: 'default' })
        return ask(CART)
      },
    ],
    'an account that runs on another node only': [
      'no pod on node-1 runs as bank/teller',
      ({ ask }) => ask('spiffe://cluster.local/ns/bank/sa/teller'),
    ],
    'an account of that name in another namespace': [
      'no pod on node-1 runs as bank/cart',
      ({ ask }) => ask('spiffe://cluster.local/ns/bank/sa/cart'),
    ],
    'another account in that namespace': [
      'no pod on node-1 runs as shop/admin',
      ({ ask }) => ask('spiffe://cluster.local/ns/shop/sa/admin'),
    ],
    'an account whose name begins like one that runs there': [
      'no pod on node-1 runs as shop/car',
      ({ ask }) => ask('spiffe://cluster.local/ns/shop/sa/car'),
    ],
    'an account whose name is a pattern': [
      'not the SPIFFE ID',
      ({ ask }) => ask('spiffe://cluster.local/ns/shop/sa/c*t'),
    ],
    'an account of which every pod on the node has ended': [
      'no pod on node-1 runs as shop/cart',
      ({ cluster, ask }) => {
        change(cluster, 'uid-of-cart-0', { ended: true })
        return ask(CART)
      },
    ],
    'an account nobody knows': [
      'no pod on node-1 runs as shop/nobody',
      ({ ask }) => ask('spiffe://cluster.local/ns/shop/sa/nobody'),
    ],
    'an identity of another trust domain': [
      'is not of cluster.local',
      ({ ask }) => ask('spiffe://other.org/ns/shop/sa/cart'),
    ],
    'an identity that is no service account’s': [
      'not the SPIFFE ID of a service account',
      ({ ask }) => ask('spiffe://cluster.local/shop/cart'),
    ],
    'an identity with more path than a service account has': [
      'not the SPIFFE ID of a service account',
      ({ ask }) => ask(`${CART}/x`),
    ],
    'an identity that ends with a slash': ['not the SPIFFE ID of a service account', ({ ask }) => ask(`${CART}/`)],
    'an identity with a percent sign': [
      'not the SPIFFE ID of a service account',
      ({ ask }) => ask('spiffe://cluster.local/ns/shop/sa/c%61rt'),
    ],
    'an identity that climbs': [
      'not the SPIFFE ID of a service account',
      ({ ask }) => ask('spiffe://cluster.local/ns/../sa/cart'),
    ],
    'an identity in capitals': ['not the SPIFFE ID', ({ ask }) => ask('SPIFFE://cluster.local/ns/shop/sa/cart')],
    'the path alone': ['not the SPIFFE ID of a service account', ({ ask }) => ask('/ns/shop/sa/cart')],
    'two identities': ['not the SPIFFE ID of a service account', ({ ask }) => ask(`${CART},${CART}`)],
    'a space': ['not the SPIFFE ID of a service account', ({ ask }) => ask(' ')],
    'a list, as JSON writes it': ['not the SPIFFE ID of a service account', ({ ask }) => ask(JSON.stringify([CART]))],
    'an identity of a million characters': [
      'not the SPIFFE ID of a service account',
      ({ ask }) => ask(`${CART}${'x'.repeat(1_000_000)}`),
    ],
  }
  test.each(Object.entries(refused))('%s', async (_title, [detail, attempt]) => {
    const told = await refusal(attempt(await world()))
    expect(told).toMatchObject({ ...OPAQUE, detail: expect.stringContaining(detail) as string })
    expect(told.detail.length).toBeLessThan(1000)
  })

  test('everyone, while the admin trusts nobody', async () => {
    const { ask } = await world({ trustedNodeAccounts: [] })
    expect(await refusal(ask(CART))).toMatchObject(OPAQUE)
  })
})

describe('a bad token that asks on behalf of others', () => {
  test('is refused as a bad token, and nothing is looked up', async () => {
    const { ask, cluster, podToken } = await world()
    const told = await refusal(ask(CART, podToken('istio-system', 'ztunnel', { aud: 'vault' })))
    expect(told).toMatchObject({ message: 'request authenticate failure', reason: 'wrong_audience' })
    expect(cluster.asked).toEqual([])
  })
})

describe('what the watch does not show of the node is asked at the API server:', () => {
  /** The same world, whose watch is behind the API server in what `lag` says. */
  async function lagging(lag: Partial<ClusterWatch>) {
    const ca = await world()
    const { watch, reader } = ca.cluster.cluster
    const attest = attestation({
      trustDomain: ca.trustDomain,
      keys: ca.keys,
      issuers: ca.keeper,
      cluster: { watch: { ...watch, ...lag }, reader },
      policy: ca.tokenPolicy,
      trustedNodeAccounts: TRUSTED,
      clock: ca.clock,
    })
    const token = ca.podToken('istio-system', 'ztunnel')
    return { cluster: ca.cluster, ask: (requested: string) => attest(withToken(token, requested), NEVER) }
  }

  test('a proxy and a pod that have just started there', async () => {
    const { cluster, ask } = await world()
    cluster.blind = true
    await expect(ask(CART)).resolves.toMatchObject({ account: { name: 'cart' } })
    expect(cluster.asked).toEqual(['TokenReview', 'pod istio-system/ztunnel-1', 'pods on node-1'])
  })

  test('and while it can’t be asked, nobody can know', async () => {
    const { cluster, ask } = await world()
    cluster.down = true
    expect(await refusal(ask('spiffe://cluster.local/ns/shop/sa/new'))).toMatchObject(unavailable)
  })

  test('the node of the proxy’s own pod, while the watch shows it on none yet', async () => {
    const pod: Pod = {
      uid: 'uid-of-ztunnel-1',
      name: 'ztunnel-1',
      namespace: 'istio-system',
      serviceAccount: 'ztunnel',
      node: '',
      deletion: undefined,
      ended: false,
    }
    const { ask } = await lagging({ pod: () => pod })
    await expect(ask(CART)).resolves.toMatchObject({ account: { name: 'cart' } })
  })

  test('which pods run there, when the watch was silent for more than a minute', async () => {
    // It missed that cart-0 has ended.
    const { cluster, ask } = await lagging({ runsOn: () => true, silence: () => 61 * SECOND })
    change(cluster, 'uid-of-cart-0', { ended: true })
    expect(await refusal(ask(CART))).toMatchObject(OPAQUE)
  })

  test('which pods run there, when the watch has never seen a whole list', async () => {
    const { cluster, ask } = await lagging({ runsOn: () => true, silence: () => Number.POSITIVE_INFINITY })
    change(cluster, 'uid-of-cart-0', { ended: true })
    expect(await refusal(ask(CART))).toMatchObject(OPAQUE)
  })

  test('and while it can’t be asked, the watch is believed as long as for tokens', async () => {
    const { cluster, ask } = await lagging({ silence: () => 10 * MINUTE })
    cluster.down = true
    await expect(ask(CART)).resolves.toMatchObject({ account: { name: 'cart' } })
  })
})
