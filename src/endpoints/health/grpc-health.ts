import { type handleServerStreamingCall, type ServerUnaryCall, type sendUnaryData, status } from '@grpc/grpc-js'
import {
  type HealthCheckRequest,
  type HealthCheckResponse,
  type HealthListRequest,
  type HealthListResponse,
  HealthService,
  HealthCheckResponse_ServingStatus as Serving,
} from '../../gen/grpc/health.ts'
import type { GrpcServer } from '../grpc-server.ts'

const SERVICES: readonly string[] = ['', 'istio.v1.auth.IstioCertificateService']

type Watcher = { readonly tell: (response: HealthCheckResponse) => void; readonly end: () => void }

/**
 * grpc.health.v1.Health: the server as a whole and the service it offers share one status, readiness. Our own few lines because the
 * library's keep every name that anybody ever watched.
 */
export class GrpcHealth {
  #status: HealthCheckResponse = { status: Serving.NOT_SERVING }
  readonly #watchers = new Set<Watcher>()

  addTo(server: GrpcServer): void {
    const watch: handleServerStreamingCall<HealthCheckRequest, HealthCheckResponse> = (call) => {
      // One that is unknown may be served one day, says the protocol; here it won't, but the stream stays open.
      const known = SERVICES.includes(call.request.service)
      const watcher: Watcher = {
        tell: (response) => void (known && call.write(response)),
        end: () => call.emit('error', { code: status.UNAVAILABLE, details: 'the server is shutting down' }),
      }
      call.write(known ? this.#status : { status: Serving.SERVICE_UNKNOWN })
      this.#watchers.add(watcher)
      call.on('cancelled', () => this.#watchers.delete(watcher))
      call.on('close', () => this.#watchers.delete(watcher))
    }
    server.addService(HealthService, {
      check: (
        { request }: ServerUnaryCall<HealthCheckRequest, HealthCheckResponse>,
        answer: sendUnaryData<HealthCheckResponse>,
      ) => {
        if (SERVICES.includes(request.service)) answer(null, this.#status)
        else answer({ code: status.NOT_FOUND, details: 'no such service here' })
      },
      list: (
        _call: ServerUnaryCall<HealthListRequest, HealthListResponse>,
        answer: sendUnaryData<HealthListResponse>,
      ) => answer(null, { statuses: Object.fromEntries(SERVICES.map((service) => [service, this.#status])) }),
      watch,
    })
  }

  /** Not serving any more: who watches is told and hung up on, or the last connection would wait for them. */
  end(): void {
    this.set(false)
    for (const watcher of this.#watchers) watcher.end()
  }

  set(ready: boolean): void {
    const next = ready ? Serving.SERVING : Serving.NOT_SERVING
    if (this.#status.status === next) return
    this.#status = { status: next }
    for (const watcher of this.#watchers) watcher.tell(this.#status)
  }
}
