import fc from 'fast-check'
import { beforeAll, expect, test } from 'vitest'
import { AUTHORITY_STATES, type AuthoritySet } from '../../src/authority/authority.ts'
import { type Renewable, suggestedRenewal } from '../../src/authority/svid-renewal.ts'
import { plus } from '../../src/core/clock.ts'
import { DAY, HOUR, MINUTE, SECOND } from '../../src/core/duration.ts'
import { aSet, issuingOf, NOW, rootOf } from '../_support/authority-sets.ts'
import { odd } from '../_support/odd-certificates.ts'
import type { TestCa } from '../_support/plugged-ca.ts'
import { seededRandom } from '../_support/seeded-random.ts'

let cas: readonly [root: TestCa, issuing: TestCa][]
beforeAll(async () => {
  cas = await Promise.all(
    ['one', 'two', 'three'].map(async (name): Promise<[TestCa, TestCa]> => {
      const root = await odd(name, 'itself')
      return [root, await odd(`under ${name}`, root)]
    }),
  )
})

/** Within two days around the beginning of 2030, to the millisecond. */
const moment = fc.integer({ min: -DAY, max: DAY }).map((ms) => plus(NOW, ms))
const windowMs = fc.integer({ min: MINUTE, max: 2 * DAY })
const lifeMs = fc.integer({ min: SECOND, max: 90 * DAY })
const serial = fc.integer({ min: 0, max: 2 ** 32 - 1 }).map((value) => value.toString(16).padStart(32, '0'))

/** What may be said of one root and of what stands under it. */
const standing = fc.record({
  state: fc.constantFrom(...AUTHORITY_STATES),
  createdAt: moment,
  signedFrom: moment,
  bundledSince: fc.integer({ min: 1, max: 4 }),
  taint: fc.option(fc.record({ at: moment, because: fc.constant('stolen'), leavesAt: moment }), { nil: undefined }),
})

/** Any set at all, also such as no rotation leads to. */
const anySet = fc.tuple(standing, standing, standing).map((all): AuthoritySet => {
  const authorities = all.flatMap(({ state, createdAt, signedFrom, bundledSince, taint }, index) => {
    const [ca, below] = cas[index] as [TestCa, TestCa]
    const root = rootOf(ca, { state, createdAt, bundledSince, taint })
    const underTaint = state === 'tainted' ? taint : undefined
    return [root, issuingOf(below, { state, root: root.id, createdAt: signedFrom, taint: underTaint })]
  })
  return aSet(authorities, { bundleSequence: 4 })
})

const anySvid = (set: AuthoritySet) =>
  fc
    .record({
      serial,
      issuer: fc.constantFrom('f'.repeat(40), ...set.authorities.map(({ id }) => id)),
      bundle: fc.integer({ min: 1, max: 4 }),
      issuedAt: moment,
      lifeMs,
    })
    .map(({ lifeMs: life, ...rest }): Renewable => ({ ...rest, notAfter: plus(rest.issuedAt, life) }))

const anyQuestion = anySet.chain((set) =>
  fc.record({ set: fc.constant(set), svid: anySvid(set), now: moment, windowMs }),
)

/** A set in which nothing waits for what this authority signed. */
const quiet = (): { set: AuthoritySet; issuer: string } => {
  const [root, signer] = cas[0] as [TestCa, TestCa]
  const active = rootOf(root)
  const issuing = issuingOf(signer, { root: active.id })
  return { set: aSet([active, issuing]), issuer: issuing.id }
}

test('whatever is asked, it is a window with a moment in it, from now to the end of the SVID, and never later than without a rotation', () => {
  fc.assert(
    fc.property(anyQuestion, ({ set, svid, now, windowMs: window }) => {
      const { start, end, at } = suggestedRenewal(svid, set, now, window)
      const earliest = now < svid.notAfter ? now : svid.notAfter
      const moments = [earliest, start, at, end, svid.notAfter].map((one) => one.getTime())
      expect(moments).toEqual(moments.toSorted((a, b) => a - b))
      const calm = quiet()
      const usual = suggestedRenewal({ ...svid, issuer: calm.issuer, bundle: 9 }, calm.set, now, window)
      expect(at.getTime()).toBeLessThanOrEqual(usual.at.getTime())
    }),
    { numRuns: 2000 },
  )
})

/** A root that signs since `NOW`, and one whose SVIDs it replaces. */
const replaced = (): { set: AuthoritySet; issuer: string } => {
  const [[old, oldSigner], [next, signer]] = cas as readonly [[TestCa, TestCa], [TestCa, TestCa]]
  const leaving = rootOf(old, { state: 'old' })
  const issuing = issuingOf(oldSigner, { state: 'old', root: leaving.id, createdAt: plus(NOW, -10 * DAY) })
  const active = rootOf(next, { bundledSince: 2 })
  return {
    set: aSet([leaving, issuing, active, issuingOf(signer, { root: active.id })], { bundleSequence: 2 }),
    issuer: issuing.id,
  }
}

/** A root in the bundle since `NOW`, and SVIDs that came without it. */
const announced = (): { set: AuthoritySet; issuer: string } => {
  const [[root, signer], [next]] = cas as readonly [[TestCa, TestCa], [TestCa, TestCa]]
  const active = rootOf(root)
  const issuing = issuingOf(signer, { root: active.id, createdAt: plus(NOW, -10 * DAY) })
  const waiting = rootOf(next, { state: 'prepared', bundledSince: 2, createdAt: NOW })
  return { set: aSet([active, issuing, waiting], { bundleSequence: 2 }), issuer: issuing.id }
}

test.each([
  ['stands on a root that was replaced', replaced],
  ['came without the root that waits', announced],
])('of SVIDs of one lifetime, what %s goes in the order of its ends, each before the window is over', (_, made) => {
  const { set, issuer } = made()
  fc.assert(
    fc.property(
      fc.record({
        windowMs,
        life: lifeMs,
        serial,
        ages: fc.array(fc.double({ min: 0, max: 1, noNaN: true }), { minLength: 2 }),
      }),
      ({ windowMs: window, life, serial: one, ages }) => {
        const due = ages
          .toSorted((a, b) => b - a)
          .map((age) => plus(NOW, -age * life))
          .map((issuedAt) => ({ serial: one, issuer, bundle: 1, issuedAt, notAfter: plus(issuedAt, life) }))
          .map((svid) => suggestedRenewal(svid, set, NOW, window))
        for (const of of ['start', 'at', 'end'] as const) {
          const moments = due.map((renewal) => renewal[of].getTime())
          expect(moments).toEqual(moments.toSorted((a, b) => a - b))
          expect(moments.at(-1)).toBeLessThanOrEqual(NOW.getTime() + window)
        }
      },
    ),
    { numRuns: 300 },
  )
})

test.each([
  ['stands on a root that was replaced', replaced],
  ['came without the root that waits', announced],
])('workloads that renew at half of their lives never come all at once when what each holds %s', (_, made) => {
  const { set, issuer } = made()
  fc.assert(
    fc.property(
      fc.record({
        window: fc.integer({ min: MINUTE, max: HOUR }),
        life: fc.integer({ min: 3 * HOUR, max: 30 * DAY }),
        seed: fc.nat(),
      }),
      ({ window, life, seed }) => {
        const random = seededRandom(seed)
        const count = 2000
        const bins = new Array<number>(20).fill(0)
        for (let index = 0; index < count; index++) {
          const issuedAt = plus(NOW, -((index + 0.5) / count) * (life / 2))
          const svid = {
            serial: Buffer.from(random(16)).toString('hex'),
            issuer,
            bundle: 1,
            issuedAt,
            notAfter: plus(issuedAt, life),
          }
          const { at } = suggestedRenewal(svid, set, NOW, window)
          const bin = Math.min(19, Math.floor(((at.getTime() - NOW.getTime()) / window) * 20))
          bins[bin] = (bins[bin] as number) + 1
        }
        expect(Math.max(...bins) / count).toBeLessThan(0.08)
      },
    ),
    { numRuns: 20 },
  )
})

test('a thousand that were issued in one moment do not come all at once either', () => {
  const { set, issuer } = replaced()
  const random = seededRandom(7)
  const due = Array.from({ length: 1000 }, () => {
    const svid = {
      serial: Buffer.from(random(16)).toString('hex'),
      issuer,
      bundle: 1,
      issuedAt: plus(NOW, -HOUR),
      notAfter: plus(NOW, 23 * HOUR),
    }
    return suggestedRenewal(svid, set, NOW, HOUR).at.getTime()
  })
  const busiest = Math.max(
    ...Map.groupBy(due, (at) => Math.floor(at / MINUTE))
      .values()
      .map((all) => all.length),
  )
  expect(busiest).toBeLessThan(150)
  expect(Math.max(...due) - Math.min(...due)).toBeGreaterThan(10 * MINUTE)
})
