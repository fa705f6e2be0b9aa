import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { ConnectionOptions } from 'node:tls'
import { loadConfig } from '../../src/config/load.ts'
import type { Clock } from '../../src/core/clock.ts'
import { systemRandom } from '../../src/core/random.ts'
import type { Patience } from '../../src/endpoints/edge.ts'
import type { LedgerRecord } from '../../src/ledger/ledger.ts'
import { type RunningServer, startServer } from '../../src/server.ts'
import { createLog } from '../../src/telemetry/log.ts'
import { FakeApiServer, type FakePod } from './fake-api-server.ts'
import { BareGrpcClient } from './grpc-client.ts'
import { type HttpCallOptions, type HttpResult, httpCall } from './http-client.ts'
import { aRoot, writeCacerts } from './plugged-ca.ts'
import { SteeredClock } from './steered-clock.ts'
import { podClaims, TokenSigner } from './tokens.ts'

export type Settings = Readonly<Record<string, string | boolean>>

type Common = {
  /** By key, as texts, the way flags come: `{ 'limits.requests': '1' }`. */
  readonly settings?: Settings
  /** A directory that outlives the server; without one it gets its own. */
  readonly state?: string
  readonly clock?: Clock
  readonly patience?: Partial<Patience>
}

/** A directory of a test's own. */
export function aDirectory(): { readonly path: string } & Disposable {
  const path = mkdtempSync(join(tmpdir(), 'alcazar-'))
  return { path, [Symbol.dispose]: () => rmSync(path, { recursive: true, force: true }) }
}

/** A real server in this process, on loopback, with a state directory of its own. */
export class TestServer implements AsyncDisposable {
  readonly running: RunningServer
  readonly state: string
  /** Lines of its log, JSON. */
  readonly log: string[]
  /** Every root of its bundle, PEM. */
  readonly roots: string
  readonly #opened: AsyncDisposableStack
  readonly #clients: BareGrpcClient[] = []

  private constructor(
    running: RunningServer,
    state: string,
    log: string[],
    roots: string,
    opened: AsyncDisposableStack,
  ) {
    this.running = running
    this.state = state
    this.log = log
    this.roots = roots
    this.#opened = opened
  }

  static async start(
    fixed: Settings,
    { settings, state, clock, patience = {} }: Common,
    beside?: Disposable,
  ): Promise<TestServer> {
    await using opened = new AsyncDisposableStack()
    opened.use(beside)
    const directory = state ?? opened.use(aDirectory()).path
    const { config } = loadConfig({
      flags: new Map<string, unknown>(
        Object.entries({
          stateDirectory: directory,
          listen: '127.0.0.1:0',
          healthListen: '127.0.0.1:0',
          ...fixed,
          ...settings,
        }),
      ),
      environment: {},
      file: undefined,
    })
    const log: string[] = []
    const time = clock ?? new SteeredClock()
    const running = await startServer({
      config,
      version: '0.0.0-test',
      clock: time,
      random: systemRandom,
      patience,
      log: createLog({ level: 'info', format: 'json', write: (line) => void log.push(line), clock: time }),
    })
    opened.defer(() => running.close())
    const described = await httpCall({ socketPath: running.adminSocket }, 'GET', '/v1/server')
    return new TestServer(running, directory, log, described.json<{ trustBundle: string }>().trustBundle, opened.move())
  }

  /** How a client trusts it. */
  get trust(): ConnectionOptions {
    return { ca: this.roots }
  }

  /** A bare gRPC client on a connection of its own, closed with the server. */
  grpc(tls: ConnectionOptions = {}): BareGrpcClient {
    const client = new BareGrpcClient(this.running.ca, { ...this.trust, ...tls })
    this.#clients.push(client)
    return client
  }

  /** One request to the HTTPS API. */
  api(
    method: string,
    path: string,
    { tls, ...options }: HttpCallOptions & { tls?: ConnectionOptions } = {},
  ): Promise<HttpResult> {
    return httpCall({ ...this.running.ca, tls: { ...this.trust, ...tls } }, method, path, options)
  }

  /** One request to the admin's socket. */
  admin(method: string, path: string, options: HttpCallOptions = {}): Promise<HttpResult> {
    return httpCall({ socketPath: this.running.adminSocket }, method, path, options)
  }

  /** One request to the port of health and metrics. */
  health(path: string, method = 'GET'): Promise<HttpResult> {
    return httpCall(this.running.health, method, path)
  }

  /** A metric's value now, by its name with labels as the text format writes them. */
  async metric(name: string): Promise<number> {
    const { text } = await this.health('/metrics')
    const line = text.split('\n').find((one) => one.startsWith(`${name} `))
    return line === undefined ? 0 : Number(line.slice(name.length + 1))
  }

  /** A service-account token from dev mode. */
  async devToken(namespace = 'shop', serviceAccount = 'cart'): Promise<string> {
    const answer = await this.admin('POST', '/v1/dev/tokens', { body: { namespace, serviceAccount } })
    return answer.json<{ token: string }>().token
  }

  /** The ledger's records, in order. */
  ledger(): LedgerRecord[] {
    const directory = join(this.state, 'ledger')
    return readdirSync(directory)
      .sort()
      .flatMap((file) => readFileSync(join(directory, file), 'utf8').split('\n'))
      .filter((line) => line !== '')
      .map((line) => JSON.parse(line) as LedgerRecord)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const client of this.#clients) client.close()
    await this.#opened.disposeAsync()
  }
}

/** A server in dev mode: its own root, its own tokens. */
export function aDevServer(options: Common = {}): Promise<TestServer> {
  return TestServer.start({ dev: true }, options)
}

/** The cluster beside a server: an API server that knows pods and accounts, and signs their tokens. */
export class TestCluster implements AsyncDisposable {
  readonly signer: TokenSigner
  readonly api: FakeApiServer
  readonly #directory = aDirectory()

  private constructor(signer: TokenSigner, api: FakeApiServer) {
    this.signer = signer
    this.api = api
    api.review = (token) => this.#review(token)
  }

  static async start(): Promise<TestCluster> {
    const signer = new TokenSigner({ alg: 'ES256' })
    return new TestCluster(signer, await FakeApiServer.start(signer))
  }

  /** A pod that runs as that account, which exists too. */
  pod(namespace = 'shop', serviceAccount = 'cart', change: Partial<FakePod> = {}): FakePod {
    const name = change.name ?? `${serviceAccount}-0`
    const pod = { namespace, name, serviceAccount, node: 'node-1', uid: `uid-of-${namespace}-${name}`, ...change }
    this.api.addAccount({ namespace, name: serviceAccount, uid: accountUid(namespace, serviceAccount) })
    this.api.addPod(pod)
    return pod
  }

  /** The token the kubelet projects into that pod. */
  tokenOf(pod: FakePod, change: Record<string, unknown> = {}): string {
    return this.signer.signed({
      ...podClaims({
        issuer: this.signer.issuer,
        namespace: pod.namespace,
        serviceAccount: pod.serviceAccount,
        accountUid: accountUid(pod.namespace, pod.serviceAccount),
        pod,
        now: new Date(),
      }),
      ...change,
    })
  }

  /** What leads a server here, or to what stands in front of it. */
  settings(front: { readonly url: string; readonly ca: string } = this.api): Settings {
    const [ca, token] = [join(this.#directory.path, 'ca.crt'), join(this.#directory.path, 'token')]
    writeFileSync(ca, front.ca)
    writeFileSync(token, 'a token of the server itself')
    return { 'attestation.apiServer': front.url, 'attestation.apiServerCa': ca, 'attestation.apiServerToken': token }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.api.stop()
    this.#directory[Symbol.dispose]()
  }

  /** As a real one: it takes the token of every pod that is there. */
  #review(token: string): ReturnType<FakeApiServer['review']> {
    const claims = JSON.parse(Buffer.from(token.split('.')[1] ?? '', 'base64url').toString()) as {
      sub: string
      aud: string[]
      'kubernetes.io': { pod?: { uid: string } }
    }
    const uid = claims['kubernetes.io'].pod?.uid
    if (uid !== undefined && !this.api.pods.has(uid)) return { authenticated: false, error: 'the pod is gone' }
    return { authenticated: true, user: { username: claims.sub }, audiences: claims.aud }
  }
}

const accountUid = (namespace: string, name: string) => `uid-of-account-${namespace}-${name}`

export type PluggedOptions = Common & {
  /** `TestCluster.settings()`. */
  readonly cluster: Settings
  /** Fills the directory of the plugged-in CA; by default with a root that may sign CAs. */
  readonly cacerts?: (directory: string) => Promise<void>
}

/** A server with a plugged-in CA and a cluster. */
export async function aPluggedServer({ cluster, cacerts = aSoleRoot, ...common }: PluggedOptions): Promise<TestServer> {
  const directory = aDirectory()
  await cacerts(directory.path)
  return await TestServer.start({ pluggedCa: directory.path, ...cluster }, common, directory)
}

async function aSoleRoot(directory: string): Promise<void> {
  const root = await aRoot()
  await writeCacerts(directory, root, [root], [root])
}
