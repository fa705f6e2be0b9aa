import { beforeAll, describe, expect, test } from 'vitest'
import { JournalInDoubt } from '../../src/authority/journal.ts'
import { DAY } from '../../src/core/duration.ts'
import { CaError } from '../../src/core/errors.ts'
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
  for (const ca of more) await take(world, ca)
  expect(keeper.stopped).toBeUndefined()
  return world
}
/** As the server does it: from now on this is what lies in the directory, also for the next start. */
const take = async (world: World, ca: Sets['a']) => {
  world.source = { kind: 'plugged-in', ca }
  await world.keeper?.takePluggedCa(ca)
  await world.issue(20 * DAY)
}

const stories: readonly Story[] = [
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
