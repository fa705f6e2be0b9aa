import { describe, expect, test } from 'vitest'
import { type Authority, activeIssuing, activeRoot, bundledRoots } from '../../src/authority/authority.ts'
import { deadlineOf, overdueMs } from '../../src/authority/next-action.ts'
import { leadsTo } from '../../src/authority/path.ts'
import { shortId } from '../../src/core/bytes.ts'
import { plus } from '../../src/core/clock.ts'
import { DAY, HOUR, MINUTE } from '../../src/core/duration.ts'
import { keyAlgorithm } from '../../src/keys/algorithms.ts'
import type { PrivateKey } from '../../src/keys/private-key.ts'
import { authoritiesView } from '../../src/service/authorities-view.ts'
import type { Keeper } from '../../src/service/keeper.ts'
import { namedInParts } from '../../src/service/root-steps.ts'
import { prune } from '../../src/service/scheduled-jobs.ts'
import { statusOf } from '../../src/service/status.ts'
import { readCertificate } from '../../src/x509/certificate.ts'
import { World } from '../_support/a-world.ts'
import { MemoryMoment } from '../_support/memory-moment.ts'
import { beginWithNarrowRoot } from '../_support/narrow-root.ts'
import { odd } from '../_support/odd-certificates.ts'
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

  test('waits for one that is compromised to leave, which nobody can take back', async () => {
    const { keeper, first } = await started()
    await keeper.roots.taint(first.id, ADMIN, HOUR)
    expect(states(keeper)).toEqual(['tainted', 'active'])
    await expect(keeper.roots.prepare(ADMIN)).rejects.toMatchObject({
      code: 'wrong_state',
      message: `root ${shortId(first.id)} is tainted and on its way out: one rotation at a time; finish it with alcazar root rotate`,
    })
    await expect(keeper.roots.rollback(ADMIN)).rejects.toMatchObject({ code: 'wrong_state' })
  })

  test('is one where two admins ask for it in the same moment: who is second is told of it', async () => {
    const { world, keeper } = await started()
    const [first, second] = await Promise.allSettled([keeper.roots.prepare(ADMIN), keeper.roots.prepare(ADMIN)])
    expect(states(keeper)).toEqual(['active', 'prepared'])
    const { id } = keeper.set.authorities.at(-1) as Authority
    expect(first).toMatchObject({ status: 'fulfilled', value: { id } })
    expect(second).toMatchObject({
      status: 'rejected',
      reason: {
        code: 'wrong_state',
        message: expect.stringMatching(`^root ${shortId(id)} is prepared and on its way in`),
      },
    })
    expect(said(world).filter((what) => what === 'root prepared')).toHaveLength(1)
    await world.check()
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
        'Safe at the latest in 60 min, when the last certificate that is in the way has ended. If one is gone: alcazar workloads forget NAMESPACE/NAME',
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
    expect(world.ledger.of('authority').findLast(({ what }) => what.startsWith('rotation'))).toMatchObject({
      what: 'rotation rolled back',
      authority: before[0],
      detail: expect.stringMatching(/^prepared root .{9} is discarded; by the admin: yearly$/),
    })
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

  test('has to leave before another root is prepared', async () => {
    const { keeper, first } = await activated()
    await expect(keeper.roots.prepare(ADMIN)).rejects.toMatchObject({
      code: 'wrong_state',
      message: expect.stringMatching(`^root ${shortId(first.id)} is old and on its way out: one rotation at a time;`),
    })
    expect(states(keeper)).toEqual(['old', 'active'])
  })

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
    expect(said(world)).not.toContain('rotation done')
    expect(world.ledger.of('authority').findLast(({ what }) => what.startsWith('rotation'))).toMatchObject({
      what: 'rotation rolled back',
      detail: 'yearly',
    })
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
    expect(world.ledger.of('authority').findLast(({ what }) => what === 'root revoked')?.detail).toContain(
      'by the admin: yearly; FORCED, breaking 1 of 1 live workload; cut off: shop/cart-0',
    )
  })
})

describe('who is cut off', () => {
  /** Many stand on a root that is old. */
  async function manyOn(count: number) {
    const { world, keeper, first } = await started()
    const workloads = Array.from({ length: count }, (_, n) => `shop/cart-${n}`)
    for (const workload of workloads) await world.issue(HOUR, workload)
    await keeper.roots.prepare(ADMIN)
    await keeper.roots.activate(undefined, ADMIN, { breaks: count })
    const revoked = () => world.ledger.of('authority').filter(({ what }) => what === 'root revoked')
    return { world, keeper, first, workloads, revoked }
  }

  test('is named in the ledger, every one', async () => {
    const { keeper, workloads, revoked } = await manyOn(25)
    await keeper.roots.revoke(undefined, ADMIN, { breaks: 25 })
    expect(revoked().map(({ detail }) => detail)).toEqual([
      `bundle 3: by the admin: yearly; FORCED, breaking 25 of 25 live workloads; cut off: ${workloads.toSorted().join(', ')}`,
    ])
  })

  test('by the clock is named, too, and if others may be, why nobody can say', async () => {
    const { world, first, workloads, revoked } = await manyOn(12)
    const blind = await world.start({
      evidence: () => ({ ...world.evidence, incomplete: 'the ledger is being read' }),
    })
    await blind.roots.taint(first.id, ADMIN, 30 * MINUTE)
    await world.clock.advance(30 * MINUTE)
    await blind.tick()
    expect(states(blind)).toEqual(['revoked', 'active'])
    expect(revoked().map(({ detail }) => detail)).toEqual([
      `bundle 3: it was declared compromised: yearly; nobody can say who else is cut off: the ledger is being read; cut off: ${workloads.toSorted().join(', ')}`,
    ])
  })

  test('takes as many records as a ledger’s lines have room for', () => {
    const names = Array.from({ length: 2001 }, (_, n) => `shop/cart-${n}`)
    expect(namedInParts('bundle 3', names)).toEqual([
      `bundle 3; cut off: ${names.slice(0, 1000).join(', ')}`,
      `cut off, part 2 of 3: ${names.slice(1000, 2000).join(', ')}`,
      'cut off, part 3 of 3: shop/cart-2000',
    ])
    expect(namedInParts('bundle 3', names.slice(0, 1000))).toHaveLength(1)
    expect(namedInParts('bundle 3', [])).toEqual(['bundle 3'])
  })
})

test('a taint that is forced is in the ledger as forced', async () => {
  const { world, keeper, first } = await started()
  await world.issue(HOUR, 'shop/cart-0')
  await keeper.roots.prepare(ADMIN)
  // As where the root that signs is kept elsewhere: nobody certified the new one.
  Object.assign(keeper.set.authorities.at(-1) as object, { cross: [] })
  await expect(keeper.roots.taint(first.id, ADMIN, HOUR)).rejects.toMatchObject({ code: 'wrong_state' })
  const { affected, until } = await keeper.roots.taint(first.id, ADMIN, HOUR, { breaks: 1 })
  expect({ affected, until }).toEqual({ affected: 1, until: world.issued[0]?.leaf.tbs.notAfter })
  expect(world.ledger.of('authority').find(({ what }) => what === 'authority tainted')?.detail).toBe(
    'by the admin: yearly; FORCED, breaking 1 of 1 live workload',
  )
})

describe('a gate that nobody can answer for', () => {
  async function blind() {
    const { world, keeper, first } = await started()
    await world.issue(HOUR, 'shop/cart-0')
    await keeper.roots.prepare(ADMIN)
    const evidence = () => ({ ...world.evidence, incomplete: 'the ledger is being read' })
    return { world, first, keeper: await world.start({ evidence }) }
  }

  test('is gone through by saying that nobody knows who breaks, by no number', async () => {
    const { world, keeper } = await blind()
    for (const breaks of [0, 1])
      await expect(keeper.roots.activate(undefined, ADMIN, { breaks })).rejects.toMatchObject({
        code: 'wrong_state',
        message: expect.stringMatching(
          /^Nobody can say who breaks if you activate root .{9} now: the ledger is being read\. So no number is right; wait until it is known, or say --yes-break unknown\. Nothing was done$/,
        ),
      })
    expect(states(keeper)).toEqual(['active', 'prepared'])
    await keeper.roots.activate(undefined, ADMIN, { breaks: 'unknown' })
    expect(states(keeper)).toEqual(['old', 'active'])
    expect(world.ledger.of('authority').at(-2)?.detail).toBe(
      'by the admin: yearly; FORCED, breaking nobody knows whom (the ledger is being read), as far as is known 1 of 1 live workload',
    )
  })

  test('does not hold up who says so once it can be answered for, unless somebody is in the way', async () => {
    const { world, keeper } = await started()
    await world.issue(HOUR, 'shop/cart-0')
    await keeper.roots.prepare(ADMIN)
    await expect(keeper.roots.activate(undefined, ADMIN, { breaks: 'unknown' })).rejects.toMatchObject({
      code: 'wrong_state',
      message: expect.stringMatching(/^1 workload would break if you .* now, not an unknown number; nothing was done$/),
    })
    await world.issue(HOUR, 'shop/cart-0')
    await keeper.roots.activate(undefined, ADMIN, { breaks: 'unknown' })
    expect(world.ledger.of('authority').at(-2)?.detail).toBe('by the admin: yearly')
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

  test('that ends on a prepared root says so in the ledger, whoever begins it', async () => {
    const begunOn = (world: World) =>
      world.ledger.of('authority').flatMap(({ what, authority }) => (what === 'rotation begun' ? [authority] : []))
    const asked = await started()
    const { id } = await asked.keeper.roots.prepare(ADMIN)
    await asked.keeper.roots.rotate(ADMIN)
    expect(begunOn(asked.world)).toEqual([id])
    const due = await started()
    await due.world.clock.advance(3460 * DAY)
    const prepared = await due.keeper.roots.prepare(ADMIN)
    await due.world.clock.advance(20 * DAY)
    await due.keeper.tick()
    expect(begunOn(due.world)).toEqual([prepared.id])
  })

  test('has a reason that is not too long', async () => {
    const { keeper } = await started()
    await expect(keeper.roots.rotate({ by: 'admin', because: 'x'.repeat(501) })).rejects.toMatchObject({
      code: 'invalid_argument',
      message: 'a reason has at most 500 characters, not 501',
    })
    expect(keeper.set.rotation).toBeUndefined()
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

describe('what is told', () => {
  const told = (world: World, name: string) => world.events.told.filter(({ event }) => event === name)

  test('of a rotation is its beginning, its end, and both authorities that begin to sign', async () => {
    const { world, keeper, first } = await started()
    await keeper.roots.rotate(ADMIN)
    expect(told(world, 'rotationBegun')).toMatchObject([
      { args: [{ by: 'admin', because: 'yearly' }, { id: first.id }] },
    ])
    await keeper.tick()
    const [root, issuing] = [activeRoot(keeper.set)?.id, activeIssuing(keeper.set)?.id]
    expect(told(world, 'authorityActivated').slice(1)).toMatchObject([
      { args: [{ role: 'root', id: root }, 'yearly'] },
      { args: [{ role: 'issuing', id: issuing }, 'yearly'] },
    ])
    expect(told(world, 'rotationDone')).toMatchObject([{ args: [{ by: 'admin', because: 'yearly' }, { id: root }] }])
  })

  test('of one by the clock and of a compromise is the same', async () => {
    const { world, keeper } = await started()
    await world.clock.advance(3650 * DAY - 180 * DAY)
    await keeper.tick()
    expect(told(world, 'rotationBegun')).toMatchObject([{ args: [{ by: 'clock' }, {}] }])
    expect(told(world, 'rotationDone')).toHaveLength(1)
    const before = told(world, 'authorityActivated').length
    await keeper.roots.taint(activeRoot(keeper.set)?.id ?? '', ADMIN, HOUR)
    expect(told(world, 'authorityActivated').slice(before)).toMatchObject([
      { args: [{ role: 'root' }, 'yearly'] },
      { args: [{ role: 'issuing', id: activeIssuing(keeper.set)?.id }, 'yearly'] },
    ])
  })

  test('of a workload that is forgotten is until when', async () => {
    const { world, keeper } = await started()
    await keeper.roots.forget('shop/cart-0', ADMIN)
    const until = activeIssuing(keeper.set)?.certificate.tbs.notAfter
    expect(told(world, 'workloadForgotten')).toMatchObject([{ args: [{ workload: 'shop/cart-0', until }, 'yearly'] }])
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

  test('leaves by a revocation that names none, for it is the one that waits to', async () => {
    const { keeper, first } = await started()
    await keeper.roots.taint(first.id, ADMIN, HOUR)
    expect(await keeper.roots.revoke(undefined, ADMIN)).toMatchObject({ id: first.id })
    expect(states(keeper)).toEqual(['revoked', 'active'])
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

test('what is left of a compromised root is not looked at every two seconds', async () => {
  const { world, first } = await started()
  let looks = 0
  const evidence = () => {
    looks++
    return world.evidence
  }
  const keeper = await world.start({ evidence })
  await keeper.roots.taint(first.id, ADMIN, HOUR)
  await keeper.tick()
  expect(states(keeper)).toEqual(['revoked', 'active'])
  const stop = new AbortController()
  const running = keeper.run(stop.signal)
  looks = 0
  await world.clock.advance(50_000)
  expect(looks).toBe(0)
  await world.clock.advance(30_000)
  expect(looks).toBeGreaterThan(0)
  stop.abort()
  await running
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
    const { keeper, first, b } = await rotated()
    await keeper.roots.taint(b.id, STOLEN, HOUR)
    await expect(keeper.roots.rollback(ADMIN)).rejects.toMatchObject({
      code: 'wrong_state',
      message: `there is nothing to take back: no root is prepared, and ${shortId(first.id)} certified one that is compromised and can’t sign again, ${shortId(b.id)} is compromised and can’t sign again`,
    })
  })

  test('with no root that waits to leave there is nothing to take back', async () => {
    const { keeper } = await started()
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

describe('a compromised root that never signed', () => {
  const STOLEN = { by: 'admin', because: 'laptop stolen' } as const
  /** A signs, with one workload on it, and certified B. */
  async function prepared() {
    const all = await started()
    await all.world.issue(24 * HOUR, 'shop/cart-0')
    return { ...all, b: await all.keeper.roots.prepare(ADMIN) }
  }
  /** Whether a certificate that B’s key signs is taken by the bundle that is published. */
  const isVouchedFor = (keeper: Keeper, { cross }: Authority) =>
    bundledRoots(keeper.set).some(({ certificate }) =>
      cross.some((one) => leadsTo([one.certificate], [certificate], one.certificate.tbs.notBefore)),
    )

  test.each(['prepared', 'discarded'])('takes the root with it that certified its key (%s)', async (state) => {
    const { world, keeper, first, b } = await prepared()
    if (state === 'discarded') await keeper.roots.rollback(ADMIN)
    expect(isVouchedFor(keeper, b), 'as the attacker found it').toBe(true)
    const tainted = await keeper.roots.taint(b.id, STOLEN, HOUR)
    expect(tainted).toMatchObject({
      authority: { id: b.id },
      successor: { state: 'active', cross: [{ by: first.id }] },
      affected: 1,
      until: plus(world.clock.now(), 24 * HOUR),
    })
    expect(tainted.leaving.map(({ id }) => id)).toEqual([first.id])
    expect(states(keeper)).toEqual(['old', 'revoked', 'active'])
    expect(keeper.set.authorities.find(({ id }) => id === b.id)?.taint?.because).toBe('laptop stolen')
    expect(keeper.set.bundleSequence, 'B left, and the successor came').toBe(4)
    expect(world.broken()).toEqual([])
    await world.issue(HOUR, 'shop/cart-0')
    expect(world.broken()).toEqual([])
    await world.clock.advance(HOUR)
    await keeper.tick()
    expect(states(keeper)).toEqual(['revoked', 'revoked', 'active'])
    expect(isVouchedFor(keeper, b)).toBe(false)
    await world.start()
    await world.check()
  })

  test('in the middle of a rotation: that goes on to the successor', async () => {
    const { keeper } = await started()
    await keeper.roots.rotate(ADMIN)
    const b = await keeper.roots.prepare(ADMIN)
    expect(keeper.set.rotation?.to).toBe(b.id)
    const { successor } = await keeper.roots.taint(b.id, STOLEN, HOUR)
    expect(keeper.set.rotation?.to).toBe(successor?.id)
  })

  test('is only out of the bundle where no root of that certified it', async () => {
    const { keeper, world } = await prepared()
    await keeper.change(({ set, commit }) =>
      commit({ ...set, authorities: set.authorities.map((one) => ({ ...one, cross: [] })) }),
    )
    const [first, b] = bundledRoots(keeper.set)
    const tainted = await keeper.roots.taint(b?.id ?? '', STOLEN, HOUR)
    expect(tainted).toMatchObject({ successor: undefined, leaving: [], affected: 0, until: undefined })
    expect(bundledRoots(keeper.set).map(({ id }) => id)).toEqual([first?.id])
    expect(world.ledger.of('authority').slice(-3)).toMatchObject([
      { what: 'root revoked', detail: 'bundle 3: laptop stolen' },
      { what: 'authority tainted', detail: 'by the admin: laptop stolen' },
      { what: 'root key destroyed', detail: 'it has left the bundle' },
    ])
    await expect(keeper.roots.taint(b?.id ?? '', STOLEN, HOUR)).rejects.toMatchObject({
      code: 'wrong_state',
      message: expect.stringMatching(/^root .{9} is revoked, so taint is not possible; possible now: nothing$/),
    })
  })
})

describe('the key of a root that has left the bundle', () => {
  const destroyed = (world: World) =>
    world.ledger.of('authority').flatMap(({ what, authority }) => (what === 'root key destroyed' ? [authority] : []))

  test('is destroyed at once where it was discarded, and the others are not', async () => {
    const { world, keeper, first } = await started()
    const { id } = await keeper.roots.prepare(ADMIN)
    expect([...world.store.keys.keys()]).toEqual([first.id, id])
    await keeper.roots.rollback(ADMIN)
    expect([...world.store.keys.keys()]).toEqual([first.id])
    expect(destroyed(world)).toEqual([id])
    expect(authoritiesView(keeper.seen()).authorities.map(({ key }) => key)).toEqual(['file', 'memory', 'gone'])
    const { authorities } = await statusOf(keeper, keeper.active, async () => ({ ready: true }), '1.0.0')
    expect(authorities.map(({ key }) => key)).toEqual(['file', 'memory', 'gone'])
    await keeper.tick()
    const { keyUses } = world.store
    await keeper.tick()
    expect(world.store.keyUses, 'once is enough').toBe(keyUses)
    await keeper.roots.prepare(ADMIN)
    await world.check()
  })

  test('and where it was replaced', async () => {
    const { world, keeper, first } = await started()
    await keeper.roots.rotate(ADMIN)
    for (let look = 0; look < 4; look++) await keeper.tick()
    expect(states(keeper)).toEqual(['revoked', 'active'])
    expect([...world.store.keys.keys()]).toEqual([activeRoot(keeper.set)?.id])
    expect(destroyed(world)).toEqual([first.id])
  })

  test('is no more in either record of a root that signed leaves itself', async () => {
    const world = new World()
    await beginWithNarrowRoot(world, 365 * DAY, 0)
    const keeper = await world.start()
    const keys = () =>
      authoritiesView(keeper.seen()).authorities.map(({ role, state, key }) => `${role} ${state} ${key}`)
    expect(keys()).toEqual(['root active file', 'issuing active file'])
    await keeper.roots.rotate(ADMIN)
    for (let look = 0; look < 4; look++) await keeper.tick()
    expect(keys().toSorted()).toEqual([
      'issuing active memory',
      'issuing revoked gone',
      'root active file',
      'root revoked gone',
    ])
    await world.check()
  })

  test('is where it was while it can’t be destroyed, which the next change tries again', async () => {
    const { world, keeper } = await started()
    const { id } = await keeper.roots.prepare(ADMIN)
    const key = () => authoritiesView(keeper.seen()).authorities.find((one) => one.id === id)?.key
    world.store.keyFaults.set(world.store.keyUses + 1, 'refused')
    await keeper.roots.rollback(ADMIN)
    expect([key(), destroyed(world)]).toEqual(['file', []])
    await keeper.tick()
    expect([key(), destroyed(world)]).toEqual(['gone', [id]])
    expect(world.store.keys.has(id)).toBe(false)
  })

  test('is told to be gone, not destroyed, where somebody took it away before: it may be anywhere', async () => {
    const { world, keeper } = await started()
    const { id } = await keeper.roots.prepare(ADMIN)
    world.store.keys.delete(id)
    await keeper.roots.rollback(ADMIN)
    expect(destroyed(world)).toEqual([])
    expect(authoritiesView(keeper.seen()).authorities.at(-1)).toMatchObject({ id, key: 'gone' })
  })

  test('is destroyed by the next start where the process ended before that', async () => {
    const { world, keeper, first } = await started()
    const { id } = await keeper.roots.prepare(ADMIN)
    world.store.keyFaults.set(world.store.keyUses + 1, 'refused')
    await keeper.roots.rollback(ADMIN)
    expect(states(keeper)).toEqual(['active', 'revoked'])
    expect(world.store.keys.has(id)).toBe(true)
    expect(destroyed(world)).toEqual([])
    await world.start()
    expect([...world.store.keys.keys()]).toEqual([first.id])
    expect(destroyed(world)).toEqual([id])
  })

  test('is destroyed before the journal forgets the root', async () => {
    const { world, keeper, first } = await started()
    const { id } = await keeper.roots.prepare(ADMIN)
    await keeper.change(({ set, commit }) =>
      commit({ ...set, authorities: set.authorities.map((one) => ({ ...one, cross: [] })) }),
    )
    world.store.keyFaults.set(world.store.keyUses + 1, 'refused')
    await keeper.roots.rollback(ADMIN)
    expect(world.store.keys.has(id)).toBe(true)
    const { set } = await world.start()
    expect(set.authorities.filter(({ role }) => role === 'root').map((root) => root.id)).toEqual([first.id])
    expect([...world.store.keys.keys()]).toEqual([first.id])
    expect(destroyed(world)).toEqual([id])
  })

  test('stays while a write that takes the root out is in doubt', async () => {
    const { world, keeper } = await started()
    const { id } = await keeper.roots.prepare(ADMIN)
    world.store.faults.set(world.store.writes + 1, 'in doubt, not written')
    await expect(keeper.roots.rollback(ADMIN)).rejects.toThrow()
    expect(world.store.keys.has(id)).toBe(true)
    await world.start()
    expect(world.store.keys.has(id), 'it was not taken out').toBe(true)
  })

  test('stays where something else signs by it', async () => {
    const { world, keeper, first } = await started()
    const { id } = await keeper.roots.prepare(ADMIN)
    await keeper.change(({ set, commit }) => commit({ ...set, request: { id, key: 'file' } }))
    await keeper.roots.rollback(ADMIN)
    expect([...world.store.keys.keys()]).toEqual([first.id, id])
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

  /** Eleven days before the root ends its successor waits for a certificate that lives as long; the deadline is in five. */
  async function heldUpToTheEnd() {
    const world = new World({ kind: 'dev', root: { algorithm: keyAlgorithm('ecdsa-p256'), lifetimeMs: 60 * DAY } })
    const keeper = await world.start()
    await world.clock.advance(49 * DAY)
    await keeper.tick()
    await world.issue(11 * DAY, 'shop/cart-0')
    await keeper.roots.rotate(ADMIN)
    await keeper.tick()
    return { world, keeper }
  }

  test('activates at the deadline what all follow by the cross-certificate, and says so', async () => {
    const { world, keeper } = await heldUpToTheEnd()
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

  test('tells of no activation at the deadline that failed', async () => {
    const { world, keeper } = await heldUpToTheEnd()
    await world.clock.advance(5 * DAY)
    world.store.faults.set(world.store.writes + 1, 'refused')
    await keeper.tick()
    expect(states(keeper)).toEqual(['active', 'prepared'])
    expect(world.events.told.filter(({ event }) => event === 'deadlineReached')).toEqual([])
    await keeper.tick()
    expect(world.events.told.filter(({ event }) => event === 'deadlineReached')).toHaveLength(1)
  })

  test('says every hour past the deadline who would not follow, where no cross-certificate leads there', async () => {
    const world = new World()
    await beginWithNarrowRoot(world, 60 * DAY)
    let incomplete: string | undefined
    const keeper = await world.start({ evidence: () => ({ ...world.evidence, incomplete }) })
    const passed = () => world.events.told.filter(({ event }) => event === 'deadlinePassed')
    const look = async (ms: number) => {
      await world.clock.advance(ms)
      await keeper.tick()
    }
    await look(49 * DAY)
    await world.issue(10 * DAY, 'shop/cart-0')
    await keeper.roots.rotate(ADMIN)
    await keeper.tick()
    expect(states(keeper)).toEqual(['active', 'prepared'])
    const deadline = deadlineOf(activeRoot(keeper.set) as Authority)
    await look(deadline.getTime() - world.clock.now().getTime() - HOUR)
    expect(passed()).toEqual([])
    await look(2 * HOUR)
    expect(passed()).toMatchObject([
      { args: [{ id: activeRoot(keeper.set)?.id }, { longest: [{ workload: 'shop/cart-0' }] }] },
    ])
    for (let minutes = 0; minutes < 59; minutes++) await look(MINUTE)
    expect(passed()).toHaveLength(1)
    await look(MINUTE)
    expect(passed()).toHaveLength(2)
    expect(overdueMs(keeper.set, world.clock.now())).toBeGreaterThan(0)
    // It signs when nobody is in the way any more.
    await look(8 * DAY)
    expect(states(keeper).at(-1)).toBe('active')
    expect(overdueMs(keeper.set, world.clock.now())).toBeLessThan(0)
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

describe('a cross-certificate in the journal that does not verify', () => {
  /** A root is prepared, and the first one’s signature over its key is broken. */
  async function broken() {
    const all = await started()
    const { keeper } = all
    const { id } = await keeper.roots.prepare(ADMIN)
    await keeper.change(({ set, commit }) =>
      commit({
        ...set,
        authorities: set.authorities.map((one) => ({
          ...one,
          cross: one.cross.map(({ by, certificate: { der } }) => {
            const bytes = Uint8Array.from(der)
            // In the last byte of the signature.
            bytes[bytes.length - 1] = (bytes.at(-1) as number) ^ 1
            return { by, certificate: readCertificate(bytes) }
          }),
        })),
      }),
    )
    return { ...all, id, text: all.world.store.text }
  }
  const REFUSED = {
    message: expect.stringMatching(/^certificate \d of the chain|^the end of the chain|^the chain leads/),
  }

  test('lets no root sign, and nothing is written', async () => {
    const { world, keeper, first, text } = await broken()
    const before = world.active
    await expect(keeper.roots.activate(undefined, ADMIN)).rejects.toMatchObject(REFUSED)
    await expect(keeper.roots.taint(first.id, ADMIN, HOUR)).rejects.toMatchObject(REFUSED)
    expect(world.store.text).toBe(text)
    expect(world.active).toBe(before)
    expect(states(keeper)).toEqual(['active', 'prepared'])
  })

  test('is left behind by another root, and then the compromise can be declared', async () => {
    const { keeper, first, id } = await broken()
    await keeper.roots.revoke(id, ADMIN)
    await keeper.roots.taint(first.id, ADMIN, HOUR)
    expect(states(keeper)).toEqual(['tainted', 'revoked', 'active'])
  })
})

describe('a compromised root whose successor not all would follow', () => {
  test('stays as it is until somebody says how many break', async () => {
    const world = new World()
    await beginWithNarrowRoot(world, 365 * DAY)
    const keeper = await world.start()
    const { id } = activeRoot(keeper.set) as Authority
    await world.issue(HOUR, 'shop/cart-0')
    const { text } = world.store
    await expect(keeper.roots.taint(id, ADMIN, HOUR)).rejects.toMatchObject({
      code: 'wrong_state',
      message: expect.stringMatching(
        /^Not yet: 1 of 1 live workload is in the way if you let root .{9} sign at once now/,
      ),
    })
    expect(world.store.text).toBe(text)
    await keeper.roots.taint(id, ADMIN, HOUR, { breaks: 1 })
    expect(states(keeper)).toEqual(['tainted', 'active'])
  })
})

describe('a root that is not valid now', () => {
  /** Its certificate ended, the key is the same. */
  async function end(world: World, id: string) {
    const key = world.store.keys.get(id) as PrivateKey
    const { certificate } = await odd('ended', 'itself', { key, notAfter: plus(world.clock.now(), -HOUR) })
    await world.keeper?.change(({ set, commit }) => {
      const ended = (one: Authority) => (one.id === id ? { ...one, certificate, cross: [] } : one)
      return commit({ ...set, authorities: set.authorities.map(ended) })
    })
    return world.store.text
  }
  const ENDED = { code: 'wrong_state', message: expect.stringMatching(/^root .{9} is valid from .*: take it out with/) }

  test('does not follow a compromised one, nor is gone back to', async () => {
    const { world, keeper, first } = await started()
    const { id } = await keeper.roots.prepare(ADMIN)
    const prepared = await end(world, id)
    await expect(keeper.roots.taint(first.id, ADMIN, HOUR)).rejects.toMatchObject(ENDED)
    expect(world.store.text).toBe(prepared)
    await keeper.roots.revoke(id, ADMIN)
    await keeper.roots.prepare(ADMIN)
    await keeper.roots.activate(undefined, ADMIN)
    const old = await end(world, first.id)
    await expect(keeper.roots.rollback(ADMIN)).rejects.toMatchObject(ENDED)
    expect(world.store.text).toBe(old)
    // Of the one that was discarded nothing is left: what certified its key has ended.
    expect(states(keeper)).toEqual(['old', 'active'])
  })

  test('is discarded by a rotation that was to end on it, which makes another', async () => {
    const { world, keeper } = await started()
    await world.issue(24 * HOUR, 'shop/cart-0')
    await keeper.roots.rotate(ADMIN)
    await keeper.tick()
    expect(states(keeper)).toEqual(['active', 'prepared'])
    await end(world, keeper.set.rotation?.to as string)
    await keeper.tick()
    expect(states(keeper)).toEqual(['active', 'revoked', 'prepared'])
    const prepared = keeper.set.authorities.find(({ state }) => state === 'prepared')
    expect(keeper.set.rotation).toMatchObject({ to: prepared?.id, by: 'admin', because: 'yearly' })
  })

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
    expect(world.store.keys.size).toBe(1)
    await keeper.roots.prepare(ADMIN)
    expect(world.store.keys.size).toBe(2)
  })
})

describe('a workload that was forgotten', () => {
  test('is in the journal until whatever was issued to it must have ended, once', async () => {
    const { world, keeper } = await started()
    await keeper.roots.forget('shop/cart-0', ADMIN)
    await keeper.roots.forget('shop/till-0', ADMIN)
    await keeper.roots.forget('shop/till-0', ADMIN)
    await keeper.roots.forget('shop/tax-0', ADMIN)
    const { notAfter } = world.active.authority.certificate.tbs
    expect(world.journal.set.forgotten.map(({ workload, until }) => [workload, until])).toEqual([
      ['shop/cart-0', notAfter],
      ['shop/till-0', notAfter],
      ['shop/tax-0', notAfter],
    ])
    expect(world.ledger.of('authority').at(-1)).toMatchObject({
      what: 'workload forgotten',
      detail: 'shop/tax-0, by the admin: yearly',
    })
  })

  test('stays forgotten when it is forgotten again by a clock that was set back', async () => {
    const { world, keeper } = await started()
    const at = world.clock.now()
    const until = world.active.authority.certificate.tbs.notAfter
    await keeper.roots.forget('shop/cart-0', ADMIN)
    world.clock.jump(-DAY)
    await keeper.roots.forget('shop/cart-0', ADMIN)
    expect(keeper.set.forgotten).toEqual([{ workload: 'shop/cart-0', at, until }])
  })

  test('has room in the journal beside 199 others, and no more', async () => {
    const { world, keeper } = await started()
    const [at, until] = [world.clock.now(), new Date(world.clock.now().getTime() + DAY)]
    const forgotten = Array.from({ length: 200 }, (_, index) => ({ workload: `shop/cart-${index}`, at, until }))
    await keeper.change(({ set, commit }) => commit({ ...set, forgotten }))
    await keeper.roots.forget('shop/cart-7', ADMIN)
    await expect(keeper.roots.forget('shop/one-more', ADMIN)).rejects.toMatchObject({
      code: 'wrong_state',
      message:
        '200 workloads are cut off already, as many as the journal holds; it takes more when what was issued to them has ended, or let it renew no more with alcazar revoke',
    })
    expect(keeper.set.forgotten).toHaveLength(200)
  })

  test('is not forgotten for a reason that is too long', async () => {
    const { keeper } = await started()
    await expect(keeper.roots.forget('shop/cart-0', { by: 'admin', because: 'x'.repeat(501) })).rejects.toMatchObject({
      code: 'invalid_argument',
      message: 'a reason has at most 500 characters, not 501',
    })
    expect(keeper.set.forgotten).toEqual([])
  })
})
