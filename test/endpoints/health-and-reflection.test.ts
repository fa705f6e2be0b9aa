import { mkdirSync, rmdirSync } from 'node:fs'
import { join } from 'node:path'
import { type ClientReadableStream, loadPackageDefinition, type ServiceClientConstructor, status } from '@grpc/grpc-js'
import { loadFileDescriptorSetFromBuffer } from '@grpc/proto-loader'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { DAY, SECOND } from '../../src/core/duration.ts'
import { METHODS } from '../../src/endpoints/edge.ts'
import {
  HealthCheckRequest,
  HealthCheckResponse,
  HealthListRequest,
  HealthListResponse,
  HealthCheckResponse_ServingStatus as Serving,
} from '../../src/gen/grpc/health.ts'
import { aDevServer, type TestServer } from '../_support/a-server.ts'
import { aCsr } from '../_support/csr.ts'
import { LibraryClient } from '../_support/library-client.ts'
import { reflect } from '../_support/reflection-client.ts'
import { SteeredClock } from '../_support/steered-clock.ts'
import { until } from '../_support/until.ts'

const CHECK = { request: HealthCheckRequest, response: HealthCheckResponse }
const LIST = { request: HealthListRequest, response: HealthListResponse }
const ISTIO = 'istio.v1.auth.IstioCertificateService'

let server: TestServer
let client: LibraryClient

beforeAll(async () => {
  server = await aDevServer()
  client = new LibraryClient(server.running.ca, server.roots)
})
afterAll(async () => {
  client.library.close()
  await server[Symbol.asyncDispose]()
})

const check = (service: string, by = client) => by.unary('/grpc.health.v1.Health/Check', CHECK, { service })
const list = (by = client) => by.unary('/grpc.health.v1.Health/List', LIST, {})

/** What a Watch said so far, and its end. */
function watch(service: string, by = client) {
  const stream: ClientReadableStream<HealthCheckResponse> = by.stream('/grpc.health.v1.Health/Watch', CHECK, {
    service,
  })
  const said: HealthCheckResponse_[] = []
  let ended: number | undefined
  stream.on('data', (answer: HealthCheckResponse) => said.push(answer.status))
  stream.on('error', (error: Error & { code?: number }) => {
    ended = error.code
  })
  stream.on('status', (last: { code: number }) => {
    ended = last.code
  })
  return { said, ended: () => ended, cancel: () => stream.cancel() }
}
type HealthCheckResponse_ = HealthCheckResponse['status']

describe('health by gRPC', () => {
  test.for(['', ISTIO])('Check of %j says serving', async (service) => {
    expect(await check(service)).toEqual({ status: Serving.SERVING })
  })

  test.for([
    ['one that nobody offers', 'unknown'],
    ['this one, which nobody asks about', 'grpc.health.v1.Health'],
    ['a known name and a space', `${ISTIO} `],
    ['a name every object has', '__proto__'],
    ['a name of 10,000 letters', 'x'.repeat(10_000)],
  ] as const)('Check of an unknown service says not found: %s', async ([, service]) => {
    await expect(check(service)).rejects.toMatchObject({ code: status.NOT_FOUND })
  })

  test('List names what Check knows', async () => {
    expect(await list()).toEqual({
      statuses: { '': { status: Serving.SERVING }, [ISTIO]: { status: Serving.SERVING } },
    })
  })

  test('Watch of a service says its status at once and stays open', async () => {
    const watched = watch(ISTIO)
    await until('the first answer', () => watched.said.length === 1)
    expect(watched.said).toEqual([Serving.SERVING])
    expect(watched.ended()).toBeUndefined()
    watched.cancel()
  })

  test('Watch of an unknown service says so and stays open, as the protocol wants', async () => {
    const watched = watch('unknown')
    await until('the first answer', () => watched.said.length === 1)
    expect(watched.said).toEqual([Serving.SERVICE_UNKNOWN])
    expect(watched.ended()).toBeUndefined()
    watched.cancel()
  })

  test('four watches are open on a connection at a time: the fifth is told to come again', async () => {
    using own = new LibraryClient(server.running.ca, server.roots, {}, { 'grpc.use_local_subchannel_pool': 1 })
    const open = ['', ISTIO, 'unknown', ''].map((service) => watch(service, own))
    await until('four answers', () => open.every((one) => one.said.length === 1))
    const fifth = watch('', own)
    await until('the end of the fifth', () => fifth.ended() !== undefined)
    expect(fifth.ended()).toBe(status.RESOURCE_EXHAUSTED)
    open[0]?.cancel()
    await until('a free place', async () => {
      const next = watch('', own)
      await until('an answer', () => next.said.length > 0 || next.ended() !== undefined)
      next.cancel()
      return next.said.length === 1
    })
  })

  test('keeps nothing of the names that were watched', async () => {
    for (let round = 0; round < 2; round++) {
      using own = new LibraryClient(server.running.ca, server.roots, {}, { 'grpc.use_local_subchannel_pool': 1 })
      for (let n = 0; n < 20; n++) {
        const watched = watch(`unknown-${round}-${n}`, own)
        await until('an answer', () => watched.said.length > 0 || watched.ended() !== undefined)
        expect(watched.said).toEqual([Serving.SERVICE_UNKNOWN])
        watched.cancel()
      }
      expect(Object.keys((await list(own)).statuses)).toEqual(['', ISTIO])
    }
  })
})

describe('a server that can’t write its ledger', () => {
  /** A second before midnight: the next day's ledger can't be opened. */
  async function aServerWithoutTomorrow() {
    const now = new Date()
    const midnight = Math.floor(now.getTime() / DAY) * DAY
    const clock = new SteeredClock({ aheadMs: midnight - now.getTime() - 5 * SECOND })
    const late = await aDevServer({ clock })
    const tomorrow = join(late.state, 'ledger', `${new Date(midnight).toISOString().slice(0, 10)}.jsonl`)
    mkdirSync(tomorrow, { recursive: true })
    return { clock, late, tomorrow }
  }

  test('issues nothing, says so by health and readiness, goes on when it can, and ends as ever', async () => {
    // Not disposed of on the way out: a server that hangs here would keep the whole run waiting.
    const { clock, late, tomorrow } = await aServerWithoutTomorrow()
    using by = new LibraryClient(late.running.ca, late.roots, {}, { 'grpc.use_local_subchannel_pool': 1 })
    const token = await late.devToken()
    const client = late.grpc()
    const issue = async () =>
      Promise.race([
        client.createCertificate({ csr: (await aCsr()).pem }, token),
        new Promise((done) => setTimeout(() => done('no answer within a second'), 1000)),
      ])
    const watched = watch('', by)
    await until('serving', () => watched.said.at(-1) === Serving.SERVING)
    await clock.leap(6 * SECOND)
    for (let round = 0; round < 3; round++)
      expect(await issue(), `request ${round + 1}`).toMatchObject({
        status: status.UNAVAILABLE,
        message: 'the ledger can’t be written, so nothing is issued; try again later',
      })
    await clock.leap(6 * SECOND)
    await until('not serving', () => watched.said.at(-1) === Serving.NOT_SERVING)
    expect(await late.health('/readyz')).toMatchObject({ status: 503, text: 'the ledger can’t be written\n' })
    expect(await late.health('/healthz')).toMatchObject({ status: 200 })
    expect(await late.metric('alcazar_ready')).toBe(0)
    rmdirSync(tomorrow)
    expect(await issue()).toMatchObject({ status: status.OK })
    await clock.leap(6 * SECOND)
    await until('serving again', () => watched.said.at(-1) === Serving.SERVING)
    watched.cancel()
    await late[Symbol.asyncDispose]()
  })
})

test('a server that ends tells who watches before it hangs up', async () => {
  const ending = await aDevServer()
  using by = new LibraryClient(ending.running.ca, ending.roots, {}, { 'grpc.use_local_subchannel_pool': 1 })
  const watched = watch('', by)
  await until('serving', () => watched.said.at(-1) === Serving.SERVING)
  await ending[Symbol.asyncDispose]()
  await until('the end of the watch', () => watched.ended() !== undefined)
  expect(watched).toMatchObject({ said: [Serving.SERVING, Serving.NOT_SERVING] })
  expect(watched.ended()).toBe(status.UNAVAILABLE)
})

describe.for(['v1', 'v1alpha'] as const)('reflection %s', (version) => {
  test('lists the services there are', async () => {
    const [answer] = await reflect(client, version, [{ listServices: '*' }])
    const names = answer?.listServicesResponse?.service.map(({ name }) => name) ?? []
    const served = [...METHODS.keys()].filter((name) => name.startsWith('/')).map((path) => path.split('/')[1])
    expect(names.toSorted()).toEqual([...new Set(served)].filter((name) => !name?.includes('.reflection.')).toSorted())
  })

  test('describes them well enough to call them by nothing else', async () => {
    const [answer] = await reflect(client, version, [{ fileContainingSymbol: 'grpc.health.v1.Health' }])
    const loaded = loadPackageDefinition(
      loadFileDescriptorSetFromBuffer(descriptorSet(answer?.fileDescriptorResponse?.fileDescriptorProto ?? [])),
    ) as unknown as { grpc: { health: { v1: { Health: ServiceClientConstructor } } } }
    const { Check } = loaded.grpc.health.v1.Health.service
    const said = await new Promise((resolve, reject) =>
      client.library.makeUnaryRequest(
        Check?.path ?? '',
        Check?.requestSerialize as (message: object) => Buffer,
        Check?.responseDeserialize as (bytes: Buffer) => unknown,
        { service: ISTIO },
        (error, answered) => (error ? reject(error) : resolve(answered)),
      ),
    )
    expect(said).toEqual({ status: Serving.SERVING })
  })

  test('describes a service with all the files it stands on', async () => {
    const [answer] = await reflect(client, version, [{ fileContainingSymbol: ISTIO }])
    const files = answer?.fileDescriptorResponse?.fileDescriptorProto ?? []
    expect(Buffer.concat([...files]).toString('latin1')).toMatch(/IstioCertificateRequest/)
    expect(Buffer.concat([...files]).toString('latin1')).toMatch(/google\/protobuf\/struct.proto/)
  })

  test('says not found for what there is not', async () => {
    const answers = await reflect(client, version, [
      { fileContainingSymbol: 'no.such.Service' },
      { fileByFilename: 'no/such.proto' },
      { allExtensionNumbersOfType: 'no.such.Type' },
    ])
    expect(answers.map(({ errorResponse }) => errorResponse?.errorCode)).toEqual(Array(3).fill(status.NOT_FOUND))
  })

  test('knows nothing by the names that every object of JavaScript has', async () => {
    const names = ['constructor', '__proto__', 'toString', 'hasOwnProperty']
    const answers = await reflect(
      client,
      version,
      names.flatMap((name) => [{ fileContainingSymbol: name }, { fileByFilename: name }]),
    )
    expect(answers).toHaveLength(2 * names.length)
    for (const { fileDescriptorResponse: found } of answers)
      expect(Buffer.concat([...(found?.fileDescriptorProto ?? [])])).toHaveLength(0)
  })
})

/** google.protobuf.FileDescriptorSet: its field 1, repeated. */
function descriptorSet(files: readonly Buffer[]): Buffer {
  return Buffer.concat(
    files.map((file) => {
      const length: number[] = []
      let rest = file.length
      for (; rest >= 128; rest >>= 7) length.push((rest & 127) | 128)
      return Buffer.concat([Buffer.of(0x0a, ...length, rest), file])
    }),
  )
}
