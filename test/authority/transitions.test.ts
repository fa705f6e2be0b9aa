import { beforeAll, describe, expect, test } from 'vitest'
import { AUTHORITY_STATES, type Authority, type AuthoritySet, type Taint } from '../../src/authority/authority.ts'
import {
  authorityByPrefix,
  possibleVerbs,
  TRANSITIONS,
  transitionFor,
  VERBS,
  vouchingFor,
  withActiveRoot,
  withPrepared,
  withRevoked,
  withTainted,
} from '../../src/authority/transitions.ts'
import { shortId } from '../../src/core/bytes.ts'
import { plus } from '../../src/core/clock.ts'
import { HOUR } from '../../src/core/duration.ts'
import { aSet, issuingOf, NOW, rootOf } from '../_support/authority-sets.ts'
import { odd } from '../_support/odd-certificates.ts'

let a: Authority
let b: Authority
let underA: Authority
let underB: Authority
const taint: Taint = { at: NOW, because: 'laptop stolen', leavesAt: plus(NOW, HOUR) }
const rotation = { since: NOW, by: 'admin', because: 'yearly' } as const

beforeAll(async () => {
  const [rootA, rootB] = [await odd('root a', 'itself'), await odd('root b', 'itself')]
  a = rootOf(rootA)
  underA = issuingOf(await odd('under a', rootA, { pathLength: 0 }), { root: a.id })
  b = rootOf(rootB, {
    state: 'prepared',
    bundledSince: 2,
    cross: [{ by: a.id, certificate: (await odd('root b', rootA, { key: rootB.key })).certificate }],
  })
  underB = issuingOf(await odd('under b', rootB, { pathLength: 0 }), { root: b.id })
})

const states = ({ authorities }: AuthoritySet) => authorities.map(({ role, state }) => `${role} ${state}`)
/** After the activation of B. */
const activated = (change: Partial<AuthoritySet> = {}) =>
  withActiveRoot(aSet([a, underA, b], { bundleSequence: 2, ...change }), b, 'activate', underB)
const found = (set: AuthoritySet, { id }: Authority) => set.authorities.find((one) => one.id === id) as Authority

describe('the table', () => {
  const rows = [
    'activate: prepared → active, trusted',
    'rollback: old → active, trusted',
    'taint: old → tainted, always',
    'taint: prepared → revoked, always',
    'taint: revoked → revoked, always',
    'revoke: prepared → revoked, always',
    'revoke: old → revoked, unused',
    'revoke: tainted → revoked, unused',
  ]

  test('has these rows and no others', () => {
    expect(
      TRANSITIONS.map(({ verb, from, to, condition }) => `${verb}: ${from} → ${to}, ${condition ?? 'always'}`),
    ).toEqual(rows)
  })

  const pairs = AUTHORITY_STATES.flatMap((state) => VERBS.map((verb) => ({ state, verb })))

  test.each(pairs)('answers $verb of one that is $state by its rows', ({ state, verb }) => {
    const row = rows.find((one) => one.startsWith(`${verb}: ${state} →`))
    const cross = state === 'revoked' ? b.cross : []
    const root = { ...a, state, cross }
    if (row) {
      const { to, condition } = transitionFor(root, verb)
      expect(`${verb}: ${state} → ${to}, ${condition ?? 'always'}`).toBe(row)
      return
    }
    const possible = {
      prepared: 'possible now: activate, taint, revoke',
      active: 'it signs, and another must do so first; alcazar root status shows what can be done',
      old: 'possible now: rollback, taint, revoke',
      tainted: 'possible now: revoke',
      revoked: 'possible now: taint',
    }
    expect(() => transitionFor(root, verb)).toThrow(
      expect.objectContaining({
        code: 'wrong_state',
        message: `root ${shortId(a.id)} is ${state}, so ${verb} is not possible; ${possible[state]}`,
      }),
    )
    expect(possibleVerbs(root)).not.toContain(verb)
  })

  test.each(AUTHORITY_STATES)('is asked by what changes a set: of a root that is %s', (state) => {
    const set = aSet([{ ...a, state }])
    const [root] = set.authorities as [Authority]
    const may = (change: () => AuthoritySet) => {
      try {
        return states(change())[0]
      } catch (error) {
        return (error as { code: string }).code
      }
    }
    const of = (state: string | undefined) => (state ? `root ${state}` : 'wrong_state')
    expect([
      may(() => withActiveRoot(set, root, 'activate', underA)),
      may(() => withActiveRoot(set, root, 'rollback', underA)),
      may(() => withTainted(set, root, taint)),
      may(() => withRevoked(set, root)),
    ]).toEqual([
      of(state === 'prepared' ? 'active' : undefined),
      of(state === 'old' ? 'active' : undefined),
      of({ old: 'tainted', prepared: 'revoked' }[state as string]),
      of(['prepared', 'old', 'tainted'].includes(state) ? 'revoked' : undefined),
    ])
  })
})

describe('a root that is prepared', () => {
  test('is first in the next bundle, whatever it said itself', () => {
    const set = withPrepared(aSet([a], { bundleSequence: 6 }), { ...b, state: 'active', bundledSince: 1 })
    expect(set.bundleSequence).toBe(7)
    expect(found(set, b)).toMatchObject({ state: 'prepared', bundledSince: 7 })
  })

  test('is not in the bundle already', () => {
    expect(() => withPrepared(aSet([a]), a)).toThrow(
      expect.objectContaining({ code: 'conflict', message: `root ${shortId(a.id)} is in the bundle already` }),
    )
  })

  test('may have been there before and left: one record of it is left, and one root becomes active', () => {
    const before = aSet([a, underA, { ...b, state: 'revoked' }], { bundleSequence: 4 })
    const set = withPrepared(before, b)
    expect(states(set)).toEqual(['root active', 'issuing active', 'root prepared'])
    expect(states(withActiveRoot(set, found(set, b), 'activate', underB))).toEqual([
      'root old',
      'issuing old',
      'root active',
      'issuing active',
    ])
  })

  test('makes the former root and its issuing authority old in the same step as it becomes active', () => {
    expect(states(activated())).toEqual(['root old', 'issuing old', 'root active', 'issuing active'])
    expect(activated().bundleSequence).toBe(2)
  })

  test('ends the rotation to it where it is discarded, and only that', () => {
    const set = aSet([a, b], { bundleSequence: 2 })
    expect(withRevoked({ ...set, rotation: { ...rotation, to: b.id } }, b).rotation).toBeUndefined()
    expect(withRevoked({ ...set, rotation: { ...rotation, to: a.id } }, b).rotation).toMatchObject({ to: a.id })
    expect(withRevoked(set, b).bundleSequence).toBe(3)
  })
})

describe('a root that is revoked', () => {
  test('takes with it what stands on it and the cross-certificates it signed', () => {
    const set = withRevoked(activated(), found(activated(), a))
    expect(states(set)).toEqual(['root revoked', 'issuing revoked', 'root active', 'issuing active'])
    expect(found(set, b).cross).toEqual([])
    expect(set.bundleSequence).toBe(3)
  })

  test('revokes one of its issuing authorities that still signs, too: nobody takes what it signs', () => {
    const set = aSet([{ ...a, state: 'old' }, underA])
    expect(states(withRevoked(set, found(set, a)))).toEqual(['root revoked', 'issuing revoked'])
  })

  test('leaves another root’s cross-certificates as they are', () => {
    const other = { ...a, id: 'f'.repeat(40), state: 'old' as const }
    const set = aSet([other, { ...b, state: 'active' }])
    expect(found(withRevoked(set, other), b).cross).toHaveLength(1)
  })
})

describe('a root that is tainted', () => {
  test('taints what stood on it, and nothing else', () => {
    const set = withTainted(activated(), found(activated(), a), taint)
    expect(states(set)).toEqual(['root tainted', 'issuing tainted', 'root active', 'issuing active'])
    expect(set.authorities.map((one) => one.taint)).toEqual([taint, taint, undefined, undefined])
    expect(set.bundleSequence).toBe(2)
  })

  test('takes with it the roots that certified it, in the same time: who trusts one of them trusts the stolen key', () => {
    const set = aSet([
      { ...a, state: 'old' },
      { ...b, state: 'old' },
    ])
    expect(vouchingFor(set, b).map(({ id }) => id)).toEqual([a.id])
    const tainted = withTainted(set, found(set, b), taint)
    expect(states(tainted)).toEqual(['root old', 'root tainted'])
    expect(found(tainted, a).taint).toEqual({
      ...taint,
      because: `it certified root ${shortId(b.id)}: laptop stolen`,
    })
  })

  test('gives no more time to a root that has to leave sooner', () => {
    const sooner = { ...taint, leavesAt: plus(NOW, 1) }
    const set = aSet([
      { ...a, state: 'old', taint: sooner },
      { ...b, state: 'old' },
    ])
    expect(found(withTainted(set, found(set, b), taint), a).taint).toEqual(sooner)
    const later = aSet([
      { ...a, state: 'old', taint: { ...taint, leavesAt: plus(NOW, 2 * HOUR) } },
      { ...b, state: 'old' },
    ])
    expect(found(withTainted(later, found(later, b), taint), a).taint?.leavesAt).toEqual(taint.leavesAt)
    // Nor where it is declared compromised itself.
    expect(found(withTainted(set, found(set, a), taint), a)).toMatchObject({
      state: 'tainted',
      taint: { because: 'laptop stolen', leavesAt: sooner.leavesAt },
    })
  })

  test('leaves at once where it was prepared, and the root that certified it in time; one that is out of the bundle stays out', () => {
    const prepared = withTainted(
      aSet([a, underA, b], { bundleSequence: 2, rotation: { ...rotation, to: b.id } }),
      b,
      taint,
    )
    expect(states(prepared)).toEqual(['root active', 'issuing active', 'root revoked'])
    expect([prepared.bundleSequence, prepared.rotation]).toEqual([3, undefined])
    expect([found(prepared, b).taint, found(prepared, a).taint?.leavesAt]).toEqual([taint, taint.leavesAt])
    const revoked = withTainted(
      aSet([a, { ...b, state: 'revoked' }], { bundleSequence: 3 }),
      { ...b, state: 'revoked' },
      taint,
    )
    expect(states(revoked)).toEqual(['root active', 'root revoked'])
    expect([revoked.bundleSequence, found(revoked, b).taint, found(revoked, a).taint?.leavesAt]).toEqual([
      3,
      taint,
      taint.leavesAt,
    ])
  })

  test('and out of the bundle with all that certified it is done with', () => {
    const gone = { ...b, state: 'revoked' as const, cross: [] }
    expect(possibleVerbs(gone)).toEqual([])
    expect(() => withTainted(aSet([a, gone]), gone, taint)).toThrow(
      expect.objectContaining({
        code: 'wrong_state',
        message: `root ${shortId(b.id)} is revoked, so taint is not possible; possible now: nothing`,
      }),
    )
  })

  test('is vouched for by no root that is out of the bundle', () => {
    expect(vouchingFor(aSet([{ ...a, state: 'revoked' }, b]), b)).toEqual([])
  })
})

describe('by the beginning of its id', () => {
  test('an authority is found, with spaces, colons and capitals', () => {
    const begin = a.id.slice(0, 8).toUpperCase()
    expect(authorityByPrefix(aSet([a, underA]), `${begin.slice(0, 4)} ${begin.slice(4, 6)}:${begin.slice(6)}`)).toBe(a)
    expect(authorityByPrefix(aSet([a]), a.id)).toBe(a)
  })

  test.each(['', '3f9', 'xyzw', `${'a'.repeat(41)}`])('%j is no id', (given) => {
    expect(() => authorityByPrefix(aSet([a]), given)).toThrow(
      expect.objectContaining({
        code: 'invalid_argument',
        message: `not an authority’s id: ${JSON.stringify(given)}; write at least its first four hex digits`,
      }),
    )
  })

  test('one that there is not is not found, also where it has another role', () => {
    const none = { code: 'not_found', message: `no root has an id that begins with ${underA.id}` }
    expect(() => authorityByPrefix(aSet([a, underA]), underA.id, 'root')).toThrow(expect.objectContaining(none))
    expect(() => authorityByPrefix(aSet([]), 'abcd')).toThrow(
      expect.objectContaining({ code: 'not_found', message: 'no authority has an id that begins with abcd' }),
    )
  })

  test('two that begin alike are named', () => {
    const twin = { ...b, id: `${a.id.slice(0, 8)}${'0'.repeat(32)}` }
    expect(() => authorityByPrefix(aSet([a, twin]), a.id.slice(0, 4))).toThrow(
      expect.objectContaining({
        code: 'invalid_argument',
        message: `2 begin with ${a.id.slice(0, 4)}: ${shortId(a.id)}, ${shortId(twin.id)}; write more digits`,
      }),
    )
  })
})
