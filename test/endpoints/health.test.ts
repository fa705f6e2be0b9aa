import { connect } from 'node:net'
import { status } from '@grpc/grpc-js'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { HOUR } from '../../src/core/duration.ts'
import { aDevServer, aPluggedServer, TestCluster, type TestServer } from '../_support/a-server.ts'
import { aCsr } from '../_support/csr.ts'
import { aRoot, writeCacerts } from '../_support/plugged-ca.ts'
import { SteeredClock } from '../_support/steered-clock.ts'
import { until } from '../_support/until.ts'

let server: TestServer

beforeAll(async () => {
  server = await aDevServer()
})
afterAll(() => server[Symbol.asyncDispose]())

describe('a server that can sign', () => {
  test('answers probes while idle peers hold all the connections that there may be', async () => {
    const { host, port } = server.running.health
    const idle = Array.from({ length: 300 }, () => connect(port, host).on('error', () => undefined))
    await Promise.all(idle.map((socket) => new Promise((done) => socket.once('connect', done))))
    for (let probe = 0; probe < 3; probe++) expect(await server.health('/healthz')).toMatchObject({ status: 200 })
    for (const socket of idle) socket.destroy()
  })

  test.for([
    ['/healthz', 'ok\n'],
    ['/readyz', 'ok\n'],
    ['/version', '0.0.0-test\n'],
  ] as const)('says at %s: %s', async ([path, text]) => {
    expect(await server.health(path)).toMatchObject({
      status: 200,
      text,
      headers: { 'content-type': 'text/plain; charset=utf-8' },
    })
  })

  test('counts at /metrics, under its own names and Citadel’s', async () => {
    const names = [
      'alcazar_svids_issued_total{endpoint="istio-ca",method="service-account-token",key="ecdsa-p256"}',
      'citadel_server_csr_count',
      'citadel_server_success_cert_issuance_count',
      'alcazar_svids_refused_total{endpoint="admin",code="unauthenticated",reason="malformed_token"}',
      'citadel_server_authentication_failure_count',
    ]
    const counted = () => Promise.all(names.map((name) => server.metric(name)))
    const before = await counted()
    const { pem: csr } = await aCsr()
    await server.grpc().createCertificate({ csr }, await server.devToken())
    await server.api('POST', '/v1/certificates', { body: { csr }, headers: { authorization: 'Bearer a.b.c.d' } })
    const after = await counted()
    expect(after.map((count, index) => count - (before[index] ?? 0))).toEqual([1, 2, 1, 1, 1])
    expect(await server.metric('alcazar_ready')).toBe(1)
  })

  test('answers /metrics in the format that Prometheus reads', async () => {
    const { headers, text } = await server.health('/metrics')
    expect(headers['content-type']).toMatch(/^text\/plain; version=0\.0\.4/)
    for (const line of text.split('\n').filter((one) => one !== ''))
      expect(line).toMatch(/^(# (HELP|TYPE) \w+ .+|\w+(\{\w+=".*"\})? [-+\d.eInfNa]+)$/)
  })

  test.for(['GET /', 'GET /metrics/x', 'POST /healthz', 'DELETE /metrics', 'GET /v1/status', 'GET /debug/pprof'])(
    'serves nothing else there: %s',
    async (line) => {
      const [method, path = ''] = line.split(' ')
      expect(await server.health(path, method)).toMatchObject({
        status: 404,
        text: 'there are /healthz, /readyz, /metrics and /version\n',
      })
    },
  )

  test.for([
    ['what is no request', '\0\0\0\r\n\r\n'],
    ['headers of 10 KB', `GET / HTTP/1.1\r\nHost: x\r\nX: ${'y'.repeat(10_000)}\r\n\r\n`],
  ] as const)('hangs up on %s, and goes on', async ([, bytes]) => {
    const socket = connect(server.running.health, () => socket.write(bytes))
    socket.on('error', () => undefined)
    socket.resume()
    await until('the end of the connection', () => socket.destroyed)
    expect((await server.health('/healthz')).status).toBe(200)
  })
})

describe('a server that never reached its API server', () => {
  test('can tell nobody’s identity: it is not ready and says why, and is alive', async () => {
    await using cluster = await TestCluster.start()
    const root = await aRoot()
    await using lost = await aPluggedServer({
      cluster: { ...cluster.settings(), 'attestation.apiServer': 'https://127.0.0.1:1' },
      cacerts: (directory) => writeCacerts(directory, root, [root], [root]),
    })
    expect(await lost.health('/readyz')).toMatchObject({ status: 503, text: expect.stringContaining('token keys') })
    expect(await lost.health('/healthz')).toMatchObject({ status: 200 })
  })
})

describe('a server whose root has ended', () => {
  test('can’t prove a signature: it is not ready and says why, is alive, and issues nothing', async () => {
    const clock = new SteeredClock()
    const settings = {
      'root.lifetime': '1h',
      'issuing.lifetime': '30m',
      'svid.defaultTtl': '1m',
      'svid.maxTtl': '1m',
    }
    await using late = await aDevServer({ clock, settings })
    const client = late.grpc()
    const token = await late.devToken()
    const { pem: csr } = await aCsr()
    expect(await client.createCertificate({ csr }, token)).toMatchObject({ status: status.OK })
    await clock.leap(2 * HOUR)
    await until('not ready', async () => (await late.health('/readyz')).status === 503)
    expect(await late.health('/readyz')).toMatchObject({
      status: 503,
      text: expect.stringMatching(/^(the issuing authority has ended|a signature made now would not verify: .+)\n$/),
    })
    expect((await late.health('/healthz')).status).toBe(200)
    expect(await late.metric('alcazar_ready')).toBe(0)
    const answer = await late.grpc({ rejectUnauthorized: false }).createCertificate({ csr }, await late.devToken())
    expect(answer).toMatchObject({ status: status.UNAVAILABLE })
    expect(late.ledger().filter(({ kind }) => kind === 'issued')).toHaveLength(1)
  })
})
