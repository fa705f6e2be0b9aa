import { once } from 'node:events'
import { connect as tcpConnect } from 'node:net'
import { type ConnectionOptions, connect as tlsConnect } from 'node:tls'
import { status } from '@grpc/grpc-js'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { SECOND } from '../../src/core/duration.ts'
import type { Patience } from '../../src/endpoints/edge.ts'
import { aDevServer, type TestServer } from '../_support/a-server.ts'
import { aCsr } from '../_support/csr.ts'
import { CREATE_CERTIFICATE, framed } from '../_support/grpc-client.ts'
import { FLAG, FRAME, frame, grpcHeaders, RawHttp2 } from '../_support/http2-frames.ts'
import { SteeredClock } from '../_support/steered-clock.ts'
import { aMoment, until } from '../_support/until.ts'

/** In milliseconds: what a minute is outside is a moment here. */
const patience: Patience = {
  handshake: 200,
  headers: 200,
  request: 400,
  keepAlive: 200,
  idle: 500,
  pingEvery: 200,
  pingAnswer: 200,
}
const WITHIN = 3000

let server: TestServer
const clock = new SteeredClock()

beforeAll(async () => {
  server = await aDevServer({ patience, clock })
})
afterAll(() => server[Symbol.asyncDispose]())

/** A byte now and then, for ever, as Slowloris does. */
function trickle(socket: { write: (bytes: Uint8Array) => unknown; destroyed: boolean }, bytes: Uint8Array): Disposable {
  let at = 0
  const timer = setInterval(() => {
    if (!socket.destroyed) socket.write(bytes.subarray(at, ++at))
  }, 50)
  return { [Symbol.dispose]: () => clearInterval(timer) }
}

async function aTcpConnection() {
  const socket = tcpConnect(server.running.ca)
  socket.on('error', () => undefined)
  await once(socket, 'connect')
  socket.resume()
  return Object.assign(socket, { [Symbol.dispose]: () => socket.destroy() })
}

async function aTlsConnection(options: ConnectionOptions = {}) {
  const socket = tlsConnect({ ...server.running.ca, ...server.trust, ...options })
  socket.on('error', () => undefined)
  await once(socket, 'secureConnect')
  socket.resume()
  return Object.assign(socket, { [Symbol.dispose]: () => socket.destroy() })
}

const ended = (socket: { destroyed: boolean; readableEnded: boolean }) =>
  until('the end of the connection', () => socket.destroyed || socket.readableEnded, WITHIN)

const connect = (options = {}) => RawHttp2.connect(server.running.ca, server.trust, options)
const headers = (flags: number, stream = 1) => frame(FRAME.headers, flags, stream, grpcHeaders(CREATE_CERTIFICATE))
const closed = (raw: RawHttp2) => until('the end of the connection', () => !raw.isOpen, WITHIN)

/** The first bytes of a ClientHello that says it has 512. */
const HELLO = Buffer.concat([Buffer.from('1603010200010001fc0303', 'hex'), Buffer.alloc(500, 7)])

describe.concurrent('a handshake is hung up on', () => {
  test('that never begins', async () => {
    using socket = await aTcpConnection()
    await ended(socket)
  })

  test('that stops half-way', async () => {
    using socket = await aTcpConnection()
    socket.write(HELLO.subarray(0, 100))
    await ended(socket)
  })

  test('that comes a byte at a time', async () => {
    using socket = await aTcpConnection()
    using _ = trickle(socket, HELLO)
    await ended(socket)
  })
})

describe.concurrent('an HTTP/1.1 connection is hung up on', () => {
  const POST =
    'POST /v1/certificates HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 999\r\n\r\n'

  test('that asks nothing', async () => {
    using socket = await aTlsConnection()
    await ended(socket)
  })

  test.for([
    ['headers', `GET /v1/status HTTP/1.1\r\nHost: localhost\r\nX: ${'y'.repeat(1000)}`, 0],
    ['a body', POST + ' '.repeat(999), POST.length],
  ] as const)('that sends %s a byte at a time', async ([, text, atOnce]) => {
    using socket = await aTlsConnection()
    socket.write(text.slice(0, atOnce))
    using _ = trickle(socket, Buffer.from(text.slice(atOnce)))
    await ended(socket)
  })

  test('that asks nothing more', async () => {
    using socket = await aTlsConnection()
    socket.write('GET /v1/status HTTP/1.1\r\nHost: localhost\r\n\r\n')
    await once(socket, 'data')
    await ended(socket)
  })
})

describe.concurrent('an HTTP/2 connection is hung up on', () => {
  test('that says nothing', async () => {
    using raw = await connect({ greet: false })
    await closed(raw)
  })

  test('that greets a byte at a time', async () => {
    using raw = await connect({ greet: false })
    using _ = trickle(raw.socket, Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'))
    await closed(raw)
  })

  test('that greets and is gone', async () => {
    using raw = await connect()
    await closed(raw)
  })

  test('that is there and calls nothing', async () => {
    using raw = await connect()
    raw.answerPings()
    await closed(raw)
    expect(raw.of(FRAME.ping).length, 'times it was asked and answered').toBeGreaterThan(0)
  })

  test('that never ends its headers', async () => {
    using raw = await connect()
    raw.answerPings()
    raw.send(headers(FLAG.none))
    await closed(raw)
  })

  test('that never asks anything more', async () => {
    using raw = await connect()
    raw.answerPings()
    raw.send(headers(FLAG.endHeaders), frame(FRAME.data, FLAG.endStream, 1, framed(Buffer.alloc(0))))
    await closed(raw)
  })

  test('whose call of an unknown method never ends', async () => {
    using raw = await connect()
    raw.answerPings()
    raw.send(frame(FRAME.headers, FLAG.endHeaders, 1, grpcHeaders('/no.such.Service/Method')))
    await closed(raw)
  })
})

describe('an HTTP/2 connection is hung up on after 15 s', () => {
  test.for([
    ['no message', Buffer.alloc(0)],
    ['half a message', framed(Buffer.alloc(100)).subarray(0, 50)],
    ['a message without the end of the call', framed(Buffer.alloc(0))],
  ] as const)('whose call brings %s', async ([, bytes]) => {
    using raw = await connect()
    raw.answerPings()
    raw.send(headers(FLAG.endHeaders), frame(FRAME.data, FLAG.none, 1, bytes))
    await aMoment()
    expect(raw.isOpen).toBe(true)
    await clock.leap(16 * SECOND)
    await closed(raw)
  })
})

test('reflection that is asked and not done within 15 s costs its connection', async () => {
  using raw = await connect()
  raw.answerPings()
  const reflection = grpcHeaders('/grpc.reflection.v1.ServerReflection/ServerReflectionInfo')
  raw.send(frame(FRAME.headers, FLAG.endHeaders, 1, reflection))
  await aMoment()
  expect(raw.isOpen).toBe(true)
  await clock.leap(16 * SECOND)
  await closed(raw)
})

test('what is no handshake is hung up on at once, and counted', async () => {
  const before = await server.metric('alcazar_connections_closed_total{why="handshake"}')
  using socket = await aTcpConnection()
  socket.write('GET / HTTP/1.1\r\nHost: localhost\r\n\r\n')
  await ended(socket)
  expect(await server.metric('alcazar_connections_closed_total{why="handshake"}')).toBe(before + 1)
})

describe('a connection stays', () => {
  test('that calls now and then', async () => {
    const client = server.grpc()
    const token = await server.devToken()
    for (let round = 0; round < 5; round++) {
      expect(await client.createCertificate({ csr: (await aCsr()).pem }, token)).toMatchObject({ status: status.OK })
      await new Promise((done) => setTimeout(done, 200))
    }
    expect(client.session.closed).toBe(false)
  })
})

describe('connections beyond the limit', () => {
  test('are closed at once, and those within it go on', async () => {
    await using small = await aDevServer({ settings: { 'limits.connections': '3' } })
    const token = await small.devToken()
    const client = small.grpc()
    const { pem: csr } = await aCsr()
    expect(await client.createCertificate({ csr }, token)).toMatchObject({ status: status.OK })
    const others = await Promise.all(
      Array.from({ length: 2 }, () => RawHttp2.connect(small.running.ca, small.trust, {})),
    )
    await expect(RawHttp2.connect(small.running.ca, small.trust, {})).rejects.toThrow()
    await until('the count', async () => (await small.metric('alcazar_connections_closed_total{why="too many"}')) === 1)
    expect(await client.createCertificate({ csr }, token)).toMatchObject({ status: status.OK })
    for (const other of others) other[Symbol.dispose]()
    await until('a free place', async () => {
      using next = await RawHttp2.connect(small.running.ca, small.trust, {}).catch(() => undefined)
      return next !== undefined
    })
  })
})
