import fc from 'fast-check'
import { expect, test } from 'vitest'
import { HOUR } from '../../src/core/duration.ts'
import { Inventory } from '../../src/ledger/inventory.ts'
import type { IssuedRecord, LedgerRecord } from '../../src/ledger/ledger.ts'
import { TextIndex } from '../../src/ledger/text-index.ts'
import { NEVER } from '../_support/attested.ts'
import { FakeClock } from '../_support/fake-clock.ts'
import { factsOf, inventoryOf, issuedRecord, podlessRecord } from '../_support/live-svids.ts'

type Step =
  | { readonly do: 'issue'; readonly pod: number; readonly hours: number; readonly predecessor: number | undefined }
  | { readonly do: 'show'; readonly which: number }
  | { readonly do: 'pass'; readonly hours: number }
  | { readonly do: 'prune' }

const which = fc.nat({ max: 30 })
/** Zero is no pod. */
const pod = fc.nat({ max: 3 })
const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 4,
    arbitrary: fc.record({
      do: fc.constant('issue' as const),
      pod,
      hours: fc.integer({ min: 1, max: 12 }),
      predecessor: fc.option(which, { nil: undefined }),
    }),
  },
  { weight: 4, arbitrary: fc.record({ do: fc.constant('show' as const), which }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('pass' as const), hours: fc.nat({ max: 6 }) }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('prune' as const) }) },
)

type Known = {
  readonly record: IssuedRecord
  proven: boolean
  lastSeen: Date
}

/** As simply as it can be said: every SVID there ever was, and which of them count no more. */
class Model {
  readonly all: Known[] = []
  readonly gone = new Set<Known>()

  alive(now: Date): Known[] {
    return this.all.filter((one) => !this.gone.has(one) && now <= new Date(one.record.notAfter))
  }

  show(known: Known, now: Date): void {
    known.proven = true
    known.lastSeen = now
    for (const one of this.all) if (one.record.serial === known.record.predecessor) this.gone.add(one)
  }

  facts(now: Date) {
    return this.alive(now)
      .map(({ record, proven, lastSeen }) => ({ serial: record.serial, proven, lastSeen, pod: record.podUid }))
      .sort((a, b) => (a.serial < b.serial ? -1 : 1))
  }
}

const summary = (inventory: Inventory, now: Date) =>
  factsOf(inventory, now).map((one) => ({
    serial: one.serial,
    proven: one.proven,
    lastSeen: one.lastSeen,
    pod: one.pod?.uid,
  }))

/** Serials whose order is not that of issue. */
const serialOf = (count: number) => ((count * 0x9e3779b1) >>> 0).toString(16).padStart(8, '0')

/** Takes the steps, and gives the ledger they leave and each thing that was told, with the place in the ledger it followed. */
async function live(steps: readonly Step[]) {
  const clock = new FakeClock()
  const inventory = await inventoryOf([], clock)
  const model = new Model()
  const ledger: LedgerRecord[] = []
  const told: ((inventory: Inventory) => void)[] = []
  const tell = (act: (inventory: Inventory) => void) => {
    told.push(act)
    act(inventory)
  }
  for (const one of steps) {
    await clock.advance(1)
    const now = clock.now()
    const alive = model.alive(now)
    const pick = (index: number) => alive[index % Math.max(1, alive.length)]
    if (one.do === 'issue') {
      const before = one.predecessor === undefined ? undefined : pick(one.predecessor)
      const change: Partial<IssuedRecord> = {
        at: now.toISOString(),
        notAfter: new Date(now.getTime() + one.hours * HOUR).toISOString(),
        ...(before && { predecessor: before.record.serial }),
      }
      const serial = serialOf(model.all.length + 1)
      const inPod = { pod: `cart-${one.pod}`, podUid: `uid-${one.pod}` }
      const record = one.pod === 0 ? podlessRecord(serial, change) : issuedRecord(serial, { ...change, ...inPod })
      ledger.push(record)
      tell((to) => to.issued(record))
      model.all.push({ record, proven: false, lastSeen: now })
      if (before) before.lastSeen = now
    } else if (one.do === 'show') {
      const known = pick(one.which)
      if (!known) continue
      const { serial } = known.record
      expect(inventory.isUnproven(serial)).toBe(!known.proven)
      if (known.proven) continue
      ledger.push({ kind: 'shown', at: now.toISOString(), requestId: '00', serial })
      tell((to) => to.shown(serial, now))
      model.show(known, now)
    } else if (one.do === 'pass') await clock.advance(one.hours * HOUR)
    else inventory.prune(now)
    expect(summary(inventory, clock.now())).toEqual(model.facts(clock.now()))
  }
  return { clock, inventory, ledger, told }
}

test('whatever is issued, shown and ends, in any order: the inventory says what a simple model says', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(step, { maxLength: 60 }), async (steps) => {
      await live(steps)
    }),
    { numRuns: 300 },
  )
})

test('made from the ledger it is what it was, wherever the reading began to hear of what happened besides', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(step, { maxLength: 60 }), fc.nat(), async (steps, from) => {
      const { clock, inventory, ledger, told } = await live(steps)
      const again = new Inventory()
      const entries = (async function* () {
        for (const act of told.slice(from % (told.length + 1))) act(again)
        yield* ledger
      })()
      await again.rebuild(entries, HOUR, clock, NEVER)
      expect(factsOf(again, clock.now())).toEqual(factsOf(inventory, clock.now()))
    }),
    { numRuns: 300 },
  )
})

test('an index finds every row that is in it, and no other, in any order of coming and going', () => {
  const texts = Array.from({ length: 400 }, (_, row) => serialOf(row))
  fc.assert(
    fc.property(fc.array(fc.nat({ max: texts.length - 1 }), { maxLength: 2000, size: 'max' }), (toggles) => {
      const index = new TextIndex((row) => texts[row] as string)
      const inside = new Set<number>()
      for (const row of toggles) {
        if (inside.delete(row)) index.remove(row)
        else {
          inside.add(row)
          index.add(row)
        }
      }
      expect(texts.map((text) => index.get(text))).toEqual(texts.map((_, row) => (inside.has(row) ? row : undefined)))
    }),
    { numRuns: 200 },
  )
})
