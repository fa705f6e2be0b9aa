import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { status } from '@grpc/grpc-js'
import { expect, onTestFinished, test } from 'vitest'
import { SECOND } from '../../src/core/duration.ts'
import { CaError } from '../../src/core/errors.ts'
import { type HttpAnswer, httpApplication, type Route } from '../../src/endpoints/admin/http.ts'
import { InFlight, METHODS } from '../../src/endpoints/edge.ts'
import { aDevServer } from '../_support/a-server.ts'
import { aCsr } from '../_support/csr.ts'
import { FakeClock } from '../_support/fake-clock.ts'
import { CREATE_CERTIFICATE } from '../_support/grpc-client.ts'
import { httpCall } from '../_support/http-client.ts'
import { FLAG, FRAME, frame, grpcHeaders, RawHttp2 } from '../_support/http2-frames.ts'
import { recordedEvents } from '../_support/recorded-events.ts'
import { seededRandom } from '../_support/seeded-random.ts'
import { until } from '../_support/until.ts'

test('an HTTP request that is not done after 15 s is told to come again, and its work is called off', async () => {
  const clock = new FakeClock()
  let given: AbortSignal | undefined
  const application = httpApplication({
    routes: [
      {
        method: 'GET',
        path: '/v1/status',
        handle: ({ signal }) => {
          given = signal
          return new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason)))
        },
      },
    ],
    inFlight: new InFlight({ issuing: 1, light: 1 }, recordedEvents()),
    events: recordedEvents(),
    clock,
    random: seededRandom(1),
    connectionOf: () => undefined,
  })
  const server = createServer(application).listen(0, '127.0.0.1')
  await once(server, 'listening')
  try {
    const asked = httpCall({ host: '127.0.0.1', port: (server.address() as AddressInfo).port }, 'GET', '/v1/status')
    await until('the request', () => given !== undefined)
    await clock.advance(15 * SECOND - 1)
    expect(given?.aborted).toBe(false)
    await clock.advance(1)
    expect(given?.aborted).toBe(true)
    expect((await asked).json()).toMatchObject({ status: 503, code: 'not_ready', detail: 'not done in time' })
  } finally {
    server.close().closeAllConnections()
  }
})

/** One route, whose limits and events are at hand, on loopback. */
async function serving(method: Route['method'], path: string, handle: Route['handle']) {
  const events = recordedEvents()
  const inFlight = new InFlight({ issuing: 1, light: 1 }, events)
  const server = createServer(
    httpApplication({
      routes: [{ method, path, handle }],
      inFlight,
      events,
      clock: new FakeClock(),
      random: seededRandom(1),
      connectionOf: () => undefined,
    }),
  ).listen(0, '127.0.0.1')
  await once(server, 'listening')
  onTestFinished(() => void server.close().closeAllConnections())
  const body = method === 'POST' ? { body: {} } : {}
  const ask = () => httpCall({ host: '127.0.0.1', port: (server.address() as AddressInfo).port }, method, path, body)
  return { ask, events, inFlight }
}

const done = async (): Promise<HttpAnswer> => ({ type: 'text/plain', body: 'done' })

test('a flood from outside takes no place from the admin’s verbs', async () => {
  const [light, taint] = [await serving('GET', '/crl', done), await serving('POST', '/v1/authorities/taint', done)]
  for (const { inFlight } of [light, taint]) {
    inFlight.enter('light', 'admin')
    inFlight.enter('issuing', 'admin')
  }
  expect((await light.ask()).status).toBe(429)
  expect((await taint.ask()).status).toBe(200)
  for (const [name, { auth, load }] of METHODS) expect([name, load === 'local']).toEqual([name, auth === 'local'])
})

test('the admin’s verbs are bounded, too', async () => {
  const { ask, inFlight } = await serving('POST', '/v1/authorities/taint', done)
  for (let n = 0; n < 63; n++) inFlight.enter('local', 'admin')
  expect((await ask()).status).toBe(200)
  inFlight.enter('local', 'admin')
  expect((await ask()).status).toBe(429)
})

test.each([
  ['POST', '/v1/authorities/taint', 1],
  ['GET', '/crl', 1],
  // The use case tells that one, with what it knows of the caller.
  ['POST', '/v1/certificates', 0],
] as const)('a fault of ours in %s %s is told %d times here, with its cause', async (method, path, times) => {
  const fault = new TypeError('undefined is not a function')
  const { ask, events } = await serving(method, path, () => Promise.reject(fault))
  const answer = await ask()
  expect(answer.json()).toMatchObject({ status: 500, detail: 'internal error; the server log has the details' })
  expect(events.told.filter(({ event }) => event === 'requestFailed')).toMatchObject(
    Array.from({ length: times }, () => ({
      event: 'requestFailed',
      args: [
        { requestId: answer.headers['x-request-id'], endpoint: 'admin', peer: 'unix socket' },
        { code: 'internal', cause: fault },
      ],
    })),
  )
})

test('a refusal is no fault of ours', async () => {
  const { ask, events } = await serving('GET', '/crl', () => Promise.reject(new CaError('not_found', 'no CRLs')))
  expect((await ask()).status).toBe(404)
  expect(events.told).toEqual([])
})

test('of calls that never end their message, all connections together keep 10,000 open', {
  timeout: 30_000,
}, async () => {
  await using server = await aDevServer()
  const [{ pem: csr }, token, client] = [await aCsr(), await server.devToken(), server.grpc()]
  const ask = () => client.createCertificate({ csr }, token)
  const begun = (n: number) => frame(FRAME.headers, FLAG.endHeaders, 2 * n + 1, grpcHeaders(CREATE_CERTIFICATE))
  const connections: RawHttp2[] = []
  /** Begins so many calls on a connection of their own; the answer to a ping says that they were read. */
  const begin = async (calls: number) => {
    const raw = await RawHttp2.connect(server.running.ca, server.trust)
    connections.push(raw)
    raw.send(...Array.from({ length: calls }, (_, n) => begun(n)), frame(FRAME.ping, 0, 0, Buffer.alloc(8)))
    await until('an answered ping', () => raw.of(FRAME.ping).some(({ flags }) => flags === FLAG.ack))
  }
  for (let n = 0; n < 99; n++) await begin(100)
  await begin(99)
  expect(await ask()).toMatchObject({ status: status.OK })
  await begin(1)
  expect(await ask()).toMatchObject({
    status: status.RESOURCE_EXHAUSTED,
    message: 'too many open calls; try again later',
    headers: { 'grpc-retry-pushback-ms': '1000' },
  })
  for (const raw of connections) raw[Symbol.dispose]()
  await until('room again', async () => (await ask()).status === status.OK)
})
