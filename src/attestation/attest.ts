import type { Clock } from '../core/clock.ts'
import type { ServiceAccount } from '../spiffe/spiffe-id.ts'
import type { TrustDomain } from '../spiffe/trust-domain.ts'
import { type Caller, type Claim, refused } from './caller.ts'
import { attestClientCertificate, type IssuingKeys } from './client-certificate.ts'
import type { Cluster } from './cluster.ts'
import { attestImpersonation } from './impersonation.ts'
import { attestToken, type TokenPolicy } from './service-account-token.ts'
import type { TokenKeys } from './token-keys.ts'

/** What came with a request, as the transport saw it. */
export type Credentials = {
  /** Every `authorization` header there was. */
  readonly authorization: readonly string[]
  /** The certificate whose key the TLS handshake proved, DER. */
  readonly clientCertificate: Uint8Array | undefined
  /** istio's `ImpersonatedIdentity`; nothing when absent or empty. */
  readonly impersonatedIdentity: string | undefined
}

/** Turns credentials into a caller, or refuses. `claimed` hears for whom they speak as soon as that is proved. */
export type Attest = (
  credentials: Credentials,
  signal: AbortSignal,
  claimed?: (claim: Claim) => void,
) => Promise<Caller>

export type AttestationParts = {
  readonly trustDomain: TrustDomain
  readonly keys: TokenKeys
  readonly issuers: IssuingKeys
  readonly cluster: Cluster
  readonly policy: TokenPolicy
  readonly trustedNodeAccounts: readonly ServiceAccount[]
  readonly clock: Clock
}

/**
 * The one way in. A token, when there is one, decides alone: a bad token is never made good by a certificate. Without one the client
 * certificate decides.
 */
export function attestation(parts: AttestationParts): Attest {
  return async ({ authorization, clientCertificate, impersonatedIdentity }, signal, claimed = () => undefined) => {
    const caller = await holder(parts, authorization, clientCertificate, signal, claimed)
    if (impersonatedIdentity === undefined) return caller
    return attestImpersonation(
      caller,
      impersonatedIdentity,
      parts.trustDomain,
      parts.trustedNodeAccounts,
      parts.cluster,
      parts.policy.maxStalenessMs,
      signal,
    )
  }
}

async function holder(
  parts: AttestationParts,
  authorization: readonly string[],
  clientCertificate: Uint8Array | undefined,
  signal: AbortSignal,
  claimed: (claim: Claim) => void,
): Promise<Caller> {
  const [header, ...more] = authorization
  if (more.length > 0) throw refused('two_credentials', `${authorization.length} authorization headers`)
  if (header !== undefined)
    return attestToken(bearerToken(header), parts.keys, parts.cluster, parts.policy, parts.clock, signal, claimed)
  if (clientCertificate) {
    const { trustDomain, issuers, cluster, policy, clock } = parts
    return attestClientCertificate(clientCertificate, trustDomain, issuers, cluster, policy, clock, signal, claimed)
  }
  throw refused('no_credential', 'neither a token nor a client certificate')
}

/** RFC 6750 §2.1; the scheme in any case (RFC 9110 §11.1). */
function bearerToken(header: string): string {
  const [scheme = '', token = '', ...more] = header.split(' ', 4)
  const bearer = scheme.toLowerCase() === 'bearer'
  // One header that two were folded into holds a comma, which no token does.
  if (bearer && header.includes(',')) throw refused('two_credentials', 'an authorization header with a list of tokens')
  if (!bearer || token === '' || more.length > 0)
    throw refused('malformed_token', 'an authorization header that is not “Bearer <token>”')
  return token
}
