import { beforeAll, describe, expect, test } from 'vitest'
import type { Authority, AuthoritySet } from '../../src/authority/authority.ts'
import { type Renewable, type Renewal, suggestedRenewal } from '../../src/authority/svid-renewal.ts'
import { plus } from '../../src/core/clock.ts'
import { HOUR, SECOND } from '../../src/core/duration.ts'
import { aSet, issuingOf, NOW, rootOf } from '../_support/authority-sets.ts'
import { odd } from '../_support/odd-certificates.ts'
import type { TestCa } from '../_support/plugged-ca.ts'

/** In the middle of its window by chance. */
const MIDDLE = 'f00d80000000'

let [first, second]: TestCa[] = []
let [under, anew, beyond]: TestCa[] = []
beforeAll(async () => {
  first = await odd('first', 'itself')
  second = await odd('second', 'itself')
  under = await odd('under the first', first as TestCa)
  anew = await odd('under the first, after a restart', first as TestCa)
  beyond = await odd('under the second', second as TestCa)
})

const root = (ca: TestCa | undefined, change: Partial<Authority> = {}) => rootOf(ca as TestCa, change)
/** An issuing authority under that root. */
const issuing = (ca: TestCa | undefined, above: Authority, createdAt: Date, change: Partial<Authority> = {}) =>
  issuingOf(ca as TestCa, { root: above.id, createdAt, ...change })
const at = (hours: number) => plus(NOW, hours * HOUR)

/** For a day from the beginning of 2030, with the first bundle, unless told otherwise. */
const svid = (issuer: Authority, change: Partial<Renewable> = {}): Renewable => ({
  serial: MIDDLE,
  issuer: issuer.id,
  bundle: 1,
  issuedAt: NOW,
  notAfter: at(24),
  ...change,
})

const calm = (): readonly [AuthoritySet, Authority] => {
  const one = root(first)
  const signer = issuing(under, one, NOW)
  return [aSet([one, signer]), signer]
}

/** Four hours after the SVIDs that began with 2030 another root was put in the bundle. */
const prepared = (): readonly [AuthoritySet, Authority] => {
  const [set, signer] = calm()
  const next = root(second, { state: 'prepared', bundledSince: 2, createdAt: at(4) })
  return [{ ...set, bundleSequence: 2, authorities: [...set.authorities, next] }, signer]
}

/** And after six it began to sign. */
const activated = (change: Partial<Authority> = {}, signerChange: Partial<Authority> = {}) => {
  const old = root(first, { state: 'old', ...change })
  const signer = issuing(under, old, NOW, { state: 'old', ...signerChange })
  const next = root(second, { state: 'active', bundledSince: 2, createdAt: at(4) })
  const successor = issuing(beyond, next, at(6))
  return [aSet([old, signer, next, successor], { bundleSequence: 2 }), signer, successor] as const
}

const hoursIn = ({ start, end, at: due }: Renewal) =>
  [start, due, end].map((moment) => (moment.getTime() - NOW.getTime()) / HOUR)
const ask = (
  [set, signer]: readonly [AuthoritySet, Authority, ...unknown[]],
  now: Date,
  change: Partial<Renewable> = {},
) => suggestedRenewal(svid(signer, change), set, now, HOUR)

describe('while nothing waits for it', () => {
  test('an SVID is renewed at half of its life, a tenth sooner or later by chance', () => {
    expect(hoursIn(ask(calm(), NOW))).toEqual([10.8, 12, 13.2])
    expect(hoursIn(ask(calm(), NOW, { serial: '7f00000000' }))).toEqual([10.8, 10.8, 13.2])
    expect(hoursIn(ask(calm(), NOW, { serial: '7fffffffff' }))[1]).toBeCloseTo(13.2)
  })

  test('the moment is the same whenever it is asked for', () => {
    for (const hours of [0, 3, 10]) expect(ask(calm(), at(hours)).at).toEqual(at(12))
  })

  test('what is past is now', () => {
    expect(hoursIn(ask(calm(), at(12.5)))).toEqual([12.5, 12.5, 13.2])
    expect(hoursIn(ask(calm(), at(20)))).toEqual([20, 20, 20])
  })

  test('of one that has ended it is the end', () => {
    expect(hoursIn(ask(calm(), at(25)))).toEqual([24, 24, 24])
  })
})

describe('where a new root waits in the bundle', () => {
  test('what came without it is renewed within the window, counted from when the root was made', () => {
    // Its own half hour would be 8 h on; of a day’s SVIDs the last could be 13.2 h on.
    const [start, due, end] = hoursIn(ask(prepared(), at(4))) as [number, number, number]
    expect(due).toBeCloseTo(4 + 8 / 13.2)
    expect(start).toBeCloseTo(4 + 6.8 / 13.2)
    expect(end).toBeCloseTo(4 + 9.2 / 13.2)
  })

  test('the moment stays the same through the window', () => {
    expect(ask(prepared(), at(4.5)).at).toEqual(ask(prepared(), at(4)).at)
  })

  test('who has not moved when the window is over is due now', () => {
    expect(hoursIn(ask(prepared(), at(9)))).toEqual([9, 9, 9])
  })

  test('what came with it waits for nothing', () => {
    expect(hoursIn(ask(prepared(), at(5), { bundle: 2 }))).toEqual([10.8, 12, 13.2])
  })

  test('the one that was issued last is the last, at the end of the window', () => {
    const late = ask(prepared(), at(4), { issuedAt: at(4), notAfter: at(28), serial: '7fffffffff' })
    expect(late.at.getTime()).toBeLessThanOrEqual(at(5).getTime())
    expect(late.at.getTime()).toBeGreaterThan(at(4.999).getTime())
  })

  test('one that was under way then is not told a moment beyond the window', () => {
    const { end } = ask(prepared(), at(5), { issuedAt: at(4.1), notAfter: at(28.1) })
    expect(end.getTime()).toBeLessThanOrEqual(at(5).getTime())
  })

  test('what lives so briefly that it is renewed within the window anyway keeps its time', () => {
    const brief = { issuedAt: at(3.9), notAfter: at(4.9) }
    expect(ask(prepared(), at(4), brief)).toEqual(ask(calm(), at(4), brief))
  })
})

describe('where a new root signs', () => {
  test('what stands on the old one is renewed within the window, counted from its first issuing authority', () => {
    expect(hoursIn(ask(activated(), at(6), { bundle: 2 }))[1]).toBeCloseTo(6 + 6 / 13.2)
  })

  test('what stands on the new one waits for nothing', () => {
    const [set, , successor] = activated()
    expect(hoursIn(ask([set, successor], at(6), { bundle: 2 }))).toEqual([10.8, 12, 13.2])
  })

  test('a restart, which makes another issuing authority, begins no other window', () => {
    const [set, signer, successor] = activated()
    const restarted = {
      ...set,
      authorities: [
        ...set.authorities.map((one) => (one === successor ? { ...one, state: 'old' as const } : one)),
        issuing(anew, root(second), at(6.4)),
      ],
    }
    expect(ask([restarted, signer], at(6.4))).toEqual(ask(activated(), at(6.4)))
  })

  test('after a rollback the window begins when the first root signs again, not when it first did', () => {
    const back = root(first, { state: 'active' })
    const away = root(second, { state: 'old', bundledSince: 2, createdAt: at(4) })
    const [before, meanwhile] = [
      issuing(under, back, NOW, { state: 'old' }),
      issuing(beyond, away, at(6), { state: 'old' }),
    ]
    const set = aSet([back, before, away, meanwhile, issuing(anew, back, at(7))], { bundleSequence: 2 })
    const due = hoursIn(ask([set, meanwhile], at(7), { issuedAt: at(6), notAfter: at(30), bundle: 2 }))[1]
    expect(due).toBeCloseTo(7 + 11 / 13.2)
    expect(hoursIn(ask([set, before], at(7), { bundle: 1 }))).toEqual([10.8, 12, 13.2])
  })

  test('an old one that must leave by a time has half of that time', () => {
    const taint = { at: at(6), because: 'it certified another', leavesAt: at(6.5) }
    const due = hoursIn(ask(activated({ taint }), at(6), { bundle: 2 }))[1]
    expect(due).toBeCloseTo(6 + (6 / 13.2) * 0.25)
  })

  test('an old one whose time is over when the new one begins to sign is left at once', () => {
    const taint = { at: at(5), because: 'it certified another', leavesAt: at(5.5) }
    expect(hoursIn(ask(activated({ taint }), at(6), { bundle: 2 }))).toEqual([6, 6, 6])
  })

  test('where the one that signs is older than what it replaced, by a clock that was set back, the window begins with it', () => {
    const [set, signer, successor] = activated()
    const authorities = set.authorities.map((one) => (one === successor ? { ...one, createdAt: at(-2) } : one))
    expect(hoursIn(ask([{ ...set, authorities }, signer], at(-2)))[1]).toBeCloseTo(-2 + 14 / 15.2)
  })
})

describe('where a root was declared compromised', () => {
  const taint = () => ({ at: at(6), because: 'stolen', leavesAt: at(7) })

  test('what stands on it is renewed within half a minute, in the same order', () => {
    const set = activated({ state: 'tainted', taint: taint() }, { state: 'tainted', taint: taint() })
    const soon = ask(set, at(6), { bundle: 2 })
    const later = ask(set, at(6), { bundle: 2, issuedAt: at(5), notAfter: at(29) })
    expect(soon.at.getTime() - at(6).getTime()).toBeCloseTo((6 / 13.2) * 30 * SECOND, -1)
    expect(later.at.getTime() - soon.at.getTime()).toBeCloseTo((5 / 13.2) * 30 * SECOND, -1)
    expect(later.end.getTime()).toBeLessThanOrEqual(at(6).getTime() + 30 * SECOND)
  })

  test.each([
    ['a root that is out of the bundle', { state: 'revoked' }, {}],
    ['an issuing authority that was revoked alone', {}, { state: 'revoked' }],
  ] as const)('what stood on %s is due at once', (_, change, signerChange) => {
    expect(hoursIn(ask(activated(change, signerChange), at(6.2), { bundle: 2 }))).toEqual([6.2, 6.2, 6.2])
  })
})

test('what stands on an authority that the journal does not know is due at once', () => {
  const [set] = calm()
  expect(hoursIn(suggestedRenewal({ ...svid(root(second)), issuer: 'f'.repeat(40) }, set, at(1), HOUR))).toEqual([
    1, 1, 1,
  ])
})

test('where two steps wait, the sooner counts', () => {
  const [set, signer] = activated()
  const waiting = (createdAt: Date) => ({
    ...set,
    authorities: [...set.authorities, root(anew, { state: 'prepared', bundledSince: 3, createdAt })],
  })
  expect(hoursIn(ask([waiting(at(3)), signer], NOW, { bundle: 2 }))[1]).toBeCloseTo(3 + 9 / 13.2)
  expect(hoursIn(ask([waiting(at(6.5)), signer], NOW, { bundle: 2 }))[1]).toBeCloseTo(6 + 6 / 13.2)
})
