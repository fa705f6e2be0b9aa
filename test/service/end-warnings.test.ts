import { describe, expect, test } from 'vitest'
import type { Authority, AuthoritySet } from '../../src/authority/authority.ts'
import { authorityEnds, remainingMs, warningsOf } from '../../src/authority/authority-ends.ts'
import { shortId } from '../../src/core/bytes.ts'
import { DAY, HOUR, MINUTE } from '../../src/core/duration.ts'
import { EndWarnings } from '../../src/service/end-warnings.ts'
import { prune } from '../../src/service/scheduled-jobs.ts'
import { World } from '../_support/a-world.ts'
import { aSet, issuingOf, NOW, rootOf } from '../_support/authority-sets.ts'
import { FakeClock } from '../_support/fake-clock.ts'
import { odd } from '../_support/odd-certificates.ts'
import type { TestCa } from '../_support/plugged-ca.ts'
import { aPluggedCa } from '../_support/plugged-sets.ts'
import { recordedEvents } from '../_support/recorded-events.ts'

const in_ = (ms: number) => new Date(NOW.getTime() + ms)
const aRootFor = (ms: number, notBefore = in_(-DAY)) => odd('root', 'itself', { notBefore, notAfter: in_(ms) })

/** Warnings about a set that a test may change, with a clock at 2030-01-01. */
function warnings(authorities: readonly Authority[]) {
  const clock = new FakeClock()
  const events = recordedEvents()
  const state: { set: AuthoritySet } = { set: aSet(authorities) }
  const open = () => new EndWarnings({ set: () => state.set, events, clock })
  const told = () =>
    events.told
      .splice(0)
      .map(({ event, args }) =>
        event === 'authorityEndsSoon'
          ? `${args[0].role} ${args[0].state} ${args[1].leftMs / DAY} ${args[1].isUrgent ? 'urgent' : 'in time'}`
          : event,
      )
  return { clock, state, told, open, warnings: open() }
}

describe('what ends', () => {
  test('is every root in the bundle, every issuing authority, and what stands above the one that signs', async () => {
    const root = await odd('root', 'itself')
    const above = await odd('above', root)
    const ca = await odd('ca', above)
    const old = await odd('old', ca)
    const set = aSet([
      rootOf(root),
      rootOf(await odd('next', 'itself'), { state: 'prepared' }),
      rootOf(await odd('gone', 'itself'), { state: 'revoked' }),
      issuingOf(old, { state: 'old', intermediates: [(await odd('elsewhere', root)).certificate] }),
      issuingOf(ca, { key: 'plugged-in', intermediates: [above.certificate] }),
      issuingOf(await odd('bad', ca), { state: 'revoked' }),
      issuingOf(await odd('stolen', ca), { state: 'tainted' }),
    ])
    expect(authorityEnds(set).map(({ role, state, renewedHere }) => [role, state, renewedHere])).toEqual([
      ['root', 'active', false],
      ['root', 'prepared', false],
      ['issuing', 'active', false],
      ['intermediate', 'active', false],
      ['issuing', 'old', true],
      ['issuing', 'tainted', true],
    ])
  })

  test('is bounded: a hundred, and of old issuing authorities the newest', async () => {
    const root = await odd('root', 'itself')
    const one = await odd('one', root)
    const many = Array.from({ length: 150 }, (_, index) => {
      const notAfter = in_((150 - index) * HOUR)
      const certificate = { ...one.certificate, tbs: { ...one.certificate.tbs, notAfter } }
      return issuingOf(one, { state: 'old', certificate })
    })
    const ends = authorityEnds(aSet([...many.toReversed(), issuingOf(one), rootOf(root)]))
    expect(ends).toHaveLength(100)
    expect(ends.slice(0, 2).map(({ role, state }) => `${role} ${state}`)).toEqual(['issuing active', 'root active'])
    expect(ends.at(2)?.certificate.tbs.notAfter).toEqual(in_(150 * HOUR))
    expect(ends.at(-1)?.certificate.tbs.notAfter).toEqual(in_(53 * HOUR))
  })
})

describe('a warning comes', () => {
  test('when 30, 14, 7 days and 1 day are left, and at the end, once each; the last two are urgent', async () => {
    const { clock, told, warnings: ends } = warnings([rootOf(await aRootFor(100 * DAY))])
    const seen: string[] = []
    for (let day = 0; day <= 105; day++) {
      ends.check()
      seen.push(...told())
      await clock.advance(DAY)
    }
    expect(seen).toEqual([
      'root active 30 in time',
      'root active 14 in time',
      'root active 7 in time',
      'root active 1 urgent',
      'root active 0 urgent',
    ])
  })

  test('not a moment before', async () => {
    const { clock, told, warnings: ends } = warnings([rootOf(await aRootFor(100 * DAY))])
    await clock.advance(70 * DAY - 1)
    ends.check()
    expect(told()).toEqual([])
    await clock.advance(1)
    ends.check()
    expect(told()).toEqual(['root active 30 in time'])
  })

  test('once at a start that finds several thresholds past, and again at the next start', async () => {
    const one = warnings([rootOf(await aRootFor(5 * DAY, in_(-100 * DAY)))])
    one.warnings.check()
    one.warnings.check()
    expect(one.told()).toEqual(['root active 5 in time'])
    one.open().check()
    expect(one.told()).toEqual(['root active 5 in time'])
  })

  test('once, though the clock goes back and forth', async () => {
    const { clock, told, warnings: ends } = warnings([rootOf(await aRootFor(29 * DAY, in_(-100 * DAY)))])
    ends.check()
    expect(told()).toHaveLength(1)
    clock.jump(-10 * DAY)
    ends.check()
    clock.jump(10 * DAY)
    ends.check()
    expect(told()).toEqual([])
  })

  test('at fractions of a life of less than 60 days', async () => {
    const short = await aRootFor(64 * HOUR, NOW)
    expect(warningsOf(short.certificate).map((ms) => ms / HOUR)).toEqual([16, 8, 4, 1, 0])
    const { clock, told, warnings: ends } = warnings([rootOf(short)])
    const seen: string[] = []
    for (let hour = 0; hour <= 64; hour++) {
      ends.check()
      seen.push(...told())
      await clock.advance(HOUR)
    }
    expect(seen).toHaveLength(5)
    expect(seen.map((one) => one.split(' ').at(-1))).toEqual(['time', 'time', 'time', 'urgent', 'urgent'])
  })

  test('by days for a life of 60 days, and by fractions for one a second shorter', async () => {
    const life = async (ms: number) => warningsOf((await aRootFor(ms, NOW)).certificate)
    expect(await life(60 * DAY)).toEqual([30 * DAY, 14 * DAY, 7 * DAY, DAY, 0])
    expect((await life(60 * DAY - 1000))[0]).toBe((60 * DAY - 1000) / 4)
  })
})

describe('warned of is', () => {
  const soon = { notBefore: in_(-100 * DAY), notAfter: in_(5 * DAY) }
  const warned = async (make: (ca: TestCa) => Authority | readonly Authority[]) => {
    const root = await odd('root', 'itself', { notAfter: in_(3650 * DAY) })
    const { told, warnings: ends } = warnings([rootOf(root), ...[make(await odd('ca', root, soon))].flat()])
    ends.check()
    return told()
  }

  test('a plugged-in CA that signs leaves itself', async () => {
    expect(await warned((ca) => issuingOf(ca, { key: 'plugged-in' }))).toEqual(['issuing active 5 in time'])
  })

  test('a plugged-in CA above our issuing authority', async () => {
    const other = await odd('other', 'itself', { notAfter: in_(365 * DAY) })
    expect(await warned((ca) => issuingOf(other, { intermediates: [ca.certificate] }))).toEqual([
      'intermediate active 5 in time',
    ])
  })

  test('an old root: it is still trusted, and something may stand on it', async () => {
    expect(await warned((ca) => rootOf(ca, { state: 'old' }))).toEqual(['root old 5 in time'])
  })

  test.each([
    ['what this process renews itself', (ca: TestCa) => issuingOf(ca)],
    ['an issuing authority that signs no longer', (ca: TestCa) => issuingOf(ca, { state: 'old', key: 'plugged-in' })],
    ['a root that is out of the bundle', (ca: TestCa) => rootOf(ca, { state: 'revoked' })],
  ])('not %s', async (_what, make) => {
    expect(await warned(make)).toEqual([])
  })

  test('what was just taken, at the next check; what left is forgotten', async () => {
    const first = rootOf(await aRootFor(5 * DAY, in_(-100 * DAY)))
    const second = rootOf(await aRootFor(6 * DAY, in_(-100 * DAY)))
    const one = warnings([first])
    one.warnings.check()
    one.state.set = aSet([second])
    one.warnings.check()
    one.state.set = aSet([first])
    one.warnings.check()
    expect(one.told()).toEqual(['root active 5 in time', 'root active 6 in time', 'root active 5 in time'])
  })
})

describe('the outcome of a check says', () => {
  test('what ends first', async () => {
    const root = rootOf(await aRootFor(3650 * DAY))
    const next = rootOf(await aRootFor(40 * DAY), { state: 'prepared' })
    expect(warnings([root, next]).warnings.check()).toBe(
      `of the roots, root ${shortId(next.id)} ends first, in 40 days`,
    )
  })

  test('that something has ended', async () => {
    const root = rootOf(await aRootFor(-3 * HOUR, in_(-100 * DAY)))
    expect(warnings([root]).warnings.check()).toBe(`of the roots, root ${shortId(root.id)} ended 3 h ago`)
  })

  test('that there is nothing', () => {
    expect(warnings([]).warnings.check()).toBe('there is nothing that could end')
  })
})

describe('with a real keeper', () => {
  test('a plugged-in CA is what ends first, and a CA taken in its place is there at once', async () => {
    const { a, abSignedByB, ab } = await aPluggedCa()
    const world = new World({ kind: 'plugged-in', ca: a })
    const keeper = await world.start()
    const roles = () => authorityEnds(keeper.set).map(({ role, state }) => `${role} ${state}`)
    expect(roles()).toEqual(['root active', 'issuing active', 'intermediate active'])
    await keeper.takePluggedCa(ab)
    await keeper.takePluggedCa(abSignedByB)
    expect(roles()).toEqual([
      'root old',
      'root active',
      'issuing active',
      'intermediate active',
      'issuing old',
      'issuing old',
    ])
    const above = authorityEnds(keeper.set).find(({ role }) => role === 'intermediate') ?? expect.fail()
    expect(above.certificate).toBe(abSignedByB.certificate)
    expect(remainingMs(above, world.clock.now())).toBe(Date.UTC(2035, 0, 1) - NOW.getTime())
  })

  test('prune takes out what has ended, never what signs, and says how many', async () => {
    const world = new World()
    await world.start()
    await world.clock.advance(DAY)
    const keeper = await world.start()
    expect(await prune(keeper)).toBe(0)
    const { revision } = world.journal
    await world.clock.advance(29 * DAY + MINUTE)
    expect(await prune(keeper)).toBe(1)
    expect(world.journal.revision).toBe(revision + 1)
    expect(world.journal.set.authorities.map(({ role, state }) => `${role} ${state}`)).toEqual([
      'root active',
      'issuing active',
    ])
    // The one that signs has ended, too, and nobody renewed it.
    await world.clock.advance(2 * DAY)
    expect(await prune(keeper)).toBe(0)
    await world.check()
  })

  test('a renewal that can’t be made is thrown to who asked for it', async () => {
    const world = new World()
    const keeper = await world.start()
    await keeper.renewIfDue()
    world.clock.jump(29 * DAY)
    world.store.faults.set(world.store.writes + 1, 'refused')
    await expect(keeper.renewIfDue()).rejects.toMatchObject({
      code: 'dependency_unavailable',
      message: 'the journal can’t be written',
    })
    expect(world.events.told.some(({ event }) => event === 'rotationFailed')).toBe(false)
  })
})
