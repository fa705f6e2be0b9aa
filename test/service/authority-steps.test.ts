import { beforeAll, expect, test } from 'vitest'
import type { Authority } from '../../src/authority/authority.ts'
import type { Evidence } from '../../src/authority/gate.ts'
import { plus } from '../../src/core/clock.ts'
import { DAY, HOUR } from '../../src/core/duration.ts'
import { stepsOf } from '../../src/service/authority-steps.ts'
import { aSet, issuingOf, NOW, rootOf } from '../_support/authority-sets.ts'
import { odd } from '../_support/odd-certificates.ts'

let a: Authority
let b: Authority
let underA: Authority

beforeAll(async () => {
  const [rootA, rootB] = [await odd('a', 'itself'), await odd('b', 'itself')]
  a = rootOf(rootA)
  b = rootOf(rootB, { state: 'old', bundledSince: 2, cross: [{ by: a.id, certificate: rootB.certificate }] })
  underA = issuingOf(await odd('under a', rootA, { pathLength: 0 }), { root: a.id })
})

const workload: Evidence = {
  incomplete: undefined,
  workloads: () => [
    {
      name: 'shop/cart',
      namespace: 'shop',
      svids: [{ issuer: underA.id, bundle: 1, endsAt: plus(NOW, HOUR).getTime() }],
    },
  ],
}

const policy = { issuingLifetimeMs: 30 * DAY, rootDueBeforeMs: 180 * DAY }

const taint = (roots: readonly Authority[], root: Authority, now = NOW) =>
  stepsOf({ set: aSet([...roots, underA]), evidence: workload, now, policy }, root, 10).find(
    ({ verb }) => verb === 'taint',
  )

test('a compromised root’s successor is certified by every root whose key is ours, and then nobody is in the way', () => {
  expect(taint([a], a)).toMatchObject({ open: true })
  expect(taint([a, b], a)).toMatchObject({ open: true })
})

test('who trusts only roots that can’t certify the successor is in the way', () => {
  const away = { key: 'elsewhere' } as const
  expect(taint([{ ...a, ...away }], { ...a, ...away })).toMatchObject({ inTheWay: 1, open: false })
  const active = { ...a, ...away }
  // B certifies it, and came to the bundle after this workload.
  expect(taint([active, b], active)).toMatchObject({ inTheWay: 1 })
  // It certified B, so it is replaced as well when that is compromised.
  expect(taint([active, b], b)).toMatchObject({ inTheWay: 1 })
})

test('so is who trusts only a root that has ended', () => {
  expect(taint([a], a, plus(a.certificate.tbs.notAfter, DAY))).toMatchObject({ inTheWay: 1 })
})

test('an old root that certified nobody and was certified by nobody who signs is tainted without any gate', () => {
  const active = { ...a, key: 'elsewhere' as const }
  expect(taint([active, { ...b, cross: [] }], { ...b, cross: [] })).toMatchObject({ open: true, inTheWay: 0 })
})
