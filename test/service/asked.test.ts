import { describe, expect, test } from 'vitest'
import { attestedCaller, type Caller } from '../../src/attestation/caller.ts'
import { JournalInDoubt } from '../../src/authority/journal.ts'
import { HOUR, MINUTE } from '../../src/core/duration.ts'
import type { PublicKey } from '../../src/keys/public-key.ts'
import type { Keeper } from '../../src/service/keeper.ts'
import { type Issued, World } from '../_support/a-world.ts'
import type { Fault } from '../_support/memory-store.ts'

const ADMIN = { by: 'admin', because: 'laptop stolen' } as const

/** What takes trust away from one SVID, and why it is refused then: an issuing authority that vouches for nobody, or the SVID itself. */
const takings = [
  {
    what: 'a taint of the root that signs',
    ask: ({ keeper }: Running) => keeper.roots.taint(keeper.set.authorities[0]?.id ?? '', ADMIN, HOUR),
    denied: { vouching: 0, takenBack: undefined },
  },
  {
    what: 'a revocation',
    ask: ({ keeper, svid: { leaf, issuer } }: Running) =>
      keeper.revocations.revoke(
        { serial: leaf.tbs.serial, id: 'spiffe://cluster.local/ns/shop/sa/cart', issuer, notAfter: leaf.tbs.notAfter },
        ADMIN,
      ),
    denied: { vouching: 1, takenBack: 'revoked' },
  },
  {
    what: 'a workload forgotten',
    ask: ({ keeper }: Running) => keeper.roots.forget('shop/cart-0', ADMIN),
    denied: { vouching: 1, takenBack: 'forgotten' },
  },
]
const TRUSTED = { vouching: 1, takenBack: undefined }

type Running = Awaited<ReturnType<typeof running>>

async function running() {
  const world = new World()
  const keeper = await world.start()
  const svid = await world.issue(HOUR, 'shop/cart-0')
  const signer = world.active.signer.publicKey
  await world.clock.advance(10 * MINUTE)
  return { world, keeper, svid, judged: () => judged(world, keeper, svid, signer) }
}

/** How client certificate authentication sees the SVID now. */
const judged = (world: World, keeper: Keeper, { leaf }: Issued, signer: PublicKey) => ({
  vouching: keeper.mayVouch(leaf.tbs.issuer, world.clock.now()).length,
  takenBack: keeper.takenBack(leaf.tbs, signer, 'shop/cart-0'),
})

/** Who showed that certificate. */
const aRenewal = (svid: string): Caller =>
  attestedCaller({
    account: { namespace: 'shop', name: 'cart' },
    method: 'client-certificate',
    pod: { name: 'cart-0', uid: 'uid-of-cart-0' },
    lineage: undefined,
    onBehalfBy: undefined,
    svid,
  })

describe.each(takings)('$what', ({ ask, denied }) => {
  test('takes the trust away when it is written', async () => {
    const at = await running()
    expect(at.judged()).toEqual(TRUSTED)
    await ask(at)
    expect(at.judged()).toEqual(denied)
  })

  test.each<Fault>(['in doubt, written', 'in doubt, not written'])(
    'takes it away from then on where the write is %s: the process that stopped authenticates nobody by it',
    async (fault) => {
      const at = await running()
      at.world.store.faults.set(at.world.store.writes + 1, fault)
      await expect(ask(at)).rejects.toMatchObject({ code: 'not_ready', cause: expect.any(JournalInDoubt) })
      expect(at.judged()).toEqual(denied)
      await at.world.clock.advance(10 * MINUTE)
      await at.keeper.tick()
      expect(at.judged()).toEqual(denied)
      const { serial, notBefore } = at.svid.leaf.tbs
      expect(at.keeper.revocations.takenBackSince(aRenewal(serial), notBefore)).toBe(denied.takenBack)
    },
  )

  test('takes it away while the write is under way', async () => {
    const at = await running()
    const { store } = at.world
    const gate = Promise.withResolvers<void>()
    const reached = Promise.withResolvers<void>()
    const write = store.write.bind(store)
    store.write = async (expected, set) => {
      reached.resolve()
      await gate.promise
      return write(expected, set)
    }
    const asked = ask(at)
    await reached.promise
    expect(at.judged()).toEqual(denied)
    gate.resolve()
    await asked
    expect(at.judged()).toEqual(denied)
  })

  test('takes nothing away where the write is refused: nothing was done, and it is said', async () => {
    const at = await running()
    at.world.store.faults.set(at.world.store.writes + 1, 'refused')
    await expect(ask(at)).rejects.toMatchObject({
      code: 'dependency_unavailable',
      message: 'the journal can’t be written',
    })
    expect(at.judged()).toEqual(TRUSTED)
    await ask(at)
    expect(at.judged()).toEqual(denied)
  })
})

test('a write in doubt that would give trust gives none', async () => {
  const { world, keeper, judged } = await running()
  world.store.faults.set(world.store.writes + 1, 'in doubt, written')
  await expect(keeper.roots.prepare(ADMIN)).rejects.toMatchObject({
    code: 'not_ready',
    cause: expect.any(JournalInDoubt),
  })
  expect(keeper.set.authorities.map(({ state }) => state)).toEqual(['active', 'active'])
  expect(judged()).toEqual(TRUSTED)
})
