import type { CaErrorCode } from './errors.ts'

/** What an error code is on each wire: gRPC status (grpc/doc/statuscodes.md), HTTP status (RFC 9110), exit code of the CLI. */
export type Outcome = { readonly grpc: number; readonly http: number; readonly exit: number; readonly title: string }

export const OUTCOMES = {
  invalid_argument: { grpc: 3, http: 400, exit: 2, title: 'Invalid argument' },
  bad_csr: { grpc: 3, http: 400, exit: 2, title: 'Unacceptable certificate signing request' },
  unauthenticated: { grpc: 16, http: 401, exit: 4, title: 'Not authenticated' },
  permission_denied: { grpc: 7, http: 403, exit: 4, title: 'Permission denied' },
  not_found: { grpc: 5, http: 404, exit: 5, title: 'Not found' },
  conflict: { grpc: 10, http: 409, exit: 6, title: 'Conflict' },
  wrong_state: { grpc: 9, http: 400, exit: 6, title: 'Not possible in this state' },
  rate_limited: { grpc: 8, http: 429, exit: 7, title: 'Too many requests' },
  not_ready: { grpc: 14, http: 503, exit: 7, title: 'Not ready' },
  dependency_unavailable: { grpc: 14, http: 503, exit: 7, title: 'A dependency is unavailable' },
  internal: { grpc: 13, http: 500, exit: 1, title: 'Internal error' },
} as const satisfies Record<CaErrorCode, Outcome>
