import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { StatusView } from '../../src/endpoints/admin/authority-routes.ts'
import { aDirectory, TestCluster, TestServer } from '../_support/a-server.ts'
import { obtain } from '../_support/identity.ts'
import { aRoot, type TestCa, writeCacerts } from '../_support/plugged-ca.ts'
import { until } from '../_support/until.ts'

let cluster: TestCluster
let [a, b]: TestCa[] = []

beforeAll(async () => {
  cluster = await TestCluster.start()
  ;[a, b] = [await aRoot(), await aRoot()]
})
afterAll(() => cluster[Symbol.asyncDispose]())

const WAITS = 'alcazar_plugged_ca_waits{step="activate"}'

const statusOf = async (server: TestServer) => (await server.admin('GET', '/v1/authorities')).json<StatusView>()
const rootsOf = ({ authorities }: StatusView) =>
  authorities.filter(({ role }) => role === 'root').map(({ state, steps }) => [state, steps[0]?.inTheWay])

describe('files of a plugged-in CA that would break somebody', () => {
  test('are taken as far as is safe; a restart with them signs nothing until an admin says how many may break', async () => {
    using cacerts = aDirectory()
    using state = aDirectory()
    const pod = cluster.pod('shop', 'cart')
    const [signedByA, signedByB] = [a, b].map(
      (ca) => () => writeCacerts(cacerts.path, ca as TestCa, [ca as TestCa], [a, b] as TestCa[]),
    )
    const start = () => TestServer.start({ pluggedCa: cacerts.path, ...cluster.settings() }, { state: state.path })
    await writeCacerts(cacerts.path, a as TestCa, [a as TestCa], [a as TestCa])
    {
      await using server = await start()
      await obtain(server.grpc(), cluster.tokenOf(pod))
      await signedByB?.()
      await until('both roots are in the bundle', async () => (await statusOf(server)).bundleSequence === 2)
      expect(rootsOf(await statusOf(server))).toEqual([
        ['active', undefined],
        ['prepared', 1],
      ])
      await until('it says that it waits', async () => (await server.metric(WAITS)) === 1)
      // A signs on, though its key is in no file any more; and what it gives has both roots.
      await obtain(server.grpc(), cluster.tokenOf(pod))
      const { authorities } = await statusOf(server)
      const signs = authorities.find(({ role, state }) => role === 'issuing' && state === 'active')
      expect(signs?.root).toBe(authorities.find(({ role }) => role === 'root')?.id)
      expect((await server.health('/readyz')).status).toBe(200)
    }

    await using server = await start()
    const ready = await server.health('/readyz')
    expect(ready.status).toBe(503)
    expect(ready.text).toMatch(
      /the plugged-in CA is under root [0-9a-f ]{9}, which not every live workload is known to trust/,
    )
    await until('the ledger is read', async () =>
      (await statusOf(server)).authorities.every(({ steps }) => steps.every(({ incomplete }) => !incomplete)),
    )
    expect(rootsOf(await statusOf(server))).toEqual([
      ['active', undefined],
      ['prepared', 1],
    ])
    await expect(obtain(server.grpc(), cluster.tokenOf(pod))).rejects.toThrow()

    // Whoever has the CA before puts it back; whoever has not says how many may break.
    await signedByA?.()
    await until('A signs again', async () => (await server.health('/readyz')).status === 200)
    await obtain(server.grpc(), cluster.tokenOf(pod))
    await signedByB?.()
    await until('B waits again', async () => (await server.metric(WAITS)) === 1)
    const body = { because: 'the key of A is lost', breaks: 1 }
    expect((await server.admin('POST', '/v1/authorities/activate', { body })).status).toBe(200)
    expect(rootsOf(await statusOf(server)).map(([one]) => one)).toEqual(['old', 'active'])
    await obtain(server.grpc(), cluster.tokenOf(pod))
    expect(
      server.ledger().flatMap((one) => (one.kind === 'authority' && one.what === 'root activated' ? [one.detail] : [])),
    ).toEqual(['by the admin: the key of A is lost; FORCED, breaking 1 of 1 live workload'])
  })

  test('that break nobody are taken by a start as soon as the ledger is read', async () => {
    using cacerts = aDirectory()
    using state = aDirectory()
    const plugIn = (signer: TestCa, ...roots: TestCa[]) => writeCacerts(cacerts.path, signer, [signer], roots)
    const settings = { pluggedCa: cacerts.path, ...cluster.settings() }
    await plugIn(a as TestCa, a as TestCa)
    await (await TestServer.start(settings, { state: state.path }))[Symbol.asyncDispose]()
    await plugIn(b as TestCa, a as TestCa, b as TestCa)
    await using server = await TestServer.start(settings, { state: state.path })
    await until('it is ready', async () => (await server.health('/readyz')).status === 200)
    expect(rootsOf(await statusOf(server)).map(([one]) => one)).toEqual(['old', 'active'])
    expect(server.log.filter((line) => line.includes('does not sign yet'))).toEqual([])
    await obtain(server.grpc(), cluster.tokenOf(cluster.pod('shop', 'late')))
  })
})
