import { once } from 'node:events'
import { statSync, writeFileSync } from 'node:fs'
import { connect as tcpConnect } from 'node:net'
import { join } from 'node:path'
import { status } from '@grpc/grpc-js'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { SECOND } from '../../src/core/duration.ts'
import { AlcazarProcess } from '../_support/a-process.ts'
import { aPluggedServer, type Settings, TestCluster, type TestServer } from '../_support/a-server.ts'
import { aCsr } from '../_support/csr.ts'
import { BareGrpcClient } from '../_support/grpc-client.ts'
import { HeldReviews } from '../_support/held-reviews.ts'
import { httpCall } from '../_support/http-client.ts'
import { RawHttp2 } from '../_support/http2-frames.ts'
import { aRoot, writeCacerts } from '../_support/plugged-ca.ts'
import { scratch } from '../_support/scratch.ts'
import { SteeredClock } from '../_support/steered-clock.ts'
import { aMoment, until } from '../_support/until.ts'

let cluster: TestCluster
let held: HeldReviews
let token: string

beforeEach(async () => {
  cluster = await TestCluster.start()
  held = await HeldReviews.start(cluster.api)
  token = cluster.tokenOf(cluster.pod())
})
afterEach(async () => {
  held.release()
  await held[Symbol.asyncDispose]()
  await cluster[Symbol.asyncDispose]()
})

/** Every token is asked about, and the API server takes its time. */
const settings = (): Settings => ({ ...cluster.settings(held), 'attestation.authentication': 'token-review' })

describe('a server that ends', () => {
  const clock = new SteeredClock()
  const start = () =>
    aPluggedServer({
      cluster: cluster.settings(held),
      settings: { 'attestation.authentication': 'token-review' },
      clock,
    })

  const byGrpc = async (server: TestServer) =>
    (await server.grpc().createCertificate({ csr: (await aCsr()).pem }, token)).status
  const byJson = async (server: TestServer) => {
    const headers = { authorization: `Bearer ${token}` }
    return (await server.api('POST', '/v1/certificates', { body: { csr: (await aCsr()).pem }, headers })).status
  }

  test('answers what it is working on, by either protocol, and takes nothing new', async () => {
    await using server = await start()
    const answers = [byGrpc(server), byJson(server)]
    await until('two requests in flight', () => held.waiting === 2)
    const closed = server.running.close()
    const refused = await once(tcpConnect(server.running.ca), 'connect').then(
      () => 'connected',
      (error: NodeJS.ErrnoException) => error.code,
    )
    expect(refused).toBe('ECONNREFUSED')
    held.release()
    expect(await Promise.all(answers)).toEqual([status.OK, 200])
    await closed
  })

  test('does not wait for connections on which nothing happens', async () => {
    await using server = await start()
    using idle = await RawHttp2.connect(server.running.ca, server.trust)
    const agentless = httpCall({ ...server.running.ca, tls: server.trust }, 'GET', '/v1/status')
    expect((await agentless).status).toBe(200)
    await server.running.close()
    await until('the end of the connection', () => !idle.isOpen)
  })

  test('waits eight seconds, and no longer', async () => {
    await using server = await start()
    const answer = byGrpc(server).catch(() => 'hung up on')
    await until('a request in flight', () => held.waiting === 1)
    let over = false
    const closed = server.running.close().then(() => {
      over = true
    })
    await clock.leap(7 * SECOND)
    await aMoment()
    expect(over).toBe(false)
    await clock.leap(SECOND)
    await closed
    expect(await answer).toBe('hung up on')
  })

  test('is asked twice and ends once', async () => {
    await using server = await start()
    await Promise.all([server.running.close(), server.running.close()])
    await server.running.close()
  })
})

const within = (ms: number, ending: Promise<unknown>) =>
  Promise.race([ending, new Promise((done) => setTimeout(() => done(`not within ${ms} ms`), ms))])

describe('the process', () => {
  async function aProcess() {
    const [cacerts, state, root] = [scratch(), join(scratch(), 'state'), await aRoot()]
    await writeCacerts(cacerts, root, [root], [root])
    const config = join(scratch(), 'config.json')
    const { 'attestation.authentication': authentication, ...api } = settings()
    const attestation = Object.fromEntries(Object.entries(api).map(([key, value]) => [key.split('.')[1], value]))
    writeFileSync(
      config,
      JSON.stringify({
        pluggedCa: cacerts,
        stateDirectory: state,
        listen: '127.0.0.1:0',
        healthListen: '127.0.0.1:0',
        attestation: { ...attestation, authentication },
        log: { format: 'json' },
      }),
    )
    const alcazar = new AlcazarProcess(['serve', '--config', config])
    const ca = await alcazar.serving()
    const client = new BareGrpcClient(ca, { rejectUnauthorized: false })
    const ask = async () => (await client.createCertificate({ csr: (await aCsr()).pem }, token)).status
    return { alcazar, state, ask }
  }

  test('finishes what it is working on when it gets SIGTERM, and exits 0', async () => {
    const { alcazar, state, ask } = await aProcess()
    await using _ = alcazar
    expect(statSync(join(state, 'admin.sock')).mode & 0o777).toBe(0o600)
    const answer = ask()
    await until('a request in flight', () => held.waiting === 1)
    alcazar.child.kill('SIGTERM')
    await until('it says that it ends', () => alcazar.err.includes('ending: running requests may finish'))
    held.release()
    expect(await answer).toBe(status.OK)
    expect(await within(4000, alcazar.ended), 'as soon as it is done').toBe(0)
    expect(alcazar.log.at(-1)).toMatchObject({ message: 'ended' })
    expect(alcazar.out).toBe('')
  })

  test('exits at once when it gets a second one', async () => {
    const { alcazar, ask } = await aProcess()
    await using _ = alcazar
    ask().catch(() => 'hung up on')
    await until('a request in flight', () => held.waiting === 1)
    alcazar.child.kill('SIGTERM')
    await until('it says that it ends', () => alcazar.err.includes('ending: running requests may finish'))
    await aMoment()
    expect(alcazar.child.exitCode).toBeNull()
    alcazar.child.kill('SIGTERM')
    expect(await within(2000, alcazar.ended)).toBe(1)
  })

  test('starts in dev mode, says how to go on, and ends on SIGINT', async () => {
    const state = join(scratch(), 'state')
    const flags = ['--listen', '127.0.0.1:0', '--health-listen', '127.0.0.1:0', '--state-directory', state]
    await using alcazar = new AlcazarProcess(['serve', '--dev', ...flags])
    await until('it says how to go on', () => alcazar.out.includes('npx alcazar issue'), 15_000)
    await using second = new AlcazarProcess(['serve', '--dev', ...flags])
    expect(await second.ended).toBe(6)
    expect(second).toMatchObject({
      out: '',
      err: expect.stringMatching(/^alcazar: another Alcazar server is using .*\n$/),
    })
    expect(alcazar.child.exitCode).toBeNull()
    alcazar.child.kill('SIGINT')
    expect(await within(4000, alcazar.ended)).toBe(0)
  })
})
