import { beforeAll, describe, expect, test } from 'vitest'
import { bundleOf } from '../../src/authority/active-authority.ts'
import { type AuthoritySet, authorityOf } from '../../src/authority/authority.ts'
import { askedSteps, canRenew, withPluggedRoots } from '../../src/authority/plugged-roots.ts'
import { withActiveRoot, withRevoked } from '../../src/authority/transitions.ts'
import { plus } from '../../src/core/clock.ts'
import { DAY } from '../../src/core/duration.ts'
import { aSet, issuingOf, NOW, rootOf } from '../_support/authority-sets.ts'
import { odd } from '../_support/odd-certificates.ts'
import type { TestCa } from '../_support/plugged-ca.ts'

let a: TestCa
let b: TestCa
let c: TestCa
let underA: TestCa

beforeAll(async () => {
  a = await odd('root a', 'itself')
  b = await odd('root b', 'itself')
  c = await odd('root c', 'itself')
  underA = await odd('issuing under a', a, { pathLength: 0, notAfter: plus(NOW, 30 * DAY) })
})

const inFiles = (ca: TestCa, now = NOW) =>
  authorityOf(ca.certificate, { role: 'root', state: 'prepared', key: 'elsewhere' }, now)
const idOf = (ca: TestCa) => rootOf(ca).id
const roots = ({ authorities }: AuthoritySet) =>
  authorities.filter(({ role }) => role === 'root').map(({ state, certificate }) => [state, certificate] as const)
const begun = () => withPluggedRoots(aSet([]), [inFiles(a)], idOf(a))
const both = () => withPluggedRoots(begun(), [inFiles(a), inFiles(b)], idOf(a))
const rootIn = (set: AuthoritySet, ca: TestCa) => set.authorities.find(({ id }) => id === idOf(ca)) ?? expect.fail()
const bSigns = () => withActiveRoot(both(), rootIn(both(), b), 'activate', issuingOf(underA))

describe('the bundle with the roots of the files', () => {
  test('begins with number 1, and with all of them', () => {
    const set = withPluggedRoots(aSet([]), [inFiles(b), inFiles(a)], idOf(a))
    expect(set.bundleSequence).toBe(1)
    expect(roots(set)).toEqual([
      ['prepared', b.certificate],
      ['active', a.certificate],
    ])
    expect(set.authorities.map(({ bundledSince }) => bundledSince)).toEqual([1, 1])
  })

  test('gets a new one prepared, whoever is to sign: the bundle is number 2', () => {
    for (const signing of [a, b]) {
      const set = withPluggedRoots(begun(), [inFiles(a), inFiles(b)], idOf(signing))
      expect(set.bundleSequence).toBe(2)
      expect(rootIn(set, b)).toMatchObject({ state: 'prepared', bundledSince: 2 })
      expect(rootIn(set, a).state).toBe('active')
    }
  })

  test('loses none', () => {
    const after = withPluggedRoots(both(), [inFiles(b)], idOf(b))
    expect(bundleOf(after)).toMatchObject({ sequence: 2, roots: [a.certificate.der, b.certificate.der] })
  })

  test('is the very same for the same roots, in whatever order', () => {
    const set = both()
    expect(withPluggedRoots(set, [inFiles(b), inFiles(a)], idOf(a))).toBe(set)
  })

  test('has a root that comes back prepared, once, since the new bundle', () => {
    const without = withRevoked(bSigns(), rootIn(bSigns(), a))
    expect(without.bundleSequence).toBe(3)
    const back = withPluggedRoots(without, [inFiles(a), inFiles(b)], idOf(b))
    expect(roots(back)).toEqual([
      ['active', b.certificate],
      ['prepared', a.certificate],
    ])
    expect(rootIn(back, a).bundledSince).toBe(4)
  })

  test('keeps when each root was first seen', () => {
    const later = inFiles(a, plus(NOW, 100 * DAY))
    expect(rootIn(withPluggedRoots(both(), [later, inFiles(b)], idOf(a)), a).createdAt).toEqual(NOW)
  })

  test('has a certificate renewed over the same key in the place of the one before', async () => {
    const renewed = await odd('root a', 'itself', { key: a.key, notAfter: plus(NOW, 1000 * DAY) })
    const after = withPluggedRoots(both(), [inFiles(renewed), inFiles(b)], idOf(a))
    expect(after.bundleSequence).toBe(3)
    expect(rootIn(after, a)).toMatchObject({ state: 'active', bundledSince: 1, certificate: renewed.certificate })
    expect(roots(after)).toHaveLength(2)
  })

  test('says of a root that signed itself, and whose key left the files, that it is elsewhere', () => {
    const itself = authorityOf(a.certificate, { role: 'root', state: 'prepared', key: 'plugged-in' }, NOW)
    const set = withPluggedRoots(aSet([]), [itself, inFiles(b)], idOf(a))
    expect(rootIn(set, a).key).toBe('plugged-in')
    expect(rootIn(withPluggedRoots(set, [inFiles(a), inFiles(b)], idOf(b)), a).key).toBe('elsewhere')
    expect(rootIn(withPluggedRoots(set, [inFiles(b)], idOf(b)), a).key).toBe('elsewhere')
  })

  test('shares one with the files, or they are refused', () => {
    expect(() => withPluggedRoots(both(), [inFiles(c)], idOf(c))).toThrow(
      expect.objectContaining({
        code: 'invalid_argument',
        message: expect.stringContaining('shares no root with the bundle published so far'),
      }),
    )
  })
})

describe('what the files ask for', () => {
  const asked = (set: AuthoritySet, signing: TestCa, ...inThem: TestCa[]) =>
    askedSteps(set, { signing: idOf(signing), roots: inThem.map(idOf), atHand: [] }).map(({ verb, root }) => [
      verb,
      root.certificate,
    ])

  test('is nothing where all is so', () => {
    expect(asked(both(), a, a, b)).toEqual([])
    expect(asked(bSigns(), b, a, b)).toEqual([])
  })

  test('is that the root of their CA signs, also one that signed before', () => {
    expect(asked(both(), b, a, b)).toEqual([['activate', b.certificate]])
    expect(asked(bSigns(), a, a, b)).toEqual([['activate', a.certificate]])
  })

  test('is that what is not in them leaves: what never signed first, what signs not before another does', () => {
    expect(asked(both(), a, a)).toEqual([['revoke', b.certificate]])
    expect(asked(both(), b, b)).toEqual([['activate', b.certificate]])
    expect(asked(bSigns(), b, b)).toEqual([['revoke', a.certificate]])
    const three = withPluggedRoots(bSigns(), [inFiles(a), inFiles(b), inFiles(c)], idOf(b))
    expect(asked(three, b, b)).toEqual([
      ['revoke', c.certificate],
      ['revoke', a.certificate],
    ])
  })
})

test('issuing authorities can be made while the CA under the root that signs is at hand', () => {
  const wish = { signing: idOf(b), roots: [idOf(b)], atHand: [idOf(b)] }
  expect([canRenew(both(), wish), canRenew(bSigns(), wish), canRenew(both(), undefined)]).toEqual([false, true, true])
  expect(canRenew(aSet([]), wish)).toBe(false)
})
