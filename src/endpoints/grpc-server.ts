import {
  experimental,
  type handleUnaryCall,
  logVerbosity,
  Metadata,
  Server,
  ServerCredentials,
  ServerInterceptingCall,
  type ServerInterceptingCallInterface,
  type ServerInterceptor,
  type ServiceDefinition,
  setLogVerbosity,
  status,
  type UntypedServiceImplementation,
} from '@grpc/grpc-js'
import { type Clock, loop } from '../core/clock.ts'
import { MINUTE, SECOND } from '../core/duration.ts'
import { asCaError, type CaError } from '../core/errors.ts'
import { OUTCOMES } from '../core/outcomes.ts'
import type { RandomBytes } from '../core/random.ts'
import type { EndpointName, RequestContext } from '../service/events.ts'
import { keepRepeatedAuthorization, keepSpaces } from './authorization-headers.ts'
import {
  type InFlight,
  MAX_MESSAGE_BYTES,
  MAX_PER_CONNECTION,
  METHODS,
  type Patience,
  REQUEST_DEADLINE_MS,
  RETRY_AFTER_MS,
  requestContext,
} from './edge.ts'
import type { Connection } from './listener.ts'

const GIVEN_UP = new Error('the caller gave up')

/** What a refused call is told. */
type RefusedStatus = { readonly code: status; readonly details: string; readonly metadata?: Metadata }

type OpenCall = {
  readonly since: number
  waiting: boolean
  readonly streaming: boolean
  readonly call: ServerInterceptingCallInterface
  readonly connection: Connection
}

/** Which connection a call came on, kept on the call's own metadata object under a name that nothing a client sends can have. */
const CONNECTION = Symbol('connection')
type ConnectedMetadata = Metadata & { [CONNECTION]?: Connection }

export type GrpcServerParts = {
  readonly clock: Clock
  readonly random: RandomBytes
  readonly inFlight: InFlight
  readonly patience: Patience
}

/** One call as a handler sees it. */
export type GrpcCall<Request> = {
  readonly request: Request
  readonly metadata: Metadata
  readonly connection: Connection
  readonly context: RequestContext
}

/** Calls of all connections that have not sent their whole message yet. */
const MAX_PENDING = 10_000
/** Calls that stay open (health watches, reflection) on one connection. */
const MAX_OPEN_CALLS = 4

/** @grpc/grpc-js behind our own TLS listener: one injector a connection, so that a call can't be taken for another connection's. */
export class GrpcServer {
  readonly #parts: GrpcServerParts
  readonly #server: Server
  /** Calls that have not been answered, for the sweep. */
  readonly #open = new Set<OpenCall>()
  #pending = 0
  #connections = 0
  #drained: (() => void) | undefined

  constructor(parts: GrpcServerParts) {
    this.#parts = parts
    // What it says about malformed input is not for our log; errors reach us as statuses.
    setLogVerbosity(logVerbosity.NONE)
    keepRepeatedAuthorization()
    this.#server = new Server({
      'grpc.enable_channelz': 0,
      'grpc.max_receive_message_length': MAX_MESSAGE_BYTES,
      'grpc.max_concurrent_streams': MAX_PER_CONNECTION,
      'grpc-node.max_session_memory': 16,
      // With its ±10 % jitter and the grace this ends before the listener's hard limit of 30 minutes.
      'grpc.max_connection_age_ms': 26 * MINUTE,
      'grpc.max_connection_age_grace_ms': 30 * SECOND,
      'grpc.max_connection_idle_ms': parts.patience.idle,
      'grpc.keepalive_time_ms': parts.patience.pingEvery,
      'grpc.keepalive_timeout_ms': parts.patience.pingAnswer,
    })
    keepSpaces(this.#server)
  }

  addService(definition: ServiceDefinition, implementation: UntypedServiceImplementation): void {
    this.#server.addService(definition, implementation)
  }

  /** Speaks gRPC on a connection from now on. */
  accept = (connection: Connection): void => {
    // Its handshake ended after the drain began.
    if (this.#drained) {
      connection.socket.destroy()
      return
    }
    const credentials = experimental.createServerCredentialsWithInterceptors(ServerCredentials.createInsecure(), [
      this.#interceptor(connection),
    ])
    const injector = this.#server.createConnectionInjector(credentials)
    this.#connections++
    connection.socket.once('close', () => {
      injector.destroy()
      if (--this.#connections === 0) this.#drained?.()
    })
    injector.injectConnection(connection.socket)
  }

  /** Tells every client to go elsewhere and lets running calls finish. */
  drain(): Promise<void> {
    // The library's own callback does not wait for connections that already end (Node's http2.Server#close ends them all).
    return new Promise((resolve) => {
      this.#drained = resolve
      this.#server.tryShutdown(() => {
        if (this.#connections === 0) resolve()
      })
    })
  }

  destroy(): void {
    this.#server.forceShutdown()
  }

  /** A unary method: waits for a place in flight, runs, and turns whatever is thrown into a status. The one funnel of this protocol. */
  unary<Request, Response>(
    path: string,
    endpoint: EndpointName,
    handle: (call: GrpcCall<Request>, signal: AbortSignal) => Promise<Response>,
  ): handleUnaryCall<Request, Response> {
    const { inFlight, random } = this.#parts
    const rule = METHODS.get(path)
    return async (call, callback) => {
      const connection = (call.metadata as ConnectedMetadata)[CONNECTION]
      if (!rule || !connection) return callback({ code: status.UNIMPLEMENTED, details: `${path} is not served here` })
      let place: ReturnType<InFlight['enter']> | undefined
      const context = requestContext(endpoint, connection.peer, random, () => place?.release())
      const abort = new AbortController()
      let answered = false
      // The library says cancelled at the end of every call. A reason of our own spares a DOMException with its stack each time.
      call.on('cancelled', () => {
        if (!answered) abort.abort(GIVEN_UP)
      })
      try {
        place = inFlight.enter(rule.load, endpoint, connection)
        const response = await handle(
          { request: call.request, metadata: call.metadata, connection, context },
          abort.signal,
        )
        answered = true
        callback(null, response)
      } catch (thrown) {
        const error = asCaError(thrown)
        answered = true
        callback({ code: OUTCOMES[error.code].grpc, details: error.message, metadata: refusalMetadata(error, context) })
      } finally {
        place?.leave()
      }
    }
  }

  /** Ends calls that take too long, until the signal. */
  sweep(signal: AbortSignal): Promise<void> {
    const { clock } = this.#parts
    return loop(
      clock,
      signal,
      () => SECOND,
      async () => {
        const before = clock.elapsed() - REQUEST_DEADLINE_MS
        for (const { since, waiting, streaming, call, connection } of this.#open) {
          // In the order they began.
          if (since > before) break
          call.sendStatus({
            code: status.DEADLINE_EXCEEDED,
            details: `not done within ${REQUEST_DEADLINE_MS / SECOND} s`,
          })
          // A peer that takes this long to send a few kilobytes, or to read them, is holding on to us.
          if (waiting || streaming) connection.socket.destroy()
        }
      },
    )
  }

  #interceptor(connection: Connection): ServerInterceptor {
    const { clock } = this.#parts
    let openCalls = 0
    return (method, call) => {
      const streaming = method.requestStream || method.responseStream
      const refusal = this.#refusal(method.path, streaming, openCalls)
      if (refusal) {
        // Never started: the library goes on reading into nothing, and the client has its answer.
        return new ServerInterceptingCall(call, { start: () => call.sendStatus(refusal) })
      }
      if (streaming) openCalls++
      else this.#pending++
      const open: OpenCall = { since: clock.elapsed(), waiting: !streaming, streaming, call, connection }
      // A health watch stays open; reflection is asked and answered, and done.
      if (!streaming || method.requestStream) this.#open.add(open)
      const received = () => {
        if (open.waiting) this.#pending--
        open.waiting = false
      }
      let ended = false
      const end = () => {
        if (ended) return
        ended = true
        received()
        this.#open.delete(open)
        if (streaming) openCalls--
      }
      return new ServerInterceptingCall(call, {
        start: (next) =>
          next({
            onReceiveMetadata: (metadata, pass) => {
              ;(metadata as ConnectedMetadata)[CONNECTION] = connection
              pass(metadata)
            },
            onReceiveMessage: (message, pass) => pass(message),
            // Not the message but its end: only then does a unary handler begin.
            onReceiveHalfClose: (pass) => {
              received()
              pass()
            },
            onCancel: end,
          }),
        sendStatus: (outcome, pass) => {
          end()
          connection.answered()
          pass(outcome)
        },
      })
    }
  }

  #refusal(path: string, streaming: boolean, openCalls: number): RefusedStatus | undefined {
    // A method without a rule is refused, however it came to be registered.
    if (!METHODS.has(path)) return { code: status.UNIMPLEMENTED, details: `${path} is not served here` }
    if (streaming ? openCalls >= MAX_OPEN_CALLS : this.#pending >= MAX_PENDING)
      return { code: status.RESOURCE_EXHAUSTED, details: 'too many open calls; try again later', metadata: pushback() }
    return undefined
  }
}

function refusalMetadata(error: CaError, context: RequestContext): Metadata {
  const metadata = error.code === 'rate_limited' ? pushback() : new Metadata()
  metadata.set('x-request-id', context.requestId)
  return metadata
}

/** gRFC A6: when the client may try again. */
function pushback(): Metadata {
  const metadata = new Metadata()
  metadata.set('grpc-retry-pushback-ms', String(RETRY_AFTER_MS))
  return metadata
}
