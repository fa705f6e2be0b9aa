import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { AccountMirror, PodMirror, podOf } from '../../src/kubernetes/cluster-mirror.ts'
import type { KubernetesObject } from '../../src/kubernetes/list-watch.ts'

type Fields = { uid?: string; namespace?: string; account?: string; node?: string; phase?: string; deletion?: string }

const pod = (name: string, fields: Fields = {}): KubernetesObject => ({
  metadata: {
    name,
    namespace: fields.namespace ?? 'shop',
    uid: fields.uid ?? `uid-of-${name}`,
    ...(fields.deletion !== undefined && { deletionTimestamp: fields.deletion }),
  },
  spec: { serviceAccountName: fields.account ?? 'cart', nodeName: fields.node ?? 'node-1' },
  status: { phase: fields.phase ?? 'Running' },
})

/** A mirror that was listed whole. */
function listed(...pods: KubernetesObject[]): PodMirror {
  const mirror = new PodMirror()
  mirror.begin()
  for (const one of pods) mirror.put(one)
  mirror.settle()
  return mirror
}

const CART = { namespace: 'shop', name: 'cart' }

describe('what is kept of a pod', () => {
  test('is what attestation asks for, and nothing more', () => {
    expect(podOf(pod('cart-0', { deletion: '2030-01-01T00:00:30Z' }))).toEqual({
      uid: 'uid-of-cart-0',
      name: 'cart-0',
      namespace: 'shop',
      serviceAccount: 'cart',
      node: 'node-1',
      deletion: new Date('2030-01-01T00:00:30Z'),
      ended: false,
    })
  })

  test.each([
    ['Pending', false],
    ['Running', false],
    ['Unknown', false],
    ['Succeeded', true],
    ['Failed', true],
  ])('says of phase %s whether it has ended', (phase, ended) => {
    expect(podOf(pod('cart-0', { phase }))?.ended).toBe(ended)
  })

  test('is no node and no account where it has none yet', () => {
    expect(podOf({ metadata: { name: 'a', namespace: 'b', uid: 'c' } })).toMatchObject({
      node: '',
      serviceAccount: '',
      deletion: undefined,
      ended: false,
    })
  })

  test.each([
    ['no metadata', {}],
    ['no UID', { metadata: { name: 'a', namespace: 'b' } }],
    ['no name', { metadata: { namespace: 'b', uid: 'c' } }],
    ['no namespace', { metadata: { name: 'a', uid: 'c' } }],
  ])('is nothing where it has %s', (_what, object) => {
    expect(podOf(object)).toBeUndefined()
    expect(listed(object).size).toBe(0)
  })

  test('is a time that never comes where the deletion timestamp is none', () => {
    expect(podOf(pod('cart-0', { deletion: 'soon' }))?.deletion?.getTime()).toBeNaN()
  })
})

describe('which accounts run on which node', () => {
  test('follows a pod from no node to its node', () => {
    const mirror = listed(pod('cart-0', { node: '' }))
    expect(mirror.runsOn('', CART)).toBe(false)
    mirror.put(pod('cart-0', { node: 'node-1' }))
    expect(mirror.runsOn('node-1', CART)).toBe(true)
    expect(mirror.runsOn('node-2', CART)).toBe(false)
  })

  test('counts: it takes the last pod’s end for an account to be gone from a node', () => {
    const mirror = listed(pod('cart-0'), pod('cart-1'))
    mirror.put(pod('cart-0', { phase: 'Succeeded' }))
    expect(mirror.runsOn('node-1', CART)).toBe(true)
    mirror.remove(pod('cart-1'))
    expect(mirror.runsOn('node-1', CART)).toBe(false)
  })

  test('counts a pod once, however often it is told of', () => {
    const mirror = listed(pod('cart-0'))
    for (let n = 0; n < 3; n++) mirror.put(pod('cart-0'))
    mirror.remove(pod('cart-0'))
    expect(mirror.runsOn('node-1', CART)).toBe(false)
  })

  test('does not count an ended pod away twice', () => {
    const mirror = listed(pod('cart-0'), pod('cart-1'))
    mirror.put(pod('cart-0', { phase: 'Failed' }))
    mirror.remove(pod('cart-0', { phase: 'Failed' }))
    expect(mirror.runsOn('node-1', CART)).toBe(true)
  })

  test('is not confused by removing a pod nobody knows', () => {
    const mirror = listed(pod('cart-0'))
    mirror.remove(pod('cart-9'))
    mirror.remove({})
    expect(mirror.runsOn('node-1', CART)).toBe(true)
  })

  test('keeps apart namespaces and accounts whose names run together', () => {
    const mirror = listed(pod('x', { namespace: 'a', account: 'b-c', node: 'n' }))
    expect(mirror.runsOn('n', { namespace: 'a-b', name: 'c' })).toBe(false)
    expect(mirror.runsOn('n', { namespace: 'a', name: 'b-c' })).toBe(true)
    expect(mirror.runsOn('n', { namespace: '', name: 'b-c' })).toBe(false)
  })

  test('is what a new list says, and nothing of the old one', () => {
    const mirror = listed(pod('cart-0'))
    mirror.begin()
    mirror.put(pod('teller-0', { namespace: 'bank', account: 'teller' }))
    expect(mirror.runsOn('node-1', CART)).toBe(true)
    mirror.settle()
    expect(mirror.runsOn('node-1', CART)).toBe(false)
    expect(mirror.runsOn('node-1', { namespace: 'bank', name: 'teller' })).toBe(true)
  })

  test('is the same after any events as if it were counted anew', () => {
    const event = fc.record({
      kind: fc.constantFrom('put', 'put', 'put', 'remove', 'relist'),
      name: fc.constantFrom('a', 'b', 'c', 'd'),
      account: fc.constantFrom('cart', 'admin'),
      node: fc.constantFrom('', 'node-1', 'node-2'),
      phase: fc.constantFrom('Running', 'Running', 'Succeeded', 'Failed'),
    })
    fc.assert(
      fc.property(fc.array(event, { maxLength: 40 }), (events) => {
        const mirror = listed()
        const pods = new Map<string, { account: string; node: string; phase: string }>()
        for (const { kind, name, ...fields } of events) {
          if (kind === 'put') {
            pods.set(name, fields)
            mirror.put(pod(name, fields))
          } else if (kind === 'remove') {
            pods.delete(name)
            mirror.remove(pod(name, fields))
          } else {
            mirror.begin()
            for (const [one, its] of pods) mirror.put(pod(one, its))
            mirror.settle()
          }
        }
        for (const node of ['', 'node-1', 'node-2'])
          for (const name of ['cart', 'admin'])
            expect(mirror.runsOn(node, { namespace: 'shop', name })).toBe(
              node !== '' &&
                [...pods.values()].some((one) => one.node === node && one.account === name && one.phase === 'Running'),
            )
        expect(mirror.size).toBe(pods.size)
      }),
    )
  })
})

describe('the UIDs of accounts', () => {
  const account = (name: string, uid: string) => ({ metadata: { name, namespace: 'shop', uid } })
  const accounts = (...objects: KubernetesObject[]) => {
    const mirror = new AccountMirror()
    mirror.begin()
    for (const one of objects) mirror.put(one)
    mirror.settle()
    return mirror
  }

  test('are known by namespace and name', () => {
    const mirror = accounts(account('cart', 'uid-1'))
    expect(mirror.uid(CART)).toBe('uid-1')
    expect(mirror.uid({ namespace: 'bank', name: 'cart' })).toBeUndefined()
  })

  test('change when an account is made anew, and go with it', () => {
    const mirror = accounts(account('cart', 'uid-1'))
    mirror.remove(account('cart', 'uid-1'))
    expect(mirror.uid(CART)).toBeUndefined()
    mirror.put(account('cart', 'uid-2'))
    expect(mirror.uid(CART)).toBe('uid-2')
  })

  test('are replaced whole by a new list, and not before it is whole', () => {
    const mirror = accounts(account('cart', 'uid-1'))
    mirror.begin()
    mirror.put(account('admin', 'uid-2'))
    expect(mirror.uid(CART)).toBe('uid-1')
    mirror.settle()
    expect(mirror.uid(CART)).toBeUndefined()
    expect(mirror.uid({ namespace: 'shop', name: 'admin' })).toBe('uid-2')
  })

  test('are not kept of what is not whole', () => {
    const mirror = accounts({}, { metadata: { name: 'cart', namespace: 'shop' } })
    mirror.remove({})
    expect(mirror.uid(CART)).toBeUndefined()
  })
})

describe('a pod that was seen to be deleted', () => {
  test('is gone, and stays so when the pods are listed again', () => {
    const mirror = listed(pod('cart-0'), pod('cart-1'))
    mirror.remove(pod('cart-0'))
    mirror.begin()
    mirror.put(pod('cart-1'))
    mirror.settle()
    expect(['uid-of-cart-0', 'uid-of-cart-1', 'never-seen'].map((uid) => mirror.isGone(uid))).toEqual([
      true,
      false,
      false,
    ])
  })

  test('is remembered until ten thousand others were deleted', () => {
    const all = Array.from({ length: 10_001 }, (_, index) => pod(`cart-${index}`))
    const mirror = listed(...all)
    for (const one of all.slice(0, -1)) mirror.remove(one)
    expect(mirror.isGone('uid-of-cart-0')).toBe(true)
    mirror.remove(all.at(-1) as KubernetesObject)
    expect([mirror.isGone('uid-of-cart-0'), mirror.isGone('uid-of-cart-1')]).toEqual([false, true])
  })
})
