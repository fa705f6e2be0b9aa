import { beforeAll, describe, expect, test } from 'vitest'
import type { Authority } from '../../src/authority/authority.ts'
import { type Evidence, gate, type Standing, standingOn } from '../../src/authority/gate.ts'
import type { Condition } from '../../src/authority/transitions.ts'
import { shortId } from '../../src/core/bytes.ts'
import { plus } from '../../src/core/clock.ts'
import { HOUR } from '../../src/core/duration.ts'
import { aSet, issuingOf, NOW, rootOf } from '../_support/authority-sets.ts'
import { NO_EVIDENCE } from '../_support/no-evidence.ts'
import { odd } from '../_support/odd-certificates.ts'

let a: Authority
let b: Authority
let c: Authority
let underA: Authority
let underB: Authority
/** B’s key, certified by A. */
let crossed: Authority

beforeAll(async () => {
  const [rootA, rootB] = [await odd('root a', 'itself'), await odd('root b', 'itself')]
  a = rootOf(rootA)
  b = rootOf(rootB, { state: 'prepared', bundledSince: 4 })
  c = rootOf(await odd('root c', 'itself'), { state: 'prepared', bundledSince: 6 })
  crossed = { ...b, cross: [{ by: a.id, certificate: rootB.certificate }] }
  underA = issuingOf(await odd('under a', rootA, { pathLength: 0 }), { root: a.id, state: 'old' })
  underB = issuingOf(await odd('under b', rootB, { pathLength: 0 }), { root: b.id })
})

/** A certificate under A that came with bundle `bundle` and ends in `hours`. */
const one = (bundle: number, hours = 1, issuer = underA): Standing => ({
  issuer: issuer.id,
  bundle,
  endsAt: NOW.getTime() + hours * HOUR,
})
const knowing = (workloads: Record<string, Standing[]>, incomplete?: string): Evidence => ({
  incomplete,
  workloads: () => Object.entries(workloads).map(([name, svids]) => ({ name, namespace: 'shop', svids })),
})
const why = (set: Authority[], root: Authority, condition: Condition, ...svids: Standing[]) =>
  gate(aSet(set), root, condition, knowing({ 'shop/cart': svids })).longest[0]?.why

describe('what may sign', () => {
  test('with a cross-certificate needs one answer with it to everybody', () => {
    expect(why([a, crossed], crossed, 'trusted', one(3))).toBe('holds bundle 3, not 4 yet')
    expect(why([a, crossed], crossed, 'trusted', one(4))).toBeUndefined()
    expect(why([a, crossed], crossed, 'trusted', one(3), one(4))).toBeUndefined()
    expect(why([a, crossed], crossed, 'trusted', one(5))).toBeUndefined()
  })

  test('without one needs it in every bundle that a workload may hold: an answer may have been lost', () => {
    expect(why([a, b], b, 'trusted', one(3), one(4))).toBe('holds bundle 3, not 4 yet')
    expect(why([a, b], b, 'trusted', one(4), one(5))).toBeUndefined()
  })

  test('needs more than a cross-certificate by a root that a workload has not', () => {
    // C is certified by B alone, and who holds bundle 3 has only A.
    const byB = { ...c, cross: [{ by: b.id, certificate: c.certificate }] }
    const set = [{ ...a, state: 'old' as const }, { ...b, state: 'active' as const }, byB]
    expect(why(set, byB, 'trusted', one(3), one(6))).toBe('holds bundle 3, not 4 yet')
    expect(why(set, byB, 'trusted', one(4), one(6))).toBeUndefined()
    expect(why(set, byB, 'followed', one(3))).toBe('holds bundle 3, not 4 yet')
    expect(why(set, byB, 'followed', one(4))).toBeUndefined()
  })

  test('is not helped by the cross-certificate of a root that has left', () => {
    expect(why([{ ...a, state: 'revoked' }, crossed], crossed, 'trusted', one(3), one(4))).toBe(
      'holds bundle 3, not 4 yet',
    )
  })

  test('is followed by all where every other root certified it, whatever is known of them', () => {
    const nothing = knowing({ 'shop/cart': [one(1)] }, 'the ledger is being read')
    expect(gate(aSet([a, crossed]), crossed, 'followed', nothing)).toMatchObject({ open: true, incomplete: undefined })
    expect(gate(aSet([a, b]), b, 'followed', nothing)).toMatchObject({ open: false, inTheWay: 1 })
  })

  test('is an old root again where everybody has it', () => {
    const set = [
      { ...a, state: 'old' as const, bundledSince: 2 },
      { ...crossed, state: 'active' as const },
    ]
    expect(why(set, set[0] as Authority, 'trusted', one(1))).toBe('holds bundle 1, not 2 yet')
    expect(why(set, set[0] as Authority, 'trusted', one(2))).toBeUndefined()
  })
})

describe('what may leave', () => {
  const activated = () => [{ ...a, state: 'old' as const }, { ...crossed, state: 'active' as const }, underA, underB]

  test('has nothing standing on it', () => {
    expect(why(activated(), a, 'unused', one(4))).toBe(`stands on ${shortId(a.id)}`)
    expect(why(activated(), a, 'unused', one(4), one(4, 1, underB))).toBe(`stands on ${shortId(a.id)}`)
    expect(why(activated(), a, 'unused', one(4, 1, underB))).toBeUndefined()
  })

  test('is nobody’s way to the root that signs', () => {
    expect(why(activated(), a, 'unused', one(3, 1, underB))).toBe('holds bundle 3, not 4 yet')
    expect(why(activated(), a, 'unused', one(3, 1, underB), one(4, 1, underB))).toBe('holds bundle 3, not 4 yet')
  })

  test('is not needed where another that stays certified the one that signs', () => {
    const set = [
      { ...a, state: 'old' as const },
      { ...b, state: 'old' as const },
      { ...c, state: 'active' as const, cross: crossed.cross },
      underA,
      underB,
    ]
    const elsewhere = issuingOf({ certificate: c.certificate } as never, { root: c.id, id: 'c'.repeat(40) })
    expect(why([...set, elsewhere], b, 'unused', one(1, 1, elsewhere))).toBeUndefined()
    expect(why([...set, elsewhere], a, 'unused', one(1, 1, elsewhere))).toBe('holds bundle 1, not 6 yet')
  })

  test('may have under it what the journal does not know', () => {
    const gone = { ...one(4), issuer: 'e'.repeat(40) }
    expect(why(activated(), a, 'unused', gone)).toBe(`may stand on ${shortId(a.id)}`)
    const rootless = activated().map((each) => (each.id === underB.id ? { ...each, root: undefined } : each))
    expect(why(rootless, a, 'unused', one(4, 1, underB))).toBe(`may stand on ${shortId(a.id)}`)
  })

  test('stays where nothing signs', () => {
    expect(why([{ ...a, state: 'old' }, underA, underB], a, 'unused', one(9, 1, underB))).toContain('holds bundle 9')
  })

  test('may be a plugged-in root that signed leaves itself', () => {
    const itself = issuingOf({ certificate: a.certificate } as never, { root: a.id, id: a.id })
    expect(why([...activated(), itself], a, 'unused', one(4, 1, itself))).toBe(`stands on ${shortId(a.id)}`)
  })
})

describe('a gate', () => {
  test('names who is in the way, each with the end of its last certificate, and the end of all', () => {
    const evidence = knowing({
      'shop/cart': [one(3, 2), one(3, 5)],
      'shop/till': [one(4)],
      'shop/tax': [one(1, 3)],
    })
    expect(gate(aSet([a, b]), b, 'trusted', evidence)).toEqual({
      open: false,
      incomplete: undefined,
      live: 3,
      inTheWay: 2,
      until: plus(NOW, 5 * HOUR),
      namespaces: new Map([['shop', { workloads: 2, endsAt: NOW.getTime() + 5 * HOUR }]]),
      longest: [
        { workload: 'shop/cart', namespace: 'shop', why: 'holds bundle 3, not 4 yet', until: plus(NOW, 5 * HOUR) },
        { workload: 'shop/tax', namespace: 'shop', why: 'holds bundle 1, not 4 yet', until: plus(NOW, 3 * HOUR) },
      ],
    })
  })

  describe('is closed until the last certificate ends that is in the way, whatever the workload got since', () => {
    const ends = (set: Authority[], root: Authority, condition: Condition, ...svids: Standing[]) => {
      const { until, namespaces } = gate(aSet(set), root, condition, knowing({ 'shop/cart': svids }))
      expect(namespaces.get('shop')?.endsAt).toBe(until?.getTime())
      return until && (until.getTime() - NOW.getTime()) / HOUR
    }
    const leaving = () => [{ ...a, state: 'old' as const }, { ...crossed, state: 'active' as const }, underA, underB]

    test('one that stands on the root, or may', () => {
      expect(ends(leaving(), a, 'unused', one(4, 2), one(4, 9, underB))).toBe(2)
      expect(ends(leaving(), a, 'unused', { ...one(4, 3), issuer: 'e'.repeat(40) }, one(4, 2), one(5, 9, underB))).toBe(
        3,
      )
    })

    test('one that came with a bundle without the root that signs', () => {
      expect(ends(leaving(), a, 'unused', one(3, 4, underB), one(4, 2), one(4, 9, underB))).toBe(4)
      expect(ends([a, b], b, 'followed', one(3, 2), one(4, 9))).toBe(2)
      expect(ends([a, b], b, 'trusted', one(3, 2), one(4, 9))).toBe(2)
    })

    test('the last of all where none came with the root itself, and of those that none outlives which did', () => {
      expect(ends([a, crossed], crossed, 'trusted', one(2, 5), one(3, 2))).toBe(5)
      const byB = { ...c, cross: [{ by: b.id, certificate: c.certificate }] }
      const set = [{ ...a, state: 'old' as const }, { ...b, state: 'active' as const }, byB]
      expect(ends(set, byB, 'trusted', one(3, 2), one(4, 5), one(6, 9))).toBe(2)
      expect(ends(set, byB, 'trusted', one(3, 2), one(4, 5), one(6, 4))).toBe(5)
    })
  })

  test('names as many as are asked for of any number, those that end last first, and counts all', () => {
    // Ends that neither rise nor fall, each twice: a gate sorts them a thousand at a time.
    const ends = Array.from({ length: 3000 }, (_, n) => ((n * 1_237) % 1500) / 100)
    const evidence = knowing(Object.fromEntries(ends.map((end, n) => [`shop/cart-${n}`, [one(3, end)]])))
    const all = ends
      .map((end, n) => ({ workload: `shop/cart-${n}`, until: plus(NOW, end * HOUR) }))
      .sort((a, b) => b.until.getTime() - a.until.getTime() || (a.workload < b.workload ? -1 : 1))
    for (const named of [0, 1, 2, 10, 100, 1999, 3000, Number.POSITIVE_INFINITY]) {
      const found = gate(aSet([a, b]), b, 'trusted', evidence, named)
      expect(found).toMatchObject({ inTheWay: 3000, until: plus(NOW, 14.99 * HOUR) })
      expect(found.longest.map(({ workload, until }) => ({ workload, until }))).toEqual(all.slice(0, named))
    }
    expect(gate(aSet([a, b]), b, 'trusted', evidence).longest).toHaveLength(10)
  })

  test('counts by namespace who is in the way, until the last of them has ended', () => {
    const workloads = [
      { name: 'shop/cart', namespace: 'shop', svids: [one(3, 2)] },
      { name: 'tax/till', namespace: 'tax', svids: [one(3, 9)] },
      { name: 'shop/till', namespace: 'shop', svids: [one(3, 5), one(3, 4)] },
      { name: 'shop/desk', namespace: 'shop', svids: [one(3, 1)] },
      { name: 'shop/sign', namespace: 'shop', svids: [one(4, 8)] },
      { name: 'idle/sign', namespace: 'idle', svids: [one(4, 8)] },
    ]
    const { namespaces } = gate(aSet([a, b]), b, 'trusted', { incomplete: undefined, workloads: () => workloads })
    expect([...namespaces]).toEqual([
      ['shop', { workloads: 3, endsAt: NOW.getTime() + 5 * HOUR }],
      ['tax', { workloads: 1, endsAt: NOW.getTime() + 9 * HOUR }],
    ])
  })

  test('walks the evidence once: what is decided and what is said of it agree', () => {
    let walks = 0
    const evidence = {
      incomplete: undefined,
      *workloads() {
        walks++
        yield { name: 'shop/cart', namespace: 'shop', svids: [one(3)] }
      },
    }
    expect(gate(aSet([a, b]), b, 'trusted', evidence)).toMatchObject({ inTheWay: 1, longest: [{}] })
    expect(walks).toBe(1)
  })

  test('is closed while something may be unknown, whoever is known', () => {
    const evidence = knowing({ 'shop/cart': [one(4)] }, 'the ledger is being read')
    expect(gate(aSet([a, b]), b, 'trusted', evidence)).toMatchObject({
      open: false,
      incomplete: 'the ledger is being read',
      inTheWay: 0,
    })
    const unknownUntil = plus(NOW, 5 * HOUR)
    const until = (workloads: Record<string, Standing[]>, incomplete?: string) =>
      gate(aSet([a, b]), b, 'trusted', { ...knowing(workloads, incomplete), unknownUntil }).until
    expect(until({}, 'it was imported')).toEqual(unknownUntil)
    expect(until({ 'shop/cart': [one(3, 2)] }, 'it was imported')).toEqual(unknownUntil)
    expect(until({ 'shop/cart': [one(3, 9)] }, 'it was imported')).toEqual(plus(NOW, 9 * HOUR))
    expect(until({})).toBeUndefined()
    expect(gate(aSet([a, b]), a, 'unused', { ...NO_EVIDENCE, incomplete: 'a replica is lost' }).open).toBe(false)
  })

  test('is open where nothing is asked, and counts the living all the same', () => {
    const evidence = knowing({ 'shop/cart': [one(1)] }, 'the ledger is being read')
    expect(gate(aSet([a, b]), b, undefined, evidence)).toMatchObject({ open: true, incomplete: undefined, live: 1 })
  })

  test.each<Condition>(['followed', 'trusted', 'unused'])('is open for nobody (%s)', (condition) => {
    expect(gate(aSet([a, b]), b, condition, NO_EVIDENCE)).toMatchObject({ open: true, live: 0, until: undefined })
  })
})

test('workloads are counted once on each authority they stand on, and on its root, until their last certificate there ends', () => {
  const evidence = knowing({ 'shop/cart': [one(1), one(2, 3), one(4, 5, underB)], 'shop/till': [one(4, 4, underB)] })
  expect(standingOn(aSet([a, b, underA, underB]), evidence)).toEqual(
    new Map([
      [underA.id, { workloads: 1, endsAt: NOW.getTime() + 3 * HOUR }],
      [a.id, { workloads: 1, endsAt: NOW.getTime() + 3 * HOUR }],
      [underB.id, { workloads: 2, endsAt: NOW.getTime() + 5 * HOUR }],
      [b.id, { workloads: 2, endsAt: NOW.getTime() + 5 * HOUR }],
    ]),
  )
})
