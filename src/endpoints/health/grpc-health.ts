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

/**
 * grpc.health.v1.Health: the server as a whole and the service it offers share one status, readiness. Our own few lines because the
 * library's keep every name that anybody ever watched.
 */
export class GrpcHealth {
  #status: HealthCheckResponse = { status: Serving.NOT_SERVING }
  readonly #watchers = new Set<(response: HealthCheckResponse) => void>()

  addTo(server: GrpcServer): void {
    const watch: handleServerStreamingCall<HealthCheckRequest, HealthCheckResponse> = (call) => {
      if (!SERVICES.includes(call.request.service)) {
        // It may be served one day, says the protocol; here it won't, but the stream stays open.
        call.write({ status: Serving.SERVICE_UNKNOWN })
        return
      }
      const tell = (response: HealthCheckResponse) => call.write(response)
      tell(this.#status)
      this.#watchers.add(tell)
      call.on('cancelled', () => this.#watchers.delete(tell))
      call.on('close', () => this.#watchers.delete(tell))
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

  set(ready: boolean): void {
    const next = ready ? Serving.SERVING : Serving.NOT_SERVING
    if (this.#status.status === next) return
    this.#status = { status: next }
    for (const tell of this.#watchers) tell(this.#status)
  }
}
