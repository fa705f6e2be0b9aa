import { expect, test } from 'vitest'
import { HOUR } from '../../src/core/duration.ts'
import { aDevServer, aDirectory, type TestServer } from '../_support/a-server.ts'
import { alcazar } from '../_support/a-terminal.ts'
import { aCsr } from '../_support/csr.ts'
import { obtain } from '../_support/identity.ts'
import { SteeredClock } from '../_support/steered-clock.ts'
import { until } from '../_support/until.ts'

const issue = async (server: TestServer, namespace: string, serviceAccount: string) =>
  obtain(server.grpc(), await server.devToken(namespace, serviceAccount))

const list = (server: TestServer, ...flags: string[]) =>
  alcazar(['workloads', '--state-directory', server.state, ...flags], { clock: new SteeredClock() })

const complete = (server: TestServer) =>
  until(
    'the ledger was read',
    async () => (await server.admin('GET', '/v1/workloads')).json<{ complete: boolean }>().complete,
  )

test('lists the newest first, who asked by what, and what is proven', async () => {
  await using server = await aDevServer()
  await complete(server)
  const cart = await issue(server, 'shop', 'cart')
  await issue(server, 'bank', 'teller')
  const renewed = await obtain(server.grpc(cart.tls), undefined)
  const { exit, out, err } = await list(server)
  expect([exit, err]).toEqual([0, ''])
  const serial = ({ leaf }: { leaf: { serialNumber: string } }) => `${leaf.serialNumber.slice(0, 8).toLowerCase()}…`
  const rows = out.split('\n').map((line) => line.split(/ {2,}/))
  expect(rows).toEqual([
    ['WORKLOAD', 'SERVICE ACCOUNT', 'ASKED BY', 'SERIAL', 'ENDS', 'BUNDLE', 'PROVEN', 'LAST SEEN'],
    [
      'shop/cart-dev',
      'shop/cart',
      'SVID',
      serial(renewed),
      expect.stringMatching(/^in \d+ h$/),
      '1',
      'no',
      expect.any(String),
    ],
    ['bank/teller-dev', 'bank/teller', 'token', expect.any(String), expect.any(String), '1', 'no', expect.any(String)],
    ['shop/cart-dev', 'shop/cart', 'token', serial(cart), expect.any(String), '1', 'yes', expect.any(String)],
    [''],
  ])
})

test('marks what was revoked and what was cut off: it is alive, but holds up nothing', async () => {
  await using server = await aDevServer()
  await complete(server)
  const { leaf } = await issue(server, 'shop', 'cart')
  await issue(server, 'bank', 'teller')
  await alcazar(['revoke', '--serial', leaf.serialNumber, '--because', 'INC-17', '--state-directory', server.state])
  await alcazar(['workloads', 'forget', 'bank/teller-dev', '--state-directory', server.state])
  const { out } = await list(server)
  expect(out).toMatch(/^bank\/teller-dev .* in \d+ h \(cut off\) /m)
  expect(out).toMatch(/^shop\/cart-dev .* in \d+ h \(revoked\) /m)
  expect(JSON.parse((await list(server, '-o', 'json')).out).svids).toMatchObject([
    { workload: 'bank/teller-dev', takenBack: 'forgotten' },
    { workload: 'shop/cart-dev', takenBack: 'revoked' },
  ])
})

test('shows what was asked for, and how many more there are', async () => {
  await using server = await aDevServer()
  await complete(server)
  for (const account of ['one', 'two', 'three']) await issue(server, 'shop', account)
  await issue(server, 'bank', 'teller')
  expect((await list(server, '--namespace', 'bank')).out.match(/^\w+\/\S+-dev/gm)).toEqual(['bank/teller-dev'])
  const { out } = await list(server, '-n', 'shop', '--limit', '2')
  expect(out.match(/^\w+\/\S+-dev/gm)).toEqual(['shop/three-dev', 'shop/two-dev'])
  expect(out).toMatch(/\n… and 1 more; --limit shows more of them\n$/)
  const { issuer } = JSON.parse((await list(server, '-o', 'json')).out).svids[0] as { issuer: string }
  const short = `${issuer.slice(0, 4)} ${issuer.slice(4, 8)}`
  expect(JSON.parse((await list(server, '--on', short, '-o', 'json')).out)).toMatchObject({ total: 4, complete: true })
  expect((await list(server, '--on', 'ffffffffff')).out).toBe('No live SVID of the kind.\n')
  expect((await list(server, '--lagging')).out).toBe('No live SVID of the kind.\n')
})

test.each([
  [['--limit', '0'], '--limit is a whole number from 1 to 5000, not "0"'],
  [['--limit', '5001'], '--limit is a whole number from 1 to 5000, not "5001"'],
  [['--limit', 'many'], '--limit is a whole number from 1 to 5000, not "many"'],
  [['--on', 'xyz'], '--on takes an authority’s id from its beginning: hex, 4 to 40 digits'],
])('refuses %s', async (flags, says) => {
  expect(await alcazar(['workloads', ...flags])).toEqual({ exit: 2, out: '', err: `alcazar: ${says}\n` })
})

test.each([
  ['limit=0', 'limit is a whole number from 1 to 5000'],
  ['limit=5001', 'limit is a whole number from 1 to 5000'],
  ['on=XY', 'on is the beginning of an authority’s id: 4 to 40 digits of lower-case hex'],
  ['lagging=maybe', 'lagging is true or false'],
  ['pod=cart-0', 'unknown field "pod"; there are namespace, on, lagging, limit'],
])('the socket refuses %s, too', async (query, says) => {
  await using server = await aDevServer()
  const answer = await server.admin('GET', `/v1/workloads?${query}`)
  expect(answer.json()).toMatchObject({ status: 400, code: 'invalid_argument', detail: says })
})

test('a server that was started again knows what is alive, and what is not', async () => {
  using directory = aDirectory()
  const clock = new SteeredClock()
  const serials = async (server: TestServer) => {
    await complete(server)
    const { svids } = (await server.admin('GET', '/v1/workloads')).json<{
      svids: { serial: string; proven: boolean }[]
    }>()
    return svids.map(({ serial, proven }) => [serial, proven])
  }
  let before: unknown[]
  {
    await using server = await aDevServer({ state: directory.path, clock })
    const cart = await issue(server, 'shop', 'cart')
    await issue(server, 'bank', 'teller')
    const renewed = await obtain(server.grpc(cart.tls), undefined)
    await server.api('POST', '/v1/certificates', {
      tls: renewed.tls,
      body: { csr: (await aCsr()).pem, ttlSeconds: 60 },
    })
    before = await serials(server)
    expect(before).toHaveLength(3)
  }
  {
    await using server = await aDevServer({ state: directory.path, clock })
    expect(await serials(server)).toEqual(before)
  }
  await clock.leap(2 * HOUR)
  await using server = await aDevServer({ state: directory.path, clock })
  expect(await serials(server)).toHaveLength(2)
})
