import type { Pod } from '../attestation/cluster.ts'
import type { ServiceAccount } from '../spiffe/spiffe-id.ts'
import type { KubernetesObject, Mirror } from './list-watch.ts'

/** So many that were deleted last are remembered: more than a cluster of a hundred thousand pods deletes in a few minutes. */
const REMEMBERED_GONE = 10_000

/** Pods by UID, and how many run as each account on each node. A hundred thousand of them fit in 150 MB. */
export class PodMirror implements Mirror {
  #pods = new Map<string, Pod>()
  #running = new Map<string, number>()
  /** A list that is under way, beside what it will replace. */
  #next: { readonly pods: Map<string, Pod>; readonly running: Map<string, number> } | undefined
  readonly #gone = new Set<string>()
  /** Names that thousands of pods share are kept once. */
  #names = new Map<string, string>()

  begin(): void {
    this.#next = { pods: new Map(), running: new Map() }
    this.#names = new Map()
  }

  settle(): void {
    if (this.#next) {
      this.#pods = this.#next.pods
      this.#running = this.#next.running
    }
    this.#next = undefined
  }

  put(object: KubernetesObject): void {
    const pod = podOf(object, (name) => this.#shared(name))
    if (!pod) return
    const { pods, running } = this.#next ?? { pods: this.#pods, running: this.#running }
    const before = pods.get(pod.uid)
    if (before) count(running, before, -1)
    pods.set(pod.uid, pod)
    count(running, pod, 1)
  }

  remove(object: KubernetesObject): void {
    const before = this.#pods.get(object.metadata?.uid ?? '')
    if (!before) return
    this.#gone.add(before.uid)
    for (const oldest of this.#gone) {
      if (this.#gone.size <= REMEMBERED_GONE) break
      this.#gone.delete(oldest)
    }
    count(this.#running, before, -1)
    this.#pods.delete(before.uid)
  }

  get(uid: string): Pod | undefined {
    return this.#pods.get(uid)
  }

  isGone(uid: string): boolean {
    return this.#gone.has(uid)
  }

  runsOn(node: string, account: ServiceAccount): boolean {
    return (this.#running.get(place(node, account.namespace, account.name)) ?? 0) > 0
  }

  get size(): number {
    return this.#pods.size
  }

  #shared(name: string): string {
    const known = this.#names.get(name)
    if (known !== undefined) return known
    this.#names.set(name, name)
    return name
  }
}

/** UIDs of service accounts by namespace and name. */
export class AccountMirror implements Mirror {
  #uids = new Map<string, string>()
  #next: Map<string, string> | undefined

  begin(): void {
    this.#next = new Map()
  }

  settle(): void {
    if (this.#next) this.#uids = this.#next
    this.#next = undefined
  }

  put({ metadata }: KubernetesObject): void {
    if (metadata?.namespace && metadata.name && metadata.uid)
      (this.#next ?? this.#uids).set(`${metadata.namespace}/${metadata.name}`, metadata.uid)
  }

  remove({ metadata }: KubernetesObject): void {
    this.#uids.delete(`${metadata?.namespace}/${metadata?.name}`)
  }

  uid({ namespace, name }: ServiceAccount): string | undefined {
    return this.#uids.get(`${namespace}/${name}`)
  }
}

/** What is kept of a pod; nothing for what is not whole. */
export function podOf(object: KubernetesObject, shared: (name: string) => string = (name) => name): Pod | undefined {
  const { metadata, spec, status } = object
  if (!metadata?.uid || !metadata.name || !metadata.namespace) return undefined
  return {
    uid: metadata.uid,
    name: metadata.name,
    namespace: shared(metadata.namespace),
    serviceAccount: shared(spec?.serviceAccountName ?? ''),
    node: shared(spec?.nodeName ?? ''),
    deletion: metadata.deletionTimestamp ? new Date(metadata.deletionTimestamp) : undefined,
    ended: status?.phase === 'Failed' || status?.phase === 'Succeeded',
  }
}

function count(running: Map<string, number>, pod: Pod, by: 1 | -1): void {
  if (pod.ended || pod.node === '') return
  const key = place(pod.node, pod.namespace, pod.serviceAccount)
  const now = (running.get(key) ?? 0) + by
  if (now > 0) running.set(key, now)
  else running.delete(key)
}

/** No name of Kubernetes holds a slash. */
const place = (node: string, namespace: string, account: string): string => `${node}/${namespace}/${account}`
