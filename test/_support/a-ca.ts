import { type Attest, attestation } from '../../src/attestation/attest.ts'
import type { Cluster, Pod, TokenReview } from '../../src/attestation/cluster.ts'
import type { TokenPolicy } from '../../src/attestation/service-account-token.ts'
import { TokenKeys } from '../../src/attestation/token-keys.ts'
import { vouches } from '../../src/authority/authority.ts'
import type { Evidence } from '../../src/authority/gate.ts'
import { type Renewable, suggestedRenewal } from '../../src/authority/svid-renewal.ts'
import { DAY, HOUR, MINUTE } from '../../src/core/duration.ts'
import { CaError } from '../../src/core/errors.ts'
import { keyAlgorithm } from '../../src/keys/algorithms.ts'
import type { IssuancePolicy } from '../../src/policy/issuance-policy.ts'
import { askingRenewals } from '../../src/service/ask-renewal.ts'
import { IssuancesUnderWay } from '../../src/service/issuances-under-way.ts'
import { issuingSvids } from '../../src/service/issue-svid.ts'
import { Keeper } from '../../src/service/keeper.ts'
import type { RootSource } from '../../src/service/keeper-parts.ts'
import { TrustDomain } from '../../src/spiffe/trust-domain.ts'
import { FakeClock } from './fake-clock.ts'
import { inventoryOf } from './live-svids.ts'
import { MemoryLedger } from './memory-ledger.ts'
import { MemoryMoment } from './memory-moment.ts'
import { MemoryStore } from './memory-store.ts'
import { NO_EVIDENCE } from './no-evidence.ts'
import { recordedEvents } from './recorded-events.ts'
import { seededRandom } from './seeded-random.ts'
import { podClaims, TokenSigner } from './tokens.ts'

export type CaOptions = {
  now?: string
  seed?: number
  trustDomain?: string
  source?: RootSource
  store?: MemoryStore
  /** What is known of live workloads; none by default. */
  evidence?: () => Evidence
  issuingLifetimeMs?: number
  tokenPolicy?: Partial<TokenPolicy>
  issuancePolicy?: Partial<IssuancePolicy>
  trustedNodeAccounts?: { namespace: string; name: string }[]
  /** The cluster's token key; a file of many tests may share one. */
  signer?: TokenSigner
}

/** The cluster a test describes: what its watch shows, and what its API server says. */
export class TestCluster {
  pods = new Map<string, Pod>()
  /** UIDs. */
  seenDeleted = new Set<string>()
  accounts = new Map<string, string>()
  /** Milliseconds since the watch last heard anything. */
  silence = 0
  /** Nobody answers. */
  down = false
  /** The watch has not seen any of it yet; the API server knows. */
  blind = false
  review: (token: string) => TokenReview = () => ({ authenticated: false, error: 'unknown token' })
  /** Questions put to the API server. */
  asked: string[] = []

  /** A pod that runs, and its account. */
  add(pod: Partial<Pod> & { namespace: string; serviceAccount: string; name: string }): Pod {
    const whole: Pod = { uid: `uid-of-${pod.name}`, node: 'node-1', deletion: undefined, ended: false, ...pod }
    this.pods.set(whole.uid, whole)
    this.accounts.set(
      `${pod.namespace}/${pod.serviceAccount}`,
      this.accounts.get(`${pod.namespace}/${pod.serviceAccount}`) ?? `uid-of-${pod.serviceAccount}`,
    )
    return whole
  }

  get cluster(): Cluster {
    const ask = <T>(what: string, answer: () => T): Promise<T> => {
      this.asked.push(what)
      return this.down
        ? Promise.reject(new CaError('dependency_unavailable', 'the cluster can’t be asked now'))
        : Promise.resolve(answer())
    }
    const runsAs = (node: string, namespace: string, name: string) =>
      [...this.pods.values()].filter(
        (pod) => pod.node === node && pod.namespace === namespace && pod.serviceAccount === name && !pod.ended,
      )
    return {
      watch: {
        pod: (uid) => (this.blind ? undefined : this.pods.get(uid)),
        isGone: (uid) => this.seenDeleted.has(uid),
        serviceAccountUid: ({ namespace, name }) =>
          this.blind ? undefined : this.accounts.get(`${namespace}/${name}`),
        runsOn: (node, { namespace, name }) => !this.blind && runsAs(node, namespace, name).length > 0,
        silence: () => this.silence,
      },
      reader: {
        reviewToken: (token) => ask('TokenReview', () => this.review(token)),
        readPod: (namespace, name) =>
          ask(`pod ${namespace}/${name}`, () =>
            [...this.pods.values()].find((pod) => pod.namespace === namespace && pod.name === name),
          ),
        readServiceAccountUid: ({ namespace, name }) =>
          ask(`account ${namespace}/${name}`, () => this.accounts.get(`${namespace}/${name}`)),
        podsOn: (node, namespace) =>
          ask(`pods on ${node}`, () =>
            [...this.pods.values()].filter((pod) => pod.node === node && pod.namespace === namespace),
          ),
      },
    }
  }
}

/** A whole CA without network or disk: every default sensible, change one thing. Its clock stands at 2030-01-01. */
export async function aCa(options: CaOptions = {}) {
  const clock = new FakeClock(options.now)
  const random = seededRandom(options.seed ?? 1)
  const events = recordedEvents()
  const ledger = new MemoryLedger()
  const store = options.store ?? new MemoryStore()
  const trustDomain = TrustDomain.parse(options.trustDomain ?? 'cluster.local')
  const keeper = await Keeper.open({
    store,
    trustDomain,
    source: options.source ?? { kind: 'dev', root: { algorithm: keyAlgorithm('ecdsa-p256'), lifetimeMs: 3650 * DAY } },
    issuing: { algorithm: keyAlgorithm('ecdsa-p256'), lifetimeMs: options.issuingLifetimeMs ?? 30 * DAY },
    rotation: { rootDueBeforeMs: 180 * DAY },
    evidence: options.evidence ?? (() => NO_EVIDENCE),
    lastMoment: new MemoryMoment(clock.now()),
    ledger,
    events,
    clock,
    random,
  })
  const inventory = await inventoryOf([], clock)
  const signer = options.signer ?? new TokenSigner()
  const cluster = new TestCluster()
  const keys = new TokenKeys(
    async () => ({ issuer: signer.issuer, jwks: JSON.stringify(signer.jwks) }),
    clock,
    new AbortController().signal,
  )
  const policy: IssuancePolicy = {
    trustDomain,
    defaultTtlMs: 24 * HOUR,
    maxTtlMs: 90 * DAY,
    experimental: false,
    ...options.issuancePolicy,
  }
  const tokenPolicy: TokenPolicy = {
    audiences: ['istio-ca'],
    authentication: 'local',
    unboundTokens: 'allow',
    lineageMs: 48 * HOUR,
    maxStalenessMs: 10 * MINUTE,
    ...options.tokenPolicy,
  }
  const attest = attestation({
    trustDomain,
    keys,
    issuers: keeper,
    cluster: cluster.cluster,
    policy: tokenPolicy,
    trustedNodeAccounts: options.trustedNodeAccounts ?? [],
    clock,
  })
  const suggest = (svid: Renewable) => suggestedRenewal(svid, keeper.set, clock.now(), HOUR)
  const askRenewal = askingRenewals({ attest, ledger, inventory, events, clock, suggest, windowMs: HOUR })
  /** The use case behind another attestation. */
  const issuingBehind = (another: Attest) =>
    issuingSvids({
      attest: another,
      policy,
      active: keeper.active,
      isOurs: (key) => keeper.isOurs(key),
      vouches: (issuer) => keeper.trusted.every((set) => vouches(set, issuer, clock.now())),
      takenBackSince: (caller, since) => keeper.revocations.takenBackSince(caller, since),
      suggestRenewal: suggest,
      underWay: new IssuancesUnderWay(),
      ledger,
      inventory,
      events,
      clock,
      random,
    })
  const issueSvid = issuingBehind(attest)
  const podToken = (namespace = 'shop', serviceAccount = 'cart', change: Record<string, unknown> = {}) => {
    const pod =
      [...cluster.pods.values()].find((one) => one.namespace === namespace && one.serviceAccount === serviceAccount) ??
      cluster.add({ namespace, serviceAccount, name: `${serviceAccount}-0` })
    const accountUid = cluster.accounts.get(`${namespace}/${serviceAccount}`) as string
    return signer.signed({
      ...podClaims({ issuer: signer.issuer, namespace, serviceAccount, accountUid, pod, now: clock.now() }),
      ...change,
    })
  }
  return {
    clock,
    random,
    events,
    ledger,
    inventory,
    store,
    trustDomain,
    keeper,
    signer,
    cluster,
    keys,
    policy,
    tokenPolicy,
    attest,
    suggest,
    askRenewal,
    issueSvid,
    issuingBehind,
    podToken,
  }
}
