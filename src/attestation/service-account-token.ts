import { type Clock, plus, wholeSecond } from '../core/clock.ts'
import { SECOND } from '../core/duration.ts'
import { CaError } from '../core/errors.ts'
import { asObject, type Json } from '../core/json.ts'
import { type Claims, readClaims, readToken, verifyToken } from '../jwt/jws.ts'
import type { ServiceAccount } from '../spiffe/spiffe-id.ts'
import type { Lineage } from '../x509/lineage.ts'
import { attestedCaller, type Caller, type Claim, type RefusalReason, refused } from './caller.ts'
import type { Cluster } from './cluster.ts'
import { confirmAlive } from './liveness.ts'
import type { TokenKeys } from './token-keys.ts'

export type TokenPolicy = {
  /** One of `aud` must be one of these. */
  readonly audiences: readonly string[]
  /** `token-review`: ask the API server about every token, too. */
  readonly authentication: 'local' | 'token-review'
  /** Whether tokens bound to no object (`kubectl create token`) are taken. */
  readonly unboundTokens: 'allow' | 'deny'
  /** How long after a token its SVID may renew itself by mTLS. */
  readonly lineageMs: number
  /** How old the watch may be when the API server can't be asked. */
  readonly maxStalenessMs: number
}

/** Clocks differ: how far `exp`, `nbf` and `iat` may be off. */
const LEEWAY_MS = 60 * SECOND

/**
 * Who holds this service-account token: signature, issuer, audience and times are checked here, against the cluster's keys; the
 * objects it is bound to against the watch, and by TokenReview wherever the watch can't say yes.
 * @throws CaError `unauthenticated` · `dependency_unavailable`
 */
export async function attestToken(
  text: string,
  keys: TokenKeys,
  cluster: Cluster,
  policy: TokenPolicy,
  clock: Clock,
  signal: AbortSignal,
  claimed: (claim: Claim) => void,
): Promise<Caller> {
  const claims = await verified(text, keys)
  const subject = subjectOf(claims)
  const claim: Claim = {
    account: subject.account,
    method: 'service-account-token',
    pod: subject.pod,
    onBehalfBy: undefined,
  }
  claimed(claim)
  checkClaims(claims, keys.issuer, policy, clock.now())
  const review = () => reviewToken(text, claims, cluster, policy, signal)

  const caller = (lineage: Lineage | undefined) => attestedCaller({ ...claim, lineage, svid: undefined })
  if (subject.boundTo === 'nothing' && policy.unboundTokens === 'deny')
    throw refused('unbound_token', 'the token is bound to no pod, and unbound tokens are not taken')
  // A token bound to a Node or a Secret is beyond what the watch sees.
  if (policy.authentication === 'token-review' || subject.boundTo === 'another object') await review()
  else await confirmAlive(subject, cluster.watch, policy.maxStalenessMs, clock, review)

  if (!subject.pod) return caller(undefined)
  return caller({
    podName: subject.pod.name,
    podUid: subject.pod.uid,
    serviceAccountUid: subject.accountUid,
    renewableUntil: wholeSecond(plus(clock.now(), policy.lineageMs)),
  })
}

async function verified(text: string, keys: TokenKeys): Promise<Claims> {
  const token = orRefuse('malformed_token', () => readToken(text))
  const key = await keys.keyFor(token)
  if (!orRefuse('malformed_token', () => verifyToken(token, key)))
    throw refused('bad_signature', 'a token whose signature does not verify')
  return orRefuse('malformed_token', () => readClaims(token))
}

function orRefuse<T>(reason: RefusalReason, read: () => T): T {
  try {
    return read()
  } catch (error) {
    if (error instanceof CaError && error.code === 'invalid_argument') throw refused(reason, error.message, error.cause)
    throw error
  }
}

function checkClaims(claims: Claims, issuer: string | undefined, policy: TokenPolicy, now: Date): void {
  const { iss, aud, exp, nbf, iat } = claims
  if (issuer === undefined || iss !== issuer) throw refused('wrong_issuer', `issuer ${quote(iss)}; taken: ${issuer}`)
  // `aud` is a string or a list of strings (RFC 7519 §4.1.3). Any other shape is no audience at all.
  const audiences =
    typeof aud === 'string' ? [aud] : Array.isArray(aud) && aud.every((one) => typeof one === 'string') ? aud : []
  if (!audiences.some((audience) => policy.audiences.includes(audience as string)))
    throw refused('wrong_audience', `audience ${quote(aud)}; taken: ${policy.audiences.join(', ')}`)
  if (exp === undefined)
    throw refused(
      'no_expiry',
      'a token without an end, as old service-account secrets hold; project a bound token instead',
    )
  const at = (value: Json | undefined, name: string) => {
    if (typeof value !== 'number' || !Number.isFinite(value))
      throw refused('malformed_token', `${name} is not a number`)
    return value * SECOND
  }
  if (now.getTime() >= at(exp, 'exp') + LEEWAY_MS) throw refused('expired', `expired at ${moment(at(exp, 'exp'))}`)
  for (const [value, name] of [
    [nbf, 'nbf'],
    [iat, 'iat'],
  ] as const)
    if (value !== undefined && at(value, name) > now.getTime() + LEEWAY_MS)
      throw refused('not_yet_valid', `${name} is ${moment(at(value, name))}, in the future`)
}

type Subject = {
  readonly account: ServiceAccount
  readonly accountUid: string
  readonly pod: { readonly name: string; readonly uid: string } | undefined
  readonly boundTo: 'pod' | 'another object' | 'nothing'
}

const SUBJECT_PREFIX = 'system:serviceaccount:'

/** `sub` is exactly `system:serviceaccount:<namespace>:<name>`, and the `kubernetes.io` claims say the same. */
function subjectOf(claims: Claims): Subject {
  const { sub } = claims
  const parts =
    typeof sub === 'string' && sub.startsWith(SUBJECT_PREFIX) ? sub.slice(SUBJECT_PREFIX.length).split(':', 3) : []
  const [namespace, name] = parts
  if (parts.length !== 2 || !namespace || !name || !isDnsLabel(namespace) || !isDnsSubdomain(name))
    throw refused('not_a_service_account', `subject ${quote(sub)}; taken: ${SUBJECT_PREFIX}<namespace>:<name>`)
  const kubernetes = asObject(claims['kubernetes.io'])
  const account = asObject(kubernetes?.serviceaccount)
  const accountUid = account?.uid
  if (
    kubernetes?.namespace !== namespace ||
    account?.name !== name ||
    typeof accountUid !== 'string' ||
    !isUid(accountUid)
  )
    throw refused('not_a_service_account', 'the kubernetes.io claims do not name the subject')
  const pod = asObject(kubernetes.pod)
  if (kubernetes.pod !== undefined) {
    const { name: podName, uid: podUid } = pod ?? {}
    if (typeof podName !== 'string' || !isDnsSubdomain(podName) || typeof podUid !== 'string' || !isUid(podUid))
      throw refused('malformed_token', 'the kubernetes.io claims name no pod properly')
    return { account: { namespace, name }, accountUid, pod: { name: podName, uid: podUid }, boundTo: 'pod' }
  }
  // Since Kubernetes 1.29 a token says which node its pod runs on; without a pod it is bound to the node itself.
  const other = kubernetes.node !== undefined || kubernetes.secret !== undefined
  return { account: { namespace, name }, accountUid, pod: undefined, boundTo: other ? 'another object' : 'nothing' }
}

async function reviewToken(
  text: string,
  claims: Claims,
  cluster: Cluster,
  policy: TokenPolicy,
  signal: AbortSignal,
): Promise<void> {
  const review = await cluster.reader.reviewToken(text, policy.audiences, signal)
  if (!review.authenticated) throw refused('token_review', `the API server does not take the token: ${review.error}`)
  if (review.username !== claims.sub) throw refused('token_review', 'the API server names another user for the token')
  if (!review.audiences.some((audience) => policy.audiences.includes(audience)))
    throw refused('wrong_audience', 'the API server confirms none of our audiences')
}

const moment = (ms: number): string => (Math.abs(ms) < 8e15 ? new Date(ms).toISOString() : `${ms} ms`)
const quote = (value: Json | undefined): string => (JSON.stringify(value) ?? 'none').slice(0, 200)

/** RFC 1123, as Kubernetes names namespaces: at most 63 characters. */
const isDnsLabel = (text: string): boolean => text.length <= 63 && /^[a-z0-9](?:[a-z0-9-]*[a-z0-9])?$/.test(text)

/** As Kubernetes names service accounts and pods: labels with dots between, at most 253 characters. */
const isDnsSubdomain = (text: string): boolean => text.length <= 253 && text.split('.').every(isDnsLabelOfAnyLength)
const isDnsLabelOfAnyLength = (text: string): boolean => /^[a-z0-9](?:[a-z0-9-]*[a-z0-9])?$/.test(text)

const isUid = (text: string): boolean => /^[\x21-\x7e]{1,64}$/.test(text)
