import { expect, test } from 'vitest'
import { KubernetesApi } from '../../src/kubernetes/api.ts'
import { KubernetesCluster } from '../../src/kubernetes/cluster.ts'
import { TestCluster } from '../_support/a-ca.ts'
import { NEVER } from '../_support/attested.ts'
import { type ContractWorld, clusterContract } from '../_support/cluster-contract.ts'
import { FakeApiServer, type FakePod } from '../_support/fake-api-server.ts'
import { FakeClock } from '../_support/fake-clock.ts'
import { recordedEvents } from '../_support/recorded-events.ts'
import { seededRandom } from '../_support/seeded-random.ts'
import { TokenSigner } from '../_support/tokens.ts'
import { until } from '../_support/until.ts'

const NAMESPACE = 'shop'
const GRACE_ENDS = new Date('2030-01-01T00:00:30Z')

/** UIDs as a cluster gives them: never twice. */
const uids = () => {
  let last = 0
  return () => `uid-${++last}`
}

const theFake = async (): Promise<ContractWorld> => {
  const fake = new TestCluster()
  const uid = uids()
  const named = (name: string) => [...fake.pods.values()].find((pod) => pod.name === name)
  const change = (name: string, fields: object) => {
    const pod = named(name)
    if (pod) fake.pods.set(pod.uid, { ...pod, ...fields })
  }
  return {
    cluster: fake.cluster,
    namespace: NAMESPACE,
    addAccount: async (name) => {
      const its = uid()
      fake.accounts.set(`${NAMESPACE}/${name}`, its)
      return its
    },
    removeAccount: async (name) => void fake.accounts.delete(`${NAMESPACE}/${name}`),
    addPod: async ({ name, account, node }) =>
      fake.add({ uid: uid(), namespace: NAMESPACE, serviceAccount: account, name, node }).uid,
    endPod: async (name) => change(name, { ended: true }),
    beginDeleting: async (name) => change(name, { deletion: GRACE_ENDS }),
    removePod: async (name) => {
      const uid = named(name)?.uid ?? ''
      if (fake.pods.delete(uid)) fake.seenDeleted.add(uid)
    },
    tokenOf: async (account) => {
      fake.review = (token) =>
        token === account
          ? { authenticated: true, username: `system:serviceaccount:${NAMESPACE}:${account}`, audiences: ['istio-ca'] }
          : { authenticated: false, error: 'unknown token' }
      return account
    },
    [Symbol.asyncDispose]: async () => undefined,
  }
}

const theAdapter = async (): Promise<ContractWorld> => {
  const server = await FakeApiServer.start(new TokenSigner({ alg: 'ES256' }))
  const clock = new FakeClock()
  const api = new KubernetesApi(server.url, async () => ({ tls: { ca: server.ca }, headers: {} }), clock)
  const { cluster, run } = running(
    new KubernetesCluster({ api, clock, random: seededRandom(1), events: recordedEvents() }),
  )
  // The fake tells only who listens: what changes before the watches are open is told to nobody.
  await until('both watches', () => server.watchers('pods') > 0 && server.watchers('serviceaccounts') > 0)
  const uid = uids()
  const named = (name: string) => [...server.pods.values()].find((pod) => pod.name === name)
  const change = (name: string, fields: Partial<FakePod>) => {
    const pod = named(name)
    if (pod) server.addPod({ ...pod, ...fields })
  }
  return {
    cluster,
    namespace: NAMESPACE,
    addAccount: async (name) => {
      const account = { namespace: NAMESPACE, name, uid: uid() }
      server.addAccount(account)
      return account.uid
    },
    removeAccount: async (name) => server.removeAccount({ namespace: NAMESPACE, name, uid: '' }),
    addPod: async ({ name, account, node }) => {
      const pod = { namespace: NAMESPACE, name, uid: uid(), serviceAccount: account, node }
      server.addPod(pod)
      return pod.uid
    },
    endPod: async (name) => change(name, { phase: 'Succeeded' }),
    beginDeleting: async (name) => change(name, { deletionTimestamp: GRACE_ENDS.toISOString() }),
    removePod: async (name) => server.removePod(named(name)?.uid ?? ''),
    tokenOf: async (account) => {
      server.review = (token) =>
        token === account
          ? {
              authenticated: true,
              user: { username: `system:serviceaccount:${NAMESPACE}:${account}` },
              audiences: ['istio-ca'],
            }
          : { authenticated: false, error: 'unknown token' }
      return account
    },
    [Symbol.asyncDispose]: async () => {
      await run.end()
      await server.stop()
    },
  }
}

clusterContract('the fake cluster of the unit tests', theFake)
clusterContract('the adapter of a Kubernetes API server', theAdapter)

test('the fake gives the very answers of the adapter about the same cluster', async () => {
  const answers = async (open: () => Promise<ContractWorld>) => {
    await using world = await open()
    const { reader } = world.cluster
    await world.addAccount('cart')
    await world.addPod({ name: 'cart-0', account: 'cart', node: 'node-1' })
    await world.addPod({ name: 'cart-1', account: 'cart', node: 'node-1' })
    await world.beginDeleting('cart-0')
    await world.endPod('cart-1')
    return [
      await reader.readServiceAccountUid({ namespace: NAMESPACE, name: 'cart' }, NEVER),
      await reader.readPod(NAMESPACE, 'cart-0', NEVER),
      await reader.readPod(NAMESPACE, 'gone', NEVER),
      await reader.podsOn('node-1', NAMESPACE, NEVER),
      await reader.reviewToken('unknown', ['istio-ca'], NEVER).then(({ authenticated }) => authenticated),
    ]
  }
  expect(await answers(theFake)).toEqual(await answers(theAdapter))
})

function running(kubernetes: KubernetesCluster) {
  const stop = new AbortController()
  const run = kubernetes.run(stop.signal)
  return {
    cluster: kubernetes.cluster,
    run: {
      end: async () => {
        stop.abort()
        await run
      },
    },
  }
}
