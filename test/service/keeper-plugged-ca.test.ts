import { beforeAll, describe, expect, test } from 'vitest'
import { activeIssuing, bundledRoots } from '../../src/authority/authority.ts'
import type { Evidence } from '../../src/authority/gate.ts'
import { shortId } from '../../src/core/bytes.ts'
import { plus } from '../../src/core/clock.ts'
import { DAY, HOUR, MINUTE, SECOND } from '../../src/core/duration.ts'
import type { Keeper } from '../../src/service/keeper.ts'
import { commonNameOf } from '../../src/x509/name.ts'
import { KEY_USAGE } from '../../src/x509/oids.ts'
import { certificatePem } from '../../src/x509/pem.ts'
import { World } from '../_support/a-world.ts'
import { issuingOf, NOW } from '../_support/authority-sets.ts'
import { NO_EVIDENCE } from '../_support/no-evidence.ts'
import { odd } from '../_support/odd-certificates.ts'
import { aPluggedCa, plugged } from '../_support/plugged-sets.ts'
import { until } from '../_support/until.ts'

type Sets = Awaited<ReturnType<typeof aPluggedCa>>
let sets: Sets
let leafSigners: Sets

beforeAll(async () => {
  sets = await aPluggedCa()
  leafSigners = await aPluggedCa({ pathLength: 0 })
})

async function running(ca: Sets['a']) {
  const world = new World({ kind: 'plugged-in', ca })
  return { world, keeper: await world.start() }
}

const ADMIN = { by: 'admin', because: 'told to' } as const
const rootNames = ({ set }: Keeper) => names(bundledRoots(set).map((root) => root.certificate))
const rootStates = ({ set }: Keeper) => bundledRoots(set).map(({ state }) => state)
const signs = (world: World) => names(world.active?.authority.intermediates ?? [])[0]
const eventsOf = (world: World, name: string) => world.events.told.filter(({ event }) => event === name)
const names = (certificates: readonly { readonly tbs: { readonly subject: Uint8Array } }[]) =>
  certificates.map(({ tbs }) => commonNameOf(tbs.subject))

test.each(['may sign CAs', 'may not'])('a CA that %s: which root it stands under is written down', async (may) => {
  const ca = may === 'may sign CAs' ? sets : leafSigners
  const { world, keeper } = await running(ca.ab)
  const rootOfActive = () => activeIssuing(world.journal.set)?.root
  const [rootA, rootB] = bundledRoots(world.journal.set).map(({ id }) => id)
  expect(rootOfActive()).toBe(rootA)
  await keeper.takePluggedCa(ca.abSignedByB)
  expect(rootOfActive()).toBe(rootB)
  expect(rootB).not.toBe(rootA)
})

describe('a CA that may sign CAs', () => {
  test('signs issuing authorities, whose keys stay in memory', async () => {
    const { world, keeper } = await running(sets.a)
    const { authority, chainPem, rootsPem } = world.active
    expect(authority).toMatchObject({ key: 'memory', state: 'active' })
    expect(names(authority.intermediates)).toEqual(['ca under a'])
    expect(chainPem).toEqual([authority.certificate.der, sets.underA.certificate.der].map(certificatePem))
    expect(rootsPem).toBe(certificatePem(sets.rootA.certificate.der))
    expect(keeper.set).toMatchObject({ origin: 'plugged-in', bundleSequence: 1 })
    await world.check()
  })

  test('that is a root stands in no chain beside the issuing authority', async () => {
    const root = plugged(sets.rootA, [], [sets.rootA])
    const { world } = await running(root)
    expect(world.active.authority.intermediates).toEqual([])
    expect(world.active.chainPem).toHaveLength(1)
    expect(world.journal.set.authorities[0]).toMatchObject({ role: 'root', key: 'plugged-in' })
    await world.check()
  })

  test('is no root of ours: the journal says that its root’s key is elsewhere', async () => {
    const { world } = await running(sets.a)
    expect(bundledRoots(world.journal.set)).toMatchObject([{ key: 'elsewhere', state: 'active' }])
  })

  test('has its issuing authorities renewed by the clock', async () => {
    const { world, keeper } = await running(sets.a)
    const first = world.active.authority.id
    await world.issue(20 * DAY)
    await world.clock.advance(25 * DAY)
    await keeper.tick()
    expect(world.active.authority.id).not.toBe(first)
    await world.check()
  })

  test('which ends before its root is not asked for one issuing authority after the other', async () => {
    const ending = await odd('ending ca', sets.rootA, { notAfter: plus(NOW, 20 * DAY) })
    const { world, keeper } = await running(plugged(ending, [ending], [sets.rootA]))
    const { writes } = world.store
    for (let hour = 0; hour < 20 * 24; hour++) {
      await world.clock.advance(HOUR)
      await keeper.tick()
    }
    expect(world.store.writes - writes).toBe(0)
  })

  test('gets no certificate over its own key', async () => {
    const { keeper } = await running(sets.a)
    expect(keeper.isOurs(sets.underA.key.publicKey)).toBe(true)
  })
})

describe('a CA that may not sign CAs', () => {
  test('signs leaves itself', async () => {
    const { world } = await running(leafSigners.a)
    expect(world.active.authority).toMatchObject({ key: 'plugged-in', state: 'active' })
    expect(world.active.chainPem).toEqual([certificatePem(leafSigners.underA.certificate.der)])
    await world.issue()
    await world.check()
  })

  test('and is its own root goes out once, among the roots', async () => {
    const root = await odd('narrow root', 'itself', { pathLength: 0 })
    const { world } = await running(plugged(root, [], [root]))
    expect(bundledRoots(world.journal.set)).toHaveLength(1)
    expect(world.active.chainPem).toEqual([])
    expect(world.active.rootsPem).toBe(certificatePem(root.certificate.der))
    await world.issue()
    await world.check()
  })

  test('is never renewed by the clock', async () => {
    const { world, keeper } = await running(leafSigners.a)
    const { writes } = world.store
    await world.clock.advance(4 * 365 * DAY)
    await keeper.tick()
    expect([world.store.writes, eventsOf(world, 'rotationFailed')]).toEqual([writes, []])
  })

  test('issues nothing after its own end', async () => {
    const { world } = await running(leafSigners.a)
    world.clock.jump(leafSigners.underA.certificate.tbs.notAfter.getTime() - NOW.getTime())
    await expect(world.issue()).rejects.toMatchObject({ code: 'not_ready' })
  })

  test('vouches across a restart, still as one authority', async () => {
    const { world } = await running(leafSigners.a)
    const { leaf } = await world.issue()
    const keeper = await world.start()
    expect(keeper.set.authorities.filter(({ role }) => role === 'issuing')).toHaveLength(1)
    expect(keeper.mayVouch(leaf.tbs.issuer, world.clock.now())).toHaveLength(1)
    await world.check()
  })

  test('with a new key under the same name: both keys vouch, the old one until its certificate ends', async () => {
    const { world, keeper } = await running(leafSigners.a)
    const { leaf } = await world.issue()
    const again = await odd('ca under a', leafSigners.rootA, { pathLength: 0 })
    await keeper.takePluggedCa(plugged(again, [again], [leafSigners.rootA]))
    expect(keeper.mayVouch(leaf.tbs.issuer, world.clock.now())).toHaveLength(2)
    await world.check()
  })
})

describe('from root A to root B', () => {
  test('every SVID stays good at each step, and the bundle counts up', async () => {
    const { world, keeper } = await running(sets.a)
    const steps: [number, (string | undefined)[], string | undefined][] = []
    for (const ca of [sets.ab, sets.abSignedByB]) {
      await world.issue(20 * DAY)
      await keeper.takePluggedCa(ca)
      await world.clock.advance(21 * DAY)
      await keeper.tick()
      await world.issue(20 * DAY)
      await world.check()
      expect(world.stranded()).toEqual([])
      const { bundleSequence } = keeper.set
      steps.push([bundleSequence, rootNames(keeper), names(world.active.authority.intermediates)[0]])
    }
    expect(steps).toEqual([
      [2, ['root a', 'root b'], 'ca under a'],
      [2, ['root a', 'root b'], 'ca under b'],
    ])
    // Once nothing that A signed is alive, A may go.
    await world.clock.advance(21 * DAY)
    await keeper.takePluggedCa(sets.b)
    expect(world.stranded()).toEqual([])
    expect(keeper.set.bundleSequence).toBe(3)
    await world.check()
  })

  test('each step is told, and recorded root by root', async () => {
    const { world, keeper } = await running(sets.a)
    await keeper.takePluggedCa(sets.ab)
    expect(world.events.told.map(({ event }) => event)).toEqual([
      'bundlePublished',
      'pluggedCaTaken',
      'authorityActivated',
      'bundlePublished',
      'pluggedCaTaken',
      'authorityActivated',
    ])
    expect(world.ledger.of('authority').map(({ what, detail }) => `${what}: ${detail}`)).toEqual([
      'bundle published: bundle 1, active',
      'plugged-in CA taken: signs issuing authorities',
      'issuing authority activated: the plugged-in CA was taken',
      'bundle published: bundle 2, active',
      'bundle published: bundle 2, prepared',
      'plugged-in CA taken: signs issuing authorities',
      'issuing authority activated: the plugged-in CA was taken',
    ])
  })

  test('while both are in the bundle, the issuing authorities of A vouch', async () => {
    const { world, keeper } = await running(sets.a)
    const { leaf } = await world.issue()
    await keeper.takePluggedCa(sets.ab)
    await keeper.takePluggedCa(sets.abSignedByB)
    expect(keeper.mayVouch(leaf.tbs.issuer, world.clock.now())).toHaveLength(1)
  })

  test('when A has left, they don’t', async () => {
    const { world, keeper } = await running(sets.a)
    const { leaf } = await world.issue()
    await keeper.takePluggedCa(sets.ab)
    await keeper.takePluggedCa(sets.abSignedByB)
    await keeper.takePluggedCa(sets.b)
    await keeper.roots.activate(undefined, ADMIN, { breaks: 1 })
    await keeper.roots.revoke(undefined, ADMIN, { breaks: 1 })
    expect(keeper.mayVouch(leaf.tbs.issuer, world.clock.now())).toEqual([])
    await world.check()
  })

  test('in one leap is refused: nobody who trusts A would trust what comes next', async () => {
    const { world, keeper } = await running(sets.a)
    const { text } = world.store
    const before = world.active
    await expect(keeper.takePluggedCa(sets.b)).rejects.toMatchObject({
      code: 'invalid_argument',
      message: expect.stringMatching(
        /^root-cert\.pem shares no root with the bundle published so far \([0-9a-f]{4} [0-9a-f]{4}\): .* put the old roots beside the new ones first/,
      ),
    })
    expect([world.store.text, world.active]).toEqual([text, before])
    await world.check()
  })

  test('in one leap is refused at a start, too', async () => {
    const { world } = await running(sets.a)
    await expect(world.start({ source: { kind: 'plugged-in', ca: sets.b } })).rejects.toMatchObject({
      code: 'invalid_argument',
    })
    await world.start()
    await world.check()
  })

  test('and back again, before A has left', async () => {
    const { world, keeper } = await running(sets.a)
    for (const ca of [sets.ab, sets.abSignedByB, sets.ab, sets.a]) {
      await keeper.takePluggedCa(ca)
      await world.issue(DAY)
      await world.check()
      await world.clock.advance(2 * DAY)
    }
    expect(keeper.set.bundleSequence).toBe(3)
  })

  test('does not go on with root B’s CA where its certificate may not sign', async () => {
    const { world, keeper } = await running(sets.a)
    await keeper.takePluggedCa(sets.ab)
    await world.issue()
    const mute = await odd('mute ca', sets.rootB, { keyUsage: [KEY_USAGE.digitalSignature] })
    // What pluggedCa() lets through today, or any other reason for which the new authority can't sign.
    const ca = { ...sets.b, certificate: mute.certificate, signer: mute.key }
    await expect(keeper.takePluggedCa(ca)).rejects.toMatchObject({ code: 'invalid_argument' })
    // Nothing of it was taken: not the bundle, not the source of the next issuing authority.
    await world.check()
    expect(world.stranded()).toEqual([])
    expect(rootNames(keeper)).toEqual(['root a', 'root b'])
  })

  test('after a CA that could not sign, the clock renews under the CA that can', async () => {
    const { world, keeper } = await running(sets.a)
    const mute = await odd('mute ca', sets.rootA, { keyUsage: [KEY_USAGE.digitalSignature] })
    const ca = { ...sets.a, certificate: mute.certificate, signer: mute.key }
    await keeper.takePluggedCa(ca).catch(() => undefined)
    await world.clock.advance(25 * DAY)
    await keeper.tick()
    expect(eventsOf(world, 'rotationFailed')).toEqual([])
    await world.check()
  })
})

describe('files whose effect is not safe yet', () => {
  /** Somebody holds bundle 1, in which B is not, for 20 days. */
  async function withALaggard(ca = sets) {
    const { world, keeper } = await running(ca.a)
    await world.issue(20 * DAY, 'shop/laggard')
    return { world, keeper }
  }

  test('a new CA does not sign while somebody holds a bundle without its root, and signs by itself when nobody does', async () => {
    const { world, keeper } = await withALaggard()
    await keeper.takePluggedCa(sets.abSignedByB)
    expect([rootNames(keeper), rootStates(keeper)]).toEqual([
      ['root a', 'root b'],
      ['active', 'prepared'],
    ])
    expect(signs(world)).toBe('ca under a')
    expect(keeper.isOurs(sets.underB.key.publicKey), 'nobody gets a certificate over its key').toBe(true)
    await world.issue(20 * DAY)
    expect(world.broken()).toEqual([])
    await world.clock.advance(20 * DAY + HOUR)
    await keeper.tick()
    expect([rootStates(keeper), signs(world)]).toEqual([['old', 'active'], 'ca under b'])
    expect(world.broken()).toEqual([])
    await world.check()
  })

  test('a CA that had to wait has its CRL as soon as it signs', async () => {
    const { world, keeper } = await withALaggard()
    await keeper.takePluggedCa(sets.abSignedByB)
    const hasCrl = () => keeper.set.crls.some(({ id }) => id === issuingOf(sets.underB).id)
    expect(hasCrl()).toBe(false)
    await world.clock.advance(20 * DAY + HOUR)
    await keeper.tick()
    expect([signs(world), hasCrl()]).toEqual(['ca under b', true])
  })

  test('the CA before, whose key is in no file any more, has its issuing authorities renewed meanwhile', async () => {
    const { world, keeper } = await withALaggard()
    await world.issue(60 * DAY, 'shop/laggard')
    await keeper.takePluggedCa(sets.abSignedByB)
    const first = world.active.authority.id
    await world.clock.advance(25 * DAY)
    await keeper.tick()
    expect(world.active.authority.id).not.toBe(first)
    expect([signs(world), eventsOf(world, 'rotationFailed')]).toEqual(['ca under a', []])
  })

  test('a root that left the files stays while somebody stands on it, and leaves by itself then', async () => {
    const { world, keeper } = await running(sets.ab)
    const { leaf } = await world.issue(20 * DAY, 'shop/laggard')
    await keeper.takePluggedCa(sets.b)
    expect([rootNames(keeper), rootStates(keeper), signs(world)]).toEqual([
      ['root a', 'root b'],
      ['old', 'active'],
      'ca under b',
    ])
    expect(keeper.mayVouch(leaf.tbs.issuer, world.clock.now())).toHaveLength(1)
    expect(world.broken()).toEqual([])
    await world.clock.advance(20 * DAY + HOUR)
    await keeper.tick()
    expect([rootNames(keeper), keeper.set.bundleSequence]).toEqual([['root b'], 2])
    await world.check()
  })

  test('a root that is in the files and signs no more stays, whoever stands on it', async () => {
    const { world, keeper } = await running(sets.ab)
    await keeper.takePluggedCa(sets.abSignedByB)
    await world.clock.advance(21 * DAY)
    await keeper.tick()
    expect(rootStates(keeper)).toEqual(['old', 'active'])
  })

  test('a root that never signed leaves with its file', async () => {
    const { world, keeper } = await withALaggard()
    await keeper.takePluggedCa(sets.abSignedByB)
    await keeper.takePluggedCa(sets.a)
    expect([rootNames(keeper), keeper.set.bundleSequence, signs(world)]).toEqual([['root a'], 3, 'ca under a'])
    await world.check()
  })

  test('a CA that signed before has to wait like any other when the files go back to it', async () => {
    const { world, keeper } = await running(sets.a)
    await keeper.takePluggedCa(sets.ab)
    await keeper.takePluggedCa(sets.abSignedByB)
    await keeper.takePluggedCa(sets.b)
    expect(rootNames(keeper)).toEqual(['root b'])
    await world.issue(20 * DAY, 'shop/laggard')
    await keeper.takePluggedCa(sets.ab)
    expect([rootNames(keeper), signs(world)]).toEqual([['root b', 'root a'], 'ca under b'])
    await world.clock.advance(21 * DAY)
    await keeper.tick()
    expect(signs(world)).toBe('ca under a')
    await world.check()
  })

  test('are told at first and every hour, with who is in the way', async () => {
    const { world, keeper } = await withALaggard()
    await keeper.takePluggedCa(sets.abSignedByB)
    const told = () => eventsOf(world, 'pluggedCaWaits')
    const rootB = bundledRoots(keeper.set)[1]
    expect(told()).toMatchObject([
      { args: ['activate', { id: rootB?.id }, { longest: [{ workload: 'shop/laggard' }] }] },
    ])
    for (let minute = 0; minute < 59; minute++) {
      await world.clock.advance(MINUTE)
      await keeper.tick()
    }
    expect(told()).toHaveLength(1)
    await world.clock.advance(MINUTE)
    await keeper.tick()
    expect(told()).toHaveLength(2)
  })

  test('are not told while the ledger is read for a moment', async () => {
    const world = new World({ kind: 'plugged-in', ca: sets.a })
    const starting = { incomplete: 'this server is starting', workloads: () => [] }
    const keeper = await world.start({ evidence: () => starting })
    await keeper.takePluggedCa(sets.abSignedByB)
    await world.clock.advance(MINUTE - 1)
    await keeper.tick()
    expect([eventsOf(world, 'pluggedCaWaits').length, signs(world)]).toEqual([0, 'ca under a'])
    await world.clock.advance(1)
    await keeper.tick()
    expect(eventsOf(world, 'pluggedCaWaits')).toHaveLength(1)
  })

  test('are looked at every two seconds while they wait', async () => {
    const { world, keeper } = await running(sets.a)
    let evidence: Evidence = { incomplete: 'this server is starting', workloads: () => [] }
    const restarted = await world.start({
      evidence: () => evidence,
      source: { kind: 'plugged-in', ca: sets.abSignedByB },
    })
    expect([restarted.active.get(), keeper.active.get() === undefined]).toEqual([undefined, false])
    const stop = new AbortController()
    const running_ = restarted.run(stop.signal)
    evidence = NO_EVIDENCE
    await world.clock.advance(2 * SECOND)
    await until('the new CA signs', () => restarted.active.get() !== undefined)
    stop.abort()
    await running_
    await world.check()
  })

  describe('a start with them, the key of the CA before being gone', () => {
    const restarted = async () => {
      const { world } = await withALaggard()
      world.source = { kind: 'plugged-in', ca: sets.abSignedByB }
      return { world, keeper: await world.start() }
    }

    test('lets nothing sign, and says so', async () => {
      const { world, keeper } = await restarted()
      const [a, b] = bundledRoots(keeper.set).map(({ id }) => shortId(id))
      expect([keeper.active.get(), rootStates(keeper)]).toEqual([undefined, ['active', 'prepared']])
      expect(keeper.plugged?.obstacle(keeper.set)).toBe(
        `the plugged-in CA is under root ${b}, which not every live workload is known to trust, and the key of the one before, under ${a}, is in its files no more: alcazar root status`,
      )
      expect([eventsOf(world, 'pluggedCaWaits').length, eventsOf(world, 'rotationFailed')]).toEqual([1, []])
      await world.check()
    })

    test('signs by itself when nobody is in the way any more', async () => {
      const { world, keeper } = await restarted()
      await world.clock.advance(20 * DAY + HOUR)
      await keeper.tick()
      expect(signs(world)).toBe('ca under b')
      await world.check()
    })

    test('signs again at once when the CA before is put back', async () => {
      const { world, keeper } = await restarted()
      await keeper.takePluggedCa(sets.ab)
      expect([signs(world), rootStates(keeper)]).toEqual(['ca under a', ['active', 'prepared']])
      await world.issue()
      expect(world.broken()).toEqual([])
      await world.check()
    })

    test('signs when an admin says exactly how many break, which is in the ledger', async () => {
      const { world, keeper } = await restarted()
      await expect(keeper.roots.activate(undefined, ADMIN)).rejects.toMatchObject({
        code: 'wrong_state',
        message: expect.stringMatching(
          /^Not yet: 1 of 1 live workload is in the way if you activate root [0-9a-f ]{9} now\./,
        ),
      })
      await expect(keeper.roots.activate(undefined, ADMIN, { breaks: 2 })).rejects.toMatchObject({
        code: 'wrong_state',
      })
      expect(keeper.active.get()).toBeUndefined()
      await keeper.roots.activate(undefined, ADMIN, { breaks: 1 })
      expect(signs(world)).toBe('ca under b')
      expect(world.ledger.of('authority').findLast(({ what }) => what === 'root activated')?.detail).toBe(
        'by the admin: told to; FORCED, breaking 1 of 1 live workload',
      )
      await world.check()
    })
  })

  test.each(['may sign CAs', 'signs leaves itself'])('the same where the CA %s', async (may) => {
    const ca = may === 'may sign CAs' ? sets : leafSigners
    const { world, keeper } = await withALaggard(ca)
    await keeper.takePluggedCa(ca.abSignedByB)
    const before = world.active
    await world.issue(DAY)
    expect(world.broken()).toEqual([])
    world.source = { kind: 'plugged-in', ca: ca.abSignedByB }
    const again = await world.start()
    expect(again.active.get()).toBeUndefined()
    await world.clock.advance(21 * DAY)
    await again.tick()
    expect(world.active.authority.id).not.toBe(before.authority.id)
    await world.check()
  })

  test('nothing but what the files ask for is done by an admin’s verbs', async () => {
    const { keeper } = await withALaggard()
    await keeper.takePluggedCa(sets.ab)
    const plain = { code: 'wrong_state', message: expect.stringMatching(/^the CA is plugged in/) }
    const [a, b] = bundledRoots(keeper.set).map(({ id }) => id)
    for (const step of [
      () => keeper.roots.activate(b, ADMIN, { breaks: 1 }),
      () => keeper.roots.activate(undefined, ADMIN, { breaks: 1 }),
      () => keeper.roots.revoke(b, ADMIN),
      () => keeper.roots.revoke(undefined, ADMIN),
      () => keeper.roots.rollback(ADMIN),
      () => keeper.roots.prepare(ADMIN),
      () => keeper.roots.rotate(ADMIN),
      () => keeper.roots.taint(a as string, ADMIN, HOUR),
    ])
      await expect(step()).rejects.toMatchObject(plain)
  })
})

describe('a root renewed over the same key', () => {
  const renewed = async () => {
    const again = await odd('root a', 'itself', { key: sets.rootA.key, notAfter: new Date('2041-01-01T00:00:00Z') })
    return { again, alone: plugged(sets.underA, [sets.underA], [again]) }
  }

  test('takes the place of the one before at once: what either verifies, both do', async () => {
    const { world, keeper } = await running(sets.a)
    await world.issue(20 * DAY)
    const { again, alone } = await renewed()
    await keeper.takePluggedCa(alone)
    expect(bundledRoots(keeper.set)).toMatchObject([
      { state: 'active', certificate: again.certificate, bundledSince: 1 },
    ])
    expect(keeper.set.bundleSequence).toBe(2)
    expect([world.broken(), world.stranded()]).toEqual([[], []])
    await world.check()
  })

  test('beside the one before is one root, by the certificate that ends last', async () => {
    const { again } = await renewed()
    const { world, keeper } = await running(plugged(sets.underA, [sets.underA], [again, sets.rootA]))
    expect(bundledRoots(keeper.set)).toMatchObject([{ state: 'active', certificate: again.certificate }])
    await world.issue()
    await world.check()
  })

  test('is refused under another name: nobody who trusts one would take what the other signed', async () => {
    const { keeper } = await running(sets.ab)
    const other = await odd('root x', 'itself', { key: sets.rootA.key })
    const under = await odd('ca under x', other)
    await expect(keeper.takePluggedCa(plugged(under, [under], [other, sets.rootB]))).rejects.toMatchObject({
      code: 'invalid_argument',
      message: expect.stringMatching(/^root-cert\.pem has the key of root [0-9a-f ]{9} under another name/),
    })
    expect(keeper.set.bundleSequence).toBe(1)
  })
})

describe('the same files again', () => {
  test('change no bundle', async () => {
    const { world, keeper } = await running(sets.ab)
    await keeper.takePluggedCa(sets.ab)
    expect(keeper.set.bundleSequence).toBe(1)
    expect(eventsOf(world, 'bundlePublished')).toHaveLength(1)
  })

  test('make no second record of a root', async () => {
    const { world } = await running(sets.ab)
    await world.start()
    await world.start()
    expect(world.journal.set.authorities.filter(({ role }) => role === 'root')).toHaveLength(2)
  })
})

describe('certificates that ended', () => {
  test('a root that ended stays in the bundle as long as the admin leaves it there', async () => {
    const past = await odd('past root', 'itself', { notAfter: plus(NOW, -DAY) })
    const { world } = await running(plugged(sets.underA, [sets.underA], [sets.rootA, past]))
    expect(names(bundledRoots(world.journal.set).map((root) => root.certificate))).toEqual(['root a', 'past root'])
    await world.check()
  })

  test('issuing authorities that ended leave the journal with the next change', async () => {
    const { world, keeper } = await running(sets.a)
    const first = activeIssuing(keeper.set)?.id
    await world.clock.advance(31 * DAY)
    await keeper.takePluggedCa(sets.ab)
    expect(keeper.set.authorities.some(({ id }) => id === first)).toBe(false)
  })
})

test('a clock that is set back revokes nothing: the issuing authorities of a root that is there still vouch', async () => {
  const { world } = await running(sets.a)
  world.clock.jump(HOUR)
  const first = await world.start()
  const { leaf } = await world.issue()
  expect(first.mayVouch(leaf.tbs.issuer, world.clock.now())).toHaveLength(1)
  world.clock.jump(-HOUR)
  const keeper = await world.start()
  world.clock.jump(HOUR)
  expect(keeper.mayVouch(leaf.tbs.issuer, world.clock.now())).toHaveLength(1)
})
