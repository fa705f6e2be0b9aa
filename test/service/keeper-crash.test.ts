import { beforeAll, describe, expect, test } from 'vitest'
import { JournalInDoubt } from '../../src/authority/journal.ts'
import { DAY } from '../../src/core/duration.ts'
import { CaError } from '../../src/core/errors.ts'
import { keyAlgorithm } from '../../src/keys/algorithms.ts'
import { World } from '../_support/a-world.ts'
import type { Fault } from '../_support/memory-store.ts'
import { aPluggedCa } from '../_support/plugged-sets.ts'

type Sets = Awaited<ReturnType<typeof aPluggedCa>>
let intermediates: Sets
let leafSigners: Sets

beforeAll(async () => {
  intermediates = await aPluggedCa()
  leafSigners = await aPluggedCa({ pathLength: 0 })
})

/** What an admin or the clock does, and the world before it, with SVIDs alive. */
type Story = {
  readonly what: string
  readonly before: () => Promise<World>
  readonly does: (world: World) => Promise<unknown>
}

const dev = async () => {
  const world = new World()
  await world.start()
  await world.issue(20 * DAY)
  return world
}
const plugged = async (...sets: Sets['a'][]) => {
  const [first, ...more] = sets as [Sets['a'], ...Sets['a'][]]
  const world = new World({ kind: 'plugged-in', ca: first })
  const keeper = await world.start()
  await world.issue(20 * DAY)
  for (const ca of more) {
    await take(world, ca)
    // Whatever was alive has been replaced: the gate of the next step is open.
    await world.clock.advance(21 * DAY)
    await keeper.tick()
    await world.issue(20 * DAY)
  }
  expect(keeper.stopped).toBeUndefined()
  return world
}
/** As the server does it: from now on this is what lies in the directory, also for the next start. */
const take = async (world: World, ca: Sets['a']) => {
  world.source = { kind: 'plugged-in', ca }
  await world.keeper?.takePluggedCa(ca)
  await world.issue(20 * DAY)
}

const ADMIN = { by: 'admin', because: 'yearly' } as const
const roots = (world: World) => (world.keeper as NonNullable<World['keeper']>).roots
const idOf = (world: World, state: string) =>
  world.journal.set.authorities.find((one) => one.role === 'root' && one.state === state)?.id ?? ''
const revoke = async (world: World) => {
  const { leaf, issuer } = world.issued[0] as World['issued'][number]
  const { serial, notAfter } = leaf.tbs
  await world.keeper?.revocations.revoke(
    { serial, id: 'spiffe://cluster.local/ns/shop/sa/cart', issuer, notAfter },
    ADMIN,
  )
}
const prepared = async () => {
  const world = await dev()
  await roots(world).prepare(ADMIN)
  // What was issued before has ended, and one workload has the new bundle.
  await world.clock.advance(21 * DAY)
  await world.issue(20 * DAY)
  return world
}
const activated = async () => {
  const world = await prepared()
  await roots(world).activate(undefined, ADMIN)
  await world.issue(20 * DAY)
  return world
}
const nothingStands = async () => {
  const world = await activated()
  await world.clock.advance(21 * DAY)
  await world.issue(20 * DAY)
  return world
}

const stories: readonly Story[] = [
  { what: 'a root prepared', before: dev, does: (world) => roots(world).prepare(ADMIN) },
  { what: 'a root activated', before: prepared, does: (world) => roots(world).activate(undefined, ADMIN) },
  { what: 'a prepared root taken back', before: prepared, does: (world) => roots(world).rollback(ADMIN) },
  { what: 'an activated root taken back', before: activated, does: (world) => roots(world).rollback(ADMIN) },
  { what: 'an old root revoked', before: nothingStands, does: (world) => roots(world).revoke(undefined, ADMIN) },
  {
    what: 'the root that signs tainted',
    before: dev,
    does: (world) => roots(world).taint(idOf(world, 'active'), ADMIN, 50 * DAY),
  },
  {
    what: 'the root that signs tainted while another is prepared',
    before: prepared,
    does: (world) => roots(world).taint(idOf(world, 'active'), ADMIN, 50 * DAY),
  },
  {
    what: 'an old root tainted',
    before: activated,
    does: (world) => roots(world).taint(idOf(world, 'old'), ADMIN, 50 * DAY),
  },
  {
    what: 'a tainted root out after its time',
    before: async () => {
      const world = await activated()
      await roots(world).taint(idOf(world, 'old'), ADMIN, DAY)
      await world.clock.advance(DAY)
      return world
    },
    does: async (world) => world.keeper?.tick(),
  },
  {
    what: 'a whole rotation',
    before: async () => {
      const world = await dev()
      await world.clock.advance(21 * DAY)
      return world
    },
    does: async (world) => {
      await roots(world).rotate(ADMIN)
      await world.keeper?.tick()
    },
  },
  {
    what: 'a rotation that waits, activated at its deadline',
    before: async () => {
      const world = new World({ kind: 'dev', root: { algorithm: keyAlgorithm('ecdsa-p256'), lifetimeMs: 60 * DAY } })
      await world.start()
      await world.clock.advance(49 * DAY)
      await world.keeper?.tick()
      await world.issue(11 * DAY)
      await roots(world).rotate(ADMIN)
      await world.keeper?.tick()
      expect(idOf(world, 'prepared')).not.toBe('')
      await world.clock.advance(6 * DAY)
      return world
    },
    does: async (world) => world.keeper?.tick(),
  },
  {
    what: 'a workload forgotten',
    before: dev,
    does: (world) => roots(world).forget('shop/cart-0', new Date('2030-01-21T00:00:00Z'), ADMIN),
  },
  {
    what: 'a certificate revoked',
    before: async () => {
      const world = await dev()
      await world.issue(20 * DAY)
      return world
    },
    does: (world) => revoke(world),
  },
  {
    what: 'a certificate revoked whose issuing authority’s key is gone and goes with it',
    before: async () => {
      const world = await dev()
      await world.start()
      return world
    },
    does: async (world) => {
      await revoke(world)
      await world.keeper?.tick()
    },
  },
  {
    what: 'a root’s CRL replaced at half of its time',
    before: async () => {
      const world = await dev()
      await world.clock.advance(24 * DAY)
      await world.keeper?.tick()
      await world.clock.advance(22 * DAY)
      return world
    },
    does: async (world) => world.keeper?.tick(),
  },
  { what: 'a first start', before: async () => new World(), does: (world) => world.start() },
  { what: 'a restart', before: dev, does: (world) => world.start() },
  {
    what: 'the rotation on day 25',
    before: dev,
    does: async (world) => {
      await world.clock.advance(25 * DAY)
      await world.keeper?.tick()
    },
  },
  {
    what: 'a first start with a plugged-in CA',
    before: async () => new World({ kind: 'plugged-in', ca: intermediates.a }),
    does: (world) => world.start(),
  },
  {
    what: 'a restart with a plugged-in CA',
    before: () => plugged(intermediates.a),
    does: (world) => world.start(),
  },
  {
    what: 'a restart with a plugged-in CA that signs leaves itself',
    before: () => plugged(leafSigners.a),
    does: (world) => world.start(),
  },
  ...[
    { kind: 'with issuing authorities', sets: () => intermediates },
    { kind: 'signing leaves itself', sets: () => leafSigners },
  ].flatMap(({ kind, sets }): Story[] => [
    {
      what: `A → A+B, ${kind}`,
      before: () => plugged(sets().a),
      does: (world) => take(world, sets().ab),
    },
    {
      what: `A+B, then B signs, ${kind}`,
      before: () => plugged(sets().a, sets().ab),
      does: (world) => take(world, sets().abSignedByB),
    },
    {
      what: `A+B → B, ${kind}`,
      before: () => plugged(sets().a, sets().ab, sets().abSignedByB),
      does: (world) => take(world, sets().b),
    },
    {
      what: `A+B while A signs → B, ${kind}`,
      before: () => plugged(sets().a, sets().ab),
      does: (world) => take(world, sets().b),
    },
  ]),
]

/** How many journal writes the story takes when all goes well. */
async function writesOf({ before, does }: Story): Promise<number> {
  const world = await before()
  const { writes } = world.store
  await does(world)
  await world.check()
  return world.store.writes - writes
}

/** The faults, at each write of the story: what must hold is proved before and after a restart. */
async function eachFault(story: Story, fault: Fault, prove: (world: World, failed: unknown) => Promise<void>) {
  const count = await writesOf(story)
  expect(count).toBeGreaterThan(0)
  for (let write = 1; write <= count; write++) {
    const world = await story.before()
    world.store.faults.set(world.store.writes + write, fault)
    const failed = await story.does(world).then(
      () => undefined,
      (error: unknown) => error,
    )
    world.store.faults.clear()
    await prove(world, failed)
  }
}

describe.each(stories)('$what', (story) => {
  test('goes well when nothing fails', async () => {
    expect(await writesOf(story)).toBeGreaterThan(0)
  })

  test('a write that is refused changes nothing in memory: what runs still signs what the published bundle verifies', async () => {
    await eachFault(story, 'refused', async (world, failed) => {
      if (failed !== undefined) expect(failed).toBeInstanceOf(CaError)
      await world.check()
      if (world.keeper) expect(world.keeper.stopped).toBeUndefined()
    })
  })

  test('a write that is refused is tried again, and then all is as if nothing had happened', async () => {
    await eachFault(story, 'refused', async (world) => {
      if (!world.keeper) await world.start()
      else if (world.source.kind === 'plugged-in') await world.keeper.takePluggedCa(world.source.ca)
      else await world.keeper.tick()
      await world.check()
      await world.issue()
      await world.check()
    })
  })

  test.each<Fault>(['refused', 'in doubt, written', 'in doubt, not written'])(
    'a crash at any write, which is %s: the next start finds its way',
    async (fault) => {
      await eachFault(story, fault, async (world) => {
        await world.start()
        await world.check()
        await world.issue()
        await world.clock.advance(DAY)
        await world.start()
        await world.check()
      })
    },
  )

  test.each<Fault>(['refused', 'in doubt, written', 'in doubt, not written'])(
    'a key store that fails at any use (%s) changes nothing that the journal says, and the next start finds its way',
    async (fault) => {
      const counted = await story.before()
      const { keyUses } = counted.store
      await story.does(counted)
      for (let use = 1; use <= counted.store.keyUses - keyUses; use++) {
        const world = await story.before()
        world.store.keyFaults.set(world.store.keyUses + use, fault)
        await story.does(world).catch((error: unknown) => expect(error).toBeInstanceOf(CaError))
        world.store.keyFaults.clear()
        await world.check()
        if (world.keeper) expect(world.keeper.stopped).toBeUndefined()
        await world.start()
        await world.check()
        await world.issue()
        await world.check()
      }
    },
  )

  test.each<Fault>(['in doubt, written', 'in doubt, not written'])(
    'a write whose result is unknown (%s) stops the keeper, which goes on signing what it may',
    async (fault) => {
      await eachFault(story, fault, async (world, failed) => {
        if (!world.keeper) {
          // It never came to be: the start failed.
          expect(failed instanceof JournalInDoubt || failed instanceof CaError).toBe(true)
          return
        }
        expect(world.keeper.stopped).toBeInstanceOf(JournalInDoubt)
        expect(world.events.told.filter(({ event }) => event === 'keeperStopped')).toHaveLength(1)
        const { text, writes } = world.store
        await world.keeper.tick()
        if (world.source.kind === 'plugged-in')
          await expect(world.keeper.takePluggedCa(world.source.ca)).rejects.toMatchObject({
            code: 'not_ready',
            message: 'this process changes no authority any more; restart it',
          })
        expect([world.store.text, world.store.writes]).toEqual([text, writes])
        await world.check()
      })
    },
  )

  test('a ledger that fails at any record leaves what is published and what signs in step', async () => {
    const world = await story.before()
    const { length } = world.ledger.records
    await story.does(world)
    const count = world.ledger.records.length - length
    for (let record = 1; record <= count; record++) {
      const failing = await story.before()
      const add = failing.ledger.record.bind(failing.ledger)
      let left = record
      failing.ledger.record = async (one) => {
        if (--left === 0) throw new CaError('dependency_unavailable', 'the ledger can’t be written')
        await add(one)
      }
      await story.does(failing).catch(() => undefined)
      failing.ledger.record = add
      await failing.check()
      await failing.start()
      await failing.check()
    }
  })
})
