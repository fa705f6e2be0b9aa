import { type Clock, plus } from '../core/clock.ts'
import { CaError } from '../core/errors.ts'
import { isSignedBy, type PublicKey } from '../keys/public-key.ts'
import { type ServiceAccount, SpiffeId, serviceAccountOf } from '../spiffe/spiffe-id.ts'
import type { TrustDomain } from '../spiffe/trust-domain.ts'
import { type Certificate, isValidAt, readCertificate, type Tbs, urisOf } from '../x509/certificate.ts'
import { type Lineage, readLineage } from '../x509/lineage.ts'
import { lint } from '../x509/lint.ts'
import { OID } from '../x509/oids.ts'
import { BACKDATE_MS } from '../x509/profiles.ts'
import { attestedCaller, type Caller, type Claim, refused } from './caller.ts'
import type { Cluster } from './cluster.ts'
import { confirmAlive, isStanding } from './liveness.ts'
import type { TokenPolicy } from './service-account-token.ts'

/** Which keys may vouch for a client certificate right now. It answers by key; a name or a chain to a root is no reason. */
export interface IssuingKeys {
  /**
   * The keys of the issuing authorities of that name which the journal holds in a state that allows authentication. Names may
   * repeat (a plugged-in CA keeps its name when its key changes); the signature decides.
   * @param subject Name, DER: the client certificate's issuer
   */
  mayVouch(subject: Uint8Array, now: Date): readonly PublicKey[]
  /** Why a certificate that one of them signed authenticates nobody any more before its end; nothing if it does. */
  takenBack(tbs: Tbs, issuer: PublicKey, workload: string): 'revoked' | 'forgotten' | undefined
}

/**
 * Who holds this client certificate, whose private key the TLS handshake has proved. Judged on every call: the issuer's state, the
 * times and the pod may have changed since the handshake.
 * @throws CaError `unauthenticated` · `dependency_unavailable`
 */
export async function attestClientCertificate(
  der: Uint8Array,
  trustDomain: TrustDomain,
  issuers: IssuingKeys,
  cluster: Cluster,
  policy: Pick<TokenPolicy, 'lineageMs' | 'maxStalenessMs'>,
  clock: Clock,
  signal: AbortSignal,
  claimed: (claim: Claim) => void,
): Promise<Caller> {
  const now = clock.now()
  const certificate = parsed(der)
  const { tbs } = certificate
  const candidates = issuers.mayVouch(tbs.issuer, now)
  if (candidates.length === 0)
    throw refused('unknown_issuer', 'the client certificate’s issuer is not an issuing authority that may vouch now')
  const issuer = candidates.find((one) => isSignedBy(certificate, one))
  if (!issuer)
    throw refused('unknown_issuer', 'the client certificate names our issuing authority but was not signed by its key')
  const account = accountOf(certificate, trustDomain)
  const lineage = lineageOf(certificate)
  const claim: Claim = {
    account,
    method: 'client-certificate',
    pod: { name: lineage.podName, uid: lineage.podUid },
    onBehalfBy: undefined,
  }
  claimed(claim)
  const workload = `${account.namespace}/${lineage.podName}`
  const takenBack = issuers.takenBack(tbs, issuer, workload)
  if (takenBack)
    throw refused(
      takenBack,
      takenBack === 'revoked'
        ? `${tbs.serial} or its issuing authority was revoked`
        : `${workload} was cut off after this certificate was issued; a fresh token starts again`,
    )
  if (!isValidAt(tbs, now))
    throw refused(
      now < tbs.notBefore ? 'not_yet_valid' : 'expired',
      `valid from ${tbs.notBefore.toISOString()} until ${tbs.notAfter.toISOString()}`,
    )
  // Copied, never extended: an honest one ends this soon after its certificate began. A stolen CA key could write any.
  if (lineage.renewableUntil > plus(tbs.notBefore, policy.lineageMs + BACKDATE_MS))
    throw refused('lineage_ended', `renewable until ${lineage.renewableUntil.toISOString()}, later than a token allows`)
  if (now > lineage.renewableUntil)
    throw refused(
      'lineage_ended',
      `renewable until ${lineage.renewableUntil.toISOString()}; a fresh token starts again`,
    )
  const { podName, podUid, serviceAccountUid } = lineage
  await confirmAlive(
    { account, accountUid: serviceAccountUid, pod: { name: podName, uid: podUid } },
    cluster.watch,
    policy.maxStalenessMs,
    clock,
    async () => {
      const [pod, uid] = await Promise.all([
        cluster.reader.readPod(account.namespace, podName, signal),
        cluster.reader.readServiceAccountUid(account, signal),
      ])
      if (pod?.uid !== podUid || !isStanding(pod, account, clock.now()))
        throw refused('pod_gone', `pod ${account.namespace}/${podName} with UID ${podUid} is gone`)
      if (uid !== serviceAccountUid)
        throw refused(
          'service_account_gone',
          `service account ${account.namespace}/${account.name} with UID ${serviceAccountUid} is gone`,
        )
    },
  )
  return attestedCaller({ ...claim, lineage, svid: tbs.serial })
}

function parsed(der: Uint8Array): Certificate {
  try {
    return readCertificate(der)
  } catch (cause) {
    throw refused('not_an_svid', 'the client certificate is unreadable', cause)
  }
}

function accountOf({ tbs }: Certificate, trustDomain: TrustDomain): ServiceAccount {
  const [broken] = lint(tbs, 'svid')
  if (broken) throw refused('not_an_svid', `the client certificate is not an SVID: ${broken}`)
  let id: SpiffeId
  try {
    id = SpiffeId.parse(urisOf(tbs)[0] ?? '')
  } catch (cause) {
    throw refused('not_an_svid', 'the client certificate’s URI is not a SPIFFE ID', cause)
  }
  if (!id.trustDomain.equals(trustDomain))
    throw refused('other_trust_domain', `${id.uri} is not of ${trustDomain.name}`)
  try {
    return serviceAccountOf(id)
  } catch (cause) {
    throw refused('not_a_service_account', `${id.uri} is not a service account`, cause)
  }
}

function lineageOf({ tbs }: Certificate): Lineage {
  const extension = tbs.extensions.get(OID.lineage)
  if (!extension)
    throw refused(
      'no_lineage',
      'the client certificate carries no lineage: it was issued without a pod, and only a token renews it',
    )
  try {
    return readLineage(extension.value)
  } catch (error) {
    if (error instanceof CaError) throw refused('no_lineage', `unreadable lineage: ${error.message}`)
    throw error
  }
}
