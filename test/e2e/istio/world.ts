import { randomBytes, X509Certificate } from 'node:crypto'
import { copyFileSync } from 'node:fs'
import { join } from 'node:path'
import type { AuthoritiesView } from '../../../src/service/authorities-view.ts'
import { aRoot, type TestCa, writeCacerts } from '../../_support/plugged-ca.ts'
import { Alcazar } from '../_support/alcazar.ts'
import { type HeldCertificate, verifyWithOpenssl } from '../_support/held-certificate.ts'
import { MountedSecret } from '../_support/mounted-secret.ts'
import { type AgentOptions, PilotAgent } from '../_support/pilot-agent.ts'
import type { Stage } from '../_support/stage.ts'
import type { Cluster } from '../_support/testbed.ts'
import { until } from '../_support/until.ts'
import { Workload } from '../_support/workload.ts'
import { Sidecar, type SidecarOptions } from './sidecar.ts'
import type { Traffic } from './traffic.ts'

/** A mesh in miniature: a real API server, Alcazar with a plugged-in CA, and agents that each play one pod. */
export class World {
  readonly stage: Stage
  readonly namespace = `shop-${randomBytes(3).toString('hex')}`
  /** What an admin mounts as `cacerts`. */
  readonly cacerts: MountedSecret
  /** The file by which agents trust Alcazar: in a cluster the mounted ConfigMap istio-ca-root-cert. */
  readonly caRoot: string
  /** Where Alcazar keeps the set of CRLs, as ca-crl.pem. */
  readonly crls: string
  cluster!: Cluster
  alcazar!: Alcazar
  /** The root that signs at first, and the one that replaces it. */
  rootA!: TestCa
  rootB!: TestCa
  readonly #agents = new Map<string, PilotAgent>()
  readonly #sidecars = new Map<string, Sidecar>()
  readonly #workloads = new Map<string, Workload>()
  /** What the app in `front` asks of the app in `shop` while the root is replaced. */
  traffic!: Traffic

  constructor(stage: Stage) {
    this.stage = stage
    this.cacerts = new MountedSecret(stage.folder('cacerts'), [
      'ca-cert.pem',
      'ca-key.pem',
      'cert-chain.pem',
      'root-cert.pem',
    ])
    this.caRoot = join(stage.folder('bootstrap'), 'root-cert.pem')
    this.crls = stage.folder('crls')
  }

  async setUp(): Promise<void> {
    const { stage, namespace } = this
    // Found missing now rather than in the middle.
    for (const client of ['pilot-agent', 'envoy'] as const) await stage.testbed.client(client)
    this.cluster = await stage.testbed.cluster('control-plane')
    stage.atEnd(() => this.cluster.leaveAsFound())
    await this.cluster.createNamespace(namespace)
    stage.atEnd(() => this.cluster.kubectl('delete', 'namespace', namespace, '--wait=false'))
    this.rootA = await aRoot()
    this.rootB = await aRoot()
    await this.plugIn(this.rootA, [this.rootA])
    this.publishRoots()
    const { kubeconfig } = this.cluster
    const crlFile = join(this.crls, 'ca-crl.pem')
    this.alcazar = await Alcazar.start(stage, { pluggedCa: this.cacerts.path, crlFile, kubeconfig })
  }

  /** Gives Alcazar other files, in one moment. */
  plugIn(signer: TestCa, roots: readonly TestCa[]): Promise<void> {
    return this.cacerts.replace((folder) => writeCacerts(folder, signer, [signer], roots))
  }

  /** Gives the agents the roots that were plugged in last, as istiod's ConfigMap does. */
  publishRoots(): void {
    copyFileSync(join(this.cacerts.path, 'root-cert.pem'), this.caRoot)
  }

  /** The certificate of the first root. */
  get a(): X509Certificate {
    return new X509Certificate(this.rootA.certificate.der)
  }

  /** The certificate of the root that replaces it. */
  get b(): X509Certificate {
    return new X509Certificate(this.rootB.certificate.der)
  }

  /** Waits until each agent that runs holds what is wished, and OpenSSL accepts it. */
  async everyAgent(what: string, wish: (held: HeldCertificate) => boolean): Promise<void> {
    for (const name of ['cart', 'invoice', 'batch-later', 'shop', 'front']) {
      const held = await this.agent(name).certificate(what, wish)
      await verifyWithOpenssl(held.copyTo(this.stage.folder('held', name)))
    }
  }

  /** Waits until the roots are in these states, in the alphabet's order: what is in the way is so until its certificates have ended. */
  async rootsAre(...states: readonly string[]): Promise<void> {
    await until(`the roots are ${states.join(' and ')}`, 90, async () => {
      const { authorities } = (await this.alcazar.cli('authority', 'status')) as AuthoritiesView
      const found = authorities.filter(({ role }) => role === 'root').map(({ state }) => state)
      return found.toSorted().join() === states.join()
    })
  }

  /** A new pod, with a service account of its own. */
  async addWorkload(serviceAccount: string): Promise<Workload> {
    const workload = await Workload.create(this.cluster, this.namespace, serviceAccount)
    this.#workloads.set(serviceAccount, workload)
    return workload
  }

  async startAgent(options: Omit<AgentOptions, 'caAddress' | 'caRoot'>): Promise<PilotAgent> {
    const { stage, caRoot, alcazar } = this
    const agent = await PilotAgent.start(stage, { ...options, caAddress: alcazar.address, caRoot })
    this.#agents.set(options.name, agent)
    return agent
  }

  async startSidecar(options: SidecarOptions): Promise<Sidecar> {
    const sidecar = await Sidecar.start(this, options)
    this.#sidecars.set(options.name, sidecar)
    return sidecar
  }

  workload(serviceAccount: string): Workload {
    return found(this.#workloads, serviceAccount)
  }

  agent(name: string): PilotAgent {
    return found(this.#agents, name)
  }

  sidecar(name: string): Sidecar {
    return found(this.#sidecars, name)
  }
}

function found<T>(all: ReadonlyMap<string, T>, name: string): T {
  const one = all.get(name)
  if (one === undefined) throw new Error(`no step before this one made ${name}`)
  return one
}

export const createWorld = (stage: Stage): World => new World(stage)
