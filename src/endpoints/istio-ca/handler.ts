import {
  type IstioCertificateRequest,
  type IstioCertificateResponse,
  IstioCertificateServiceService,
} from '../../gen/istio/ca.ts'
import type { IssueSvid, IssueSvidRequest } from '../../service/issue-svid.ts'
import type { GrpcCall, GrpcServer } from '../grpc-server.ts'

/** istio.v1.auth.IstioCertificateService, as istiod answers it. */
export function addIstioCa(server: GrpcServer, issueSvid: IssueSvid): void {
  const { createCertificate } = IstioCertificateServiceService
  server.addService(IstioCertificateServiceService, {
    createCertificate: server.unary(
      createCertificate.path,
      'istio-ca',
      async (call: GrpcCall<IstioCertificateRequest>, signal): Promise<IstioCertificateResponse> => {
        const { chainPem, rootsPem } = await issueSvid(parse(call), signal)
        // Clients read the first element as the leaf and the last as all roots; so there are always two.
        return { certChain: [...chainPem, rootsPem] }
      },
    ),
  })
}

function parse({ request, metadata, connection, context }: GrpcCall<IstioCertificateRequest>): IssueSvidRequest {
  return {
    context,
    credentials: {
      authorization: metadata.get('authorization').map(String),
      clientCertificate: connection.clientCertificate,
      impersonatedIdentity: impersonatedIdentity(request.metadata),
    },
    asked: () => ({ csrPem: request.csr, ttlSeconds: seconds(request.validityDuration) }),
  }
}

/** Absent and empty are the same; what isn't a text can't be anyone's identity, and is refused as such. */
function impersonatedIdentity(metadata: IstioCertificateRequest['metadata']): string | undefined {
  if (!metadata || !Object.hasOwn(metadata, 'ImpersonatedIdentity')) return undefined
  const { ImpersonatedIdentity: asked } = metadata
  if (asked === '' || asked === null || asked === undefined) return undefined
  return typeof asked === 'string' ? asked : JSON.stringify(asked)
}

/** The longest lifetime that is still exact in milliseconds: far beyond any maximum. */
const LONGEST_SECONDS = Math.floor(Number.MAX_SAFE_INTEGER / 1000)

/** int64 → seconds; zero and less mean the default. */
function seconds(value: bigint): number {
  if (value <= 0n) return 0
  return value > BigInt(LONGEST_SECONDS) ? LONGEST_SECONDS : Number(value)
}
