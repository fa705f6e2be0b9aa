import { existsSync } from 'node:fs'
import { join, relative } from 'node:path'
import { freePorts } from './ports.ts'
import { run } from './run.ts'
import { until } from './until.ts'

/** apiserver, etcd, its peer port, controller-manager, scheduler, metrics. */
const CLUSTER_PORTS = 6

const PART_OF = {
  'pilot-agent': 'istio',
  'pilot-discovery': 'istiod',
  'spire-server': 'spire',
  'spire-agent': 'spire',
  'go-spiffe': 'go-spiffe',
  envoy: 'envoy',
  'python-spiffe': 'envoy',
} as const
export type ClientName = keyof typeof PART_OF

/** `control-plane` runs no pods and needs no root. */
export type ClusterKind = 'control-plane' | 'full'

/** The real Kubernetes and the real clients, as the testbed's own README describes them. */
export class Testbed {
  readonly #path: string

  /** @throws where there is no testbed */
  constructor(path: string) {
    if (!existsSync(join(path, 'cluster')))
      throw new Error(`there is no testbed at ${path}; name its folder by the environment variable ALCAZAR_TESTBED`)
    this.#path = path
  }

  /** Path of a real client's program. @throws where it is not built, with the command that builds it */
  async client(name: ClientName): Promise<string> {
    const path = (await run(join(this.#path, 'clients'), ['path', name])).trim()
    if (!existsSync(path))
      throw new Error(`${name} is not built; build it: ${this.#tool('clients')} build ${PART_OF[name]}`)
    return path
  }

  /**
   * A cluster that answers: the one that is up, or a new one.
   * @throws where Kubernetes is not built, with the command that builds it
   */
  async cluster(kind: ClusterKind): Promise<Cluster> {
    const found = await this.#running()
    if (found) {
      if (kind === 'full' && !found.isFull)
        throw new Error(`a cluster without a node is up; take it down: ${this.#tool('cluster')} down`)
      return new Cluster(found.kubeconfig, this.#kubectl, undefined)
    }
    const port = process.env.TESTBED_PORT ?? String(await freePorts(CLUSTER_PORTS))
    const kubeconfig = await this.#cluster(['up', ...(kind === 'full' ? [] : ['--control-plane'])], port)
    return new Cluster(kubeconfig.trim(), this.#kubectl, async () => void (await this.#cluster(['down'], port)))
  }

  async #running(): Promise<{ kubeconfig: string; isFull: boolean } | undefined> {
    const status = await this.#cluster(['status']).catch(() => '')
    const kubeconfig = /^kubeconfig: (.+)$/m.exec(status)?.[1]
    if (kubeconfig === undefined || !/^kube-apiserver: process/m.test(status)) return undefined
    return { kubeconfig, isFull: /^node: process/m.test(status) }
  }

  async #cluster(args: readonly string[], port = process.env.TESTBED_PORT): Promise<string> {
    const env = { ...process.env, ...(port !== undefined && { TESTBED_PORT: port }) }
    try {
      return await run(join(this.#path, 'cluster'), args, { env, seconds: 240 })
    } catch (cause) {
      const missing = /no (\S+): run cluster build/.exec((cause as Error).message)?.[1]
      if (missing === undefined) throw cause
      throw new Error(`${missing} is not built; build it: ${this.#tool('cluster')} build kubernetes etcd`, { cause })
    }
  }

  readonly #kubectl = (args: readonly string[]): Promise<string> => this.#cluster(['kubectl', ...args])

  #tool(name: 'cluster' | 'clients'): string {
    const path = join(this.#path, name)
    const near = relative(process.cwd(), path)
    return near.length < path.length ? near : path
  }
}

/** A running Kubernetes, asked as its administrator. */
export class Cluster {
  /** Path of an administrator's kubeconfig. */
  readonly kubeconfig: string
  readonly #kubectl: (args: readonly string[]) => Promise<string>
  readonly #down: (() => Promise<void>) | undefined

  constructor(
    kubeconfig: string,
    kubectl: (args: readonly string[]) => Promise<string>,
    down: (() => Promise<void>) | undefined,
  ) {
    this.kubeconfig = kubeconfig
    this.#kubectl = kubectl
    this.#down = down
  }

  kubectl(...args: string[]): Promise<string> {
    return this.#kubectl(args)
  }

  /** Takes it down where it was not up before. */
  async leaveAsFound(): Promise<void> {
    await this.#down?.()
  }

  async createNamespace(name: string): Promise<void> {
    await this.kubectl('create', 'namespace', name)
    await until(`the default service account of ${name}`, 30, () =>
      this.kubectl('-n', name, 'get', 'serviceaccount', 'default'),
    )
  }
}
