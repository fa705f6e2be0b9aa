import { beforeAll, expect, test } from 'vitest'
import { NO_EVIDENCE } from '../../src/authority/gate.ts'
import { nextAction, renewalOf } from '../../src/authority/next-action.ts'
import { plus } from '../../src/core/clock.ts'
import { DAY, MINUTE, YEAR } from '../../src/core/duration.ts'
import { aSet, issuingOf, NOW, rootOf } from '../_support/authority-sets.ts'
import { odd } from '../_support/odd-certificates.ts'
import type { TestCa } from '../_support/plugged-ca.ts'

const policy = { issuingLifetimeMs: 30 * DAY, rootDueBeforeMs: 180 * DAY }
let root: TestCa
let issuing: TestCa

beforeAll(async () => {
  root = await odd('root', 'itself', { notAfter: plus(NOW, 10 * YEAR) })
  issuing = await odd('issuing', root, { pathLength: 0, notBefore: NOW, notAfter: plus(NOW, 30 * DAY) })
})

const set = () => aSet([rootOf(root), issuingOf(issuing)])
const holding = () => issuingOf(issuing).id
const renewal = plus(NOW, 25 * DAY)

test('makes an issuing authority where there is none', () => {
  expect(nextAction(aSet([rootOf(root)]), undefined, NO_EVIDENCE, NOW, policy)).toEqual({
    kind: 'renew-issuing',
    because: 'there was no issuing authority',
  })
})

test('makes an issuing authority where there is only an old one', () => {
  expect(
    nextAction(aSet([rootOf(root), issuingOf(issuing, { state: 'old' })]), holding(), NO_EVIDENCE, NOW, policy),
  ).toEqual({
    kind: 'renew-issuing',
    because: 'there was no issuing authority',
  })
})

test('makes another after a restart, because the key ended with its process', () => {
  expect(nextAction(set(), undefined, NO_EVIDENCE, NOW, policy)).toEqual({
    kind: 'renew-issuing',
    because: 'the key of the last issuing authority ended with its process',
  })
})

test('makes another where the key this process holds is not the active one', () => {
  expect(nextAction(set(), 'f'.repeat(40), NO_EVIDENCE, NOW, policy)).toMatchObject({ kind: 'renew-issuing' })
})

test.each([
  ['when it has just begun', NOW],
  ['a millisecond before a sixth of its life is left', plus(renewal, -1)],
])('waits until a sixth of its life is left: %s', (_when, now) => {
  expect(nextAction(set(), holding(), NO_EVIDENCE, now, policy)).toEqual({ kind: 'wait', until: renewal })
})

test.each([
  ['the moment a sixth of its life is left', renewal],
  ['after that', plus(renewal, DAY)],
  ['when it has ended', plus(NOW, 31 * DAY)],
  ['when a clock that stood still jumps years ahead', plus(NOW, 5 * YEAR)],
])('renews %s', (_when, now) => {
  expect(nextAction(set(), holding(), NO_EVIDENCE, now, policy)).toEqual({
    kind: 'renew-issuing',
    because: 'less than a sixth of its life is left',
  })
})

test('counts the sixth over the whole life, back-dating included', () => {
  expect(renewalOf(issuingOf(issuing))).toEqual(renewal)
})

test('does not renew again and again what its root caps to the same end', async () => {
  const ending = await odd('ending root', 'itself', { notAfter: plus(NOW, 30 * DAY) })
  const capped = issuingOf(
    await odd('capped', ending, { pathLength: 0, notBefore: NOW, notAfter: plus(NOW, 30 * DAY) }),
  )
  expect(
    nextAction(
      aSet([rootOf(ending), capped], { origin: 'plugged-in' }),
      capped.id,
      NO_EVIDENCE,
      plus(NOW, 29 * DAY),
      policy,
    ),
  ).toEqual({
    kind: 'wait',
    until: plus(NOW, 30 * DAY + 1000),
  })
})

test('does not renew again and again what an intermediate above it caps to the same end', async () => {
  const ending = await odd('ending intermediate', root, { notAfter: plus(NOW, 30 * DAY) })
  const capped = issuingOf(
    await odd('capped', ending, { pathLength: 0, notBefore: NOW, notAfter: plus(NOW, 30 * DAY) }),
    {
      intermediates: [ending.certificate],
    },
  )
  expect(nextAction(aSet([rootOf(root), capped]), capped.id, NO_EVIDENCE, plus(NOW, 29 * DAY), policy)).toMatchObject({
    kind: 'wait',
  })
})

test('waits where no root is there to sign a successor', () => {
  const revoked = aSet([rootOf(root, { state: 'revoked' }), issuingOf(issuing)])
  expect(nextAction(revoked, holding(), NO_EVIDENCE, plus(NOW, 29 * DAY), policy)).toMatchObject({ kind: 'wait' })
})

test('replaces an authority that is not valid yet because the clock was set back', () => {
  // Its root began a day earlier, so a successor that is valid now can be made, while this one signs nothing for hours.
  expect(nextAction(set(), holding(), NO_EVIDENCE, plus(NOW, -10 * MINUTE), policy)).toMatchObject({
    kind: 'renew-issuing',
  })
})
