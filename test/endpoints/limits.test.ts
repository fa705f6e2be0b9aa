import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { status } from '@grpc/grpc-js'
import { expect, test } from 'vitest'
import { SECOND } from '../../src/core/duration.ts'
import { httpApplication } from '../../src/endpoints/admin/http.ts'
import { InFlight } from '../../src/endpoints/edge.ts'
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
