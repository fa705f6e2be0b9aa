import { randomBytes } from 'node:crypto'
import { status } from '@grpc/grpc-js'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { aDevServer, type TestServer } from '../_support/a-server.ts'
import { aCsr } from '../_support/csr.ts'
import { CREATE_CERTIFICATE, framed } from '../_support/grpc-client.ts'
import { FLAG, FRAME, frame, grpcHeaders, indexed, literal, number32, RawHttp2 } from '../_support/http2-frames.ts'
import { aMoment, until } from '../_support/until.ts'

const MIB = 1024 * 1024
/** No abuser gets this much through: a mebibyte is free, and some more comes at loopback's speed between two looks at it. */
const BOUND = 64 * MIB

let server: TestServer
let token: string

beforeAll(async () => {
  server = await aDevServer()
  token = await server.devToken()
})
afterAll(() => server[Symbol.asyncDispose]())

/** Somebody else, who goes on asking for certificates as long as it takes, and gets every one. */
async function besides<T>(attack: () => Promise<T>): Promise<T> {
  const client = server.grpc()
  const { pem: csr } = await aCsr()
  const answers: number[] = []
  let over = false
  const asking = (async () => {
    while (!over) answers.push((await client.createCertificate({ csr }, token)).status)
    answers.push((await client.createCertificate({ csr }, token)).status)
  })()
  try {
    return await attack()
  } finally {
    over = true
    await asking
    client.close()
    expect(new Set(answers), 'what the others were answered').toEqual(new Set([status.OK]))
  }
}

const connect = (options = {}) => RawHttp2.connect(server.running.ca, server.trust, options)
const many = (count: number, one: (n: number) => Uint8Array) =>
  Buffer.concat(Array.from({ length: count }, (_, n) => one(n)))
const headersOf = (
  stream: number,
  flags: number = FLAG.endHeaders,
  more: readonly (readonly [string, string])[] = [],
) => frame(FRAME.headers, flags, stream, grpcHeaders(CREATE_CERTIFICATE, more))
/** The nth stream a client opens. */
const stream = (n: number) => 2 * n + 1

/** Fills the dynamic table with one long field, and names it again and again: 64 KiB that unfold to 250 MiB. */
function bomb(round: number): Buffer {
  const fill = Buffer.concat([grpcHeaders(CREATE_CERTIFICATE), indexed('x-long', 'x'.repeat(4000))])
  const parts = [
    frame(FRAME.headers, 0, stream(round), fill),
    ...Array.from({ length: 4 }, () => frame(FRAME.continuation, 0, stream(round), Buffer.alloc(16_000, 0xbe))),
  ]
  return Buffer.concat([...parts, frame(FRAME.continuation, FLAG.endHeaders, stream(round))])
}

type Flood = readonly [what: string, next: (round: number) => Uint8Array, before?: Uint8Array]

const floods: readonly Flood[] = [
  [
    'rapid reset: calls that are taken back at once',
    (round) =>
      many(50, (n) =>
        Buffer.concat([headersOf(stream(round * 50 + n)), frame(FRAME.reset, 0, stream(round * 50 + n), number32(8))]),
      ),
  ],
  [
    'rapid reset after the whole request was sent',
    (round) =>
      many(20, (n) => {
        const id = stream(round * 20 + n)
        return Buffer.concat([
          headersOf(id),
          frame(FRAME.data, FLAG.endStream, id, framed(Buffer.alloc(0))),
          frame(FRAME.reset, 0, id, number32(8)),
        ])
      }),
  ],
  [
    'made to reset: calls that we have to take back (MadeYouReset)',
    (round) =>
      many(50, (n) => Buffer.concat([headersOf(stream(round * 50 + n)), windowUpdate(stream(round * 50 + n), 0)])),
  ],
  [
    'CONTINUATION without an end',
    () => many(100, () => frame(FRAME.continuation, 0, 1, literal('x', 'y'))),
    headersOf(1, 0),
  ],
  ['empty CONTINUATION without an end', () => many(1000, () => frame(FRAME.continuation, 0, 1)), headersOf(1, 0)],
  ['SETTINGS', () => many(1000, () => frame(FRAME.settings, 0, 0))],
  [
    'SETTINGS of a thousand values',
    () =>
      frame(
        FRAME.settings,
        0,
        0,
        many(1000, () => setting(1, 4096)),
      ),
  ],
  ['SETTINGS acknowledgements', () => many(1000, () => frame(FRAME.settings, FLAG.ack, 0))],
  ['PING', () => many(500, () => frame(FRAME.ping, 0, 0, Buffer.alloc(8)))],
  ['PING answers nobody asked for', () => many(500, () => frame(FRAME.ping, FLAG.ack, 0, Buffer.alloc(8)))],
  [
    'PRIORITY',
    (round) => many(500, (n) => frame(FRAME.priority, 0, stream((round * 500 + n) % 5000), Buffer.alloc(5, 1))),
  ],
  ['WINDOW_UPDATE', () => many(1000, () => windowUpdate(0, 1))],
  ['empty DATA', () => many(1000, () => frame(FRAME.data, 0, 1)), headersOf(1)],
  [
    'DATA that is nothing but padding',
    () => many(50, () => frame(FRAME.data, FLAG.padded, 1, Buffer.alloc(256, 255).fill(0, 1))),
    headersOf(1),
  ],
  ['frames of a type nobody knows', () => many(1000, () => frame(0xfe, 0, 0))],
  ['GOAWAY', () => many(500, () => frame(FRAME.goAway, 0, 0, Buffer.alloc(8)))],
  ['HPACK bombs', bomb],
  ['header lists of a megabyte', (round) => headerList(stream(round), 64)],
  ['header lists of ten thousand fields', (round) => fields(stream(round), 10_000)],
  [
    'headers without a name',
    () => many(100, () => frame(FRAME.continuation, 0, 1, Buffer.alloc(300))),
    headersOf(1, 0),
  ],
  ['more calls than may be open', (round) => many(50, (n) => headersOf(stream(round * 50 + n)))],
  ['calls of a method nobody serves', (round) => many(20, (n) => unknownCall(stream(round * 20 + n)))],
  ['pushes', () => many(100, () => frame(FRAME.push, FLAG.endHeaders, 1, Buffer.alloc(8, 2))), headersOf(1)],
  ['broken HPACK', (round) => frame(FRAME.headers, FLAG.endHeaders, stream(round), Buffer.alloc(64, 0xff))],
  ['noise', () => randomBytes(4096)],
]

describe('a flood is bounded, its connection closed, and everybody else served:', () => {
  test.for(floods)('%s', async ([, next, before]) => {
    await besides(async () => {
      using raw = await connect()
      if (before) raw.send(before)
      const sent = await raw.flood(next, BOUND)
      expect(sent, 'bytes that were taken').toBeLessThan(BOUND)
      await until('the end of the connection', () => !raw.isOpen)
    })
  })

  test.for([
    ['SETTINGS', () => many(1000, () => frame(FRAME.settings, 0, 0))],
    ['PING', () => many(500, () => frame(FRAME.ping, 0, 0, Buffer.alloc(8)))],
    ['calls', (round: number) => many(20, (n) => unknownCall(stream(round * 20 + n)))],
  ] as const)('%s from who does not read the answers', async ([, next]) => {
    await besides(async () => {
      using raw = await connect()
      raw.socket.pause()
      expect(await raw.flood(next, BOUND), 'bytes that were taken').toBeLessThan(BOUND)
    })
  })

  test('a body over HTTP/1.1 that never ends', async () => {
    await besides(async () => {
      using raw = await RawHttp2.connect(
        server.running.ca,
        { ...server.trust, ALPNProtocols: ['http/1.1'] },
        { greet: false },
      )
      raw.socket.write('POST /v1/certificates HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n')
      const chunk = Buffer.from(`4000\r\n${'x'.repeat(0x4000)}\r\n`)
      expect(await raw.flood(() => chunk, BOUND), 'bytes that were taken').toBeLessThan(BOUND)
      await until('the end of the connection', () => !raw.isOpen)
    })
  })

  test('is told apart from hard work: who gets answers may send on', async () => {
    const client = server.grpc()
    const { pem: csr } = await aCsr()
    // Three mebibytes, of which the first alone is free.
    for (let round = 0; round < 50; round++)
      expect(await client.createCertificate({ csr: csr.padEnd(60_000, '\n') }, token)).toMatchObject({
        status: status.OK,
      })
    client.close()
  })

  test('is counted as abuse where nothing but its bytes ended it', async () => {
    const abuse = () => server.metric('alcazar_connections_closed_total{why="abuse"}')
    const before = await abuse()
    using raw = await connect()
    expect(await raw.flood(() => many(1000, () => windowUpdate(0, 1)), BOUND)).toBeGreaterThan(MIB)
    await until('the end of the connection', () => !raw.isOpen)
    expect(await abuse()).toBe(before + 1)
  })
})

describe('calls on one connection', () => {
  test('may be a hundred at a time: one more ends it', async () => {
    using raw = await connect()
    await until('settings', () => raw.of(FRAME.settings).length > 1)
    raw.send(frame(FRAME.settings, FLAG.ack, 0))
    raw.send(many(100, (n) => headersOf(stream(n))))
    await aMoment()
    expect(raw.isOpen).toBe(true)
    raw.send(headersOf(stream(100)))
    await until('the end of the connection', () => !raw.isOpen)
  })

  test('count until their work is done, though they were taken back', async () => {
    using raw = await connect()
    const calls = 300
    const before = await shed()
    // Refused, and recorded as such: that takes longer than to send them.
    for (let n = 0; n < calls; n++)
      raw.send(
        headersOf(stream(n)),
        frame(FRAME.data, FLAG.endStream, stream(n), framed(Buffer.alloc(0))),
        frame(FRAME.reset, 0, stream(n), number32(8)),
      )
    await until('calls turned away', async () => (await shed()) > before)
    expect(await server.metric('alcazar_requests_in_flight')).toBeLessThanOrEqual(100)
  })

  test('that are refused take nobody else’s place, on however many connections they come', async () => {
    await using small = await aDevServer({ settings: { 'limits.requests': '100' } })
    const client = small.grpc()
    const [{ pem: csr }, good] = [await aCsr(), await small.devToken()]
    const connections = await Promise.all(
      Array.from({ length: 10 }, () => RawHttp2.connect(small.running.ca, small.trust)),
    )
    const refusable = (n: number) =>
      Buffer.concat([headersOf(stream(n)), frame(FRAME.data, FLAG.endStream, stream(n), framed(Buffer.alloc(0)))])
    const answers: number[] = []
    for (let wave = 0; wave < 18; wave++) {
      for (const raw of connections) raw.send(many(5, (n) => refusable(wave * 5 + n)))
      await new Promise((done) => setTimeout(done, 5))
      answers.push((await client.createCertificate({ csr }, good)).status)
    }
    for (const raw of connections) raw[Symbol.dispose]()
    expect(new Set(answers)).toEqual(new Set([status.OK]))
  })

  const shed = () => server.metric('alcazar_requests_shed_total{endpoint="istio-ca"}')
})

const setting = (id: number, value: number) => Buffer.concat([Buffer.of(0, id), number32(value)])
const windowUpdate = (id: number, by: number) => frame(FRAME.windowUpdate, 0, id, number32(by))
const unknownCall = (id: number) =>
  frame(FRAME.headers, FLAG.endHeaders | FLAG.endStream, id, grpcHeaders('/no.such.Service/Method'))

/** Header fields of 16,000 bytes each, none of which enters the table. */
function headerList(id: number, count: number): Buffer {
  const parts = Array.from({ length: count }, (_, n) =>
    frame(FRAME.continuation, n === count - 1 ? FLAG.endHeaders : 0, id, literal(`x-${n}`, 'y'.repeat(16_000))),
  )
  return Buffer.concat([headersOf(id, 0), ...parts])
}

function fields(id: number, count: number): Buffer {
  const block = many(count, () => literal('x', ''))
  const parts: Buffer[] = [headersOf(id, 0)]
  for (let at = 0; at < block.length; at += 16_000)
    parts.push(
      frame(FRAME.continuation, at + 16_000 >= block.length ? FLAG.endHeaders : 0, id, block.subarray(at, at + 16_000)),
    )
  return Buffer.concat(parts)
}
