import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { activeRoot } from '../../src/authority/authority.ts'
import { authorityRoutes } from '../../src/endpoints/admin/authority-routes.ts'
import { METHODS } from '../../src/endpoints/edge.ts'
import { aDevServer } from '../_support/a-server.ts'
import { Admin } from '../_support/an-admin.ts'
import { httpCall } from '../_support/http-client.ts'

async function started() {
  const admin = await Admin.start()
  const call = (method: string, path: string, body?: object) =>
    httpCall({ socketPath: join(admin.state, 'admin.sock') }, method, path, body ? { body } : {})
  return { admin, call }
}

const because = 'yearly'

describe('what is asked badly is refused with what would have been taken', () => {
  test.each([
    ['POST', '/v1/rotation', {}, 'because is missing: why, for the ledger'],
    ['POST', '/v1/rotation', { because: '  ' }, 'because is missing: why, for the ledger'],
    ['POST', '/v1/rotation', { because: 7 }, 'because is a text of at most 500 characters'],
    ['POST', '/v1/rotation', { because: 'x'.repeat(501) }, 'because is a text of at most 500 characters'],
    ['POST', '/v1/rotation', { because, force: true }, 'unknown field "force"; there are because'],
    ['POST', '/v1/authorities/prepare', { because, id: 'abcd' }, 'unknown field "id"; there are because'],
    ['POST', '/v1/authorities/rollback', { because, id: 'abcd' }, 'unknown field "id"; there are breaks, because'],
    ['POST', '/v1/authorities/activate', { because, id: 'a'.repeat(81) }, 'id is a text of at most 80 characters'],
    ['POST', '/v1/authorities/activate', { because, id: ['abcd'] }, 'id is a text of at most 80 characters'],
    ...[-1, 1.5, '3', 'all', null, true].map(
      (breaks) =>
        [
          'POST',
          '/v1/authorities/revoke',
          { because, breaks },
          'breaks is how many workloads may break, a whole number, or "unknown" where nobody can say',
        ] as const,
    ),
    ['POST', '/v1/authorities/taint', { because }, 'id is missing: the root that is compromised, from its beginning'],
    ...[59, 604_801].map(
      (withinSeconds) =>
        [
          'POST',
          '/v1/authorities/taint',
          { because, id: 'abcd', withinSeconds },
          'withinSeconds is the seconds after which the root leaves at the latest, from 60 to 604800 (7 days)',
        ] as const,
    ),
    ['POST', '/v1/workloads/forget', { because }, 'workload is missing: NAMESPACE/NAME as alcazar workloads shows it'],
    [
      'POST',
      '/v1/workloads/forget',
      { because, workload: 'x'.repeat(341) },
      'workload is a text of at most 340 characters',
    ],
    ['GET', '/v1/authorities?named=2001', undefined, 'named is how many workloads to list, at most 2000'],
    ['GET', '/v1/authorities?named=-1', undefined, 'named is how many workloads to list, at most 2000'],
    ['GET', '/v1/authorities?all=1', undefined, 'unknown query "all"; there is named'],
  ] as const)('%s %s %j', async (method, path, body, detail) => {
    const { admin, call } = await started()
    const { set } = admin.keeper
    const answer = await call(method, path, body)
    expect(answer.status).toBe(400)
    expect(answer.json()).toMatchObject({ code: 'invalid_argument', detail })
    expect(admin.keeper.set).toBe(set)
  })
})

test('a verb answers with the view after it', async () => {
  const { call } = await started()
  expect((await call('POST', '/v1/authorities/prepare', { because })).json()).toMatchObject({
    bundleSequence: 2,
    authorities: [{ state: 'active' }, {}, { state: 'prepared' }],
  })
  expect((await call('POST', '/v1/authorities/rollback', { because })).json()).toMatchObject({ bundleSequence: 3 })
})

test('a rotation’s first step is taken before the answer', async () => {
  const { admin, call } = await started()
  await admin.issue(['shop/cart-0'])
  expect((await call('POST', '/v1/rotation', { because })).json()).toMatchObject({
    phase: 'distribute',
    wish: { because },
    live: 1,
    ready: 0,
  })
})

test('a taint answers with what it leads to; the hour is what it takes if nobody says', async () => {
  const { admin, call } = await started()
  await admin.issue(['shop/cart-0'])
  const id = activeRoot(admin.keeper.set)?.id as string
  const answer = (await call('POST', '/v1/authorities/taint', { because: 'stolen', id })).json()
  expect(answer).toMatchObject({
    tainted: {
      id,
      successor: activeRoot(admin.keeper.set)?.id,
      leavesAt: '2030-01-01T01:00:00.000Z',
      affected: 1,
      until: '2030-01-02T00:00:00.000Z',
    },
  })
})

test('a step in the wrong state is a problem with its code', async () => {
  const { call } = await started()
  const answer = await call('POST', '/v1/authorities/activate', { because })
  expect(answer.status).toBe(400)
  expect(answer.json()).toMatchObject({
    code: 'wrong_state',
    detail: 'no root is prepared; alcazar root status shows what there is',
  })
})

test('none of them is served but on the socket, and each has its rule', async () => {
  const { admin } = await started()
  const names = authorityRoutes(admin.keeper, () => []).map(({ method, path }) => `${method} ${path}`)
  expect(names).toHaveLength(9)
  for (const name of names) expect(METHODS.get(name)).toEqual({ auth: 'local', load: 'local' })
})

test('a real server has them on its socket, not on its TLS port', async () => {
  await using server = await aDevServer()
  expect((await server.admin('GET', '/v1/rotation')).json()).toMatchObject({ phase: 'none' })
  for (const path of ['/v1/authorities', '/v1/rotation']) expect((await server.api('GET', path)).status).toBe(404)
})
