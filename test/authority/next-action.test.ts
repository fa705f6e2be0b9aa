import { beforeAll, describe, expect, test } from 'vitest'
import type { Authority, AuthoritySet, Rotation, Taint } from '../../src/authority/authority.ts'
import type { Evidence } from '../../src/authority/gate.ts'
import { deadlineOf, nextAction, renewalOf, rootDueAt } from '../../src/authority/next-action.ts'
import { shortId } from '../../src/core/bytes.ts'
import { plus } from '../../src/core/clock.ts'
import { DAY, HOUR, MINUTE, YEAR } from '../../src/core/duration.ts'
import { aSet, issuingOf, NOW, rootOf } from '../_support/authority-sets.ts'
import { NO_EVIDENCE } from '../_support/no-evidence.ts'
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

describe('with roots of its own', () => {
  let a: Authority
  let b: Authority
  /** B’s key, certified by A. */
  let crossed: Authority
  let underA: Authority
  let underB: Authority
  /** When A is due, and when a closed gate waits no longer. */
  let due: Date
  let deadline: Date

  beforeAll(async () => {
    const rootB = await odd('root b', 'itself', { notAfter: plus(NOW, 20 * YEAR) })
    a = rootOf(root)
    b = rootOf(rootB, { state: 'prepared', bundledSince: 2 })
    crossed = { ...b, cross: [{ by: a.id, certificate: rootB.certificate }] }
    // They live as long as their roots, so that nothing but roots is due here.
    underA = issuingOf(await odd('under a', root, { pathLength: 0, notAfter: plus(NOW, 10 * YEAR) }), { root: a.id })
    underB = issuingOf(await odd('under b', rootB, { pathLength: 0, notAfter: plus(NOW, 20 * YEAR) }), { root: b.id })
    due = rootDueAt(a, policy) as Date
    deadline = deadlineOf(a)
  })

  const WISH: Omit<Rotation, 'to'> = { since: NOW, by: 'admin', because: 'yearly' }
  const TAINT: Taint = { at: NOW, because: 'laptop stolen', leavesAt: plus(NOW, HOUR) }
  /** One workload with a certificate of an hour. */
  const aWorkload = (issuer: Authority, bundle: number, incomplete?: string): Evidence => ({
    incomplete,
    workloads: () => [
      { name: 'shop/cart', namespace: 'shop', svids: [{ issuer: issuer.id, bundle, endsAt: NOW.getTime() + HOUR }] },
    ],
  })
  const next = (authorities: Authority[], change: Partial<AuthoritySet>, evidence = NO_EVIDENCE, now = NOW) => {
    const set = aSet(authorities, change)
    const holds = authorities.find(({ role, state }) => role === 'issuing' && state === 'active')
    return nextAction(set, holds?.id, evidence, now, policy)
  }
  const to = (rootId: string | undefined) => ({ rotation: { ...WISH, to: rootId } })
  /** A old and B signing. */
  const activated = (change: Partial<Authority> = {}): Authority[] => [
    { ...a, state: 'old', ...change },
    { ...crossed, state: 'active' },
    { ...underA, state: 'old' },
    underB,
  ]

  describe('and no rotation', () => {
    test('waits until the root is due', () => {
      expect(next([a, underA], {}, NO_EVIDENCE, plus(NOW, 9 * YEAR))).toEqual({ kind: 'wait', until: due })
      expect(due).toEqual(plus(NOW, 10 * YEAR - 180 * DAY))
    })

    test('begins one when it is', () => {
      const begun = {
        kind: 'begin-rotation',
        because: `root ${shortId(a.id)} ends at ${a.certificate.tbs.notAfter.toISOString()}`,
      }
      expect(next([a, underA], {}, NO_EVIDENCE, due)).toEqual(begun)
      // What an admin left half done is no reason to let the root end.
      expect(next([a, b, underA], {}, NO_EVIDENCE, due)).toEqual(begun)
      expect(next([{ ...b, state: 'old' }, a, underA], {}, NO_EVIDENCE, due)).toEqual(begun)
    })

    test('is due before an online CA ends, or what stands between that and the root', async () => {
      const [between, below] = await Promise.all([
        odd('between', root, { notBefore: NOW, notAfter: plus(NOW, YEAR) }),
        odd('online', root, { notBefore: NOW, notAfter: plus(NOW, 2 * YEAR) }),
      ])
      const online = { certificate: below.certificate, intermediates: [between.certificate], key: 'sealed' as const }
      const imported = { ...a, online, wasInTheClear: true }
      expect(rootDueAt({ ...imported, online: { ...online, intermediates: [] } }, policy)).toEqual(
        plus(NOW, 2 * YEAR - (2 * YEAR) / 6),
      )
      expect(rootDueAt(imported, policy)).toEqual(plus(NOW, YEAR - YEAR / 6))
      expect(deadlineOf(imported)).toEqual(plus(NOW, YEAR - 30 * DAY))
    })

    test('is due no sooner than a sixth of a short life before its end', () => {
      expect(rootDueAt(a, { rootDueBeforeMs: 9 * YEAR })).toEqual(renewalOf(a))
    })

    test('leaves to the admin what is prepared or old', () => {
      expect(next([a, crossed, underA], {})).toMatchObject({ kind: 'wait' })
      expect(next(activated(), {}, aWorkload(underB, 2))).toMatchObject({ kind: 'wait' })
    })

    test('of a plugged-in CA nothing but issuing authorities is due', () => {
      expect(next([a, underA], { origin: 'plugged-in' }, NO_EVIDENCE, due)).toMatchObject({ kind: 'wait' })
    })
  })

  describe('and a rotation that was begun', () => {
    test('prepares a root', () => {
      expect(next([a, underA], to(undefined))).toEqual({ kind: 'prepare-root', because: 'yearly' })
    })

    test('prepares none while another is on its way out, which leaves first', () => {
      const waiting = next(activated({ state: 'tainted', taint: TAINT }), to(undefined), aWorkload(underA, 2))
      expect(waiting).toMatchObject({ kind: 'wait', until: TAINT.leavesAt, for: { inTheWay: 1 } })
      expect(next(activated(), to(undefined), aWorkload(underB, 2))).toMatchObject({ kind: 'revoke-root' })
    })

    test('activates it when all were sent it', () => {
      expect(next([a, crossed, underA], to(b.id), aWorkload(underA, 2))).toEqual({
        kind: 'activate-root',
        root: crossed,
        because: 'yearly',
        deadline: false,
      })
    })

    test('waits for who was not, at most until its certificate ends', () => {
      expect(next([a, crossed, underA], to(b.id), aWorkload(underA, 1))).toMatchObject({
        kind: 'wait',
        until: plus(NOW, HOUR),
        for: { open: false, longest: [{ workload: 'shop/cart' }] },
      })
    })

    test('waits while something may be unknown', () => {
      expect(next([a, crossed, underA], to(b.id), aWorkload(underA, 2, 'being read'))).toMatchObject({
        kind: 'wait',
        until: plus(NOW, DAY),
        for: { incomplete: 'being read' },
      })
    })

    test('activates at the deadline a root that all follow by its cross-certificate', () => {
      const before = aWorkload(underA, 1)
      expect(next([a, crossed, underA], to(b.id), before, plus(deadline, -1))).toMatchObject({ kind: 'wait' })
      expect(next([a, crossed, underA], to(b.id), before, deadline)).toEqual({
        kind: 'activate-root',
        root: crossed,
        because: `root ${shortId(a.id)} is about to end`,
        deadline: true,
      })
      expect(next([a, crossed, underA], to(b.id), aWorkload(underA, 1, 'being read'), deadline)).toMatchObject({
        deadline: true,
      })
    })

    test('activates none at the deadline that somebody would not follow, and names who', () => {
      const overdue = { root: a, gate: { open: false, longest: [{ workload: 'shop/cart' }] } }
      expect(next([a, b, underA], to(b.id), aWorkload(underA, 1), deadline)).toMatchObject({ kind: 'wait', overdue })
      expect(next([a, b, underA], to(b.id), aWorkload(underA, 1), plus(deadline, -1))).not.toHaveProperty('overdue')
      // So it is where another root has to leave before one can be made, and where it is too late for a cross-certificate.
      const tainted = { ...b, state: 'tainted' as const, taint: { ...TAINT, leavesAt: plus(deadline, HOUR) } }
      const onB = issuingOf(issuing, { state: 'old', root: b.id })
      expect(next([a, tainted, underA, onB], to(undefined), aWorkload(onB, 2), deadline)).toMatchObject({ overdue })
      expect(next([a, crossed, underA], to(b.id), aWorkload(underA, 1), plus(NOW, 11 * YEAR))).toMatchObject({
        overdue,
      })
      const byNobodyElse = [{ ...a, bundledSince: 2 }, { ...b, state: 'old' as const }, crossed, underA]
      const late = [{ ...crossed, id: 'd'.repeat(40), bundledSince: 3 }]
      expect(next([...byNobodyElse, ...late], to('d'.repeat(40)), aWorkload(underA, 1), deadline)).toMatchObject({
        kind: 'wait',
      })
    })

    test('waits out the certificates of a root that has ended: no cross-certificate leads to it any more', () => {
      expect(next([a, crossed, underA], to(b.id), aWorkload(underA, 1), plus(NOW, 11 * YEAR))).toMatchObject({
        kind: 'wait',
      })
      expect(next([a, crossed, underA], to(b.id), NO_EVIDENCE, plus(NOW, 11 * YEAR))).toMatchObject({
        kind: 'activate-root',
      })
    })

    test('discards a prepared root that ended before it signed', () => {
      expect(
        next([a, { ...crossed, certificate: issuing.certificate }, underA], to(b.id), NO_EVIDENCE, plus(NOW, YEAR)),
      ).toMatchObject({
        kind: 'revoke-root',
        root: { id: b.id },
        because: 'it ended before it signed',
      })
    })

    test('takes the old root out when nothing stands on it', () => {
      expect(next(activated(), to(b.id), aWorkload(underA, 2))).toMatchObject({ kind: 'wait', until: plus(NOW, HOUR) })
      expect(next(activated(), to(b.id), aWorkload(underB, 2))).toMatchObject({
        kind: 'revoke-root',
        root: { id: a.id },
        because: 'nothing stands on it any more',
        gate: { open: true },
      })
    })

    test('never takes it out for a deadline', () => {
      expect(next(activated(), to(b.id), aWorkload(underA, 2), plus(NOW, 9.99 * YEAR))).toMatchObject({ kind: 'wait' })
    })

    test('ends when nothing is left to do', () => {
      expect(next([{ ...a, state: 'revoked' }, { ...crossed, state: 'active' }, underB], to(b.id))).toEqual({
        kind: 'end-rotation',
      })
      expect(next([a, underA], to('e'.repeat(40)))).toEqual({ kind: 'end-rotation' })
    })
  })

  describe('of which one is compromised', () => {
    const tainted = (change: Partial<Authority> = {}) => activated({ state: 'tainted', taint: TAINT, ...change })

    test('takes it out at the gate, without any rotation', () => {
      expect(next(tainted(), {}, aWorkload(underB, 2))).toMatchObject({ kind: 'revoke-root', gate: { open: true } })
    })

    test('waits for who stands on it, at most for the time that was given', () => {
      expect(
        next(tainted({ taint: { ...TAINT, leavesAt: plus(NOW, MINUTE) } }), {}, aWorkload(underA, 2)),
      ).toMatchObject({
        kind: 'wait',
        until: plus(NOW, MINUTE),
        for: { longest: [{ workload: 'shop/cart' }] },
      })
    })

    test('takes it out when that is over, and names who is cut off', () => {
      for (const evidence of [aWorkload(underA, 2), aWorkload(underA, 2, 'being read')])
        expect(next(tainted(), {}, evidence, TAINT.leavesAt)).toMatchObject({
          kind: 'revoke-root',
          because: 'it was declared compromised: laptop stolen',
          gate: { open: false, longest: [{ workload: 'shop/cart' }] },
        })
      expect(next(tainted(), {}, aWorkload(underA, 2), plus(TAINT.leavesAt, -1))).toMatchObject({ kind: 'wait' })
    })

    test('does not give it the time again where the clock is set back by more', () => {
      expect(next(tainted(), {}, aWorkload(underA, 2), plus(NOW, -HOUR))).toMatchObject({ kind: 'wait' })
      expect(next(tainted(), {}, aWorkload(underA, 2), plus(NOW, -HOUR - 1))).toMatchObject({ kind: 'revoke-root' })
    })

    test('takes out in the same time an old one that certified it', () => {
      expect(next(activated({ taint: TAINT }), {}, aWorkload(underA, 2), TAINT.leavesAt)).toMatchObject({
        kind: 'revoke-root',
        root: { state: 'old' },
      })
    })
  })

  describe('of which the one that signs has ended', () => {
    const ended = () => plus(NOW, 11 * YEAR)

    test('replaces it, for it can sign no issuing authority', () => {
      const sooner = issuingOf(issuing, { root: a.id })
      expect(next([a, sooner], {}, NO_EVIDENCE, ended())).toMatchObject({ kind: 'begin-rotation' })
      expect(next([a, sooner], to(undefined), NO_EVIDENCE, ended())).toMatchObject({ kind: 'prepare-root' })
    })

    test('replaces it not at a start, whose clock may be wrong', () => {
      expect(nextAction(aSet([a, underA]), undefined, NO_EVIDENCE, ended(), policy)).toMatchObject({
        kind: 'renew-issuing',
      })
    })

    test('signs to its last moment', () => {
      expect(next([a, issuingOf(issuing, { root: a.id })], {}, NO_EVIDENCE, a.certificate.tbs.notAfter)).toMatchObject({
        kind: 'renew-issuing',
      })
    })
  })

  test('waits no longer than for what is due first', () => {
    const short = issuingOf(issuing, { root: a.id })
    expect(next([a, short], {})).toEqual({ kind: 'wait', until: renewal })
    expect(next([a, crossed, short], to(b.id), aWorkload(underA, 1))).toMatchObject({ until: plus(NOW, HOUR) })
  })
})
