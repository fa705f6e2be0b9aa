import type { Caller } from '../attestation/caller.ts'
import { durationInWords } from '../core/duration.ts'
import { CaError } from '../core/errors.ts'
import type { KeyAlgorithm } from '../keys/algorithms.ts'
import type { PublicKey } from '../keys/public-key.ts'
import { type SpiffeId, serviceAccountId } from '../spiffe/spiffe-id.ts'
import type { TrustDomain } from '../spiffe/trust-domain.ts'

export type IssuancePolicy = {
  readonly trustDomain: TrustDomain
  readonly defaultTtlMs: number
  readonly maxTtlMs: number
  /** Whether keys of kinds that few verifiers know are certified. */
  readonly experimental: boolean
}

/** What a caller may have. Its name comes from who it is; nothing in its request can change it. */
export type Entitlement = { readonly id: SpiffeId; readonly ttlMs: number }

/**
 * @param askedTtlMs zero or less means the default
 * @throws CaError `invalid_argument`: longer than the maximum, as istiod answers it
 */
export function entitlementOf(caller: Caller, askedTtlMs: number, policy: IssuancePolicy): Entitlement {
  if (askedTtlMs > policy.maxTtlMs)
    throw new CaError(
      'invalid_argument',
      `a lifetime of ${durationInWords(askedTtlMs)} was asked for; at most ${durationInWords(policy.maxTtlMs)} (svid.maxTtl), and 0 means ${durationInWords(policy.defaultTtlMs)} (svid.defaultTtl)`,
    )
  return {
    id: serviceAccountId(policy.trustDomain, caller.account),
    ttlMs: askedTtlMs > 0 ? askedTtlMs : policy.defaultTtlMs,
  }
}

/**
 * That a good key is also of a kind that is certified here.
 * @throws CaError `bad_csr`
 */
export function checkKeyAllowed(key: PublicKey, policy: IssuancePolicy): KeyAlgorithm {
  if (key.algorithm.experimental && !policy.experimental)
    throw new CaError(
      'bad_csr',
      `${key.algorithm.label} keys are certified only where the server runs with --experimental`,
    )
  return key.algorithm
}
