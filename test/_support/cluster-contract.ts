import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { Cluster } from '../../src/attestation/cluster.ts'
import { NEVER } from './attested.ts'
import { until } from './until.ts'

/** A cluster that can be changed, and what attestation sees of it. Every pod is one of the namespace of the world. */
export type ContractWorld = AsyncDisposable & {
  readonly cluster: Cluster
  /** Empty when the world begins, and nobody else’s. */
  readonly namespace: string
  /** Gives its UID. */
  addAccount(name: string): Promise<string>
  removeAccount(name: string): Promise<void>
  /** Gives its UID. */
  addPod(pod: { name: string; account: string; node: string }): Promise<string>
  /** It ran to its end and is still there. */
  endPod(name: string): Promise<void>
  /** Its deletion begins, with a grace period that goes on. */
  beginDeleting(name: string): Promise<void>
  removePod(name: string): Promise<void>
  /** A token of that account for the audience `istio-ca`. */
  tokenOf(account: string): Promise<string>
}

/** What attestation relies on, whatever stands behind it: the fake of the unit tests, the adapter, the adapter before a real API server. */
export function clusterContract(what: string, open: () => Promise<ContractWorld>): void {
  describe(`${what}, as attestation sees it`, () => {
    let world: ContractWorld
    beforeAll(async () => {
      world = await open()
    })
    afterAll(async () => {
      await world?.[Symbol.asyncDispose]()
    })
    const account = (name: string) => ({ namespace: world.namespace, name })
    const inWatch = (uid: string) => until(`pod ${uid} to be watched`, () => world.cluster.watch.pod(uid) !== undefined)
    const runsOn = (node: string, name: string) => world.cluster.watch.runsOn(node, account(name))

    test('has been heard of', async () => {
      await until('the first lists', () => world.cluster.watch.silence() < Number.POSITIVE_INFINITY, 15_000)
      expect(world.cluster.watch.silence()).toBeGreaterThanOrEqual(0)
    })

    test('knows an account by namespace and name, until it is gone, and its successor by another UID', async () => {
      const { watch, reader } = world.cluster
      const known = (uid: string | undefined) =>
        until(`the account to have UID ${uid}`, () => watch.serviceAccountUid(account('a-cart')) === uid)
      const first = await world.addAccount('a-cart')
      await known(first)
      expect(await reader.readServiceAccountUid(account('a-cart'), NEVER)).toBe(first)
      expect(watch.serviceAccountUid({ namespace: 'elsewhere', name: 'a-cart' })).toBeUndefined()
      expect(await reader.readServiceAccountUid({ namespace: 'elsewhere', name: 'a-cart' }, NEVER)).toBeUndefined()

      await world.removeAccount('a-cart')
      await known(undefined)
      expect(await reader.readServiceAccountUid(account('a-cart'), NEVER)).toBeUndefined()

      const second = await world.addAccount('a-cart')
      expect(second).not.toBe(first)
      await known(second)
    })

    test('knows a pod by its UID, and by its name when asked', async () => {
      const { watch, reader } = world.cluster
      await world.addAccount('b-cart')
      const uid = await world.addPod({ name: 'b-0', account: 'b-cart', node: 'node-b' })
      const pod = {
        uid,
        name: 'b-0',
        namespace: world.namespace,
        serviceAccount: 'b-cart',
        node: 'node-b',
        deletion: undefined,
        ended: false,
      }
      await inWatch(uid)
      expect(watch.pod(uid)).toEqual(pod)
      expect(watch.pod('b-0')).toBeUndefined()
      expect(await reader.readPod(world.namespace, 'b-0', NEVER)).toEqual(pod)
      expect(await reader.readPod(world.namespace, 'b-1', NEVER)).toBeUndefined()
      expect(await reader.readPod('elsewhere', 'b-0', NEVER)).toBeUndefined()
    })

    test('forgets a pod that is gone, and knows its successor of the same name by another UID', async () => {
      const { watch, reader } = world.cluster
      await world.addAccount('c-cart')
      const first = await world.addPod({ name: 'c-0', account: 'c-cart', node: 'node-c' })
      await inWatch(first)
      await world.removePod('c-0')
      await until('the pod to be gone', () => watch.pod(first) === undefined)
      expect(await reader.readPod(world.namespace, 'c-0', NEVER)).toBeUndefined()
      const second = await world.addPod({ name: 'c-0', account: 'c-cart', node: 'node-c' })
      await inWatch(second)
      expect(second).not.toBe(first)
      expect(watch.pod(first)).toBeUndefined()
      expect(await reader.readPod(world.namespace, 'c-0', NEVER)).toMatchObject({ uid: second })
    })

    test('says of a pod that is being deleted when its grace ends', async () => {
      const { watch } = world.cluster
      await world.addAccount('d-cart')
      const uid = await world.addPod({ name: 'd-0', account: 'd-cart', node: 'node-d' })
      await inWatch(uid)
      await world.beginDeleting('d-0')
      await until('the deletion', () => watch.pod(uid)?.deletion !== undefined)
      expect(watch.pod(uid)?.deletion?.getTime()).toBeGreaterThan(0)
      expect(runsOn('node-d', 'd-cart')).toBe(true)
      expect((await world.cluster.reader.readPod(world.namespace, 'd-0', NEVER))?.deletion).toEqual(
        watch.pod(uid)?.deletion,
      )
    })

    test('knows which accounts run on which node, until the last pod of one has ended or gone', async () => {
      await world.addAccount('e-cart')
      const pods = await Promise.all(
        ['e-0', 'e-1', 'e-2'].map((name) =>
          world.addPod({ name, account: 'e-cart', node: name === 'e-2' ? 'node-f' : 'node-e' }),
        ),
      )
      await Promise.all(pods.map(inWatch))
      expect(runsOn('node-e', 'e-cart')).toBe(true)
      expect(runsOn('node-f', 'e-cart')).toBe(true)
      expect(runsOn('node-g', 'e-cart')).toBe(false)
      expect(runsOn('', 'e-cart')).toBe(false)
      expect(runsOn('node-e', 'e-car')).toBe(false)
      expect(world.cluster.watch.runsOn('node-e', { namespace: 'elsewhere', name: 'e-cart' })).toBe(false)

      await world.endPod('e-0')
      await until('the end of e-0', () => world.cluster.watch.pod(pods[0] as string)?.ended === true)
      expect(runsOn('node-e', 'e-cart')).toBe(true)
      await world.removePod('e-1')
      await until('nothing to run on node-e', () => !runsOn('node-e', 'e-cart'))
      expect(pods.map((uid) => world.cluster.watch.isGone(uid))).toEqual([false, true, false])
      expect(runsOn('node-f', 'e-cart')).toBe(true)
    })

    test('lists the pods of one node and one namespace when asked, ended ones marked', async () => {
      const { reader } = world.cluster
      await world.addAccount('g-cart')
      await world.addPod({ name: 'g-0', account: 'g-cart', node: 'node-h' })
      await world.addPod({ name: 'g-1', account: 'g-cart', node: 'node-h' })
      await world.addPod({ name: 'g-2', account: 'g-cart', node: 'node-i' })
      await world.endPod('g-1')
      const found = await reader.podsOn('node-h', world.namespace, NEVER)
      expect(found.map(({ name, ended }) => [name, ended]).sort()).toEqual([
        ['g-0', false],
        ['g-1', true],
      ])
      expect(await reader.podsOn('node-j', world.namespace, NEVER)).toEqual([])
      expect(await reader.podsOn('node-h', 'elsewhere', NEVER)).toEqual([])
    })

    test('reviews a token: whose it is and for which of the audiences', async () => {
      await world.addAccount('k-cart')
      const token = await world.tokenOf('k-cart')
      expect(await world.cluster.reader.reviewToken(token, ['alcazar', 'istio-ca'], NEVER)).toEqual({
        authenticated: true,
        username: `system:serviceaccount:${world.namespace}:k-cart`,
        audiences: ['istio-ca'],
      })
    })

    test('reviews a token that is none', async () => {
      const review = await world.cluster.reader.reviewToken('a.b.c', ['istio-ca'], NEVER)
      expect(review).toMatchObject({ authenticated: false, error: expect.any(String) as string })
    })
  })
}
