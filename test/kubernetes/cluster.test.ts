import { describe, expect, test } from 'vitest'
import { KubernetesApi } from '../../src/kubernetes/api.ts'
import { discoverTokenIssuer, KubernetesCluster } from '../../src/kubernetes/cluster.ts'
import { NEVER, refusal, unavailable } from '../_support/attested.ts'
import { FakeApiServer } from '../_support/fake-api-server.ts'
import { FakeClock } from '../_support/fake-clock.ts'
import { recordedEvents } from '../_support/recorded-events.ts'
import { type Answer, hangUp, json, ScriptedApiServer } from '../_support/scripted-api-server.ts'
import { seededRandom } from '../_support/seeded-random.ts'
import { TokenSigner } from '../_support/tokens.ts'
import { aMoment, until } from '../_support/until.ts'

const CART = { namespace: 'shop', name: 'cart' }

function adapter(server: { url: string; ca: string }) {
  const clock = new FakeClock()
  const events = recordedEvents()
  const api = new KubernetesApi(server.url, async () => ({ tls: { ca: server.ca }, headers: {} }), clock)
  return { api, clock, events, kubernetes: new KubernetesCluster({ api, clock, random: seededRandom(1), events }) }
}

/** The reader alone, before a server that answers by script. */
async function asking(answer: Answer) {
  const server = await ScriptedApiServer.start(answer)
  const { clock, kubernetes, api } = adapter(server)
  return {
    server,
    clock,
    api,
    reader: kubernetes.cluster.reader,
    [Symbol.asyncDispose]: () => server[Symbol.asyncDispose](),
  }
}

describe('TokenReview', () => {
  const review = (status: object) => json({ kind: 'TokenReview', status }, 201)

  test('is asked with the token and our audiences', async () => {
    await using at = await asking(review({ authenticated: false }))
    await at.reader.reviewToken('a.b.c', ['istio-ca', 'alcazar'], NEVER)
    const [asked] = at.server.asked
    expect(asked).toMatchObject({ method: 'POST', path: '/apis/authentication.k8s.io/v1/tokenreviews' })
    expect(JSON.parse(asked?.body ?? '')).toEqual({
      apiVersion: 'authentication.k8s.io/v1',
      kind: 'TokenReview',
      spec: { token: 'a.b.c', audiences: ['istio-ca', 'alcazar'] },
    })
  })

  test('is answered by who the API server says it is', async () => {
    const user = { username: 'system:serviceaccount:shop:cart', groups: ['system:authenticated'] }
    await using at = await asking(review({ authenticated: true, user, audiences: ['istio-ca'] }))
    expect(await at.reader.reviewToken('t', ['istio-ca'], NEVER)).toEqual({
      authenticated: true,
      username: 'system:serviceaccount:shop:cart',
      audiences: ['istio-ca'],
    })
  })

  const user = { username: 'system:serviceaccount:shop:cart' }
  const noes: Record<string, [object, error: string]> = {
    'says no': [{ authenticated: false, error: 'expired' }, 'expired'],
    'says nothing': [{}, 'no reason given'],
    'says yes as a text': [{ authenticated: 'true', user, audiences: ['istio-ca'] }, 'no reason given'],
    'says yes to nobody': [{ authenticated: true, audiences: ['istio-ca'] }, 'no reason given'],
    'says yes to an empty name': [{ authenticated: true, user: { username: '' } }, 'no reason given'],
    'names a user without saying yes': [{ user, audiences: ['istio-ca'] }, 'no reason given'],
  }
  test.each(Object.entries(noes))('that %s is a no', async (_what, [status, error]) => {
    await using at = await asking(review(status))
    expect(await at.reader.reviewToken('t', ['istio-ca'], NEVER)).toEqual({ authenticated: false, error })
  })

  test('that confirms no audience says so', async () => {
    await using at = await asking(review({ authenticated: true, user }))
    expect(await at.reader.reviewToken('t', ['istio-ca'], NEVER)).toMatchObject({ audiences: [] })
  })

  test('without a status is a no', async () => {
    await using at = await asking(json({}, 201))
    expect(await at.reader.reviewToken('t', [], NEVER)).toMatchObject({ authenticated: false })
  })

  test('that the server does not serve answers nothing: nobody knows', async () => {
    await using at = await asking(json({ message: 'the server could not find the requested resource' }, 404))
    expect(await refusal(at.reader.reviewToken('t', ['istio-ca'], NEVER))).toMatchObject(unavailable)
  })
})

describe('reading one object', () => {
  const answer: Answer = (response, asked) => {
    const name = asked.path.split('/').at(-1)
    if (name === 'missing') return json({ message: 'not found' }, 404)(response, asked)
    return json({
      metadata: { name, namespace: 'shop', uid: `uid-of-${name}` },
      spec: { serviceAccountName: 'cart', nodeName: 'node-1' },
    })(response, asked)
  }

  test('finds a pod', async () => {
    await using at = await asking(answer)
    expect(await at.reader.readPod('shop', 'cart-0', NEVER)).toEqual({
      uid: 'uid-of-cart-0',
      name: 'cart-0',
      namespace: 'shop',
      serviceAccount: 'cart',
      node: 'node-1',
      deletion: undefined,
      ended: false,
    })
    expect(at.server.asked[0]?.path).toBe('/api/v1/namespaces/shop/pods/cart-0')
  })

  test('finds an account’s UID', async () => {
    await using at = await asking(answer)
    expect(await at.reader.readServiceAccountUid(CART, NEVER)).toBe('uid-of-cart')
    expect(at.server.asked[0]?.path).toBe('/api/v1/namespaces/shop/serviceaccounts/cart')
  })

  test('finds nothing where there is nothing, which is an answer', async () => {
    await using at = await asking(answer)
    expect(await at.reader.readPod('shop', 'missing', NEVER)).toBeUndefined()
    expect(await at.reader.readServiceAccountUid({ namespace: 'shop', name: 'missing' }, NEVER)).toBeUndefined()
  })

  test('can’t leave its path by a name', async () => {
    await using at = await asking(answer)
    await at.reader.readPod('a/../b', '../../secrets/x?y=z#', NEVER)
    expect(at.server.asked[0]?.path).toBe('/api/v1/namespaces/a%2F..%2Fb/pods/..%2F..%2Fsecrets%2Fx%3Fy%3Dz%23')
  })

  test('finds nothing in what is no pod', async () => {
    await using at = await asking(json({ kind: 'Status' }))
    expect(await at.reader.readPod('shop', 'cart-0', NEVER)).toBeUndefined()
  })
})

describe('listing a node’s pods', () => {
  test('asks for that node and that namespace alone', async () => {
    await using at = await asking(
      json({
        items: [
          { metadata: { name: 'a', namespace: 'shop', uid: 'a' }, spec: { serviceAccountName: 'cart', nodeName: 'n' } },
          { metadata: { name: 'half' } },
        ],
      }),
    )
    expect(await at.reader.podsOn('n', 'shop', NEVER)).toMatchObject([{ uid: 'a', serviceAccount: 'cart', node: 'n' }])
    const [asked] = at.server.asked
    expect(asked?.path).toBe('/api/v1/namespaces/shop/pods')
    expect(asked?.query.get('fieldSelector')).toBe('spec.nodeName=n')
  })

  test('that the server does not serve answers nothing: nobody knows', async () => {
    await using at = await asking(json({ message: 'not found' }, 404))
    expect(await refusal(at.reader.podsOn('n', 'shop', NEVER))).toMatchObject(unavailable)
  })

  test('finds none where the server answers without a list', async () => {
    await using at = await asking(json({}))
    expect(await at.reader.podsOn('n', 'shop', NEVER)).toEqual([])
  })
})

describe('a question that was not answered', () => {
  test.each([401, 403, 429, 500, 503])(
    'because of status %i is what nobody can know, and the next one is asked',
    async (status) => {
      await using at = await asking(json({ message: 'told to fail' }, status))
      const told = await refusal(at.reader.readPod('shop', 'cart-0', NEVER))
      expect(told).toMatchObject({ ...unavailable, message: 'the cluster can’t be asked now; try again later' })
      expect(told.detail).toContain(`answered ${status}: told to fail`)
      at.server.answer = json({}, 404)
      expect(await at.reader.readPod('shop', 'cart-0', NEVER)).toBeUndefined()
    },
  )

  test('because the connection broke spares the next ones the wait, for two seconds', async () => {
    await using at = await asking(hangUp)
    expect(await refusal(at.reader.readPod('shop', 'cart-0', NEVER))).toMatchObject(unavailable)
    at.server.answer = json({}, 404)
    expect(await refusal(at.reader.readPod('shop', 'cart-0', NEVER))).toMatchObject({
      ...unavailable,
      detail: expect.stringContaining('socket hang up') as string,
    })
    await at.clock.advance(1_999)
    expect(await refusal(at.reader.reviewToken('t', [], NEVER))).toMatchObject(unavailable)
    expect(at.server.asked).toHaveLength(1)
    await at.clock.advance(1)
    expect(await at.reader.readPod('shop', 'cart-0', NEVER)).toBeUndefined()
    expect(at.server.asked).toHaveLength(2)
  })

  test('because its asker gave up says nothing about the API server', async () => {
    await using at = await asking(() => {})
    const asker = new AbortController()
    const asking_ = refusal(at.reader.readPod('shop', 'cart-0', asker.signal))
    await until('the question to arrive', () => at.server.asked.length === 1)
    asker.abort(new Error('the caller gave up'))
    expect(await asking_).toMatchObject(unavailable)
    at.server.answer = json({}, 404)
    expect(await at.reader.readPod('shop', 'cart-0', NEVER)).toBeUndefined()
  })
})

describe('many questions at once', () => {
  test('are 128 at most: one more is told to come back, and a place is free again when one is answered', async () => {
    const open: (() => void)[] = []
    await using at = await asking((response, asked) => open.push(() => json({}, 404)(response, asked)))
    const questions = Array.from({ length: 128 }, () => at.reader.readPod('shop', 'cart-0', NEVER))
    expect(await refusal(at.reader.readPod('shop', 'cart-0', NEVER))).toMatchObject({
      code: 'rate_limited',
      message: 'too many questions to the API server are open; try again later',
    })
    await until('64 of them to arrive, each on a connection', () => open.length === 64)
    await aMoment()
    expect(at.server.connections).toBe(64)
    const answered = Promise.all(questions)
    await until('all to be answered', () => {
      for (const answer of open.splice(0)) answer()
      return at.server.asked.length === 128
    })
    for (const answer of open.splice(0)) answer()
    expect(new Set(await answered)).toEqual(new Set([undefined]))
    at.server.answer = json({}, 404)
    expect(await at.reader.readPod('shop', 'cart-0', NEVER)).toBeUndefined()
  })
})

describe('the cluster’s token issuer', () => {
  const signer = new TokenSigner({ alg: 'ES256' })
  const discovery =
    (document: unknown, keys: unknown = signer.jwks): Answer =>
    (response, asked) =>
      asked.path === '/.well-known/openid-configuration'
        ? json(document)(response, asked)
        : asked.path === '/openid/v1/jwks'
          ? json(keys)(response, asked)
          : json({}, 404)(response, asked)

  test('is whom discovery names, with the keys of the API server itself and never of jwks_uri', async () => {
    await using elsewhere = await ScriptedApiServer.start(json({ keys: [] }))
    await using at = await asking(discovery({ issuer: signer.issuer, jwks_uri: `${elsewhere.url}/jwks` }))
    const found = await discoverTokenIssuer(at.api)(NEVER)
    expect(found.issuer).toBe(signer.issuer)
    expect(JSON.parse(found.jwks)).toEqual(signer.jwks)
    expect(elsewhere.connections).toBe(0)
    expect(at.server.asked.map(({ path }) => path).sort()).toEqual([
      '/.well-known/openid-configuration',
      '/openid/v1/jwks',
    ])
  })

  test('is asked for with the media type that the API server gives keys in', async () => {
    await using at = await asking(discovery({ issuer: signer.issuer }))
    await discoverTokenIssuer(at.api)(NEVER)
    expect(at.server.at('/openid/v1/jwks')[0]?.headers.accept).toContain('application/jwk-set+json')
  })

  test.each([{}, { issuer: '' }, { issuer: 7 }, { issuer: null }])(
    'is nobody when discovery says %j',
    async (document) => {
      await using at = await asking(discovery(document))
      await expect(discoverTokenIssuer(at.api)(NEVER)).rejects.toThrow('names no issuer')
    },
  )

  test('is nobody when discovery is forbidden', async () => {
    await using at = await asking(json({ message: 'forbidden' }, 403))
    await expect(discoverTokenIssuer(at.api)(NEVER)).rejects.toMatchObject({ status: 403 })
  })
})

describe('both watches together', () => {
  const PODS = { namespace: 'shop', name: 'cart-0', uid: 'uid-of-cart-0', serviceAccount: 'cart', node: 'node-1' }

  async function running() {
    const server = await FakeApiServer.start(new TokenSigner({ alg: 'ES256' }))
    server.addPod(PODS)
    server.addAccount({ namespace: 'shop', name: 'cart', uid: 'uid-of-cart' })
    const parts = adapter(server)
    const stop = new AbortController()
    const run = parts.kubernetes.run(stop.signal)
    return {
      ...parts,
      server,
      watch: parts.kubernetes.cluster.watch,
      synced: () => until('both lists', () => parts.kubernetes.cluster.watch.silence() < Number.POSITIVE_INFINITY),
      watching: () =>
        until('both watches', () => server.watchers('pods') > 0 && server.watchers('serviceaccounts') > 0),
      [Symbol.asyncDispose]: async () => {
        stop.abort()
        await run
        await server.stop()
      },
    }
  }

  test('show pods and accounts', async () => {
    await using at = await running()
    await at.synced()
    expect(at.watch.pod('uid-of-cart-0')).toMatchObject({ name: 'cart-0', serviceAccount: 'cart' })
    expect(at.watch.serviceAccountUid(CART)).toBe('uid-of-cart')
    expect(at.watch.runsOn('node-1', CART)).toBe(true)
  })

  test('are silent for as long as the more silent one is', async () => {
    await using at = await running()
    await at.watching()
    await at.clock.advance(40_000)
    at.server.event('pods', { type: 'BOOKMARK', object: { metadata: { resourceVersion: '2000' } } })
    await aMoment()
    expect(at.watch.silence()).toBe(40_000)
    at.server.event('serviceaccounts', { type: 'BOOKMARK', object: { metadata: { resourceVersion: '2000' } } })
    await until('both to be heard of', () => at.watch.silence() === 0)
  })

  test('tell of their failures by name, and of coming back', async () => {
    await using at = await running()
    await at.watching()
    at.server.failWith = 503
    at.server.event('serviceaccounts', { type: 'ERROR', object: { code: 500, message: 'etcd is away' } })
    const told = () =>
      at.events.told.flatMap(({ event, args }) =>
        event === 'lookedUp' ? [`${args[0]}: ${args[1] === 'ok' ? 'ok' : 'failed'}`] : [],
      )
    await until('a failure', () => told().includes('service accounts: failed'))
    at.server.failWith = undefined
    await until('to come back', async () => {
      await at.clock.advance(1000)
      return told().at(-1) === 'service accounts: ok'
    })
    expect(told()).not.toContain('pods: failed')
  })

  test('end with the signal, and with them all connections', async () => {
    const at = await running()
    await at.watching()
    await at[Symbol.asyncDispose]()
    expect(at.server.watchers('pods') + at.server.watchers('serviceaccounts')).toBe(0)
  })
})
