import { beforeAll, describe, expect, test } from 'vitest'
import { type AuthoritySet, activeIssuing, activeRoot, bundledRoots } from '../../src/authority/authority.ts'
import { gate } from '../../src/authority/gate.ts'
import type { PluggedCa } from '../../src/authority/plugged-ca.ts'
import { plus } from '../../src/core/clock.ts'
import { DAY, momentInUtc } from '../../src/core/duration.ts'
import type { PrivateKey } from '../../src/keys/private-key.ts'
import { Inventory } from '../../src/ledger/inventory.ts'
import { authoritiesView } from '../../src/service/authorities-view.ts'
import { type ImportPlan, importCa, planImport } from '../../src/service/import-ca.ts'
import { inventoryEvidence } from '../../src/service/inventory-evidence.ts'
import type { RootSource } from '../../src/service/keeper-parts.ts'
import type { AuthorityStore } from '../../src/service/ports.ts'
import { TrustDomain } from '../../src/spiffe/trust-domain.ts'
import { TestCluster } from '../_support/a-ca.ts'
import { DEV, World } from '../_support/a-world.ts'
import { NOW } from '../_support/authority-sets.ts'
import type { Fault } from '../_support/memory-store.ts'
import { criticalExtension, odd } from '../_support/odd-certificates.ts'
import { aPluggedCa, plugged } from '../_support/plugged-sets.ts'

const HERE = TrustDomain.parse('cluster.local')
const OWN: RootSource = { ...DEV, kind: 'own' } as RootSource
const UNKNOWN_UNTIL = plus(NOW, DAY)
const WISH = { by: 'admin', because: 'a test' } as const

type Sets = Awaited<ReturnType<typeof aPluggedCa>>
let intermediates: Sets
let leafSigners: Sets
let ownRoot: PluggedCa

beforeAll(async () => {
  intermediates = await aPluggedCa()
  leafSigners = await aPluggedCa({ pathLength: 0 })
  const root = await odd('istiod root', 'itself', { notAfter: new Date('2040-01-01T00:00:00Z') })
  ownRoot = plugged(root, [], [root])
})

async function planned(world: World, ca: PluggedCa, trustDomain = HERE): Promise<ImportPlan> {
  const { newKeyHome: home }: AuthorityStore = world.store
  const target = { home, othersUntil: UNKNOWN_UNTIL, now: world.clock.now() }
  return planImport(await world.store.read(), ca, trustDomain, target)
}

/** As the verb does it: a stopped server, then the next start as one with a root of its own. */
async function imported(world: World, ca: PluggedCa): Promise<ImportPlan> {
  const plan = await planned(world, ca)
  await importCa(world.store, ca.signer as PrivateKey, plan)
  world.source = OWN
  return plan
}

async function running(ca: PluggedCa): Promise<World> {
  const world = new World({ kind: 'plugged-in', ca })
  await world.start()
  return world
}

describe('a CA becomes the root where there was none', () => {
  test('its own root: sealed, active, in the first bundle, and marked', async () => {
    const world = new World(OWN)
    const { root, online, replaces } = await imported(world, ownRoot)
    expect([online, replaces]).toEqual([undefined, undefined])
    expect(root).toMatchObject({
      state: 'active',
      key: 'file',
      bundledSince: 1,
      wasInTheClear: true,
      online: undefined,
    })
    await world.start()
    expect(world.journal.set).toMatchObject({ origin: 'own', bundleSequence: 1, othersUntil: UNKNOWN_UNTIL })
    expect(world.active.authority).toMatchObject({ key: 'memory', root: root.id })
    await world.issue()
    await world.check()
  })

  test('an intermediate signs for its root, whose key is elsewhere', async () => {
    const world = new World(OWN)
    const { root } = await imported(world, intermediates.a)
    expect(root).toMatchObject({ key: 'elsewhere', wasInTheClear: true, online: { key: 'file' } })
    await world.start()
    const { intermediates: between } = world.active.authority
    expect(between.map(({ der }) => der)).toEqual([Buffer.from(intermediates.underA.certificate.der)])
    await world.issue()
    await world.check()
  })

  test('one that may sign no CA signs leaves itself', async () => {
    const world = new World(OWN)
    const { remarks } = await imported(world, leafSigners.a)
    expect(remarks).toContainEqual(expect.stringMatching(/^It may sign no CA \(pathLen 0\)/))
    await world.start()
    expect(world.active.authority.certificate.der).toEqual(leafSigners.underA.certificate.der)
    await world.issue()
    await world.start()
    await world.check()
  })

  test('the other roots of its bundle stay trusted, and sign no more', async () => {
    const world = new World(OWN)
    await imported(world, intermediates.ab)
    expect(bundledRoots(world.journal.set).map(({ state, wasInTheClear }) => [state, wasInTheClear])).toEqual([
      ['active', true],
      ['old', false],
    ])
    await world.start()
    await world.check()
  })

  test('and can be replaced: the mark leaves with the root', async () => {
    const world = new World(OWN)
    await imported(world, ownRoot)
    const keeper = await world.start()
    const [shown] = authoritiesView(keeper.seen()).authorities
    expect(shown?.warnings).toContain('its key was in the clear: replace it with alcazar root rotate')
    await keeper.roots.rotate(WISH)
    for (let look = 0; look < 6; look++) await keeper.tick()
    expect(bundledRoots(keeper.set).map(({ wasInTheClear }) => wasInTheClear)).toEqual([false])
    await world.check()
  })

  describe('a root that was renewed with its key kept, both certificates in root-cert.pem', () => {
    const end = (year: number) => ({ notAfter: new Date(`${year}-01-01T00:00:00Z`) })

    test.each(['old first', 'new first'])(
      'is one root, and a rotation ends on another that signs (%s)',
      async (order) => {
        const renewed = await odd('istiod root', 'itself', end(2040))
        const before = await odd('istiod root', 'itself', { ...end(2035), key: renewed.key })
        const other = await odd('other', 'itself', end(2038))
        const world = new World(OWN)
        const roots = order === 'new first' ? [renewed, before, other] : [before, other, renewed]
        const { remarks } = await imported(world, plugged(renewed, [], roots))
        expect(remarks.join('\n')).toMatch(
          /^root-cert\.pem holds several certificates over the key of root [0-9a-f: ]+, and what one verifies the others do: the bundle has the one that ends at 2040-01-01T00:00:00\.000Z\.$/,
        )
        expect(
          bundledRoots(world.journal.set)
            .map(({ state, certificate }) => [state, certificate.der])
            .sort(),
        ).toEqual([
          ['active', renewed.certificate.der],
          ['old', other.certificate.der],
        ])
        const keeper = await world.start()
        // The first ends the one that is not finished: a root of the bundle does not sign.
        for (let round = 0; round < 2; round++) {
          await keeper.roots.rotate(WISH)
          for (let look = 0; look < 8; look++) await keeper.tick()
        }
        expect(bundledRoots(keeper.set).map(({ state, wasInTheClear }) => [state, wasInTheClear])).toEqual([
          ['active', false],
        ])
        await world.start()
        await world.check()
      },
    )

    test('goes on from its last certificate also where the CA in the files is the one before', async () => {
      const renewed = await odd('istiod root', 'itself', end(2040))
      const before = await odd('istiod root', 'itself', { ...end(2035), key: renewed.key })
      const world = new World(OWN)
      await imported(world, plugged(before, [], [before, renewed]))
      expect(activeRoot(world.journal.set)).toMatchObject({
        certificate: renewed.certificate,
        key: 'file',
        online: undefined,
      })
      await world.start()
      await world.issue()
      await world.check()
    })

    test('is refused where the two could not stand in for each other', async () => {
      const renewed = await odd('istiod root', 'itself', end(2040))
      for (const before of [
        await odd('another name', 'itself', { ...end(2035), key: renewed.key }),
        await odd('istiod root', 'itself', { ...end(2035), key: renewed.key, pathLength: 3 }),
      ])
        await expect(planned(new World(OWN), plugged(renewed, [], [renewed, before]))).rejects.toMatchObject({
          code: 'invalid_argument',
          message: expect.stringMatching(
            /^root-cert\.pem holds 2 certificates over the key of root [0-9a-f: ]+ that differ in their name, key identifier or pathLen, so none can stand in for another; leave only the one that it should go on with$/,
          ),
        })
    })

    test('is one root where both were published by a server with this CA plugged in', async () => {
      const renewed = await odd('istiod root', 'itself', end(2040))
      const before = await odd('istiod root', 'itself', { ...end(2035), key: renewed.key })
      const ca = plugged(renewed, [], [renewed, before])
      const world = await running(ca)
      await world.issue()
      await imported(world, ca)
      expect(bundledRoots(world.journal.set)).toMatchObject([{ state: 'active', certificate: renewed.certificate }])
      await world.start()
      expect(world.stranded()).toEqual([])
      await world.check()
    })
  })

  test('by the clock, before an online CA that was imported ends', async () => {
    const world = new World(OWN)
    const ending = await odd('ending', intermediates.rootA, { notAfter: plus(NOW, 100 * DAY) })
    await imported(world, plugged(ending, [ending], [intermediates.rootA]))
    const keeper = await world.start()
    await world.clock.advance(70 * DAY)
    await keeper.tick()
    expect(bundledRoots(keeper.set)).toHaveLength(1)
    await world.clock.advance(15 * DAY)
    for (let look = 0; look < 6; look++) await keeper.tick()
    expect(activeRoot(keeper.set)).toMatchObject({ key: 'file', wasInTheClear: false })
    await world.check()
  })

  test('no gate opens while what it issued before may be alive', async () => {
    const world = new World(OWN)
    await imported(world, ownRoot)
    const { set } = world.journal
    const inventory = new Inventory()
    await inventory.rebuild((async function* () {})(), DAY, world.clock, new AbortController().signal)
    const { watch } = new TestCluster().cluster
    const evidence = (now: Date) => inventoryEvidence(inventory, watch, set, now)
    const root = activeRoot(set)
    expect(root && gate(set, root, 'trusted', evidence(UNKNOWN_UNTIL))).toMatchObject({
      open: false,
      incomplete: `what the CA issued before its import is unknown until ${momentInUtc(UNKNOWN_UNTIL)}`,
      until: UNKNOWN_UNTIL,
    })
    expect(root && gate(set, root, 'trusted', evidence(plus(UNKNOWN_UNTIL, 1)))).toMatchObject({ open: true })
  })
})

describe('a plugged-in CA is taken over', () => {
  test.each([
    ['an intermediate', () => intermediates],
    ['one that signs leaves itself', () => leafSigners],
  ])('%s: what it issued stays good and vouches, and the bundle is the same', async (_what, sets) => {
    const world = await running(sets().a)
    const { leaf } = await world.issue(20 * DAY)
    const before = world.journal
    await imported(world, sets().a)
    expect(world.journal).toMatchObject({ revision: before.revision + 1, set: { origin: 'own', bundleSequence: 1 } })
    expect(world.journal.set.othersUntil, 'its ledger knows what is alive').toBeUndefined()
    expect(statesOf(world.journal.set)).toEqual(statesOf(before.set))
    const keeper = await world.start()
    expect(keeper.mayVouch(leaf.tbs.issuer, world.clock.now()).length).toBeGreaterThan(0)
    expect(world.stranded()).toEqual([])
    await world.check()
    expect(
      keeper.set.authorities.some(({ key, state }) => key === 'plugged-in' && state === 'active'),
      'nothing waits for its files',
    ).toBe(false)
  })

  test('a CA that signed before, and whose key was never ours, is elsewhere', async () => {
    const world = await running(leafSigners.ab)
    await world.issue(20 * DAY)
    await world.keeper?.takePluggedCa(leafSigners.abSignedByB)
    await imported(world, leafSigners.abSignedByB)
    const issuing = world.journal.set.authorities.filter(({ role }) => role === 'issuing')
    expect(issuing.map(({ key, state }) => [key, state])).toEqual([
      ['elsewhere', 'old'],
      ['file', 'active'],
    ])
    await world.start()
    await world.check()
    expect(world.stranded()).toEqual([])
  })

  test('and does not start with its files any more', async () => {
    const world = await running(intermediates.a)
    await imported(world, intermediates.a)
    await expect(world.start({ source: { kind: 'plugged-in', ca: intermediates.a } })).rejects.toMatchObject({
      code: 'wrong_state',
    })
  })
})

describe('refuses, and changes nothing:', () => {
  const refused = async (world: World, ca: PluggedCa, code: string, message: string, trustDomain = HERE) => {
    const { text } = world.store
    await expect(planned(world, ca, trustDomain)).rejects.toMatchObject({
      code,
      message: expect.stringContaining(message),
    })
    expect([world.store.text, world.store.keys.size]).toEqual([text, text === undefined ? 0 : world.store.keys.size])
  }

  test('into the state of a server with a root of its own', async () => {
    const world = new World(OWN)
    await world.start()
    await refused(world, ownRoot, 'wrong_state', 'this state directory has a root of its own; import into an empty one')
  })

  test('into dev mode’s state', async () => {
    const world = new World()
    await world.start()
    await refused(world, ownRoot, 'wrong_state', 'this state directory has a root of dev mode')
  })

  test('twice', async () => {
    const world = new World(OWN)
    await imported(world, ownRoot)
    await refused(world, ownRoot, 'wrong_state', 'was taken over already; start the server')
  })

  test('another CA than the one that is plugged in', async () => {
    const world = await running(intermediates.a)
    await refused(world, ownRoot, 'wrong_state', 'this state directory has another CA plugged in, under root')
  })

  test('the same CA with a bundle that was not published', async () => {
    const world = await running(intermediates.a)
    await refused(world, intermediates.ab, 'wrong_state', 'start it once more with this CA plugged in')
  })

  test('the state of another trust domain', async () => {
    const world = await running(intermediates.a)
    await refused(
      world,
      intermediates.a,
      'wrong_state',
      'belongs to the trust domain cluster.local, not other.example; name that by --trust-domain',
      TrustDomain.parse('other.example'),
    )
  })

  test('a root that is none', async () => {
    const world = new World(OWN)
    const { underA, rootA } = intermediates
    const leaf = await odd('below', underA)
    // As an admin who forgot the real one: the intermediate stands where the root should.
    await refused(
      world,
      plugged(leaf, [leaf], [underA]),
      'invalid_argument',
      'is no root: it was issued by another name',
    )
    expect(rootA).toBeDefined()
  })

  test('the CA of another trust domain', async () => {
    const { contextTag, sequence, tlv } = await import('../../src/x509/der.ts')
    const name = sequence(tlv(contextTag(6, 'primitive'), Buffer.from('spiffe://other.example')))
    const root = await odd('foreign', 'itself', { extensions: [criticalExtension('2.5.29.17', name)] })
    const world = new World(OWN)
    await refused(
      world,
      plugged(root, [], [root]),
      'invalid_argument',
      'a CA certificate is for "spiffe://other.example"',
    )
    // Also where only what stands between the CA and its root is.
    const { rootA } = intermediates
    const between = await odd('between', rootA, { extensions: [criticalExtension('2.5.29.17', name)] })
    const ca = await odd('ca under it', between, { pathLength: 0 })
    await refused(
      world,
      plugged(ca, [ca, between], [rootA]),
      'invalid_argument',
      'a CA certificate is for "spiffe://other.example"',
    )
  })
})

describe('says what is not as it should be:', () => {
  const remarks = async (ca: PluggedCa) => (await planned(new World(OWN), ca)).remarks.join('\n')

  test('nothing of a good root', async () => {
    expect(await remarks(ownRoot)).toBe('')
  })

  test('that there will be no cross-certificate', async () => {
    expect(await remarks(intermediates.a)).toMatch(/^The root’s own key is not here, so no cross-certificate can help/)
    const narrow = await odd('narrow', 'itself', { pathLength: 1, notAfter: new Date('2040-01-01T00:00:00Z') })
    expect(await remarks(plugged(narrow, [], [narrow]))).toMatch(/^The root allows too few CAs below it \(pathLen 1\)/)
  })

  test('that it ends soon', async () => {
    const ending = await odd('ending', 'itself', { notAfter: plus(NOW, 89 * DAY) })
    expect(await remarks(plugged(ending, [], [ending]))).toMatch(/^It ends at 2030-03-31T00:00:00.000Z, in 89 days/)
    const later = await odd('later', 'itself', { notAfter: plus(NOW, 91 * DAY) })
    expect(await remarks(plugged(later, [], [later]))).toBe('')
  })
})

const REFUSED = { code: 'dependency_unavailable', message: 'the journal can’t be written' }
const IN_DOUBT = {
  code: 'not_ready',
  message:
    'nobody knows whether this was done, because the disk failed in the middle of it: run the same command again, which finishes it or says that it was',
}

test.each<[string, () => PluggedCa, boolean]>([
  ['into nothing', () => intermediates.a, false],
  ['over a plugged-in CA', () => intermediates.a, true],
  ['over a plugged-in CA that signs leaves itself', () => leafSigners.a, true],
])(
  'a crash at any write, importing %s: the same again finishes it, or says that it is done',
  async (_what, ca, over) => {
    for (const fault of ['refused', 'in doubt, written', 'in doubt, not written'] as const satisfies Fault[]) {
      const world = over ? await running(ca()) : new World(OWN)
      if (over) await world.issue(20 * DAY)
      world.keeper = undefined
      world.store.faults.set(world.store.writes + 1, fault)
      await expect(imported(world, ca())).rejects.toMatchObject(fault === 'refused' ? REFUSED : IN_DOUBT)
      world.store.faults.clear()
      const done = fault === 'in doubt, written'
      if (done)
        await expect(planned(world, ca())).rejects.toMatchObject({ message: expect.stringContaining('already') })
      else await imported(world, ca())
      world.source = OWN
      await world.start()
      expect(activeIssuing(world.journal.set)).toBeDefined()
      await world.check()
      expect(world.stranded()).toEqual([])
    }
  },
)

test('the key is opened from where it is kept before anybody is told to wipe the copies', async () => {
  const world = new World(OWN)
  const plan = await planned(world, ownRoot)
  world.store.takeRootKey = async (key) => key
  await expect(importCa(world.store, ownRoot.signer as PrivateKey, plan)).rejects.toMatchObject({
    code: 'wrong_state',
    message: 'the root’s key is missing',
  })
})

const statesOf = (set: AuthoritySet) => set.authorities.map(({ id, role, state }) => `${role} ${id} ${state}`)
