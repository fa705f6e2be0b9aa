import { describe, expect, test } from 'vitest'
import { activeIssuing, activeRoot, bundledRoots } from '../../src/authority/authority.ts'
import { shortId } from '../../src/core/bytes.ts'
import { DAY, HOUR, MINUTE } from '../../src/core/duration.ts'
import { keyAlgorithm } from '../../src/keys/algorithms.ts'
import type { Keeper } from '../../src/service/keeper.ts'
import { prune } from '../../src/service/scheduled-jobs.ts'
import { World } from '../_support/a-world.ts'
import { MemoryMoment } from '../_support/memory-moment.ts'
import { aPluggedCa } from '../_support/plugged-sets.ts'

const ADMIN = { by: 'admin', because: 'yearly' } as const

const states = ({ set }: Keeper) => set.authorities.filter(({ role }) => role === 'root').map(({ state }) => state)

async function started() {
  const world = new World()
  const keeper = await world.start()
  return { world, keeper, first: activeRoot(keeper.set) as NonNullable<ReturnType<typeof activeRoot>> }
}

const said = (world: World) => world.ledger.of('authority').map(({ what }) => what)

describe('a prepared root', () => {
  test('is in the bundle with the number after, does not sign, and is crossed by the one that does', async () => {
    const { world, keeper, first } = await started()
    const prepared = await keeper.roots.prepare(ADMIN)
    expect(states(keeper)).toEqual(['active', 'prepared'])
    expect(keeper.set.bundleSequence).toBe(2)
    expect(keeper.set.authorities.at(-1)).toMatchObject({ id: prepared.id, bundledSince: 2, cross: [{ by: first.id }] })
    expect(world.active.bundle).toMatchObject({ sequence: 2, roots: [{}, {}] })
    expect(activeIssuing(keeper.set)?.root).toBe(first.id)
    await world.check()
    expect(said(world).slice(-1)).toEqual(['root prepared'])
  })

  test('stands alone: a second one is refused, saying what to do', async () => {
    const { keeper } = await started()
    const { id } = await keeper.roots.prepare(ADMIN)
    await expect(keeper.roots.prepare(ADMIN)).rejects.toMatchObject({
      code: 'wrong_state',
      message: `root ${shortId(id)} is prepared and on its way in: one rotation at a time; finish it with alcazar root rotate, or take it back with alcazar root rollback`,
    })
  })

  test('waits for a workload that has not been sent it, which is named with its end', async () => {
    const { world, keeper } = await started()
    await world.issue(HOUR, 'shop/cart-0')
    const { id } = await keeper.roots.prepare(ADMIN)
    await expect(keeper.roots.activate(undefined, ADMIN)).rejects.toMatchObject({
      code: 'wrong_state',
      message: [
        `Not yet: 1 of 1 live workload is in the way if you activate root ${shortId(id)} now.`,
        '  shop/cart-0  holds bundle 1, not 2 yet     ends in 60 min',
        'Safe at the latest in 60 min, when their certificates have ended. If one is gone: alcazar workloads forget NAMESPACE/NAME',
      ].join('\n'),
    })
    expect(states(keeper)).toEqual(['active', 'prepared'])
    await world.check()
  })

  test('signs once each live workload has been sent it, and nobody notices', async () => {
    const { world, keeper, first } = await started()
    await world.issue(HOUR, 'shop/cart-0')
    const { id } = await keeper.roots.prepare(ADMIN)
    await world.issue(HOUR, 'shop/cart-0')
    await keeper.roots.activate(undefined, ADMIN)
    expect(states(keeper)).toEqual(['old', 'active'])
    expect(activeRoot(keeper.set)?.id).toBe(id)
    expect(activeIssuing(keeper.set)?.root).toBe(id)
    await world.issue(HOUR, 'shop/cart-1')
    expect(world.broken()).toEqual([])
    await world.check()
    expect(first.id).not.toBe(id)
    expect(said(world).slice(-2)).toEqual(['root activated', 'issuing authority activated'])
  })

  test('is taken back by a rollback, and the bundle is as it was under another number', async () => {
    const { world, keeper } = await started()
    const before = bundledRoots(keeper.set).map(({ id }) => id)
    await keeper.roots.prepare(ADMIN)
    await keeper.roots.rollback(ADMIN)
    expect(bundledRoots(keeper.set).map(({ id }) => id)).toEqual(before)
    expect(keeper.set.bundleSequence).toBe(3)
    await world.check()
  })
})

describe('an old root', () => {
  async function activated() {
    const all = await started()
    await all.world.issue(HOUR, 'shop/cart-0')
    await all.keeper.roots.prepare(ADMIN)
    await all.world.issue(HOUR, 'shop/cart-0')
    await all.keeper.roots.activate(undefined, ADMIN)
    return all
  }

  test('stays while a certificate stands on it, and leaves when that has ended', async () => {
    const { world, keeper, first } = await activated()
    await expect(keeper.roots.revoke(undefined, ADMIN)).rejects.toMatchObject({
      code: 'wrong_state',
      message: expect.stringContaining(`shop/cart-0  stands on ${shortId(first.id)}`),
    })
    await world.clock.advance(HOUR + MINUTE)
    await keeper.roots.revoke(undefined, ADMIN)
    expect(states(keeper)).toEqual(['revoked', 'active'])
    expect(activeRoot(keeper.set)?.cross).toEqual([])
    expect(world.active.chainPem).toHaveLength(1)
    await world.check()
  })

  test('signs again after a rollback, and the new one leaves by itself', async () => {
    const { world, keeper, first } = await activated()
    await world.issue(HOUR, 'shop/cart-0')
    await keeper.roots.rollback(ADMIN)
    expect(states(keeper)).toEqual(['active', 'old'])
    expect(activeIssuing(keeper.set)?.root).toBe(first.id)
    expect(world.broken()).toEqual([])
    await keeper.tick()
    expect(states(keeper)).toEqual(['active', 'old'])
    await world.clock.advance(HOUR + MINUTE)
    await keeper.tick()
    expect(states(keeper)).toEqual(['active', 'revoked'])
    expect(keeper.set.rotation).toBeUndefined()
    await world.check()
  })

  test('leaves at once when the admin says exactly how many workloads that breaks, and the ledger says so', async () => {
    const { world, keeper } = await activated()
    await expect(keeper.roots.revoke(undefined, ADMIN, { breaks: 7 })).rejects.toMatchObject({
      code: 'wrong_state',
      message: expect.stringMatching(
        /^1 workload would break if you take root .{9} out of the bundle now, not 7; nothing was done$/,
      ),
    })
    await keeper.roots.revoke(undefined, ADMIN, { breaks: 1 })
    expect(states(keeper)).toEqual(['revoked', 'active'])
    expect(world.ledger.of('authority').at(-1)?.detail).toContain(
      'by the admin: yearly; FORCED, breaking 1 of 1 live workloads; cut off: shop/cart-0',
    )
  })
})

describe('a rotation', () => {
  test('goes its whole way by itself, each step when it is safe', async () => {
    const { world, keeper, first } = await started()
    await world.issue(HOUR, 'shop/cart-0')
    await keeper.roots.rotate(ADMIN)
    await keeper.tick()
    expect(states(keeper)).toEqual(['active', 'prepared'])
    await keeper.tick()
    expect(states(keeper)).toEqual(['active', 'prepared'])
    await world.issue(HOUR, 'shop/cart-0')
    await keeper.tick()
    expect(states(keeper)).toEqual(['old', 'active'])
    expect(world.broken()).toEqual([])
    await world.clock.advance(30 * MINUTE)
    await world.issue(HOUR, 'shop/cart-0')
    await keeper.tick()
    expect(states(keeper)).toEqual(['old', 'active'])
    await world.clock.advance(31 * MINUTE)
    await keeper.tick()
    expect(states(keeper)).toEqual(['revoked', 'active'])
    expect(keeper.set.rotation).toBeUndefined()
    expect(world.broken()).toEqual([])
    expect(activeRoot(keeper.set)?.id).not.toBe(first.id)
    await world.check()
    expect(said(world)).toContain('rotation done')
  })

  test('is taken up where it was by the next process', async () => {
    const { world, keeper } = await started()
    await world.issue(HOUR, 'shop/cart-0')
    await keeper.roots.rotate(ADMIN)
    await keeper.tick()
    const again = await world.start()
    expect(states(again)).toEqual(['active', 'prepared'])
    await world.issue(HOUR, 'shop/cart-0')
    await again.tick()
    expect(states(again)).toEqual(['old', 'active'])
    expect(await again.roots.rotate({ by: 'admin', because: 'another' })).toMatchObject({ because: 'yearly' })
  })

  test('begins by itself half a year before the root ends', async () => {
    const { world, keeper, first } = await started()
    await world.clock.advance(first.certificate.tbs.notAfter.getTime() - world.clock.now().getTime() - 180 * DAY)
    await keeper.tick()
    expect(states(keeper)).toEqual(['revoked', 'active'])
    expect(world.ledger.of('authority').find(({ what }) => what === 'rotation begun')?.detail).toMatch(
      /^by the clock: root .{9} ends at 2039-/,
    )
  })

  test('is not for a plugged-in CA, which says how its roots are replaced', async () => {
    const world = new World({ kind: 'plugged-in', ca: (await aPluggedCa()).a })
    const keeper = await world.start()
    for (const verb of [
      () => keeper.roots.rotate(ADMIN),
      () => keeper.roots.prepare(ADMIN),
      () => keeper.roots.rollback(ADMIN),
      () => keeper.roots.activate(undefined, ADMIN),
      () => keeper.roots.revoke(undefined, ADMIN),
      () => keeper.roots.taint('3f9a', ADMIN, HOUR),
    ])
      await expect(verb()).rejects.toMatchObject({
        code: 'wrong_state',
        message: expect.stringMatching(/^the CA is plugged in, so its roots are replaced by its files/),
      })
  })
})

describe('a compromised root', () => {
  test('vouches for nobody from that moment, a new one signs, and it leaves when nothing stands on it', async () => {
    const { world, keeper, first } = await started()
    const { leaf } = await world.issue(30 * MINUTE, 'shop/cart-0')
    expect(keeper.mayVouch(leaf.tbs.issuer, world.clock.now())).toHaveLength(1)
    const tainted = await keeper.roots.taint(first.id.slice(0, 8), { by: 'admin', because: 'laptop stolen' }, HOUR)
    expect(tainted).toMatchObject({ affected: 1, successor: { state: 'active' }, until: leaf.tbs.notAfter })
    expect(states(keeper)).toEqual(['tainted', 'active'])
    expect(keeper.mayVouch(leaf.tbs.issuer, world.clock.now())).toEqual([])
    expect(world.broken()).toEqual([])
    await world.issue(HOUR, 'shop/cart-0')
    expect(world.broken()).toEqual([])
    await keeper.tick()
    expect(states(keeper)).toEqual(['tainted', 'active'])
    await world.clock.advance(31 * MINUTE)
    await keeper.tick()
    expect(states(keeper)).toEqual(['revoked', 'active'])
    expect(world.broken()).toEqual([])
  })

  test('leaves after the time that was given, naming who is cut off', async () => {
    const { world, keeper, first } = await started()
    await world.issue(24 * HOUR, 'shop/cart-0')
    await keeper.roots.taint(first.id, { by: 'admin', because: 'laptop stolen' }, HOUR)
    await world.clock.advance(HOUR)
    await keeper.tick()
    expect(states(keeper)).toEqual(['revoked', 'active'])
    expect(world.events.told.find(({ event }) => event === 'authorityRevoked')?.args.slice(1)).toEqual([
      'it was declared compromised: laptop stolen',
      ['shop/cart-0'],
    ])
  })
})

describe('a root that certified a compromised one', () => {
  /** A old, B signing and certified by A, and one workload on B. */
  async function rotated() {
    const all = await started()
    const b = await all.keeper.roots.prepare(ADMIN)
    await all.keeper.roots.activate(undefined, ADMIN)
    await all.world.issue(24 * HOUR, 'shop/cart-0')
    return { ...all, b }
  }
  const STOLEN = { by: 'admin', because: 'laptop stolen' } as const

  test('leaves with it: who trusts the one takes what the other’s key signs', async () => {
    const { world, keeper, first, b } = await rotated()
    const tainted = await keeper.roots.taint(b.id, STOLEN, HOUR)
    expect(states(keeper)).toEqual(['old', 'tainted', 'active'])
    expect(keeper.set.authorities.find(({ id }) => id === first.id)?.taint).toMatchObject({
      because: `it certified root ${shortId(b.id)}: laptop stolen`,
      leavesAt: tainted.leavesAt,
    })
    expect(world.broken()).toEqual([])
    await world.clock.advance(HOUR)
    await keeper.tick()
    expect(states(keeper)).toEqual(['revoked', 'revoked', 'active'])
  })

  test('signs no longer where it signed again after a rollback', async () => {
    const { world, keeper, b } = await rotated()
    await keeper.roots.rollback(ADMIN)
    expect(states(keeper)).toEqual(['active', 'old'])
    const tainted = await keeper.roots.taint(b.id, STOLEN, HOUR)
    expect(states(keeper)).toEqual(['old', 'tainted', 'active'])
    expect(activeRoot(keeper.set)?.id).toBe(tainted.successor?.id)
    await world.issue(HOUR, 'shop/till-0')
    expect(world.broken()).toEqual([])
    await world.clock.advance(HOUR)
    await keeper.tick()
    expect(states(keeper)).toEqual(['revoked', 'revoked', 'active'])
  })

  test('is not gone back to', async () => {
    const { keeper, b } = await rotated()
    await keeper.roots.taint(b.id, STOLEN, HOUR)
    await expect(keeper.roots.rollback(ADMIN)).rejects.toMatchObject({
      code: 'wrong_state',
      message: 'there is nothing to take back: no root is prepared, and none waits to leave',
    })
  })

  test('has no more time when it is declared compromised itself', async () => {
    const { keeper, first, b } = await rotated()
    const { leavesAt } = await keeper.roots.taint(b.id, STOLEN, HOUR)
    expect((await keeper.roots.taint(first.id, STOLEN, 2 * HOUR)).leavesAt).toEqual(leavesAt)
  })
})

describe('a rotation in the way of which something stands', () => {
  test('waits for a tainted root to leave before it prepares another, and fails at nothing meanwhile', async () => {
    const { world, keeper, first } = await started()
    await world.issue(24 * HOUR, 'shop/cart-0')
    await keeper.roots.taint(first.id, ADMIN, HOUR)
    await keeper.roots.rotate(ADMIN)
    await keeper.tick()
    expect(states(keeper)).toEqual(['tainted', 'active'])
    expect(world.events.told.filter(({ event }) => event === 'rotationFailed')).toEqual([])
    await world.clock.advance(HOUR)
    await keeper.tick()
    expect(states(keeper)).toEqual(['revoked', 'active', 'prepared'])
  })

  test('goes on by the clock from what an admin left half done, when the root is due', async () => {
    const { world, keeper, first } = await started()
    await world.clock.advance(365 * DAY)
    const { id } = await keeper.roots.prepare(ADMIN)
    await world.clock.advance(first.certificate.tbs.notAfter.getTime() - world.clock.now().getTime() - 180 * DAY)
    await keeper.tick()
    expect(activeRoot(keeper.set)?.id).toBe(id)
    expect(states(keeper)).toEqual(['revoked', 'active'])
  })

  test('activates at the deadline what all follow by the cross-certificate, and says so', async () => {
    const world = new World({ kind: 'dev', root: { algorithm: keyAlgorithm('ecdsa-p256'), lifetimeMs: 60 * DAY } })
    const keeper = await world.start()
    await world.clock.advance(49 * DAY)
    await keeper.tick()
    await world.issue(11 * DAY, 'shop/cart-0')
    await keeper.roots.rotate(ADMIN)
    await keeper.tick()
    await world.clock.advance(5 * DAY - MINUTE)
    await keeper.tick()
    expect(states(keeper)).toEqual(['active', 'prepared'])
    await world.clock.advance(2 * MINUTE)
    await keeper.tick()
    expect(states(keeper)).toEqual(['old', 'active'])
    expect(world.events.told.filter(({ event }) => event === 'deadlineReached')).toHaveLength(1)
    await world.issue(HOUR, 'shop/till-0')
    expect(world.broken()).toEqual([])
  })

  test('makes up for a machine that slept past the end of the root, an hour after it woke', async () => {
    const { world, keeper, first } = await started()
    world.clock.jump(11 * 365 * DAY)
    await keeper.tick()
    expect(states(keeper)).toEqual(['active'])
    expect(world.events.told.at(-1)).toMatchObject({ event: 'clockJumped', args: [11 * 365 * DAY] })
    await world.clock.advance(HOUR)
    await keeper.tick()
    expect(states(keeper)).toEqual(['revoked', 'active'])
    expect(activeRoot(keeper.set)?.id).not.toBe(first.id)
    await world.check()
  })
})

describe('a start with a clock that is wrong', () => {
  /** Two issuing authorities, the first an old one; then the process ends. */
  async function stopped() {
    const { world } = await started()
    await world.clock.advance(DAY)
    await world.start()
    return { world, lastMoment: new MemoryMoment(world.clock.now()) }
  }
  const issuing = (keeper: Keeper) => keeper.set.authorities.filter(({ role }) => role === 'issuing').length

  test('nine years and ten months ahead neither replaces the root nor forgets what has ended, for an hour', async () => {
    const { world, lastMoment } = await stopped()
    world.clock.jump(3590 * DAY)
    const keeper = await world.start({ lastMoment })
    await keeper.tick()
    await prune(keeper)
    expect([states(keeper), issuing(keeper), keeper.set.rotation]).toEqual([['active'], 3, undefined])
    expect(world.events.told.filter(({ event }) => event === 'clockJumped')).toMatchObject([{ args: [3590 * DAY] }])
    await world.clock.advance(HOUR)
    await keeper.tick()
    await prune(keeper)
    // The one that this start made under the root of before has not ended.
    expect([states(keeper), issuing(keeper)]).toEqual([['revoked', 'active'], 2])
  })

  test('is in doubt again after another restart, and is none when it is set right', async () => {
    const { world, lastMoment } = await stopped()
    world.clock.jump(3590 * DAY)
    for (let restart = 0; restart < 3; restart++) {
      const keeper = await world.start({ lastMoment })
      const stop = new AbortController()
      const running = keeper.run(stop.signal)
      await world.clock.advance(30 * MINUTE)
      stop.abort()
      await running
      expect(states(keeper)).toEqual(['active'])
    }
    world.clock.jump(-3590 * DAY)
    const keeper = await world.start({ lastMoment })
    await keeper.tick()
    expect(states(keeper)).toEqual(['active'])
    expect(world.events.told.filter(({ event }) => event === 'clockJumped')).toEqual([])
    await world.check()
  })

  test('a year behind what is in the journal takes no step for an hour', async () => {
    const { world, lastMoment } = await stopped()
    await world.clock.advance(400 * DAY)
    lastMoment.moment = undefined
    await world.start()
    world.clock.jump(-365 * DAY)
    const keeper = await world.start({ lastMoment })
    await keeper.roots.rotate(ADMIN)
    await keeper.tick()
    expect(states(keeper)).toEqual(['active'])
    expect(world.events.told.filter(({ event }) => event === 'clockJumped')).toHaveLength(1)
    await world.clock.advance(HOUR)
    await keeper.tick()
    expect(states(keeper)).toEqual(['revoked', 'active'])
  })
})

describe('a root that is not valid now', () => {
  test('is not activated, with what to do', async () => {
    const { world, keeper } = await started()
    const { id, certificate } = await keeper.roots.prepare(ADMIN)
    world.clock.jump(11 * 365 * DAY)
    await expect(keeper.roots.activate(undefined, ADMIN)).rejects.toMatchObject({
      code: 'wrong_state',
      message: `root ${shortId(id)} is valid from ${certificate.tbs.notBefore.toISOString()} to ${certificate.tbs.notAfter.toISOString()}, and now is ${world.clock.now().toISOString()}: take it out with alcazar root revoke, and prepare another`,
    })
    world.clock.jump(-12 * 365 * DAY)
    await expect(keeper.roots.activate(undefined, ADMIN)).rejects.toMatchObject({
      code: 'wrong_state',
      message: expect.stringContaining('is valid from'),
    })
    expect(states(keeper)).toEqual(['active', 'prepared'])
  })
})

describe('a store that can’t be written', () => {
  test('is not filled with keys by a clock that tries again and again', async () => {
    const { world, keeper } = await started()
    await keeper.roots.rotate(ADMIN)
    for (let ahead = 1; ahead <= 5; ahead++) world.store.faults.set(world.store.writes + ahead, 'refused')
    for (let times = 0; times < 5; times++) await keeper.tick()
    expect(world.events.told.filter(({ event }) => event === 'rotationFailed')).toHaveLength(5)
    await keeper.tick()
    expect(states(keeper)).toEqual(['revoked', 'active'])
    expect(world.store.keys.size).toBe(2)
    await keeper.roots.prepare(ADMIN)
    expect(world.store.keys.size).toBe(3)
  })
})

describe('a workload that was forgotten', () => {
  test('is in the journal until the last of its certificates has ended, once', async () => {
    const { world, keeper } = await started()
    const until = (hours: number) => new Date(world.clock.now().getTime() + hours * HOUR)
    await keeper.roots.forget('shop/cart-0', until(1), ADMIN)
    await keeper.roots.forget('shop/till-0', until(3), ADMIN)
    await keeper.roots.forget('shop/till-0', until(4), ADMIN)
    expect(keeper.set.forgotten.map(({ workload }) => workload)).toEqual(['shop/cart-0', 'shop/till-0'])
    await world.clock.advance(2 * HOUR)
    await keeper.roots.forget('shop/tax-0', until(1), ADMIN)
    expect(world.journal.set.forgotten.map(({ workload }) => workload)).toEqual(['shop/till-0', 'shop/tax-0'])
    expect(world.ledger.of('authority').at(-1)).toMatchObject({
      what: 'workload forgotten',
      detail: 'shop/tax-0, by the admin: yearly',
    })
  })

  test('stays forgotten when it is forgotten again by a clock that was set back', async () => {
    const { world, keeper } = await started()
    const at = world.clock.now()
    const until = new Date(at.getTime() + HOUR)
    await keeper.roots.forget('shop/cart-0', until, ADMIN)
    world.clock.jump(-DAY)
    await keeper.roots.forget('shop/cart-0', world.clock.now(), ADMIN)
    expect(keeper.set.forgotten).toEqual([{ workload: 'shop/cart-0', at, until }])
  })

  test('is not forgotten for a reason that is too long', async () => {
    const { world, keeper } = await started()
    await expect(
      keeper.roots.forget('shop/cart-0', world.clock.now(), { by: 'admin', because: 'x'.repeat(501) }),
    ).rejects.toMatchObject({
      code: 'invalid_argument',
      message: 'a reason has at most 500 characters, not 501',
    })
    expect(keeper.set.forgotten).toEqual([])
  })
})
