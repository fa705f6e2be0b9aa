import type { PilotAgent } from '../_support/pilot-agent.ts'
import { freePort } from '../_support/ports.ts'
import { until } from '../_support/until.ts'
import type { Workload } from '../_support/workload.ts'
import { type Call, envoyBootstrap } from './envoy-bootstrap.ts'
import type { World } from './world.ts'

export type SidecarOptions = {
  readonly name: string
  readonly workload: Workload
  readonly key: 'ECDSA' | 'RSA'
  /** SPIFFE ID of the one peer whose calls it takes. */
  readonly admits?: string
  /** Whom the app beside it may call. */
  readonly calls?: readonly Omit<Call, 'from'>[]
  /** See AgentOptions. */
  readonly ttlSeconds?: number
  readonly crls?: string
}

/** A pod's whole sidecar: pilot-agent, and the real Envoy that it runs and feeds by SDS. */
export class Sidecar {
  readonly agent: PilotAgent
  /** Where its peers reach it by mutual TLS. */
  readonly inbound: number
  readonly #admin: number
  readonly #outbound: readonly number[]

  private constructor(agent: PilotAgent, ports: { inbound: number; admin: number; outbound: readonly number[] }) {
    this.agent = agent
    this.inbound = ports.inbound
    this.#admin = ports.admin
    this.#outbound = ports.outbound
  }

  static async start(world: World, options: SidecarOptions): Promise<Sidecar> {
    const { name, workload, admits, calls = [], ...agentOptions } = options
    const program = await world.stage.testbed.client('envoy')
    const [inbound, admin] = [await freePort(), await freePort()]
    const placed = await Promise.all(calls.map(async (call) => ({ ...call, from: await freePort() })))
    const bootstrap = envoyBootstrap({
      node: { id: workload.pod, cluster: workload.serviceAccount },
      adminPort: admin,
      inbound: admits === undefined ? undefined : { port: inbound, admits, says: `from ${name}` },
      calls: placed,
    })
    const agent = await world.startAgent({
      ...agentOptions,
      name,
      workload,
      envoy: { program, bootstrap, adminPort: admin },
    })
    const sidecar = new Sidecar(agent, { inbound, admin, outbound: placed.map(({ from }) => from) })
    // Envoy opens a listener when it has its certificates.
    await until(`${name}’s Envoy is live`, 20, async () => (await sidecar.#adminPage('ready')).trim() === 'LIVE')
    return sidecar
  }

  /** One request of the app beside it, to the peer at that place in `calls`. */
  async call(at = 0): Promise<{ status: number; body: string; peer: string | null }> {
    const response = await fetch(`http://127.0.0.1:${this.#outbound[at]}/`, { headers: { connection: 'close' } })
    return { status: response.status, body: await response.text(), peer: response.headers.get('x-peer') }
  }

  /** The serial of the certificate that Envoy itself says it uses. */
  async serial(): Promise<string> {
    const { certificates } = JSON.parse(await this.#adminPage('certs')) as {
      certificates: { cert_chain: { serial_number: string }[] }[]
    }
    const [leaf] = certificates.find((one) => one.cert_chain.length > 0)?.cert_chain ?? []
    if (!leaf) throw new Error('Envoy has no certificate')
    return leaf.serial_number
  }

  /** One of Envoy's counters, summed over all whose name ends so. */
  async counter(end: string): Promise<number> {
    const lines = (await this.#adminPage('stats')).split('\n').map((line) => line.split(': '))
    return lines.filter(([name]) => name?.endsWith(end)).reduce((sum, [, value]) => sum + Number(value), 0)
  }

  async #adminPage(path: string): Promise<string> {
    return (await fetch(`http://127.0.0.1:${this.#admin}/${path}`)).text()
  }
}
