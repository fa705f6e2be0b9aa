import { expect, test } from 'vitest'
import { stillThere } from '../../src/attestation/liveness.ts'
import { plus } from '../../src/core/clock.ts'
import { MINUTE, SECOND } from '../../src/core/duration.ts'
import { TestCluster } from '../_support/a-ca.ts'

const now = new Date('2030-01-01T00:00:00Z')
const longAgo = plus(now, -60 * MINUTE).getTime()

function cluster(silence: number) {
  const found = Object.assign(new TestCluster(), { silence })
  const { uid } = found.add({ namespace: 'shop', serviceAccount: 'cart', name: 'cart-0' })
  found.seenDeleted.add('deleted')
  return { podExists: stillThere(found.cluster.watch, now), uid }
}

test('a fresh watch says yes of a pod it shows, and no of one it does not', () => {
  const { podExists, uid } = cluster(0)
  expect([podExists(uid, longAgo), podExists('another', longAgo)]).toEqual([true, false])
})

test('a watch that was silent for more than a minute says nothing', () => {
  const { podExists, uid } = cluster(60 * SECOND + 1)
  expect([podExists(uid, longAgo), podExists('another', longAgo)]).toEqual([undefined, undefined])
})

test.each([
  [0, 60, undefined],
  [0, 61, false],
  [30, 90, undefined],
  [30, 91, false],
])('silent for %i s it says of a missing pod that was heard of %i s ago: %s', (silence, ago, says) => {
  const { podExists } = cluster(silence * SECOND)
  expect(podExists('another', plus(now, -ago * SECOND).getTime())).toBe(says)
})

test.each([0, 60 * SECOND + 1, Number.POSITIVE_INFINITY])(
  'a pod that was seen to be deleted is gone at once, silent for %i ms or not',
  (silence) => {
    expect(cluster(silence).podExists('deleted', now.getTime())).toBe(false)
  },
)
