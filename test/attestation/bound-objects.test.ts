import { describe, expect, test } from 'vitest'
import type { Pod, TokenReview } from '../../src/attestation/cluster.ts'
import { MINUTE, SECOND } from '../../src/core/duration.ts'
import { CaError } from '../../src/core/errors.ts'
import { aCa, type CaOptions, type TestCluster } from '../_support/a-ca.ts'
import { NEVER, opaque, refusal, unavailable, withToken } from '../_support/attested.ts'
import { TokenSigner } from '../_support/tokens.ts'

const signer = new TokenSigner({ alg: 'ES256' })
const YES: TokenReview = {
  authenticated: true,
  username: 'system:serviceaccount:shop:cart',
  audiences: ['istio-ca'],
}
const NO: TokenReview = { authenticated: false, error: 'the token has been invalidated' }

/** A token for pod cart-0 of shop/cart, minted while all was well; `then` is what became of the cluster. */
async function given(then: (cluster: TestCluster, now: Date) => void, options: CaOptions = {}) {
  const ca = await aCa({ signer, ...options })
  const token = ca.podToken()
  ca.cluster.review = () => NO
  then(ca.cluster, ca.clock.now())
  return { ...ca, attest: () => ca.attest(withToken(token), NEVER) }
}

const past = (now: Date, ms: number) => new Date(now.getTime() - ms)
const pod = (change: Partial<Pod>) => (cluster: TestCluster) => {
  cluster.add({ namespace: 'shop', serviceAccount: 'cart', name: 'cart-0', ...change })
}

describe('a token bound to a pod', () => {
  test('is taken without any question while the watch shows the pod and the account', async () => {
    const { cluster, attest } = await given(() => {})
    await attest()
    expect(cluster.asked).toEqual([])
  })

  test.each([0, 59, 60])('is taken without any question %i s past the pod’s deletion timestamp', async (seconds) => {
    const { cluster, attest } = await given((cluster, now) => pod({ deletion: past(now, seconds * SECOND) })(cluster))
    await attest()
    expect(cluster.asked).toEqual([])
  })

  test('is taken without any question while the pod shuts down', async () => {
    const { cluster, attest } = await given((cluster, now) => pod({ deletion: past(now, -30 * SECOND) })(cluster))
    await attest()
    expect(cluster.asked).toEqual([])
  })

  test.each([0, 59_000, 60_000])('is taken without any question when the watch was silent for %i ms', async (ms) => {
    const { cluster, attest } = await given((cluster) => {
      cluster.silence = ms
    })
    await attest()
    expect(cluster.asked).toEqual([])
  })

  const unsure: Record<string, (cluster: TestCluster, now: Date) => void> = {
    'the watch does not know the pod': (cluster) => cluster.pods.clear(),
    'the watch knows the pod’s name under another UID': (cluster) => {
      const one = cluster.pods.get('uid-of-cart-0')
      cluster.pods.clear()
      if (one) cluster.pods.set('uid-of-another', { ...one, uid: 'uid-of-another' })
    },
    'the watch knows the pod’s UID in another namespace': pod({ namespace: 'bank' }),
    'the watch shows the pod’s UID under another name': pod({ name: 'cart-1', uid: 'uid-of-cart-0' }),
    'the watch shows the pod under another account': pod({ serviceAccount: 'admin' }),
    'the watch does not know the account': (cluster) => cluster.accounts.clear(),
    'the account has another UID now': (cluster) => cluster.accounts.set('shop/cart', 'uid-of-a-new-cart'),
    'the pod’s deletion timestamp is 61 s ago': (cluster, now) => pod({ deletion: past(now, 61 * SECOND) })(cluster),
    'the pod’s deletion timestamp is a minute and a millisecond ago': (cluster, now) =>
      pod({ deletion: past(now, 60_001) })(cluster),
    'the pod’s deletion timestamp is unreadable': pod({ deletion: new Date('soon') }),
    'the watch was silent for 60 s and a millisecond': (cluster) => {
      cluster.silence = 60_001
    },
    'the watch was silent for 61 s': (cluster) => {
      cluster.silence = 61 * SECOND
    },
    'the watch has never seen a whole list': (cluster) => {
      cluster.silence = Number.POSITIVE_INFINITY
    },
  }
  describe.each(Object.entries(unsure))('when %s', (_title, then) => {
    test('asks the API server before it refuses', async () => {
      const { cluster, attest } = await given(then)
      expect(await refusal(attest())).toMatchObject({
        ...opaque('token_review'),
        detail: 'the API server does not take the token: the token has been invalidated',
      })
      expect(cluster.asked).toEqual(['TokenReview'])
    })

    test('is taken if the API server says yes', async () => {
      const { cluster, attest } = await given(then)
      cluster.review = () => YES
      await expect(attest()).resolves.toMatchObject({ pod: { uid: 'uid-of-cart-0' } })
      expect(cluster.asked).toEqual(['TokenReview'])
    })
  })
})

describe('TokenReview’s answer counts only if', () => {
  const useless: Record<string, [reason: string, review: TokenReview]> = {
    'it names the token’s own user': ['token_review', { ...YES, username: 'system:serviceaccount:shop:admin' }],
    'it names that user to the letter': ['token_review', { ...YES, username: 'system:serviceaccount:shop:Cart' }],
    'it confirms one of our audiences': ['wrong_audience', { ...YES, audiences: ['https://kubernetes.default.svc'] }],
    'it confirms any audience': ['wrong_audience', { ...YES, audiences: [] }],
    'it says yes': ['token_review', NO],
  }
  test.each(Object.entries(useless))('%s', async (_title, [reason, review]) => {
    const { cluster, attest } = await given((cluster) => cluster.pods.clear())
    cluster.review = () => review
    expect(await refusal(attest())).toMatchObject(opaque(reason))
  })

  test('it confirms one of our audiences, and one of several is enough', async () => {
    const { cluster, attest } = await given((cluster) => cluster.pods.clear(), {
      tokenPolicy: { audiences: ['alcazar', 'istio-ca'] },
    })
    cluster.review = () => ({ ...YES, audiences: ['istio-ca'] })
    await expect(attest()).resolves.toMatchObject({ account: { name: 'cart' } })
  })
})

describe('while the API server can’t be asked', () => {
  const down =
    (silence: number, then: (cluster: TestCluster) => void = () => {}) =>
    (cluster: TestCluster) => {
      cluster.silence = silence
      cluster.down = true
      then(cluster)
    }

  test.each([61 * SECOND, 10 * MINUTE])('the watch is believed when it is %i ms old', async (silence) => {
    const { cluster, attest } = await given(down(silence))
    await expect(attest()).resolves.toMatchObject({ pod: { uid: 'uid-of-cart-0' } })
    expect(cluster.asked).toEqual(['TokenReview'])
  })

  test('the watch is believed not a millisecond longer than attestation.maxStaleness', async () => {
    const { attest } = await given(down(10 * MINUTE + 1))
    expect(await refusal(attest())).toMatchObject(unavailable)
  })

  test('the watch is believed as long as the admin says', async () => {
    const options = { tokenPolicy: { maxStalenessMs: 2 * MINUTE } }
    await expect((await given(down(2 * MINUTE), options)).attest()).resolves.toBeDefined()
    expect(await refusal((await given(down(2 * MINUTE + 1), options)).attest())).toMatchObject(unavailable)
  })

  const unknown: Record<string, (cluster: TestCluster) => void> = {
    'a pod the watch does not know': (cluster) => cluster.pods.clear(),
    'a pod under another account': pod({ serviceAccount: 'admin' }),
    'a pod long past its deletion': pod({ deletion: new Date('2029-12-31T00:00:00Z') }),
    'an account the watch does not know': (cluster) => cluster.accounts.clear(),
    'an account with another UID': (cluster) => cluster.accounts.set('shop/cart', 'uid-of-a-new-cart'),
  }
  test.each(Object.entries(unknown))('nobody can know about %s, fresh watch or not', async (_title, then) => {
    for (const silence of [0, 5 * MINUTE]) {
      const { attest } = await given(down(silence, then))
      expect(await refusal(attest())).toMatchObject(unavailable)
    }
  })

  test('a watch that never saw a whole list is not believed', async () => {
    const { attest } = await given(down(Number.POSITIVE_INFINITY))
    expect(await refusal(attest())).toMatchObject(unavailable)
  })

  test('no other check is loosened', async () => {
    const ca = await aCa({ signer })
    ca.podToken()
    ca.cluster.silence = 2 * MINUTE
    ca.cluster.down = true
    const refused = async (change: object) =>
      (await refusal(ca.attest(withToken(ca.podToken('shop', 'cart', { ...change })), NEVER))).reason
    expect(await refused({ aud: ['vault'] })).toBe('wrong_audience')
    expect(await refused({ exp: ca.clock.now().getTime() / 1000 - 60 })).toBe('expired')
    expect(await refused({ iss: 'https://other.invalid' })).toBe('wrong_issuer')
    expect(ca.cluster.asked).toEqual([])
  })

  test('too many open questions are passed on as such: neither a refusal nor the watch’s word', async () => {
    const { cluster, attest } = await given((cluster) => {
      cluster.silence = 61 * SECOND
    })
    cluster.review = () => {
      throw new CaError('rate_limited', 'too many questions')
    }
    expect(await refusal(attest())).toMatchObject({ code: 'rate_limited' })
  })
})

describe('authentication: token-review', () => {
  const options: CaOptions = { tokenPolicy: { authentication: 'token-review' } }

  test('asks about every token, however sure the watch is', async () => {
    const { cluster, attest } = await given(() => {}, options)
    cluster.review = () => YES
    await attest()
    await attest()
    expect(cluster.asked).toEqual(['TokenReview', 'TokenReview'])
  })

  test('takes the API server’s no, however sure the watch is', async () => {
    const { attest } = await given(() => {}, options)
    expect(await refusal(attest())).toMatchObject(opaque('token_review'))
  })

  test('does not fall back to the watch when the API server can’t be asked', async () => {
    const { cluster, attest } = await given(() => {}, options)
    cluster.down = true
    expect(await refusal(attest())).toMatchObject(unavailable)
  })

  test('still checks the token itself first', async () => {
    const ca = await aCa({ signer, ...options })
    const token = ca.podToken('shop', 'cart', { aud: ['vault'] })
    ca.cluster.review = () => YES
    expect(await refusal(ca.attest(withToken(token), NEVER))).toMatchObject(opaque('wrong_audience'))
    expect(ca.cluster.asked).toEqual([])
  })
})

describe.each([
  ['a Node', { node: { name: 'node-1', uid: 'uid-of-node-1' } }],
  ['a Secret', { secret: { name: 'cart-token', uid: 'uid-of-secret' } }],
])('a token bound to %s', (_what, binding) => {
  async function bound(then: (cluster: TestCluster) => void = () => {}, options: CaOptions = {}) {
    const ca = await aCa({ signer, ...options })
    ca.cluster.review = () => YES
    const token = ca.podToken('shop', 'cart', {
      'kubernetes.io': { namespace: 'shop', serviceaccount: { name: 'cart', uid: 'uid-of-cart' }, ...binding },
    })
    then(ca.cluster)
    return { ...ca, attest: () => ca.attest(withToken(token), NEVER) }
  }

  test('is for the API server to judge', async () => {
    const { cluster, attest } = await bound()
    await attest()
    expect(cluster.asked).toEqual(['TokenReview'])
  })

  test('is refused if the API server says no', async () => {
    const { attest } = await bound((cluster) => {
      cluster.review = () => NO
    })
    expect(await refusal(attest())).toMatchObject(opaque('token_review'))
  })

  test('can’t be judged while the API server can’t be asked', async () => {
    const { attest } = await bound((cluster) => {
      cluster.down = true
    })
    expect(await refusal(attest())).toMatchObject(unavailable)
  })

  test('is no unbound token', async () => {
    const { attest } = await bound(() => {}, { tokenPolicy: { unboundTokens: 'deny' } })
    await expect(attest()).resolves.toMatchObject({ account: { name: 'cart' } })
  })

  test('speaks for no pod and begins no lineage', async () => {
    const { attest } = await bound()
    expect(await attest()).toMatchObject({ pod: undefined, lineage: undefined })
  })
})

describe('a token bound to nothing', () => {
  async function unbound(then: (cluster: TestCluster) => void = () => {}, options: CaOptions = {}) {
    const ca = await aCa({ signer, ...options })
    ca.cluster.review = () => NO
    const token = ca.podToken('shop', 'cart', {
      'kubernetes.io': { namespace: 'shop', serviceaccount: { name: 'cart', uid: 'uid-of-cart' } },
    })
    then(ca.cluster)
    return { ...ca, attest: () => ca.attest(withToken(token), NEVER) }
  }

  test('is taken by default while the watch shows its account, and begins no lineage', async () => {
    const { cluster, attest } = await unbound((cluster) => cluster.pods.clear())
    expect(await attest()).toMatchObject({
      account: { namespace: 'shop', name: 'cart' },
      pod: undefined,
      lineage: undefined,
    })
    expect(cluster.asked).toEqual([])
  })

  test.each([
    ['is gone', (cluster: TestCluster) => cluster.accounts.clear()],
    ['was made anew', (cluster: TestCluster) => cluster.accounts.set('shop/cart', 'uid-of-a-new-cart')],
  ])('is for the API server to judge when its account %s', async (_what, then) => {
    const { cluster, attest } = await unbound((cluster) => void then(cluster))
    expect(await refusal(attest())).toMatchObject(opaque('token_review'))
    expect(cluster.asked).toEqual(['TokenReview'])
  })

  test('is refused where policy denies such tokens, without a question', async () => {
    const { cluster, attest } = await unbound(() => {}, { tokenPolicy: { unboundTokens: 'deny' } })
    expect(await refusal(attest())).toMatchObject(opaque('unbound_token'))
    expect(cluster.asked).toEqual([])
  })

  test('is refused where policy denies such tokens even if the API server would take it', async () => {
    const { cluster, attest } = await unbound(() => {}, {
      tokenPolicy: { unboundTokens: 'deny', authentication: 'token-review' },
    })
    cluster.review = () => YES
    expect(await refusal(attest())).toMatchObject(opaque('unbound_token'))
  })
})
