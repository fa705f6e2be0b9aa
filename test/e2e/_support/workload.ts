import type { Cluster } from './testbed.ts'

/** A pod of the real API server with a service account of its own. It runs nowhere: its programs run beside the test. */
export class Workload {
  readonly namespace: string
  readonly serviceAccount: string
  readonly pod: string
  readonly uid: string
  readonly #cluster: Cluster

  private constructor(cluster: Cluster, namespace: string, serviceAccount: string, uid: string) {
    this.#cluster = cluster
    this.namespace = namespace
    this.serviceAccount = serviceAccount
    this.pod = podOf(serviceAccount)
    this.uid = uid
  }

  static async create(cluster: Cluster, namespace: string, serviceAccount: string): Promise<Workload> {
    await cluster.kubectl('-n', namespace, 'create', 'serviceaccount', serviceAccount)
    const spec = {
      serviceAccountName: serviceAccount,
      automountServiceAccountToken: false,
      // Nobody schedules it: a pod bound to a node that does not exist is soon deleted as garbage.
      schedulerName: 'nobody',
      containers: [{ name: 'app', image: 'localhost/none:1' }],
    }
    const uid = await cluster.kubectl(
      ...['-n', namespace, 'run', podOf(serviceAccount), '--image=localhost/none:1', '--restart=Never'],
      ...['--overrides', JSON.stringify({ apiVersion: 'v1', spec }), '-o', 'jsonpath={.metadata.uid}'],
    )
    return new Workload(cluster, namespace, serviceAccount, uid)
  }

  get spiffeId(): string {
    return `spiffe://cluster.local/ns/${this.namespace}/sa/${this.serviceAccount}`
  }

  /** A token as a kubelet projects it: for one audience, bound to the pod. */
  async token(audience = 'istio-ca'): Promise<string> {
    const token = await this.#cluster.kubectl(
      ...['-n', this.namespace, 'create', 'token', this.serviceAccount, '--audience', audience, '--duration', '1h'],
      ...['--bound-object-kind', 'Pod', '--bound-object-name', this.pod, '--bound-object-uid', this.uid],
    )
    return token.trim()
  }

  async deletePod(): Promise<void> {
    await this.#cluster.kubectl('-n', this.namespace, 'delete', 'pod', this.pod, '--wait=true')
  }
}

const podOf = (serviceAccount: string): string => `${serviceAccount}-0`
