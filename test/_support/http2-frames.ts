import { once } from 'node:events'
import { type ConnectionOptions, connect, type TLSSocket } from 'node:tls'

/** RFC 9113 §6. */
export const FRAME = {
  data: 0,
  headers: 1,
  priority: 2,
  reset: 3,
  settings: 4,
  push: 5,
  ping: 6,
  goAway: 7,
  windowUpdate: 8,
  continuation: 9,
} as const

export const FLAG = { none: 0, ack: 1, endStream: 1, endHeaders: 4, padded: 8, priority: 32 } as const

/** One frame; what it says need not make sense. */
export function frame(type: number, flags: number, stream: number, payload: Uint8Array = Buffer.alloc(0)): Buffer {
  const head = Buffer.alloc(9)
  head.writeUIntBE(payload.length, 0, 3)
  head.writeUInt8(type, 3)
  head.writeUInt8(flags, 4)
  head.writeUInt32BE(stream, 5)
  return Buffer.concat([head, payload])
}

export const number32 = (value: number): Buffer => {
  const bytes = Buffer.alloc(4)
  bytes.writeUInt32BE(value)
  return bytes
}

/** HPACK (RFC 7541 §6.2.2): a literal that enters no table. */
export function literal(name: string, value: string): Buffer {
  return Buffer.concat([Buffer.of(0), text(name), text(value)])
}

/** HPACK (RFC 7541 §6.2.1): a literal that enters the dynamic table. */
export function indexed(name: string, value: string): Buffer {
  return Buffer.concat([Buffer.of(0x40), text(name), text(value)])
}

function text(value: string): Buffer {
  const bytes = Buffer.from(value, 'latin1')
  return Buffer.concat([integer(bytes.length, 7), bytes])
}

/** HPACK (RFC 7541 §5.1), with no bit set above the prefix. */
function integer(value: number, prefixBits: number): Buffer {
  const most = (1 << prefixBits) - 1
  if (value < most) return Buffer.of(value)
  const bytes = [most]
  let rest = value - most
  for (; rest >= 128; rest >>= 7) bytes.push((rest & 127) | 128)
  return Buffer.of(...bytes, rest)
}

/** The header block of a gRPC call. */
export function grpcHeaders(path: string, more: readonly (readonly [string, string])[] = []): Buffer {
  const fields = [
    [':method', 'POST'],
    [':scheme', 'https'],
    [':path', path],
    [':authority', 'localhost'],
    ['content-type', 'application/grpc'],
    ['te', 'trailers'],
    ...more,
  ] as const
  return Buffer.concat(fields.map(([name, value]) => literal(name, value)))
}

export type Received = {
  readonly type: number
  readonly flags: number
  readonly stream: number
  readonly payload: Buffer
}

/** An HTTP/2 connection on which anything can be said, in any order. */
export class RawHttp2 implements Disposable {
  readonly socket: TLSSocket
  readonly received: Received[] = []
  /** Resolves when the peer has closed. */
  readonly closed: Promise<void>
  #buffer: Buffer = Buffer.alloc(0)

  private constructor(socket: TLSSocket) {
    this.socket = socket
    socket.on('error', () => undefined)
    socket.on('data', (part: Buffer) => this.#read(part))
    this.closed = new Promise((resolve) => {
      socket.once('close', () => resolve())
      socket.once('end', () => resolve())
    })
  }

  /** A TLS connection that speaks HTTP/2 and has greeted, unless told not to. */
  static async connect(
    address: { host: string; port: number },
    tls: ConnectionOptions,
    { greet = true, settings = Buffer.alloc(0) as Uint8Array } = {},
  ): Promise<RawHttp2> {
    const socket = connect({ host: address.host, port: address.port, ALPNProtocols: ['h2'], ...tls })
    const raw = new RawHttp2(socket)
    await once(socket, 'secureConnect')
    if (greet)
      socket.write(
        Buffer.concat([Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'), frame(FRAME.settings, 0, 0, settings)]),
      )
    return raw
  }

  send(...frames: readonly Uint8Array[]): boolean {
    return this.socket.writable && this.socket.write(Buffer.concat(frames))
  }

  /** Sends what `next` makes, as fast as it is taken, until the peer closes or `most` bytes are gone. Gives how many went. */
  async flood(next: (round: number) => Uint8Array, most: number): Promise<number> {
    let sent = 0
    for (let round = 0; sent < most && this.isOpen; round++) {
      const bytes = next(round)
      sent += bytes.length
      if (!this.send(bytes)) await this.#drained()
      // The answers must be read, too: a closed connection shows there.
      if (round % 16 === 0) await new Promise((done) => setImmediate(done))
    }
    return sent
  }

  get isOpen(): boolean {
    return !this.socket.destroyed && this.socket.readable && !this.socket.readableEnded
  }

  /** From now on it says that it is there whenever it is asked. */
  answerPings(): void {
    let answered = 0
    this.socket.on('data', () => {
      const asked = this.of(FRAME.ping).filter(({ flags }) => (flags & FLAG.ack) === 0)
      for (const { payload } of asked.slice(answered)) this.send(frame(FRAME.ping, FLAG.ack, 0, payload))
      answered = asked.length
    })
  }

  of(type: number): Received[] {
    return this.received.filter((one) => one.type === type)
  }

  [Symbol.dispose](): void {
    this.socket.destroy()
  }

  async #drained(): Promise<void> {
    const abort = new AbortController()
    const drained = once(this.socket, 'drain', { signal: abort.signal }).catch(() => undefined)
    await Promise.race([drained, this.closed])
    abort.abort()
  }

  #read(part: Buffer): void {
    this.#buffer = Buffer.concat([this.#buffer, part])
    while (this.#buffer.length >= 9) {
      const end = 9 + this.#buffer.readUIntBE(0, 3)
      if (this.#buffer.length < end) return
      this.received.push({
        type: this.#buffer.readUInt8(3),
        flags: this.#buffer.readUInt8(4),
        stream: this.#buffer.readUInt32BE(5) & 0x7fffffff,
        payload: this.#buffer.subarray(9, end),
      })
      this.#buffer = this.#buffer.subarray(end)
    }
  }
}
