import { CaError } from '../core/errors.ts'
import type { ServiceAccount } from '../spiffe/spiffe-id.ts'
import type { Lineage } from '../x509/lineage.ts'

/** By what a caller proved who it is. A closed list: it is a metric label. */
export const ATTESTATION_METHODS = ['service-account-token', 'client-certificate', 'impersonation'] as const
export type AttestationMethod = (typeof ATTESTATION_METHODS)[number]

declare const attested: unique symbol

/** Who is asking, after attestation; never what the CSR says. Only this room makes one. */
export type Caller = {
  readonly [attested]: true
  readonly account: ServiceAccount
  readonly method: AttestationMethod
  /** The pod it speaks for, where its credential is bound to one. */
  readonly pod: { readonly name: string; readonly uid: string } | undefined
  /** What a renewal by client certificate will need; nothing where such a renewal is not allowed. */
  readonly lineage: Lineage | undefined
  /** Who asked on its behalf: a node's proxy. */
  readonly onBehalfBy: ServiceAccount | undefined
  /** Serial of the SVID that it showed, lower-case hex, where that is its credential. */
  readonly svid: string | undefined
}

export function attestedCaller(caller: Omit<Caller, typeof attested>): Caller {
  return Object.freeze({ ...caller }) as Caller
}

/** Who a credential speaks for whose signature is good, taken or not: what the ledger says of a refused one. */
export type Claim = Pick<Caller, 'account' | 'method' | 'pod' | 'onBehalfBy'>

/** Why a credential was refused, as the ledger and the metrics name it. Callers never see it. */
export type RefusalReason =
  | 'no_credential'
  | 'two_credentials'
  | 'malformed_token'
  | 'unknown_key'
  | 'bad_signature'
  | 'wrong_issuer'
  | 'wrong_audience'
  | 'expired'
  | 'not_yet_valid'
  | 'no_expiry'
  | 'not_a_service_account'
  | 'unbound_token'
  | 'token_review'
  | 'pod_gone'
  | 'service_account_gone'
  | 'unknown_issuer'
  | 'not_an_svid'
  | 'other_trust_domain'
  | 'no_lineage'
  | 'lineage_ended'
  | 'impersonation'
  | 'revoked'
  | 'forgotten'

/** The precise cause behind an `unauthenticated` CaError. It stays in the log and the ledger. */
class Refusal extends Error {
  override readonly name = 'Refusal'
  readonly reason: RefusalReason
  constructor(reason: RefusalReason, detail: string, options?: { cause?: unknown }) {
    super(detail, options)
    this.reason = reason
  }
}

/** One answer for every refused credential, in istiod's words: outside nobody learns which check failed. */
const AUTHENTICATION_FAILED = 'request authenticate failure'
const IMPERSONATION_FAILED = 'request impersonation authentication failure'

export function refused(reason: RefusalReason, detail: string, cause?: unknown): CaError {
  return new CaError('unauthenticated', reason === 'impersonation' ? IMPERSONATION_FAILED : AUTHENTICATION_FAILED, {
    cause: new Refusal(reason, detail, { cause }),
  })
}

/** The reason of a refusal, whoever caught it. */
export function refusalOf(error: CaError): Refusal | undefined {
  return error.cause instanceof Refusal ? error.cause : undefined
}
