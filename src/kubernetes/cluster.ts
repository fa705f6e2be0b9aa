import type { Cluster, ClusterReader, Pod, TokenReview } from '../attestation/cluster.ts'
import type { FetchTokenIssuer } from '../attestation/token-keys.ts'
import type { Clock } from '../core/clock.ts'
import { SECOND } from '../core/duration.ts'
import { CaError } from '../core/errors.ts'
import type { RandomBytes } from '../core/random.ts'
import type { Events } from '../service/events.ts'
import type { ServiceAccount } from '../spiffe/spiffe-id.ts'
import { ApiError, type KubernetesApi } from './api.ts'
import { AccountMirror, PodMirror, podOf } from './cluster-mirror.ts'
import { type KubernetesObject, ListWatch, type Mirror } from './list-watch.ts'

/** Questions to the API server that may wait for an answer at the same time. */
const MAX_QUESTIONS = 128

/** After one question failed on the way, the next ones are not kept waiting for the same. */
const DOWN_FOR_MS = 2 * SECOND

export type KubernetesClusterParts = {
  readonly api: KubernetesApi
  readonly clock: Clock
  readonly random: RandomBytes
  readonly events: Events
}

/** A real cluster: its pods and accounts mirrored by watches, and the API server asked where a mirror is not enough. */
export class KubernetesCluster {
  readonly cluster: Cluster
  readonly #watches: readonly ListWatch[]

  constructor({ api, clock, random, events }: KubernetesClusterParts) {
    const pods = new PodMirror()
    const accounts = new AccountMirror()
    const watch = (what: 'pods' | 'service accounts', path: string, mirror: Mirror) =>
      new ListWatch({ api, path, mirror, clock, random, told: (outcome) => events.lookedUp(what, outcome) })
    this.#watches = [
      watch('pods', '/api/v1/pods', pods),
      watch('service accounts', '/api/v1/serviceaccounts', accounts),
    ]
    this.cluster = {
      watch: {
        pod: (uid) => pods.get(uid),
        isGone: (uid) => pods.isGone(uid),
        serviceAccountUid: (account) => accounts.uid(account),
        runsOn: (node, account) => pods.runsOn(node, account),
        silence: () => Math.max(...this.#watches.map((one) => one.silence())),
      },
      reader: new ApiReader(api, clock),
    }
  }

  async run(signal: AbortSignal): Promise<void> {
    await Promise.all(this.#watches.map((watch) => watch.run(signal)))
  }
}

/** The cluster's token issuer by OIDC discovery, from the API server itself and from nowhere it might point to. */
export function discoverTokenIssuer(api: KubernetesApi): FetchTokenIssuer {
  return async (signal) => {
    const [discovery, jwks] = await Promise.all([
      api.get('/.well-known/openid-configuration', {}, signal),
      api.get('/openid/v1/jwks', {}, signal),
    ])
    const { issuer } = discovery as { issuer?: unknown }
    if (typeof issuer !== 'string' || issuer === '') throw new Error('the API server’s OIDC discovery names no issuer')
    return { issuer, jwks: JSON.stringify(jwks) }
  }
}

type ReviewAnswer = {
  status?: { authenticated?: boolean; error?: string; user?: { username?: string }; audiences?: string[] }
}

class ApiReader implements ClusterReader {
  readonly #api: KubernetesApi
  readonly #clock: Clock
  #questions = 0
  #down: { readonly until: number; readonly why: unknown } | undefined

  constructor(api: KubernetesApi, clock: Clock) {
    this.#api = api
    this.#clock = clock
  }

  async reviewToken(token: string, audiences: readonly string[], signal: AbortSignal): Promise<TokenReview> {
    const body = { apiVersion: 'authentication.k8s.io/v1', kind: 'TokenReview', spec: { token, audiences } }
    const { status = {} } = (await this.#ask(signal, () =>
      this.#api.post('/apis/authentication.k8s.io/v1/tokenreviews', body, signal),
    )) as ReviewAnswer
    // Who the API server says it is counts, not what the token says.
    if (status.authenticated !== true || !status.user?.username)
      return { authenticated: false, error: status.error ?? 'no reason given' }
    return { authenticated: true, username: status.user.username, audiences: status.audiences ?? [] }
  }

  async readPod(namespace: string, name: string, signal: AbortSignal): Promise<Pod | undefined> {
    const path = `/api/v1/namespaces/${encodeURIComponent(namespace)}/pods/${encodeURIComponent(name)}`
    const found = await this.#find(path, signal)
    return found === undefined ? undefined : podOf(found as KubernetesObject)
  }

  async readServiceAccountUid(account: ServiceAccount, signal: AbortSignal): Promise<string | undefined> {
    const path = `/api/v1/namespaces/${encodeURIComponent(account.namespace)}/serviceaccounts/${encodeURIComponent(account.name)}`
    const found = (await this.#find(path, signal)) as KubernetesObject | undefined
    return found?.metadata?.uid
  }

  async podsOn(node: string, namespace: string, signal: AbortSignal): Promise<readonly Pod[]> {
    const path = `/api/v1/namespaces/${encodeURIComponent(namespace)}/pods`
    const { items } = (await this.#ask(signal, () =>
      this.#api.get(path, { fieldSelector: `spec.nodeName=${node}` }, signal),
    )) as { items?: KubernetesObject[] }
    return (items ?? []).flatMap((object) => podOf(object) ?? [])
  }

  /** One object; that it does not exist is an answer. */
  #find(path: string, signal: AbortSignal): Promise<unknown> {
    return this.#ask(signal, () =>
      this.#api.get(path, {}, signal).catch((error) => {
        if (error instanceof ApiError && error.status === 404) return undefined
        throw error
      }),
    )
  }

  /** Whatever goes wrong means that nobody knows. */
  async #ask(signal: AbortSignal, question: () => Promise<unknown>): Promise<unknown> {
    if (this.#down && this.#clock.elapsed() < this.#down.until) throw unaskable(this.#down.why)
    if (this.#questions >= MAX_QUESTIONS)
      throw new CaError('rate_limited', 'too many questions to the API server are open; try again later')
    this.#questions++
    try {
      return await question()
    } catch (error) {
      // An asker who gave up says nothing about the API server.
      if (!(error instanceof ApiError) && !signal.aborted)
        this.#down = { until: this.#clock.elapsed() + DOWN_FOR_MS, why: error }
      throw unaskable(error)
    } finally {
      this.#questions--
    }
  }
}

function unaskable(cause: unknown): CaError {
  return new CaError('dependency_unavailable', 'the cluster can’t be asked now; try again later', { cause })
}
