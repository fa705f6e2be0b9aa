import { hex } from '../core/bytes.ts'
import { MINUTE, SECOND } from '../core/duration.ts'
import { CaError } from '../core/errors.ts'
import type { RandomBytes } from '../core/random.ts'
import type { EndpointName, Events, RequestContext } from '../service/events.ts'

/**
 * What every request passes, in this order, whatever its protocol: connection limits and the TLS handshake (listener.ts) → request id → its
 * method's rule below → a place in flight → size and time limits → the use case, which attests, authorises and records. A method without a
 * rule is not served.
 */
export type MethodRule = {
  /** attested: the use case demands a token or a client SVID · public: says only what anyone may know · local: the unix socket's file mode decides */
  readonly auth: 'attested' | 'public' | 'local'
  /** Which limit of concurrent requests it counts against. The admin's is its own: no flood from outside keeps anybody from declaring a root compromised. */
  readonly load: 'issuing' | 'light' | 'local'
}

export const METHODS: ReadonlyMap<string, MethodRule> = new Map<string, MethodRule>([
  ['/istio.v1.auth.IstioCertificateService/CreateCertificate', { auth: 'attested', load: 'issuing' }],
  ['/grpc.health.v1.Health/Check', { auth: 'public', load: 'light' }],
  ['/grpc.health.v1.Health/Watch', { auth: 'public', load: 'light' }],
  ['/grpc.health.v1.Health/List', { auth: 'public', load: 'light' }],
  ['/grpc.reflection.v1.ServerReflection/ServerReflectionInfo', { auth: 'public', load: 'light' }],
  ['/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo', { auth: 'public', load: 'light' }],
  ['POST /v1/certificates', { auth: 'attested', load: 'issuing' }],
  ['GET /v1/renewal', { auth: 'attested', load: 'issuing' }],
  ['GET /v1/bundle', { auth: 'public', load: 'light' }],
  ['GET /v1/status', { auth: 'public', load: 'light' }],
  ['GET /v1/openapi.json', { auth: 'public', load: 'light' }],
  ['GET /crl', { auth: 'public', load: 'light' }],
  ['GET /crl/:id', { auth: 'public', load: 'light' }],
  ['GET /v1/server', { auth: 'local', load: 'local' }],
  ['GET /v1/workloads', { auth: 'local', load: 'local' }],
  ['GET /v1/schedule', { auth: 'local', load: 'local' }],
  ['POST /v1/roots/sign-request', { auth: 'local', load: 'local' }],
  ['POST /v1/roots/prepare-signed', { auth: 'local', load: 'local' }],
  ['POST /v1/dev/tokens', { auth: 'local', load: 'local' }],
  ['GET /v1/authorities', { auth: 'local', load: 'local' }],
  ['GET /v1/rotation', { auth: 'local', load: 'local' }],
  ['POST /v1/rotation', { auth: 'local', load: 'local' }],
  ['POST /v1/authorities/prepare', { auth: 'local', load: 'local' }],
  ['POST /v1/authorities/activate', { auth: 'local', load: 'local' }],
  ['POST /v1/authorities/rollback', { auth: 'local', load: 'local' }],
  ['POST /v1/authorities/revoke', { auth: 'local', load: 'local' }],
  ['POST /v1/authorities/taint', { auth: 'local', load: 'local' }],
  ['POST /v1/workloads/forget', { auth: 'local', load: 'local' }],
  ['GET /v1/revocations', { auth: 'local', load: 'local' }],
  ['POST /v1/revocations', { auth: 'local', load: 'local' }],
])

/** How long one request may take, from its first byte to its answer. */
export const REQUEST_DEADLINE_MS = 15_000

/**
 * Requests of one connection at a time: HTTP/2 streams, and requests that are worked on. These are not the same, for a stream that was reset
 * leaves its work behind (CVE-2023-39325), and HTTP/1.1 may be pipelined.
 */
export const MAX_PER_CONNECTION = 100

/** Largest gRPC message and JSON body: a CSR of 64 KiB with what surrounds it. */
export const MAX_MESSAGE_BYTES = 96 * 1024

/**
 * How long a peer may take, in milliseconds of real time: sockets are timed by Node and by the gRPC library, which know no other clock.
 * Whatever a peer does, its connection ends at the listener's greatest age.
 */
export type Patience = {
  readonly handshake: number
  /** HTTP/1.1: from the connection, or the end of the last request, to the end of a request's headers. */
  readonly headers: number
  /** HTTP/1.1: to the end of its body. */
  readonly request: number
  /** HTTP/1.1: between requests. */
  readonly keepAlive: number
  /** HTTP/2: without any call. */
  readonly idle: number
  /** HTTP/2: how often it is asked whether it is there, and how long it may take to say so. */
  readonly pingEvery: number
  readonly pingAnswer: number
}

export const PATIENCE: Patience = {
  handshake: 10 * SECOND,
  headers: 10 * SECOND,
  request: 15 * SECOND,
  keepAlive: MINUTE,
  idle: 5 * MINUTE,
  pingEvery: MINUTE,
  pingAnswer: 20 * SECOND,
}

/** When an overloaded server asks to be tried again. */
export const RETRY_AFTER_MS = 1000

/** As many as the admin's socket takes connections. */
const MAX_LOCAL = 64

type Place = { readonly release: () => void; readonly leave: () => void }

/** Requests in flight, bounded per load. Over the bound a request is turned away before anything was done for it. */
export class InFlight {
  readonly #limits: Readonly<Record<MethodRule['load'], number>>
  readonly #events: Events
  readonly #now: Record<MethodRule['load'], number> = { issuing: 0, light: 0, local: 0 }
  /** With those that gave back their place and still wait for their answer. */
  #open = 0
  #draining: (() => void) | undefined

  constructor(limits: { readonly issuing: number; readonly light: number }, events: Events) {
    this.#limits = { ...limits, local: MAX_LOCAL }
    this.#events = events
  }

  /**
   * Takes a place. `release` gives it back to others, `leave` says that the request is over.
   * @throws CaError `rate_limited`
   */
  enter(load: MethodRule['load'], endpoint: EndpointName, connection?: { working: number }): Place {
    const crowded = connection !== undefined && connection.working >= MAX_PER_CONNECTION
    if (crowded || this.#now[load] >= this.#limits[load]) {
      this.#events.requestShed(endpoint)
      const who = crowded ? `${connection.working} requests of this connection` : `${this.#now[load]} requests`
      throw new CaError('rate_limited', `${who} are being served already; try again in ${RETRY_AFTER_MS / 1000} s`)
    }
    this.#now[load]++
    this.#open++
    if (connection) connection.working++
    let released = false
    let left = false
    const release = () => {
      if (released) return
      released = true
      this.#now[load]--
    }
    const leave = () => {
      if (left) return
      left = true
      release()
      if (connection) connection.working--
      if (--this.#open === 0) this.#draining?.()
    }
    return { release, leave }
  }

  get total(): number {
    return this.#now.issuing + this.#now.light + this.#now.local
  }

  /** Resolves when nothing is in flight any more. */
  drained(): Promise<void> {
    if (this.#open === 0) return Promise.resolve()
    return new Promise((resolve) => {
      this.#draining = resolve
    })
  }
}

export function requestContext(
  endpoint: EndpointName,
  peer: string,
  random: RandomBytes,
  release?: () => void,
): RequestContext {
  return { requestId: hex(random(8)), endpoint, peer, ...(release && { release }) }
}
