import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { HeldCertificate } from './held-certificate.ts'
import { freePort } from './ports.ts'
import type { Running } from './processes.ts'
import type { Stage } from './stage.ts'
import { until } from './until.ts'
import type { Workload } from './workload.ts'

export type AgentOptions = {
  readonly name: string
  readonly workload: Workload
  /** host:port of the CA. */
  readonly caAddress: string
  /** Path of the roots by which the CA is trusted. */
  readonly caRoot: string
  readonly key: 'ECDSA' | 'RSA'
  /** The lifetime it asks for with every CSR; it renews at half of it. */
  readonly ttlSeconds?: number
  /** A folder with a certificate from before, which the agent shows instead of a token and keeps fresh. */
  readonly provisioned?: string
  /** The Envoy that the agent runs, as in a sidecar; without it the agent only writes files. */
  readonly envoy?: { readonly program: string; readonly bootstrap: object; readonly adminPort: number }
  /** Folder of the file ca-crl.pem, by which its Envoy then checks revocation: in a cluster the mounted ConfigMap istio-ca-crl. */
  readonly crls?: string
}

const TTL_SECONDS = 20

/** The agent looks for CRLs at an absolute path, so it gets a /run of its own: followed by the folder, and the command. */
const WITH_CRLS = [
  'unshare',
  ...(process.getuid?.() === 0 ? [] : ['--user', '--map-root-user']),
  '--mount',
  'sh',
  '-ec',
  'mount -t tmpfs run /run; mkdir -p /run/secrets/istio; ln -s "$1" /run/secrets/istio/crl; shift; exec "$@"',
  'with-crls',
]

/** How soon a running agent surely has its next certificate: half of the lifetime, its jitter, and a busy machine. */
const RENEWED_WITHIN_SECONDS = 20

/** istio's own sidecar agent, which believes that it runs in a pod. */
export class PilotAgent {
  readonly #options: AgentOptions
  readonly #certificates: string
  readonly #folder: string
  readonly #statusPort: number
  #running: Running | undefined

  private constructor(stage: Stage, options: AgentOptions, statusPort: number) {
    this.#options = options
    this.#statusPort = statusPort
    this.#folder = stage.folder('agents', options.name)
    this.#certificates = options.provisioned ?? stage.folder('agents', options.name, 'certs')
  }

  static async start(stage: Stage, options: AgentOptions): Promise<PilotAgent> {
    const agent = new PilotAgent(stage, options, await freePort())
    await agent.#prepare()
    const command = [await stage.testbed.client('pilot-agent'), 'proxy', 'sidecar'] as const
    const [program, ...args] =
      options.crls === undefined ? command : ([...WITH_CRLS, options.crls, ...command] as const)
    agent.#running = await stage.processes.start(options.name, {
      program,
      args,
      cwd: agent.#folder,
      env: agent.#environment(),
    })
    return agent
  }

  get log(): string {
    return (this.#running as Running).said()
  }

  async end(): Promise<void> {
    await (this.#running as Running).end()
  }

  /** Its certificate now. @throws while it has none */
  held(): HeldCertificate {
    return new HeldCertificate(this.#certificates)
  }

  /** Its first certificate, or the next one that fulfils `wish`. */
  certificate(what: string, wish: (held: HeldCertificate) => boolean = () => true): Promise<HeldCertificate> {
    return until(`${this.#options.name} has ${what}`, RENEWED_WITHIN_SECONDS, () => {
      const held = this.held()
      return wish(held) && held
    })
  }

  /** Its certificate after the one it holds now. */
  renewed(before = this.held()): Promise<HeldCertificate> {
    return this.certificate('a renewed certificate', (held) => held.serial !== before.serial)
  }

  async #prepare(): Promise<void> {
    const { workload, envoy, provisioned } = this.#options
    for (const path of ['var/run/secrets/tokens', 'var/run/secrets/istio', 'etc/istio/proxy'])
      mkdirSync(join(this.#folder, path), { recursive: true })
    if (provisioned === undefined)
      writeFileSync(join(this.#folder, 'var/run/secrets/tokens/istio-token'), await workload.token(), { mode: 0o600 })
    if (envoy) writeFileSync(join(this.#folder, 'envoy.json'), JSON.stringify(envoy.bootstrap, null, 2))
  }

  #environment(): NodeJS.ProcessEnv {
    const { workload, caAddress, caRoot, key, ttlSeconds = TTL_SECONDS, provisioned, envoy } = this.#options
    const proxyConfig = {
      controlPlaneAuthPolicy: 'NONE',
      configPath: './etc/istio/proxy',
      discoveryAddress: caAddress,
      statusPort: this.#statusPort,
      concurrency: 1,
      ...(envoy && {
        binaryPath: envoy.program,
        customConfigFile: './envoy.json',
        proxyAdminPort: envoy.adminPort,
        terminationDrainDuration: '1s',
      }),
    }
    return {
      PATH: process.env.PATH,
      CA_ADDR: caAddress,
      CA_ROOT_CA: caRoot,
      XDS_ROOT_CA: caRoot,
      CA_PROVIDER: 'Citadel',
      PILOT_CERT_PROVIDER: 'istiod',
      TRUST_DOMAIN: 'cluster.local',
      POD_NAME: workload.pod,
      POD_NAMESPACE: workload.namespace,
      SERVICE_ACCOUNT: workload.serviceAccount,
      INSTANCE_IP: '127.0.0.1',
      ISTIO_META_CLUSTER_ID: 'Kubernetes',
      SECRET_TTL: `${ttlSeconds}s`,
      OUTPUT_CERTS: this.#certificates,
      PROXY_CONFIG: JSON.stringify(proxyConfig),
      ...(key === 'ECDSA' && { ECC_SIGNATURE_ALGORITHM: 'ECDSA' }),
      ...(provisioned !== undefined && { PROV_CERT: provisioned }),
      ...(!envoy && { DISABLE_ENVOY: 'true' }),
    }
  }
}
