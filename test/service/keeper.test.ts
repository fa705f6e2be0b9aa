import { describe, expect, test } from 'vitest'
import { activeIssuing, activeRoot } from '../../src/authority/authority.ts'
import { JournalInDoubt } from '../../src/authority/journal.ts'
import { equalBytes } from '../../src/core/bytes.ts'
import { plus } from '../../src/core/clock.ts'
import { DAY, MINUTE } from '../../src/core/duration.ts'
import { keyAlgorithm } from '../../src/keys/algorithms.ts'
import { PrivateKey, type Signer } from '../../src/keys/private-key.ts'
import type { RootSource } from '../../src/service/keeper-parts.ts'
import { TrustDomain } from '../../src/spiffe/trust-domain.ts'
import { DEV, World } from '../_support/a-world.ts'
import { MemoryStore } from '../_support/memory-store.ts'
import { aPluggedCa } from '../_support/plugged-sets.ts'
import { until } from '../_support/until.ts'

const eventsOf = (world: World, name: string) => world.events.told.filter(({ event }) => event === name)

describe('a first start', () => {
  test('makes a root and an issuing authority under it, and publishes bundle 1', async () => {
    const world = new World()
    const { set } = await world.start()
    expect(set).toMatchObject({ origin: 'dev', bundleSequence: 1 })
    expect(set.authorities.map(({ role, state, key }) => ({ role, state, key }))).toEqual([
      { role: 'root', state: 'active', key: 'file' },
      { role: 'issuing', state: 'active', key: 'memory' },
    ])
    await world.check()
  })

  test('writes down which root the issuing authority stands under', async () => {
    const world = new World()
    const { set } = await world.start()
    expect(activeRoot(set)?.id).toMatch(/^[0-9a-f]{40}$/)
    expect(world.journal.set.authorities.map(({ root }) => root)).toEqual([undefined, activeRoot(set)?.id])
  })

  test('writes the root into the journal before anything stands on it', async () => {
    const world = new World()
    world.store.faults.set(2, 'refused')
    await expect(world.start()).rejects.toMatchObject({ code: 'not_ready' })
    expect(world.journal.set.authorities.map(({ role }) => role)).toEqual(['root'])
  })

  test('tells of the root, the bundle and the authority, in the ledger too', async () => {
    const world = new World()
    await world.start()
    expect(world.events.told.map(({ event }) => event)).toEqual(['bundlePublished', 'authorityActivated'])
    expect(world.ledger.of('authority').map(({ what }) => what)).toEqual(['root made', 'issuing authority activated'])
  })

  test('keeps the root’s key in the store and no other', async () => {
    const world = new World()
    const { set } = await world.start()
    expect(Buffer.from(world.store.key?.publicKey.spki as Uint8Array)).toEqual(
      Buffer.from(activeRoot(set)?.publicKey.spki as Uint8Array),
    )
    expect(world.store.text).not.toContain('PRIVATE')
  })
})

describe('a restart', () => {
  test('makes no second root', async () => {
    const world = new World()
    const first = activeRoot((await world.start()).set)
    const second = activeRoot((await world.start()).set)
    expect(Buffer.from(second?.certificate.der as Uint8Array)).toEqual(
      Buffer.from(first?.certificate.der as Uint8Array),
    )
    expect(world.ledger.of('authority').filter(({ what }) => what === 'root made')).toHaveLength(1)
  })

  test('makes a new issuing authority, because the key of the last one is gone; that one is old', async () => {
    const world = new World()
    const before = activeIssuing((await world.start()).set)
    const { set } = await world.start()
    expect(activeIssuing(set)?.id).not.toBe(before?.id)
    expect(set.authorities.find(({ id }) => id === before?.id)?.state).toBe('old')
    expect(eventsOf(world, 'authorityActivated')).toMatchObject([
      { args: [{ role: 'issuing' }, 'the key of the last issuing authority ended with its process'] },
    ])
    await world.check()
  })

  test('does not change the bundle', async () => {
    const world = new World()
    await world.start()
    await world.start()
    expect(world.journal.set.bundleSequence).toBe(1)
    expect(eventsOf(world, 'bundlePublished')).toEqual([])
  })

  test('after which the old authority still vouches for its SVIDs, until it ends', async () => {
    const world = new World()
    await world.start()
    const { leaf } = await world.issue()
    const keeper = await world.start()
    expect(keeper.mayVouch(leaf.tbs.issuer, world.clock.now())).toHaveLength(1)
    expect(keeper.mayVouch(leaf.tbs.issuer, plus(world.clock.now(), 30 * DAY))).toHaveLength(1)
    expect(keeper.mayVouch(leaf.tbs.issuer, plus(world.clock.now(), 30 * DAY + 1000))).toEqual([])
    await world.check()
  })

  test('after the old authority ended forgets it', async () => {
    const world = new World()
    const before = activeIssuing((await world.start()).set)
    await world.clock.advance(31 * DAY)
    const { set } = await world.start()
    expect(set.authorities.some(({ id }) => id === before?.id)).toBe(false)
    expect(set.authorities).toHaveLength(2)
  })
})

describe('the rotator', () => {
  test('renews the issuing authority on day 25, not a minute before', async () => {
    const world = new World()
    const stop = new AbortController()
    const keeper = await world.start()
    const first = world.active.authority.id
    const running = keeper.run(stop.signal)
    world.clock.jump(25 * DAY - 3 * MINUTE)
    await world.clock.advance(2 * MINUTE)
    await keeper.tick()
    expect(world.active.authority.id).toBe(first)
    await world.clock.advance(MINUTE)
    await until('the loop renews', () => world.active.authority.id !== first)
    expect(eventsOf(world, 'authorityActivated').map(({ args }) => args[1])).toEqual([
      'there was no issuing authority',
      'less than a sixth of its life is left',
    ])
    stop.abort()
    await running
    await world.check()
  })

  test('does so again and again, with every SVID valid all the while', async () => {
    const world = new World()
    const keeper = await world.start()
    const seen = new Set<string>()
    for (let day = 0; day < 120; day++) {
      await world.issue(3 * DAY)
      await world.clock.advance(DAY)
      await keeper.tick()
      seen.add(world.active.authority.id)
      await world.check()
    }
    expect(seen.size).toBe(5)
    // What has ended is forgotten: the journal does not grow for ever.
    expect(world.journal.set.authorities.length).toBeLessThanOrEqual(3)
  })

  test('looks every minute, so that a clock that jumps ahead is noticed', async () => {
    const world = new World()
    const stop = new AbortController()
    const keeper = await world.start()
    const running = keeper.run(stop.signal)
    await world.clock.advance(30_000)
    world.clock.jump(29 * DAY)
    await world.clock.advance(MINUTE)
    await until('the loop renews', () => eventsOf(world, 'authorityActivated').length === 2)
    expect(world.active.authority.certificate.tbs.notAfter > plus(world.clock.now(), 29 * DAY)).toBe(true)
    stop.abort()
    await running
  })

  test('signs again soon after a clock is set back to before its authority began', async () => {
    const world = new World()
    await world.start()
    // A machine that wakes with its clock far ahead, and is put right: the root was made before all that.
    world.clock.jump(40 * DAY)
    const keeper = await world.start()
    world.clock.jump(-40 * DAY)
    await keeper.tick()
    await expect(world.issue()).resolves.toBeDefined()
  })

  test('does nothing while nothing is due', async () => {
    const world = new World()
    const keeper = await world.start()
    const { writes } = world.store
    await world.clock.advance(10 * DAY)
    await keeper.tick()
    expect(world.store.writes).toBe(writes)
  })

  test('lets what signs now go on when the next authority can’t be made, and tries again', async () => {
    const world = new World()
    const keeper = await world.start()
    const before = world.active
    await world.clock.advance(25 * DAY)
    world.store.faults.set(world.store.writes + 1, 'refused')
    await keeper.tick()
    expect(eventsOf(world, 'rotationFailed')).toMatchObject([{ args: [{ code: 'dependency_unavailable' }] }])
    expect(world.active).toBe(before)
    await world.check()
    await keeper.tick()
    expect(world.active).not.toBe(before)
    await world.check()
  })
})

describe('a look that fails while a root is on its way', () => {
  test('is followed by one a minute later, as the log says', async () => {
    const world = new World()
    const stop = new AbortController()
    const keeper = await world.start()
    const running = keeper.run(stop.signal)
    await keeper.roots.rotate({ by: 'admin', because: 'yearly' })
    for (let ahead = 1; ahead <= 100; ahead++) world.store.faults.set(world.store.writes + ahead, 'refused')
    const seconds = async (count: number) => {
      for (let second = 0; second < count; second++) {
        await world.clock.advance(1000)
        await keeper.change(async () => undefined)
      }
    }
    await seconds(59)
    expect(eventsOf(world, 'rotationFailed')).toHaveLength(1)
    await seconds(8)
    expect(eventsOf(world, 'rotationFailed')).toHaveLength(2)
    world.store.faults.clear()
    await seconds(64)
    expect(eventsOf(world, 'rotationFailed')).toHaveLength(2)
    expect(keeper.set.authorities.filter(({ role, state }) => role === 'root' && state === 'active')).toHaveLength(1)
    expect(keeper.set.rotation).toBeUndefined()
    stop.abort()
    await running
  })
})

describe('one change at a time', () => {
  test('two looks at once make one authority', async () => {
    const world = new World()
    const keeper = await world.start()
    await world.clock.advance(25 * DAY)
    const { writes } = world.store
    await Promise.all([keeper.tick(), keeper.tick(), keeper.tick()])
    expect(world.store.writes).toBe(writes + 1)
    await world.check()
  })

  test('a failed change does not hold up the next one', async () => {
    const world = new World()
    const keeper = await world.start()
    await world.clock.advance(25 * DAY)
    world.store.faults.set(world.store.writes + 1, 'refused')
    await Promise.all([keeper.tick(), keeper.tick()])
    expect(eventsOf(world, 'rotationFailed')).toHaveLength(1)
    expect(eventsOf(world, 'authorityActivated')).toHaveLength(2)
  })
})

test('a root of its own is begun like dev mode’s, and its key is where the store keeps keys', async () => {
  const world = new World({ ...DEV, kind: 'own' } as RootSource)
  const { set } = await world.start()
  expect(set.origin).toBe('own')
  expect(activeRoot(set)).toMatchObject({ state: 'active', key: world.store.newKeyHome })
  await world.issue()
  expect((await world.start()).set.authorities[0]?.id).toBe(set.authorities[0]?.id)
  await world.check()
})

test.each([
  ['dev', 'own', /made by dev mode: its root’s key lies there in the clear/],
  ['own', 'dev', /was not made by dev mode, and dev mode leaves it alone/],
] as const)('a root that %s made is left alone by %s', async (made, by, message) => {
  const world = new World({ ...DEV, kind: made } as RootSource)
  await world.start()
  const { text } = world.store
  world.source = { ...DEV, kind: by } as RootSource
  await expect(world.start()).rejects.toMatchObject({ code: 'wrong_state', message: expect.stringMatching(message) })
  expect(world.store.text).toBe(text)
})

describe('two keepers on one journal', () => {
  test('the slower one changes nothing', async () => {
    const world = new World()
    const first = await world.start()
    const active = first.active.get()
    await world.start()
    await world.clock.advance(25 * DAY)
    await first.tick()
    expect(first.active.get()).toBe(active)
    expect(world.store.text).toContain(`"id": "${world.active.authority.id}"`)
  })
})

describe('a start is refused', () => {
  const refused = async (world: World, change: Parameters<World['start']>[0], code: string, message: RegExp) => {
    const { text } = world.store
    await expect(world.start(change)).rejects.toMatchObject({ code, message: expect.stringMatching(message) })
    expect(world.store.text, 'nothing was overwritten').toBe(text)
  }

  test('where the root’s key is missing, and no new root is made', async () => {
    const world = new World()
    await world.start()
    world.store.keys.clear()
    await refused(world, {}, 'wrong_state', /the root’s key is missing/)
    expect(world.ledger.of('authority').filter(({ what }) => what === 'root made')).toHaveLength(1)
  })

  test('where the key is another root’s', async () => {
    const world = new World()
    const { set } = await world.start()
    world.store.keys.set(activeRoot(set)?.id as string, await PrivateKey.generate(keyAlgorithm('ecdsa-p256')))
    await refused(
      world,
      {},
      'wrong_state',
      /^the key found for the root [0-9a-f]{4} [0-9a-f]{4} is another root’s; put back the right one$/,
    )
  })

  test('where the journal is damaged', async () => {
    const world = new World()
    await world.start()
    world.store.text = world.store.text?.replace('"active"', '"old"')
    await refused(world, {}, 'wrong_state', /the journal is damaged: its digest does not fit/)
  })

  test('in dev mode on state that a plugged-in CA made', async () => {
    const { a } = await aPluggedCa()
    const world = new World({ kind: 'plugged-in', ca: a })
    await world.start()
    await refused(
      world,
      { source: DEV },
      'wrong_state',
      /not made by dev mode, and dev mode leaves it alone; choose another with --state-directory$/,
    )
  })

  test('with a plugged-in CA on state that dev mode made', async () => {
    const { a } = await aPluggedCa()
    const world = new World()
    await world.start()
    await refused(
      world,
      { source: { kind: 'plugged-in', ca: a } },
      'wrong_state',
      /was made by dev mode: .*; choose another with --state-directory$/,
    )
  })

  test('under another trust domain', async () => {
    const world = new World()
    await world.start()
    await refused(
      world,
      { trustDomain: TrustDomain.parse('example.org') },
      'wrong_state',
      /^this state directory belongs to the trust domain cluster\.local, not example\.org; choose another with --state-directory, or that trust domain with --trust-domain$/,
    )
  })

  test('where the root has ended, for the clock may be wrong', async () => {
    const world = new World()
    await world.start()
    await world.clock.advance(3651 * DAY)
    await refused(
      world,
      {},
      'wrong_state',
      /^the root .{9} ended at 2039-12-30T00:00:00.000Z, and with it all that it signed; set the clock right, or if it is, begin anew in another directory with --state-directory$/,
    )
  })

  test('where another process begins at the same moment', async () => {
    const world = new World()
    class Slow extends MemoryStore {
      override async read() {
        const found = await super.read()
        // Somebody else begins between our look and our first write.
        await world.start()
        return found
      }
    }
    const store = new Slow()
    await expect(
      new World().start({ store: Object.assign(Object.create(store), { begin: world.store.begin.bind(world.store) }) }),
    ).rejects.toMatchObject({ code: 'conflict' })
  })
})

describe('keys of ours', () => {
  test('are those of every authority in the journal, of whatever state', async () => {
    const world = new World()
    await world.start()
    const old = world.active.authority.publicKey
    const keeper = await world.start()
    const root = activeRoot(keeper.set)?.publicKey
    const stranger = (await PrivateKey.generate(keyAlgorithm('ecdsa-p256'))).publicKey
    expect([old, root, world.active.authority.publicKey, stranger].map((key) => key && keeper.isOurs(key))).toEqual([
      true,
      true,
      true,
      false,
    ])
  })

  test('vouch under their own name only', async () => {
    const world = new World()
    const keeper = await world.start()
    const root = activeRoot(keeper.set)
    expect(keeper.mayVouch(root?.certificate.tbs.subject as Uint8Array, world.clock.now())).toEqual([])
    expect(
      keeper
        .mayVouch(world.active.authority.certificate.tbs.subject, world.clock.now())
        .map((key) => equalBytes(key.spki, world.active.signer.publicKey.spki)),
    ).toEqual([true])
  })
})

test('an authority whose signatures do not verify never becomes active', async () => {
  const { a } = await aPluggedCa({ pathLength: 0 })
  const signer: Signer = { publicKey: a.signer.publicKey, sign: async () => Buffer.alloc(70, 1) }
  const world = new World({ kind: 'plugged-in', ca: { ...a, signer } })
  await expect(world.start()).rejects.toMatchObject({
    code: 'internal',
    message: 'a signature of ours does not verify',
  })
  expect(world.ledger.of('authority').some(({ what }) => what === 'issuing authority activated')).toBe(false)
})

test('an issuing authority is of the kind that was asked for', async () => {
  const world = new World()
  await world.start({ issuing: { algorithm: keyAlgorithm('ecdsa-p384'), lifetimeMs: DAY } })
  expect(world.active.signer.publicKey.algorithm.name).toBe('ecdsa-p384')
  expect(world.active.authority.certificate.tbs.notAfter).toEqual(plus(world.clock.now(), DAY))
})

test('a failing ledger does not undo what is durable: the authority signs, and it is said', async () => {
  const world = new World()
  const keeper = await world.start()
  const before = world.active
  await world.clock.advance(25 * DAY)
  world.ledger.full = true
  await keeper.tick()
  expect(world.active).not.toBe(before)
  expect(eventsOf(world, 'authorityUnrecorded')).toHaveLength(1)
  await world.check()
})

describe('where somebody else wrote the journal', () => {
  const SAYS = 'the journal has revision 3, not 2: somebody else wrote it'

  test('it stops at its next look, and changes nothing any more', async () => {
    const world = new World()
    const first = await world.start()
    await world.start()
    const { text } = world.store
    await first.tick()
    expect(first.stopped).toEqual(new JournalInDoubt(SAYS))
    await expect(first.roots.prepare({ by: 'admin', because: 'new' })).rejects.toMatchObject({ code: 'not_ready' })
    expect(world.store.text).toBe(text)
  })

  test('it stops at a change that comes before that', async () => {
    const world = new World()
    const first = await world.start()
    await world.start()
    const { text } = world.store
    await expect(first.roots.prepare({ by: 'admin', because: 'new' })).rejects.toThrow()
    expect(first.stopped).toBeInstanceOf(JournalInDoubt)
    expect(world.store.text).toBe(text)
  })
})
