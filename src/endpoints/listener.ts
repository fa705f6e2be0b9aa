import { constants } from 'node:crypto'
import type { RequestListener } from 'node:http'
import { createServer, type Server } from 'node:https'
import { type AddressInfo, createServer as createNetServer, type Socket } from 'node:net'
import type { TLSSocket } from 'node:tls'
import { type Clock, loop } from '../core/clock.ts'
import { MINUTE, SECOND } from '../core/duration.ts'
import { CaError } from '../core/errors.ts'
import type { PrivateKey } from '../keys/private-key.ts'
import { CERTIFICATE_ALERTS, type CertificateAlert, type Events } from '../service/events.ts'
import type { Patience } from './edge.ts'

export type Address = { readonly host: string; readonly port: number }

/** One TLS connection, as the endpoints see it. */
export type Connection = {
  readonly socket: TLSSocket
  /** Address and port, for logs. */
  readonly peer: string
  /** The certificate whose key this handshake proved, DER. Proved means held, not believed: attestation judges it on every call. */
  readonly clientCertificate: Uint8Array | undefined
  /** Requests that are being worked on. */
  working: number
  /** Tells that a request was answered: it earns the connection more bytes. */
  answered(): void
}

export type ListenerParts = {
  readonly address: Address
  readonly maxConnections: number
  /** What clients that speak HTTP/2 talk to. */
  readonly grpc: (connection: Connection) => void
  /** What all others talk to. */
  readonly http: (connectionOf: (socket: Socket) => Connection | undefined) => RequestListener
  /** A client refused our certificate. */
  readonly refusedBy: (address: string, alert: CertificateAlert) => void
  readonly patience: Patience
  readonly clock: Clock
  readonly events: Events
}

const CONTEXT = {
  minVersion: 'TLSv1.2',
  maxVersion: 'TLSv1.3',
  // Mozilla "intermediate" without what has no forward secrecy or no AEAD.
  ciphers: [
    'TLS_AES_128_GCM_SHA256',
    'TLS_AES_256_GCM_SHA384',
    'TLS_CHACHA20_POLY1305_SHA256',
    'ECDHE-ECDSA-AES128-GCM-SHA256',
    'ECDHE-RSA-AES128-GCM-SHA256',
    'ECDHE-ECDSA-AES256-GCM-SHA384',
    'ECDHE-RSA-AES256-GCM-SHA384',
    'ECDHE-ECDSA-CHACHA20-POLY1305',
    'ECDHE-RSA-CHACHA20-POLY1305',
  ].join(':'),
  ecdhCurve: 'X25519MLKEM768:X25519:P-256:P-384',
  // Resumption would carry a client certificate past the moment in which it stops counting.
  secureOptions:
    constants.SSL_OP_NO_TICKET | constants.SSL_OP_NO_RENEGOTIATION | constants.SSL_OP_CIPHER_SERVER_PREFERENCE,
  // No name of ours in the request for a client certificate: a client whose chain ends at an older root must not hide it.
  ca: [] as string[],
} as const

/** A connection may send this much, and this much more for each request that was answered. A flood of any frame ends at it. */
const FREE_BYTES = 1024 * 1024
const BYTES_PER_ANSWER = 128 * 1024
const MAX_AGE_MS = 30 * MINUTE
const SWEEP_EVERY_MS = SECOND / 4

/**
 * The one TLS port: clients that speak nothing but HTTP/2 reach gRPC, all others the HTTPS API. A client certificate is asked for and not
 * required. It starts to answer when a certificate is installed.
 */
export class TlsListener {
  readonly #parts: ListenerParts
  readonly #server: Server
  readonly #connections = new Map<Socket, Tracked>()

  constructor(parts: ListenerParts) {
    this.#parts = parts
    this.#server = createServer(
      {
        ...CONTEXT,
        ca: [],
        requestCert: true,
        rejectUnauthorized: false,
        handshakeTimeout: parts.patience.handshake,
        // In our order of preference: who can speak both gets HTTP/1.1; gRPC clients offer h2 alone.
        ALPNProtocols: ['http/1.1', 'h2'],
        maxHeaderSize: 32 * 1024,
        headersTimeout: parts.patience.headers,
        requestTimeout: parts.patience.request,
        keepAliveTimeout: parts.patience.keepAlive,
        connectionsCheckingInterval: parts.patience.headers / 2,
        highWaterMark: 64 * 1024,
        noDelay: true,
      },
      parts.http((socket) => this.#connections.get(socket)),
    )
    this.#server.maxConnections = parts.maxConnections
    this.#dispatch()
  }

  /** What TLS answers with from the next handshake on. */
  install(key: PrivateKey, chainPem: string): void {
    key.answerOn(this.#server, chainPem, { ...CONTEXT, ca: [] })
  }

  /** @throws CaError `conflict`: the port is taken · `invalid_argument`: no such address here */
  listen(): Promise<Address> {
    const { host, port } = this.#parts.address
    return new Promise((resolve, reject) => {
      this.#server.once('error', (cause: NodeJS.ErrnoException) =>
        reject(listenError(cause, this.#parts.address, '--listen')),
      )
      this.#server.listen({ host, port, backlog: 1024 }, () => {
        const bound = this.#server.address() as AddressInfo
        resolve({ host: bound.address, port: bound.port })
      })
    })
  }

  /** Ends connections that are too old or sent too much, until the signal. */
  sweep(signal: AbortSignal): Promise<void> {
    const { clock, events } = this.#parts
    return loop(
      clock,
      signal,
      () => SWEEP_EVERY_MS,
      async () => {
        const now = clock.elapsed()
        for (const [socket, connection] of this.#connections) {
          if (connection.bytesRead() > FREE_BYTES + connection.answers * BYTES_PER_ANSWER) {
            events.connectionClosed('abuse', connection.peer)
            socket.destroy()
          } else if (now - connection.acceptedAt > MAX_AGE_MS) socket.destroy()
        }
      },
    )
  }

  /** Takes no further connection. */
  stopAccepting(): void {
    this.#server.close()
    this.#server.closeIdleConnections()
  }

  destroy(): void {
    for (const socket of this.#connections.keys()) socket.destroy()
  }

  #dispatch(): void {
    const { events, grpc } = this.#parts
    const [http1] = this.#server.listeners('secureConnection') as ((socket: TLSSocket) => void)[]
    this.#server.removeAllListeners('secureConnection')
    // A socket's errors are told here and nowhere else: without a listener one malformed frame would end the process (CVE-2025-59465).
    this.#server.on('connection', (raw: Socket) => {
      raw.on('error', () => undefined)
      // Asked once, it is remembered: a client that refuses us is gone before its alert is read.
      void raw.remoteAddress
    })
    this.#server.on('drop', (dropped) =>
      events.connectionClosed('too many', `${dropped?.remoteAddress}:${dropped?.remotePort}`),
    )
    this.#server.on('tlsClientError', (error: NodeJS.ErrnoException, socket) => {
      events.connectionClosed('handshake', `${socket.remoteAddress}:${socket.remotePort}`)
      const alert = certificateAlert(error)
      const address = addressOf(socket)
      if (alert && address !== undefined) this.#parts.refusedBy(address, alert)
      socket.destroy()
    })
    this.#server.on('clientError', (_error, socket) => socket.destroy())
    this.#server.on('secureConnection', (socket: TLSSocket) => {
      socket.on('error', () => undefined)
      if (socket.isSessionReused()) {
        socket.destroy()
        return
      }
      const connection = new Tracked(socket, this.#parts.clock.elapsed())
      this.#connections.set(socket, connection)
      socket.once('close', () => this.#connections.delete(socket))
      if (socket.alpnProtocol === 'h2') grpc(connection)
      else http1?.call(this.#server, socket)
    })
  }
}

class Tracked implements Connection {
  readonly socket: TLSSocket
  readonly peer: string
  readonly clientCertificate: Uint8Array | undefined
  readonly acceptedAt: number
  working = 0
  answers = 0

  constructor(socket: TLSSocket, acceptedAt: number) {
    this.socket = socket
    this.peer = `${socket.remoteAddress}:${socket.remotePort}`
    this.clientCertificate = socket.getPeerX509Certificate()?.raw
    this.acceptedAt = acceptedAt
  }

  answered(): void {
    this.answers++
  }

  bytesRead(): number {
    return this.socket.bytesRead
  }
}

/** OpenSSL names an alert last, behind the protocol that it came by: TLSV1_ALERT_UNKNOWN_CA, SSL/TLS_ALERT_BAD_CERTIFICATE. */
function certificateAlert({ code }: NodeJS.ErrnoException): CertificateAlert | undefined {
  const [, name] = /_ALERT_([A-Z_]+)$/.exec(code ?? '') ?? []
  return CERTIFICATE_ALERTS.find((alert) => alert.toUpperCase().replace(' ', '_') === name)
}

/** Node knows the address of a TLS socket whose peer is gone only by the socket that it came on, for which there is no public name. */
function addressOf(socket: TLSSocket & { readonly _parent?: Socket }): string | undefined {
  return (socket.remoteAddress ?? socket._parent?.remoteAddress)?.replace(/^::ffff:(?=\d+\.)/, '')
}

/**
 * That somebody could listen there now: asked before a start changes anything.
 * @throws CaError as `TlsListener.listen`
 */
export async function checkFree(address: Address, flag: ListenFlag): Promise<void> {
  const probe = createNetServer()
  await new Promise<void>((resolve, reject) => {
    probe.once('error', (cause: NodeJS.ErrnoException) => reject(listenError(cause, address, flag)))
    probe.listen(address.port, address.host, resolve)
  })
  await new Promise((closed) => probe.close(closed))
}

/** What names another address. */
type ListenFlag = '--listen' | '--health-listen'

export function listenError(cause: NodeJS.ErrnoException, { host, port }: Address, flag: ListenFlag): CaError {
  const where = `${host.includes(':') ? `[${host}]` : host}:${port}`
  switch (cause.code) {
    case 'EADDRINUSE':
      return new CaError(
        'conflict',
        `${where} is in use; stop what listens there, or choose another address with ${flag} HOST:PORT (in dev mode: npm start -- ${flag} HOST:PORT)`,
        { cause },
      )
    case 'EACCES':
      return new CaError(
        'permission_denied',
        `${where} may not be listened on by this user; ports below 1024 need privileges`,
        { cause },
      )
    case 'EADDRNOTAVAIL':
    case 'ENOTFOUND':
    case 'EAI_AGAIN':
      return new CaError('invalid_argument', `${where} is no address of this machine`, { cause })
    default:
      return new CaError('internal', `can’t listen on ${where}: ${cause.message}`, { cause })
  }
}
