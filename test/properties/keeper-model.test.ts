import fc from 'fast-check'
import { beforeAll, describe, expect, test } from 'vitest'
import { JournalInDoubt } from '../../src/authority/journal.ts'
import type { PluggedCa } from '../../src/authority/plugged-ca.ts'
import { DAY, HOUR } from '../../src/core/duration.ts'
import { CaError } from '../../src/core/errors.ts'
import { World } from '../_support/a-world.ts'
import type { Fault } from '../_support/memory-store.ts'
import { odd } from '../_support/odd-certificates.ts'
import { aPluggedCa, plugged } from '../_support/plugged-sets.ts'

/** What may happen to a keeper, in any order; after each of them everything is proved again (`World.check`). */
type Step = fc.AsyncCommand<object, World>

/** A failed write is no failure of the test: what it leaves behind is what is proved. */
async function surviving(action: () => Promise<unknown>): Promise<boolean> {
  try {
    await action()
    return true
  } catch (error) {
    if (error instanceof CaError || error instanceof JournalInDoubt) return false
    throw error
  }
}

const step = (name: string, possible: (world: World) => boolean, run: (world: World) => Promise<unknown>): Step => {
  let ready = true
  return {
    check: () => true,
    run: async (_model, world) => {
      ready = possible(world)
      if (!ready) return
      await run(world)
      await world.check()
      if (world.source.kind === 'plugged-in') expect(world.broken(), 'invariant 6').toEqual([])
    },
    toString: () => (ready ? name : `(${name}: not now)`),
  }
}
const runs = (world: World) => world.keeper !== undefined

const passTime = (hours: number) =>
  step(`${hours} hours pass`, runs, async (world) => {
    await world.clock.advance(hours * HOUR)
    await world.keeper?.tick()
  })
const sleepThrough = (days: number) =>
  step(
    `the machine sleeps ${days} days`,
    () => true,
    async (world) => world.clock.jump(days * DAY),
  )
const issue = (hours: number) =>
  step(
    `issue for ${hours} hours`,
    (world) =>
      runs(world) && world.active !== undefined && world.clock.now() < world.active.authority.certificate.tbs.notAfter,
    (world) => world.issue(hours * HOUR),
  )
const restart = () =>
  step(
    'restart',
    () => true,
    (world) => surviving(() => world.start()),
  )
const crash = () =>
  step(
    'crash',
    () => true,
    async (world) => {
      world.keeper = undefined
    },
  )
const failAtWrite = (ahead: number, fault: Fault) =>
  step(
    `the write after ${ahead} others is ${fault}`,
    () => true,
    async (world) => world.store.faults.set(world.store.writes + 1 + ahead, fault),
  )
const plugIn = (name: string, ca: () => PluggedCa) =>
  step(
    `plug in ${name}`,
    (world) => runs(world) && world.keeper?.stopped === undefined,
    async (world) => {
      const before = world.source
      world.source = { kind: 'plugged-in', ca: ca() }
      const { text } = world.store
      try {
        await world.keeper?.takePluggedCa(ca())
      } catch (error) {
        if (!(error instanceof CaError || error instanceof JournalInDoubt)) throw error
        // Refused for its roots: the admin puts the old files back. For a failed write the new files stay where they are.
        if (error instanceof CaError && error.code === 'invalid_argument') {
          expect(world.store.text).toBe(text)
          world.source = before
        }
      }
    },
  )

const everyday = [
  fc.integer({ min: 1, max: 12 * 24 }).map(passTime),
  fc.integer({ min: 1, max: 40 }).map(sleepThrough),
  fc.integer({ min: 1, max: 90 * 24 }).map(issue),
  fc.integer({ min: 1, max: 90 * 24 }).map(issue),
  fc.constant(0).map(restart),
  fc.constant(0).map(crash),
  fc
    .tuple(fc.nat(2), fc.constantFrom<Fault>('refused', 'in doubt, written', 'in doubt, not written'))
    .map(([ahead, fault]) => failAtWrite(ahead, fault)),
]

async function prove(begin: () => World, steps: fc.Arbitrary<Step>[], numRuns = 60): Promise<void> {
  await fc.assert(
    fc.asyncProperty(fc.commands(steps, { maxCommands: 30, size: '+1' }), async (commands) => {
      let world = begin()
      await fc.asyncModelRun(async () => {
        world = begin()
        await world.start()
        return { model: {}, real: world }
      }, commands)
      // Whatever happened: the next start works, on what is there.
      world.store.faults.clear()
      const keeper = await world.start()
      await world.check()
      if (world.active === undefined) {
        // At the latest when all that is alive has ended.
        await world.clock.advance(91 * DAY)
        await keeper.tick()
      }
      await world.issue(HOUR)
      await world.check()
      if (world.source.kind === 'dev')
        expect(world.ledger.of('authority').filter(({ what }) => what === 'root made')).toHaveLength(1)
    }),
    { numRuns },
  )
}

describe('whatever happens, in whatever order,', () => {
  test('a keeper with a root of its own never makes a second one, and every SVID verifies as long as it lives', async () => {
    await prove(() => new World(), everyday)
  }, 120_000)

  describe('with a plugged-in CA', () => {
    const NAMES = [
      'A',
      'A+B',
      'A+B, B signs',
      'B',
      'A, which signs leaves itself',
      'B+A, where A signs leaves itself',
      'B+A, where B signs leaves itself',
      'B, the root itself',
      'A+C, where the root C signs leaves itself',
    ]
    let sets: PluggedCa[]

    beforeAll(async () => {
      const { rootA, rootB, a, ab, abSignedByB, b } = await aPluggedCa()
      const notAfter = new Date('2035-01-01T00:00:00Z')
      const leafSigner = await odd('leaf signer under a', rootA, { pathLength: 0, notAfter })
      const otherLeafSigner = await odd('leaf signer under b', rootB, { pathLength: 0, notAfter })
      const narrow = await odd('root c', 'itself', { pathLength: 0, notAfter })
      const both = [rootB, rootA]
      sets = [
        a,
        ab,
        abSignedByB,
        b,
        plugged(leafSigner, [leafSigner], [rootA]),
        plugged(leafSigner, [leafSigner], both),
        plugged(otherLeafSigner, [otherLeafSigner], both),
        plugged(rootB, [], [rootB]),
        plugged(narrow, [], [rootA, narrow]),
      ]
    })

    test('every SVID verifies in every bundle that is held, whatever the files say, and what signs is always in the published bundle', async () => {
      const setOf = (name: string) => sets[NAMES.indexOf(name)] as PluggedCa
      const reload = fc.constantFrom(...NAMES).map((name) => plugIn(name, () => setOf(name)))
      await prove(() => new World({ kind: 'plugged-in', ca: setOf('A') }), [...everyday, reload, reload], 40)
    }, 120_000)
  })
})
