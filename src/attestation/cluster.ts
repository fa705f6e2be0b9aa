import type { ServiceAccount } from '../spiffe/spiffe-id.ts'

/** What attestation must know of a pod: a small record, a hundred thousand of which fit in memory. */
export type Pod = {
  readonly uid: string
  readonly name: string
  readonly namespace: string
  readonly serviceAccount: string
  readonly node: string
  /** When its grace period ends; nothing while it is not being deleted. */
  readonly deletion: Date | undefined
  /** Phase Failed or Succeeded: it runs nothing any more. */
  readonly ended: boolean
}

/** What a watch of the cluster has seen so far. It answers at once and may lag. */
export interface ClusterWatch {
  pod(uid: string): Pod | undefined
  /** Whether a pod of that UID was seen to be deleted, of late. No other ever has its UID. */
  isGone(uid: string): boolean
  /** The UID of the account of that name. */
  serviceAccountUid(account: ServiceAccount): string | undefined
  /** Whether a pod that has not ended runs as that account on that node. */
  runsOn(node: string, account: ServiceAccount): boolean
  /** Milliseconds since the API server was last heard from on every watch; Infinity before the first complete list. */
  silence(): number
}

export type TokenReview =
  | { readonly authenticated: false; readonly error: string }
  | { readonly authenticated: true; readonly username: string; readonly audiences: readonly string[] }

/** Questions put to the API server itself. Each throws CaError `dependency_unavailable` when it can't be asked, `rate_limited` when too many are open. */
export interface ClusterReader {
  reviewToken(token: string, audiences: readonly string[], signal: AbortSignal): Promise<TokenReview>
  readPod(namespace: string, name: string, signal: AbortSignal): Promise<Pod | undefined>
  /** The UID of the account of that name. */
  readServiceAccountUid(account: ServiceAccount, signal: AbortSignal): Promise<string | undefined>
  podsOn(node: string, namespace: string, signal: AbortSignal): Promise<readonly Pod[]>
}

export type Cluster = { readonly watch: ClusterWatch; readonly reader: ClusterReader }
