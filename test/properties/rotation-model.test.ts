import fc from 'fast-check'
import { expect, test } from 'vitest'
import { JournalInDoubt } from '../../src/authority/journal.ts'
import { DAY, HOUR } from '../../src/core/duration.ts'
import { CaError } from '../../src/core/errors.ts'
import { isValidAt } from '../../src/x509/certificate.ts'
import { Fleet, type Holder } from '../_support/a-fleet.ts'
import type { Fault } from '../_support/memory-store.ts'

/** What may happen in any order while roots are replaced; after each, everything is proved again (`Fleet.prove`). */
type Step = fc.AsyncCommand<object, Fleet>

const ADMIN = { by: 'admin', because: 'a property' } as const

const step = (name: string, run: (fleet: Fleet) => Promise<unknown>, possible = (_: Fleet) => true): Step => {
  let ready = true
  return {
    check: () => true,
    run: async (_model, fleet) => {
      ready = possible(fleet)
      if (!ready) return
      try {
        await run(fleet)
      } catch (error) {
        // Refused, or a write that failed: what it leaves behind is what is proved.
        if (!(error instanceof CaError || error instanceof JournalInDoubt)) throw error
      }
      await fleet.prove()
    },
    toString: () => (ready ? name : `(${name}: not now)`),
  }
}

const runs = (fleet: Fleet) => fleet.keeper !== undefined
const signs = (fleet: Fleet) =>
  runs(fleet) &&
  isValidAt(fleet.active.authority.certificate.tbs, fleet.clock.now()) &&
  fleet.clock.now() < fleet.active.authority.certificate.tbs.notAfter
const some = (fleet: Fleet, index: number): Holder | undefined => {
  const renewing = fleet.holders.filter(({ late }) => !late)
  return renewing[index % renewing.length]
}
const anybody = (fleet: Fleet) => signs(fleet) && some(fleet, 0) !== undefined

const verb = (name: string, run: (fleet: Fleet) => Promise<unknown> | undefined) =>
  step(name, async (fleet) => run(fleet), runs)

const number = fc.nat(30)
const ttl = fc.integer({ min: 1, max: 72 })

const workloads = [
  fc.tuple(ttl, fc.boolean()).map(([hours, late]) =>
    step(
      `a ${late ? 'late ' : ''}workload for ${hours} h`,
      (fleet) => fleet.join(hours * HOUR, late),
      (fleet) => signs(fleet) && fleet.holders.length < 6,
    ),
  ),
  fc.tuple(ttl, number).map(([hours, index]) =>
    step(
      `another process in pod ${index}`,
      (fleet) => fleet.join(hours * HOUR, false, some(fleet, index)),
      (fleet) => anybody(fleet) && fleet.holders.length < 6,
    ),
  ),
  fc
    .tuple(ttl, number, fc.boolean())
    .map(([hours, index, arrives]) =>
      step(
        `${index} renews for ${hours} h${arrives ? '' : ', and its answer is lost'}`,
        (fleet) => fleet.renew(some(fleet, index) as Holder, hours * HOUR, arrives),
        anybody,
      ),
    ),
  ttl.map((hours) =>
    step(
      `everybody renews for ${hours} h`,
      async (fleet) => {
        for (const holder of fleet.holders.filter(({ late }) => !late)) await fleet.renew(holder, hours * HOUR)
      },
      anybody,
    ),
  ),
  fc
    .tuple(ttl, number)
    .map(([hours, index]) =>
      step(
        `${index} asks for ${hours} h and waits`,
        async (fleet) => fleet.renewSlowly(some(fleet, index) as Holder, hours * HOUR),
        anybody,
      ),
    ),
  fc.constant(0).map(() => step('who waits is answered', (fleet) => fleet.land(), runs)),
  number.map((index) =>
    step(
      `pod ${index} is gone`,
      async (fleet) => fleet.leave((fleet.holders[index % fleet.holders.length] as Holder).workload),
      (fleet) => fleet.holders.length > 0,
    ),
  ),
  number.map((index) =>
    step(
      `forget ${index}`,
      (fleet) => fleet.forget((fleet.holders[index % fleet.holders.length] as Holder).workload),
      (fleet) => runs(fleet) && fleet.holders.length > 0,
    ),
  ),
]

const verbs = [
  fc.constant(0).map(() => verb('prepare', ({ keeper }) => keeper?.roots.prepare(ADMIN))),
  fc.constant(0).map(() => verb('activate', ({ keeper }) => keeper?.roots.activate(undefined, ADMIN))),
  fc.constant(0).map(() => verb('rollback', ({ keeper }) => keeper?.roots.rollback(ADMIN))),
  fc.constant(0).map(() => verb('revoke', ({ keeper }) => keeper?.roots.revoke(undefined, ADMIN))),
  fc.constant(0).map(() => verb('rotate', ({ keeper }) => keeper?.roots.rotate(ADMIN))),
  fc.constant(0).map(() => verb('rotate', ({ keeper }) => keeper?.roots.rotate(ADMIN))),
  fc.tuple(number, fc.integer({ min: 1, max: 48 })).map(([index, hours]) =>
    verb(`taint root ${index} within ${hours} h`, ({ keeper }) => {
      const roots = keeper?.set.authorities.filter(({ role }) => role === 'root') ?? []
      return keeper?.roots.taint(roots[index % roots.length]?.id ?? '', ADMIN, hours * HOUR)
    }),
  ),
]

const tick = () => step('tick', async ({ keeper }) => keeper?.tick(), runs)
const clock = [
  fc.constant(0).map(tick),
  fc.constant(0).map(tick),
  fc.integer({ min: 1, max: 30 }).map((hours) =>
    step(`${hours} hours pass`, async (fleet) => {
      await fleet.clock.advance(hours * HOUR)
      await fleet.keeper?.tick()
    }),
  ),
  fc
    .integer({ min: 1, max: 8 })
    .map((days) => step(`the clock is set ${days} days ahead`, async (fleet) => fleet.clock.jump(days * DAY))),
  fc.constant(0).map(() => step('the clock is set a year ahead', async (fleet) => fleet.clock.jump(365 * DAY))),
  fc
    .integer({ min: 1, max: 80 })
    .map((hours) => step(`the clock is set ${hours} hours back`, async (fleet) => fleet.clock.jump(-hours * HOUR))),
]

const fault = fc.constantFrom<Fault>('refused', 'in doubt, written', 'in doubt, not written')
const start = async (fleet: Fleet) => {
  fleet.crash()
  await fleet.start()
}
const failures = [
  fc.constant(0).map(() => step('restart', start)),
  fc.constant(0).map(() => step('restart', start)),
  fc.constant(0).map(() => step('crash', async (fleet) => fleet.crash())),
  fc
    .tuple(fc.nat(2), fault)
    .map(([ahead, how]) =>
      step(`the write after ${ahead} others is ${how}`, async ({ store }) =>
        store.faults.set(store.writes + 1 + ahead, how),
      ),
    ),
  fc
    .tuple(fc.nat(2), fault)
    .map(([ahead, how]) =>
      step(`the use of keys after ${ahead} others is ${how}`, async ({ store }) =>
        store.keyFaults.set(store.keyUses + 1 + ahead, how),
      ),
    ),
]

const property = (begin: () => Fleet, steps: readonly fc.Arbitrary<Step>[], narrow = false) =>
  fc.asyncProperty(fc.commands([...steps], { maxCommands: 60, size: '+2' }), async (commands) => {
    let fleet = begin()
    await fc.asyncModelRun(async () => {
      fleet = begin()
      if (narrow) await fleet.beginNarrow()
      await fleet.start()
      return { model: {}, real: fleet }
    }, commands)
    // Whatever happened: the next start works, on what is there.
    fleet.store.faults.clear()
    fleet.store.keyFaults.clear()
    fleet.crash()
    const { set } = fleet.journal
    const root = set.authorities.find(({ role, state }) => role === 'root' && state === 'active')
    if (!root || !isValidAt(root.certificate.tbs, fleet.clock.now())) return
    await fleet.start()
    await fleet.prove()
  })

const everything = [...workloads, ...verbs, ...clock, ...failures, ...workloads, ...verbs]

test.each([
  ['each root certified by the one before', false],
  ['a first root that can certify no other', true],
])(
  'whatever happens in whatever order, no live workload ever refuses another, unless it was named when a compromised root left: %s',
  async (_roots, narrow) => {
    await fc.assert(
      property(() => new Fleet(), everything, narrow),
      { numRuns: 120 },
    )
  },
  120_000,
)

test('the property notices a gate that stands open', async () => {
  const found = await fc.check(
    property(() => new Fleet({ blind: true }), [...workloads, ...verbs, ...clock]),
    {
      numRuns: 200,
      seed: 1,
      endOnFailure: true,
    },
  )
  expect(found.failed).toBe(true)
  expect(String(found.errorInstance)).toContain('invariant 6')
}, 120_000)
