import { expect, test } from 'vitest'
import { DAY } from '../../src/core/duration.ts'
import { statusOf } from '../../src/service/status.ts'
import { World } from '../_support/a-world.ts'
import { aPluggedCa } from '../_support/plugged-sets.ts'

const ready = async () => ({ ready: true }) as const

test('shows who signs, until when, and when the next one is due', async () => {
  const world = new World()
  const keeper = await world.start()
  const status = await statusOf(keeper, keeper.active, ready, '1.2.3')
  expect(status).toMatchObject({
    trustDomain: 'cluster.local',
    version: '1.2.3',
    mode: 'dev',
    ready: true,
    bundleSequence: 1,
    rotating: false,
  })
  expect(status.notReadyBecause).toBeUndefined()
  expect(status.authorities).toEqual([
    {
      id: keeper.set.authorities[0]?.id,
      role: 'root',
      state: 'active',
      algorithm: 'ecdsa-p256',
      key: 'file',
      notBefore: '2029-12-31T23:58:00.000Z',
      notAfter: '2039-12-30T00:00:00.000Z',
    },
    {
      id: world.active.authority.id,
      role: 'issuing',
      state: 'active',
      algorithm: 'ecdsa-p256',
      key: 'memory',
      notBefore: '2029-12-31T23:58:00.000Z',
      notAfter: '2030-01-31T00:00:00.000Z',
      renewalAt: '2030-01-25T23:59:40.000Z',
    },
  ])
})

test('says why a server is not ready', async () => {
  const keeper = await new World().start()
  const status = await statusOf(keeper, keeper.active, async () => ({ ready: false, why: 'shutting down' }), '1')
  expect(status).toMatchObject({ ready: false, notReadyBecause: 'shutting down' })
})

test('promises a renewal only for what this process renews', async () => {
  const world = new World()
  await world.start()
  await world.clock.advance(DAY)
  const keeper = await world.start()
  const { authorities } = await statusOf(keeper, keeper.active, ready, '1')
  expect(authorities.map(({ state, renewalAt }) => [state, renewalAt !== undefined])).toEqual([
    ['active', false],
    ['old', false],
    ['active', true],
  ])
})

test('of a plugged-in CA that signs leaves itself promises none', async () => {
  const { a } = await aPluggedCa({ pathLength: 0 })
  const world = new World({ kind: 'plugged-in', ca: a })
  const keeper = await world.start()
  const { mode, authorities } = await statusOf(keeper, keeper.active, ready, '1')
  expect(mode).toBe('plugged-in')
  expect(authorities.map(({ key, renewalAt }) => [key, renewalAt])).toEqual([
    ['elsewhere', undefined],
    ['plugged-in', undefined],
  ])
})

test('holds nothing but what may be shown: no key, no certificate', async () => {
  const keeper = await new World().start()
  const text = JSON.stringify(await statusOf(keeper, keeper.active, ready, '1'))
  expect(text).not.toMatch(/PRIVATE|BEGIN|MII/)
})
