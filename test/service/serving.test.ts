import { beforeAll, describe, expect, test } from 'vitest'
import { bundledRoots } from '../../src/authority/authority.ts'
import { DAY, HOUR } from '../../src/core/duration.ts'
import { makeServing } from '../../src/issuance/ca-certificates.ts'
import { keyAlgorithm } from '../../src/keys/algorithms.ts'
import { PrivateKey } from '../../src/keys/private-key.ts'
import { readCertificate } from '../../src/x509/certificate.ts'
import { readPem } from '../../src/x509/pem.ts'
import { verifies, World } from '../_support/a-world.ts'
import { aPluggedCa } from '../_support/plugged-sets.ts'
import { seededRandom } from '../_support/seeded-random.ts'

const ADMIN = { by: 'admin', because: 'yearly' } as const

let sets: Awaited<ReturnType<typeof aPluggedCa>>

beforeAll(async () => {
  sets = await aPluggedCa()
})

/** Names of the roots by each of which alone, as an old file has it, a client believes us now. */
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
    verifies([own, ...chain], [certificate], world.clock.now()),
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

  test('is never signed by what stands on a compromised root', async () => {
    const world = new World()
    const { roots, set } = await world.start()
    await roots.taint(bundledRoots(set)[0]?.id ?? '', ADMIN, HOUR)
    const { authority } = world.keeper?.serving.authority.get() ?? expect.fail()
    expect(authority.id).toBe(world.active.authority.id)
  })

  test('is not made anew for every change of the journal', async () => {
    const world = new World({ kind: 'plugged-in', ca: sets.a })
    const keeper = await world.start()
    let made = 0
    keeper.serving.authority.follow(() => made++)
    await keeper.roots.forget('shop/cart-0', world.clock.now(), ADMIN)
    await keeper.tick()
    expect(made).toBe(1)
  })
})
