import { describe, expect, test } from 'vitest'
import { activeIssuing, activeRoot } from '../../src/authority/authority.ts'
import { DAY, HOUR, MINUTE } from '../../src/core/duration.ts'
import { authoritiesView } from '../../src/service/authorities-view.ts'
import { rotationView } from '../../src/service/rotation-view.ts'
import { Admin } from '../_support/an-admin.ts'
import { aPluggedCa } from '../_support/plugged-sets.ts'

const ADMIN = { by: 'admin', because: 'yearly' } as const
const ALL = ['shop/cart-0', 'shop/cart-1', 'billing/ledger-0']

async function alive() {
  const admin = await Admin.start()
  await admin.issue(ALL)
  const first = activeRoot(admin.keeper.set)?.id as string
  const view = () => rotationView(admin.keeper.seen())
  return { admin, first, view, keeper: admin.keeper }
}

describe('the view of a rotation', () => {
  test('where none is on its way says when one is due, and whom forcing it would break', async () => {
    const { view, first } = await alive()
    expect(view()).toMatchObject({
      phase: 'none',
      bundleSequence: 1,
      signing: first,
      leaving: [],
      live: 3,
      ready: 3,
      next: { byItself: true, atTheLatest: '2039-07-03T00:00:00.000Z' },
      dueAt: '2039-07-03T00:00:00.000Z',
      ifForced: { activate: { open: false, inTheWay: 3 }, revoke: { open: false, inTheWay: 3 } },
    })
    expect(view().gate).toBeUndefined()
    expect(view().wish).toBeUndefined()
  })

  test('names the root that is not made yet only once it is', async () => {
    const { view, keeper } = await alive()
    await keeper.roots.rotate(ADMIN)
    expect(view()).toMatchObject({
      phase: 'prepare',
      wish: { by: 'admin', because: 'yearly', since: '2030-01-01T00:00:00.000Z' },
      ready: 0,
      next: { what: 'a new root is made', byItself: true },
    })
    expect(view().wish?.to).toBeUndefined()
    await keeper.tick()
    const to = view().incoming?.id
    expect(view()).toMatchObject({ phase: 'distribute', wish: { to }, incoming: { bundledSince: 2 } })
  })

  test('counts by namespace who has been sent the new bundle', async () => {
    const { admin, view, keeper } = await alive()
    await keeper.roots.rotate(ADMIN)
    await keeper.tick()
    await admin.issue(['shop/cart-1'], 2 * HOUR)
    expect(view()).toMatchObject({
      ready: 1,
      namespaces: [
        { namespace: 'billing', live: 1, ready: 0, until: '2030-01-02T00:00:00.000Z' },
        { namespace: 'shop', live: 2, ready: 1, until: '2030-01-02T00:00:00.000Z' },
      ],
      gate: { open: false, inTheWay: 2, until: '2030-01-02T00:00:00.000Z' },
      next: { atTheLatest: '2030-01-02T00:00:00.000Z', byItself: true },
      ifForced: { activate: { inTheWay: 2 }, revoke: { inTheWay: 3 } },
    })
    await admin.issue(ALL)
    expect(view()).toMatchObject({
      phase: 'activate',
      ready: 3,
      gate: { open: true, inTheWay: 0 },
      next: { atTheLatest: '2030-01-01T00:00:00.000Z' },
    })
  })

  test('follows the renewal, and is done when the old root is out', async () => {
    const { admin, first, view, keeper } = await alive()
    await keeper.roots.rotate(ADMIN)
    await keeper.tick()
    await admin.issue(ALL)
    await keeper.tick()
    expect(view()).toMatchObject({ phase: 'renew', leaving: [{ id: first }], ready: 0 })
    await admin.issue(['billing/ledger-0'])
    expect(view()).toMatchObject({ phase: 'renew', ready: 1, ifForced: { revoke: { inTheWay: 2 } } })
    expect(view().ifForced.activate).toBeUndefined()
    await admin.issue(ALL)
    expect(view()).toMatchObject({ phase: 'retire', ready: 3, gate: { open: true } })
    await keeper.tick()
    expect(view()).toMatchObject({ phase: 'none', leaving: [], bundleSequence: 3 })
  })

  test('is retire, not renew, while nothing stands on the old root but some never heard of the new one', async () => {
    const { admin, first, view, keeper } = await alive()
    await keeper.roots.prepare(ADMIN)
    await keeper.roots.activate(undefined, ADMIN, { breaks: 3 })
    admin.world.issued.length = 0
    await admin.issue(['shop/cart-0'])
    // As if its answer had carried the bundle before.
    const [svid] = admin.world.issued
    Object.assign(svid as object, { bundle: { sequence: 1 } })
    expect(view()).toMatchObject({
      phase: 'retire',
      leaving: [{ id: first }],
      ready: 0,
      gate: { first: [{ workload: 'shop/cart-0', why: 'holds bundle 1, not 2 yet' }] },
    })
  })

  test('says that a step waits for an admin where nobody wished for the whole', async () => {
    const { admin, view, keeper } = await alive()
    await keeper.roots.prepare(ADMIN)
    expect(view().next).toEqual({ what: expect.stringMatching(/^root .{9} signs$/), byItself: false })
    await admin.issue(ALL)
    await keeper.roots.activate(undefined, ADMIN)
    expect(view().next).toEqual({ what: expect.stringMatching(/^root .{9} leaves the bundle$/), byItself: false })
  })

  test('waits no longer than the old root lets it', async () => {
    const { admin, keeper } = await alive()
    const { notAfter } = activeRoot(keeper.set)?.certificate.tbs ?? { notAfter: new Date(0) }
    await admin.world.clock.advance(notAfter.getTime() - admin.world.clock.now().getTime() - 35 * DAY)
    admin.incomplete = 'the inventory is being read'
    await keeper.tick()
    const late = {
      name: 'shop/late',
      namespace: 'shop',
      svids: [{ issuer: 'gone', bundle: 1, endsAt: notAfter.getTime() }],
    }
    expect(
      rotationView({ ...keeper.seen(), evidence: { incomplete: undefined, workloads: () => [late] } }),
    ).toMatchObject({
      phase: 'distribute',
      wish: { by: 'clock' },
      gate: { until: notAfter.toISOString() },
      next: { atTheLatest: new Date(notAfter.getTime() - 30 * DAY).toISOString() },
    })
  })

  test('of a compromised root ends when that must leave', async () => {
    const { first, view, keeper } = await alive()
    await keeper.roots.taint(first, { by: 'admin', because: 'stolen' }, 30 * MINUTE)
    expect(view()).toMatchObject({
      phase: 'renew',
      leaving: [{ id: first, taint: { because: 'stolen', leavesAt: '2030-01-01T00:30:00.000Z' } }],
      next: { byItself: true, atTheLatest: '2030-01-01T00:30:00.000Z' },
    })
  })

  test('says what keeps anybody from knowing', async () => {
    const { admin, view, keeper } = await alive()
    await keeper.roots.rotate(ADMIN)
    await keeper.tick()
    await admin.issue(ALL)
    admin.incomplete = 'the inventory is being read'
    expect(view()).toMatchObject({
      phase: 'distribute',
      gate: { open: false, incomplete: 'the inventory is being read', inTheWay: 0 },
    })
  })

  test('does not say that nobody stands on the old root while nobody knows', async () => {
    const { admin, keeper } = await alive()
    await keeper.roots.rotate(ADMIN)
    await keeper.tick()
    await admin.issue(ALL)
    await keeper.tick()
    const evidence = { incomplete: 'the ledger is still being read', workloads: () => [] }
    const unknownUntil = new Date('2030-01-02T01:52:00.000Z')
    expect(rotationView({ ...keeper.seen(), evidence: { ...evidence, unknownUntil } })).toMatchObject({
      gate: { open: false, until: unknownUntil.toISOString() },
      next: { atTheLatest: unknownUntil.toISOString() },
    })
    expect(rotationView({ ...keeper.seen(), evidence })).toMatchObject({
      phase: 'renew',
      live: 0,
      gate: { open: false, incomplete: 'the ledger is still being read' },
    })
    expect(rotationView({ ...keeper.seen(), evidence: { ...evidence, incomplete: undefined } })).toMatchObject({
      phase: 'retire',
    })
  })

  test('reads the evidence once', async () => {
    const { admin, keeper } = await alive()
    await keeper.roots.prepare(ADMIN)
    let reads = 0
    const seen = {
      ...keeper.seen(),
      evidence: {
        incomplete: undefined,
        workloads: () => {
          reads++
          return admin.evidence.workloads()
        },
      },
    }
    rotationView(seen)
    authoritiesView(seen)
    expect(reads).toBe(2)
  })
})

describe('the view of authorities', () => {
  test('has for each its key, its root, who stands on it and when its replacement begins', async () => {
    const { keeper, first } = await alive()
    const view = authoritiesView(keeper.seen())
    expect(view).toMatchObject({ live: 3, bundleSequence: 1, rotating: false, origin: 'dev', forgotten: [] })
    const issuing = activeIssuing(keeper.set)?.id
    expect(view.authorities).toMatchObject([
      {
        id: first,
        role: 'root',
        state: 'active',
        key: 'file',
        algorithm: 'ecdsa-p256',
        live: 3,
        bundledSince: 1,
        cross: [],
      },
      {
        id: issuing,
        role: 'issuing',
        key: 'memory',
        root: first,
        live: 3,
        steps: [],
        dueAt: '2030-01-25T23:59:40.000Z',
      },
    ])
    expect(view.authorities[1]?.warnings).toEqual([])
    expect(authoritiesView({ ...keeper.seen(), holding: undefined }).authorities[1]?.dueAt).toBeUndefined()
  })

  test('has for each root the verbs that are possible, and who is in the way of each', async () => {
    const { admin, keeper, first } = await alive()
    await admin.issue(['shop/cart-9'], 30 * HOUR)
    await keeper.roots.prepare(ADMIN)
    const [active, , prepared] = authoritiesView(keeper.seen(), 1).authorities
    expect(active?.steps).toEqual([{ verb: 'taint', open: true, inTheWay: 0, first: [] }])
    expect(prepared?.cross).toMatchObject([{ by: first }])
    expect(prepared?.steps).toEqual([
      {
        verb: 'activate',
        open: false,
        inTheWay: 4,
        first: [
          {
            workload: 'shop/cart-9',
            namespace: 'shop',
            why: 'holds bundle 1, not 2 yet',
            until: '2030-01-02T06:00:00.000Z',
          },
        ],
        until: '2030-01-02T06:00:00.000Z',
      },
      { verb: 'taint', open: true, inTheWay: 0, first: [] },
      { verb: 'revoke', open: true, inTheWay: 0, first: [] },
    ])
  })

  test('has who would break where the compromised root can’t vouch for its successor', async () => {
    const { keeper } = await alive()
    const seen = keeper.seen()
    const elsewhere = seen.set.authorities.map((one) =>
      one.role === 'root' ? { ...one, key: 'elsewhere' as const } : one,
    )
    const [root] = authoritiesView({ ...seen, set: { ...seen.set, authorities: elsewhere } }).authorities
    expect(root?.steps).toMatchObject([{ verb: 'taint', open: false, inTheWay: 3 }])
    expect(root?.warnings).toEqual([])
  })

  test('warns of a successor that the root before does not vouch for', async () => {
    const { keeper } = await alive()
    await keeper.roots.prepare(ADMIN)
    const seen = keeper.seen()
    const uncrossed = seen.set.authorities.map((one) => ({ ...one, cross: [] }))
    expect(authoritiesView({ ...seen, set: { ...seen.set, authorities: uncrossed } }).authorities[2]?.warnings).toEqual(
      [
        'its key lies in the clear in the state directory: for dev mode only',
        'no cross-certificate: it may sign only when every certificate that is alive came with it in the bundle',
      ],
    )
  })

  test('has no verbs for a plugged-in CA, whose files are what changes', async () => {
    const admin = await Admin.start({ kind: 'plugged-in', ca: (await aPluggedCa()).a })
    const view = authoritiesView(admin.keeper.seen())
    expect(view.authorities.flatMap(({ steps }) => steps)).toEqual([])
    const seen = admin.keeper.seen()
    const signsItself = seen.set.authorities.map((one) => ({ ...one, key: 'plugged-in' as const }))
    expect(
      authoritiesView({ ...seen, set: { ...seen.set, authorities: signsItself } }).authorities[0]?.warnings,
    ).toEqual(['its key lies in the clear in the files of the plugged-in CA'])
    expect(rotationView(admin.keeper.seen())).toMatchObject({
      phase: 'none',
      next: { what: 'nothing: the roots are those of the plugged-in CA’s files', byItself: false },
      ifForced: {},
    })
  })
})
