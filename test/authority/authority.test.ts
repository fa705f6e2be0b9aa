import { beforeAll, describe, expect, test } from 'vitest'
import { activeAuthority } from '../../src/authority/active-authority.ts'
import {
  AUTHORITY_STATES,
  type Authority,
  type AuthoritySet,
  activeIssuing,
  activeRoot,
  bundledRoots,
  mayVouch,
  publicKeyOf,
  vouches,
  withoutEnded,
} from '../../src/authority/authority.ts'
import { rootAbove } from '../../src/authority/root-above.ts'
import { withActive } from '../../src/authority/transitions.ts'
import { hex } from '../../src/core/bytes.ts'
import { plus } from '../../src/core/clock.ts'
import { DAY } from '../../src/core/duration.ts'
import { keyIdOf } from '../../src/keys/public-key.ts'
import { sequence } from '../../src/x509/der.ts'
import { certificatePem } from '../../src/x509/pem.ts'
import { aSet, issuingOf, NOW, rootOf } from '../_support/authority-sets.ts'
import { odd } from '../_support/odd-certificates.ts'
import type { TestCa } from '../_support/plugged-ca.ts'

let a: TestCa
let b: TestCa
let underA: TestCa
let underB: TestCa

beforeAll(async () => {
  a = await odd('root a', 'itself')
  b = await odd('root b', 'itself')
  underA = await odd('issuing under a', a, { pathLength: 0, notAfter: plus(NOW, 30 * DAY) })
  underB = await odd('issuing under b', b, { pathLength: 0, notAfter: plus(NOW, 40 * DAY) })
})

const states = (authorities: readonly Authority[]) =>
  authorities.map(({ role, state, certificate }) => [role, state, certificate] as const)

test('knows an authority by its key: the same key under another certificate has the same id', async () => {
  const again = await odd('another name', 'itself', { key: a.key })
  expect(rootOf(again).id).toBe(rootOf(a).id)
  expect(rootOf(a).id).toBe(hex(keyIdOf(a.key.publicKey.spki)))
})

test('refuses a certificate whose key is of a kind that is not taken', async () => {
  const { certificate } = await odd('odd', 'itself')
  expect(() => publicKeyOf({ ...certificate, tbs: { ...certificate.tbs, publicKey: sequence() } })).toThrow(
    expect.objectContaining({ code: 'invalid_argument', message: expect.stringContaining('key') }),
  )
})

test('has every root in the bundle but the revoked ones', () => {
  for (const state of AUTHORITY_STATES)
    expect([state, bundledRoots(aSet([rootOf(a, { state })])).length]).toEqual([state, state === 'revoked' ? 0 : 1])
})

test('never has an issuing authority in the bundle', () => {
  expect(bundledRoots(aSet([issuingOf(underA)]))).toEqual([])
})

test('finds what signs now by role and state', () => {
  const set = aSet([rootOf(b, { state: 'old' }), rootOf(a), issuingOf(underB, { state: 'old' }), issuingOf(underA)])
  expect(activeRoot(set)?.certificate).toBe(a.certificate)
  expect(activeIssuing(set)?.certificate).toBe(underA.certificate)
})

describe('vouching for client certificates', () => {
  test('is its own, not its name’s: a revoked one does not while another of the same name signs', async () => {
    const sameName = await odd('issuing under a', a, { pathLength: 0, notAfter: plus(NOW, 30 * DAY) })
    const [before, after] = [issuingOf(underA, { state: 'revoked' }), issuingOf(sameName)]
    const set = aSet([rootOf(a), before, after])
    expect([vouches(set, before, NOW), vouches(set, after, NOW)]).toEqual([false, true])
    expect(vouches(set, issuingOf(underB), NOW)).toBe(false)
    expect(vouches(set, after, plus(NOW, 31 * DAY))).toBe(false)
  })

  test.each([
    ['prepared', false],
    ['active', true],
    ['old', true],
    ['tainted', false],
    ['revoked', false],
  ] as const)('an issuing authority that is %s: %s', (state, may) => {
    expect(mayVouch(issuingOf(underA, { state }), NOW)).toBe(may)
  })

  test('a root never does, even while it is active', () => {
    expect(mayVouch(rootOf(a), NOW)).toBe(false)
  })

  test('ends with the last second of the authority’s certificate', () => {
    const end = underA.certificate.tbs.notAfter
    expect([mayVouch(issuingOf(underA), end), mayVouch(issuingOf(underA), plus(end, 1000))]).toEqual([true, false])
  })
})

describe('activating an issuing authority', () => {
  test('makes the former one old in the same set and leaves all else alone', () => {
    const tainted = issuingOf(underB, { state: 'tainted' })
    const before = aSet([rootOf(a), tainted, issuingOf(underA)])
    const after = withActive(before, issuingOf(underB, { state: 'prepared' }))
    expect(states(after.authorities)).toEqual([
      ['root', 'active', a.certificate],
      ['issuing', 'tainted', underB.certificate],
      ['issuing', 'old', underA.certificate],
      ['issuing', 'active', underB.certificate],
    ])
  })

  test('changes no bundle, and so no sequence', () => {
    const before = aSet([rootOf(a), issuingOf(underA)], { bundleSequence: 7 })
    expect(withActive(before, issuingOf(underB)).bundleSequence).toBe(7)
  })

  test('leaves the set it was given as it was', () => {
    const before = aSet([rootOf(a), issuingOf(underA)])
    withActive(before, issuingOf(underB))
    expect(states(before.authorities).map(([, state]) => state)).toEqual(['active', 'active'])
  })
})

describe('dropping what has ended', () => {
  test('forgets an issuing authority only after the last second of its certificate', () => {
    const set = aSet([rootOf(a), issuingOf(underA, { state: 'old' }), issuingOf(underB)])
    const end = underA.certificate.tbs.notAfter
    expect(withoutEnded(set, end).authorities).toHaveLength(3)
    expect(withoutEnded(set, plus(end, 1000)).authorities.map((one) => one.certificate)).toEqual([
      a.certificate,
      underB.certificate,
    ])
  })

  test('keeps a root that has ended: taking it out is the admin’s decision', () => {
    const set = aSet([rootOf(a)])
    expect(withoutEnded(set, plus(a.certificate.tbs.notAfter, DAY)).authorities).toHaveLength(1)
  })

  test('forgets a cross-certificate only after its last second, and no other', () => {
    const [ending, lasting] = [underA, underB].map(({ certificate }) => ({ by: 'an older root', certificate }))
    const set = aSet([rootOf(a, { cross: [ending, lasting] as Authority['cross'] })])
    const end = underA.certificate.tbs.notAfter
    expect(withoutEnded(set, end)).toBe(set)
    expect(withoutEnded(set, plus(end, 1000)).authorities[0]?.cross).toEqual([lasting])
  })

  test('forgets a root that has left, once nobody vouches for its key and none of its issuing authorities is known', () => {
    const left = rootOf(b, { state: 'revoked' })
    const known = (set: AuthoritySet) => withoutEnded(set, NOW).authorities.includes(left)
    expect(known(aSet([rootOf(a), left]))).toBe(false)
    expect(known(aSet([rootOf(a), left, issuingOf(underB, { state: 'revoked', root: left.id })]))).toBe(true)
    expect(known(aSet([rootOf(a), left, issuingOf(underB, { state: 'revoked', root: undefined })]))).toBe(true)
    const vouched = rootOf(b, { state: 'revoked', cross: [{ by: 'a trusted root', certificate: underA.certificate }] })
    expect(withoutEnded(aSet([rootOf(a), vouched]), NOW).authorities).toContain(vouched)
    expect(
      withoutEnded(aSet([rootOf(a), vouched]), plus(underA.certificate.tbs.notAfter, 1000)).authorities,
    ).toHaveLength(1)
    const tainted = rootOf(b, { state: 'revoked', taint: { at: NOW, because: 'stolen', leavesAt: NOW } })
    expect(withoutEnded(aSet([rootOf(a), tainted]), NOW).authorities).toContain(tainted)
    for (const state of ['prepared', 'old', 'tainted'] as const)
      expect(withoutEnded(aSet([rootOf(a), rootOf(b, { state })]), NOW).authorities).toHaveLength(2)
  })

  test('forgets a workload that was cut off when the last of what it had has ended', () => {
    const set = { ...aSet([rootOf(a)]), forgotten: [{ workload: 'shop/cart-0', at: NOW, until: plus(NOW, DAY) }] }
    expect(withoutEnded(set, plus(NOW, DAY - 1))).toBe(set)
    expect(withoutEnded(set, plus(NOW, DAY)).forgotten).toEqual([])
  })

  test('is the very same set where nothing has ended', () => {
    const set = aSet([rootOf(a, { cross: [{ by: 'an older root', certificate: b.certificate }] }), issuingOf(underA)])
    expect(withoutEnded(set, NOW)).toBe(set)
  })
})

describe('the root above an issuing authority', () => {
  test('is the one that its record names', () => {
    const set = aSet([rootOf(a), rootOf(b)])
    expect(rootAbove(set, issuingOf(underA, { root: rootOf(b).id }))?.certificate).toBe(b.certificate)
    expect(rootAbove(set, issuingOf(underA, { root: 'none of these' }))).toBeUndefined()
  })

  test('is the one that its path leads to, where the record names none', async () => {
    const between = await odd('between', b)
    const signer = await odd('signer', between)
    const set = aSet([rootOf(a), rootOf(b)])
    expect(rootAbove(set, issuingOf(underA))?.certificate).toBe(a.certificate)
    const issuing = issuingOf(signer, { intermediates: [between.certificate] })
    expect(rootAbove(set, issuing)?.certificate).toBe(b.certificate)
    expect(rootAbove(aSet([rootOf(a)]), issuing)).toBeUndefined()
  })

  test('is itself where a plugged-in root signs leaves', () => {
    expect(rootAbove(aSet([rootOf(b), rootOf(a)]), issuingOf(a))?.certificate).toBe(a.certificate)
  })

  test('is found also where some of the path begins late or has ended', async () => {
    const root = await odd('root', 'itself', { notBefore: plus(NOW, DAY) })
    const early = await odd('early', root, { notBefore: plus(NOW, -DAY), notAfter: plus(NOW, 2 * DAY) })
    expect(rootAbove(aSet([rootOf(root)]), issuingOf(early))?.certificate).toBe(root.certificate)
  })

  test('is the one in the bundle where a revoked one has the same key', async () => {
    const again = await odd('root a', 'itself', { key: a.key })
    const set = aSet([rootOf(a, { state: 'revoked' }), rootOf(again)])
    for (const root of [rootOf(a).id, undefined])
      expect(rootAbove(set, issuingOf(underA, { root }))?.certificate).toBe(again.certificate)
  })

  test('may be one that was revoked', () => {
    expect(rootAbove(aSet([rootOf(a, { state: 'revoked' })]), issuingOf(underA))?.state).toBe('revoked')
  })
})

describe('the active authority', () => {
  test('hands out the issuing authority and what stands above it, without the roots', async () => {
    const between = await odd('between', a)
    const signer = await odd('signer', between, { pathLength: 0 })
    const issuing = issuingOf(signer, { intermediates: [between.certificate] })
    const active = activeAuthority(aSet([rootOf(a), issuing]), issuing, signer.key)
    expect(active.chainPem).toEqual([signer, between].map((one) => certificatePem(one.certificate.der)))
    expect(active.rootsPem).toBe(certificatePem(a.certificate.der))
  })

  test('does not name a root twice that signs leaves itself', () => {
    const active = activeAuthority(aSet([rootOf(a), issuingOf(a)]), issuingOf(a), a.key)
    expect(active.chainPem).toEqual([])
    expect(active.rootsPem).toBe(certificatePem(a.certificate.der))
  })

  describe('between root b and the older root a', () => {
    const names = (chainPem: readonly string[], all: Readonly<Record<string, TestCa>>) =>
      chainPem.map((one) =>
        Object.keys(all).find((name) => certificatePem(all[name]?.certificate.der as Uint8Array) === one),
      )
    const crossed = async (by: TestCa, name = 'root b') => {
      const certificate = await odd(name, by, { key: b.key, pathLength: 1 })
      return { ca: certificate, record: { by: rootOf(by).id, certificate: certificate.certificate } }
    }

    test('hands out the cross-certificate last, after what stands between', async () => {
      const cross = await crossed(a)
      const between = await odd('between', b)
      const signer = await odd('signer', between, { pathLength: 0 })
      const issuing = issuingOf(signer, { intermediates: [between.certificate], root: rootOf(b).id })
      const set = aSet([rootOf(a, { state: 'old' }), rootOf(b, { cross: [cross.record] }), issuing])
      const { chainPem, bundle } = activeAuthority(set, issuing, signer.key)
      expect(names(chainPem, { signer, between, cross: cross.ca })).toEqual(['signer', 'between', 'cross'])
      expect(bundle.roots).toEqual([a.certificate.der, b.certificate.der])
    })

    test.each([
      ['prepared', 1],
      ['active', 1],
      ['old', 1],
      ['tainted', 1],
      ['revoked', 0],
    ] as const)('hands it out while the older root is in the bundle: %s, %d', async (state, count) => {
      const { record } = await crossed(a)
      const issuing = issuingOf(underB, { root: rootOf(b).id })
      const set = aSet([rootOf(a, { state }), rootOf(b, { cross: [record] }), issuing])
      expect(activeAuthority(set, issuing, underB.key).chainPem.length - 1).toBe(count)
    })

    test('hands none out for an issuing authority under the older root', async () => {
      const { record } = await crossed(a)
      const issuing = issuingOf(underA, { root: rootOf(a).id })
      const set = aSet([rootOf(a, { state: 'old' }), rootOf(b, { cross: [record] }), issuing])
      expect(activeAuthority(set, issuing, underA.key).chainPem).toEqual([certificatePem(underA.certificate.der)])
    })

    test('finds it also where the record of the issuing authority does not name its root', async () => {
      const { ca, record } = await crossed(a)
      const set = aSet([rootOf(a, { state: 'old' }), rootOf(b, { cross: [record] }), issuingOf(underB)])
      const { chainPem } = activeAuthority(set, issuingOf(underB), underB.key)
      expect(names(chainPem, { underB, cross: ca })).toEqual(['underB', 'cross'])
    })

    test('puts the one by the oldest root first, in whatever order they were made and stand in the bundle', async () => {
      const c = await odd('root c', 'itself')
      const [byA, byC] = [await crossed(a), await crossed(c)]
      const issuing = issuingOf(underB, { root: rootOf(b).id })
      const [older, younger] = [{ createdAt: plus(NOW, -2 * DAY) }, { createdAt: plus(NOW, -DAY) }]
      const set = aSet([rootOf(c, younger), rootOf(b, { cross: [byC.record, byA.record] }), rootOf(a, older), issuing])
      const { chainPem } = activeAuthority(set, issuing, underB.key)
      expect(names(chainPem, { underB, byA: byA.ca, byC: byC.ca })).toEqual(['underB', 'byA', 'byC'])
    })

    test('hands it out once where two certificates of the older root are in the bundle', async () => {
      const { record } = await crossed(a)
      const again = await odd('root a', 'itself', { key: a.key })
      const issuing = issuingOf(underB, { root: rootOf(b).id })
      const set = aSet([rootOf(a), rootOf(again), rootOf(b, { cross: [record] }), issuing])
      expect(activeAuthority(set, issuing, underB.key).chainPem).toHaveLength(2)
    })
  })

  test('gives all roots of the bundle as one text', () => {
    const set = aSet([rootOf(a), rootOf(b, { state: 'prepared' }), issuingOf(underA)])
    const { rootsPem } = activeAuthority(set, issuingOf(underA), underA.key)
    expect(rootsPem).toBe(certificatePem(a.certificate.der) + certificatePem(b.certificate.der))
  })

  test('names its key as its own certificate does, also where that is not our way to count it', () => {
    const keyId = Buffer.from('0102030405', 'hex')
    const tbs = { ...underA.certificate.tbs, subjectKeyId: keyId }
    const issuing = issuingOf({ key: underA.key, certificate: { ...underA.certificate, tbs } })
    expect(activeAuthority(aSet([rootOf(a), issuing]), issuing, underA.key).keyId).toEqual(keyId)
  })

  test('is frozen: a rotation replaces it', () => {
    const active = activeAuthority(aSet([rootOf(a), issuingOf(underA)]), issuingOf(underA), underA.key)
    expect([Object.isFrozen(active), Object.isFrozen(active.chainPem), Object.isFrozen(active.bundle)]).toEqual([
      true,
      true,
      true,
    ])
  })
})
