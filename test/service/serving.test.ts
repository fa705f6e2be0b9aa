import { beforeAll, describe, expect, test } from 'vitest'
import { activeAuthority } from '../../src/authority/active-authority.ts'
import { bundledRoots } from '../../src/authority/authority.ts'
import { plus } from '../../src/core/clock.ts'
import { DAY, HOUR } from '../../src/core/duration.ts'
import { makeServing } from '../../src/issuance/ca-certificates.ts'
import { keyAlgorithm } from '../../src/keys/algorithms.ts'
import { PrivateKey } from '../../src/keys/private-key.ts'
import { Serving } from '../../src/service/serving.ts'
import { readCertificate } from '../../src/x509/certificate.ts'
import { readPem } from '../../src/x509/pem.ts'
import { World } from '../_support/a-world.ts'
import { aSet, issuingOf, NOW, rootOf } from '../_support/authority-sets.ts'
import { FakeClock } from '../_support/fake-clock.ts'
import { odd } from '../_support/odd-certificates.ts'
import { aPluggedCa, plugged } from '../_support/plugged-sets.ts'
import { seededRandom } from '../_support/seeded-random.ts'

const ADMIN = { by: 'admin', because: 'yearly' } as const

let sets: Awaited<ReturnType<typeof aPluggedCa>>

beforeAll(async () => {
  sets = await aPluggedCa()
})

/** Whether a client believes us now that has each root of the bundle alone, as an old file may. */
async function believedBy(world: World): Promise<boolean[]> {
  const serving = world.keeper?.serving.authority.get() ?? expect.fail('nothing signs our certificate')
  const { publicKey } = await PrivateKey.generate(keyAlgorithm('ecdsa-p256'))
  const parent = { certificate: serving.authority.certificate, signer: serving.signer }
  const making = { clock: world.clock, random: seededRandom(3) }
  const own = await makeServing(['localhost'], publicKey, parent, DAY, making)
  const chain = serving.chainPem.flatMap((pem) =>
    readPem(pem, 100_000, 'nothing else').map(({ der }) => readCertificate(der)),
  )
  return bundledRoots(world.journal.set).map(({ certificate }) =>
    world.verifies([own, ...chain], [certificate], world.clock.now()),
  )
}

describe('our own certificate', () => {
  test('is believed by the old root and by the new one, where that is crossed, until the old one leaves', async () => {
    const world = new World()
    const { roots } = await world.start()
    const first = await roots.prepare(ADMIN)
    expect(await believedBy(world)).toEqual([true, false])
    await roots.activate(undefined, ADMIN)
    expect(await believedBy(world)).toEqual([true, true])
    const keeper = await world.start()
    expect(await believedBy(world), 'after a restart').toEqual([true, true])
    await keeper.roots.revoke(undefined, ADMIN)
    expect(await believedBy(world)).toEqual([true])
    expect(bundledRoots(keeper.set)).toMatchObject([{ id: first.id }])
  })

  test('without a cross-certificate stays under the old root until that leaves', async () => {
    const world = new World({ kind: 'plugged-in', ca: sets.ab })
    const keeper = await world.start()
    await world.issue(20 * DAY)
    await keeper.takePluggedCa(sets.abSignedByB)
    expect(world.active.authority.id).not.toBe(keeper.serving.authority.get()?.authority.id)
    expect(await believedBy(world)).toEqual([true, false])
    await keeper.takePluggedCa(sets.b)
    expect(await believedBy(world), 'somebody stands on it').toEqual([true, false])
    await world.clock.advance(20 * DAY + HOUR)
    await keeper.tick()
    expect(await believedBy(world)).toEqual([true])
    expect(keeper.serving.authority.get()).toMatchObject({ authority: { id: world.active.authority.id } })
  })

  test('stands under the oldest of three', async () => {
    const world = new World({ kind: 'plugged-in', ca: sets.a })
    const keeper = await world.start()
    const rootC = await odd('root c', 'itself', { notAfter: new Date('2040-01-01T00:00:00Z') })
    const underC = await odd('ca under c', rootC, { notAfter: new Date('2035-01-01T00:00:00Z') })
    await keeper.takePluggedCa(sets.abSignedByB)
    await keeper.takePluggedCa(plugged(underC, [underC], [rootC, sets.rootB, sets.rootA]))
    expect(world.active.authority.intermediates).toEqual([underC.certificate])
    expect(await believedBy(world)).toEqual([true, false, false])
  })

  test('goes over to the root that signs when what signed before nears its end', async () => {
    const world = new World({ kind: 'plugged-in', ca: sets.ab })
    const keeper = await world.start()
    await keeper.takePluggedCa(sets.abSignedByB)
    await world.clock.advance(25 * DAY - HOUR)
    await keeper.tick()
    expect(await believedBy(world)).toEqual([true, false])
    await world.clock.advance(HOUR)
    await keeper.tick()
    expect(await believedBy(world)).toEqual([false, true])
  })

  test('goes over to it with a restart: the key of what signed before was in memory', async () => {
    const world = new World({ kind: 'plugged-in', ca: sets.ab })
    const keeper = await world.start()
    await keeper.takePluggedCa(sets.abSignedByB)
    world.source = { kind: 'plugged-in', ca: sets.abSignedByB }
    await world.start()
    expect(await believedBy(world)).toEqual([false, true])
  })

  test.each([
    ['old', 'under a'],
    ['tainted', 'under b'],
  ] as const)('where what signed before is %s stands %s', async (state, where) => {
    const clock = new FakeClock()
    const [rootA, rootB] = [rootOf(sets.rootA, { state }), rootOf(sets.rootB, { bundledSince: 2 })]
    const notAfter = plus(NOW, 30 * DAY)
    const [underA, underB] = [
      await odd('under a', sets.rootA, { notAfter }),
      await odd('under b', sets.rootB, { notAfter }),
    ]
    const before = issuingOf(underA, { state, root: rootA.id })
    const now = issuingOf(underB, { root: rootB.id })
    const set = aSet([rootA, rootB, before, now])
    const serving = new Serving(clock)
    serving.hold({ authority: before, signer: underA.key })
    serving.settle(set, activeAuthority(set, now, underB.key))
    expect(serving.authority.get()?.authority).toBe(where === 'under a' ? before : now)
  })

  test('is not made anew for every change of the journal', async () => {
    const world = new World({ kind: 'plugged-in', ca: sets.a })
    const keeper = await world.start()
    let made = 0
    keeper.serving.authority.follow(() => made++)
    await keeper.roots.forget('shop/cart-0', ADMIN)
    await keeper.tick()
    expect(made).toBe(1)
  })
})
