import { mkdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { attestation } from './attestation/attest.ts'
import type { Cluster } from './attestation/cluster.ts'
import { type FetchTokenIssuer, TokenKeys } from './attestation/token-keys.ts'
import { bundleOf } from './authority/active-authority.ts'
import type { Config } from './config/schema.ts'
import { type Clock, loop } from './core/clock.ts'
import { MINUTE, SECOND } from './core/duration.ts'
import { CaError, causesOf } from './core/errors.ts'
import type { RandomBytes } from './core/random.ts'
import { authorityRoutes } from './endpoints/admin/authority-routes.ts'
import { httpApplication } from './endpoints/admin/http.ts'
import { localRoutes, publicRoutes, type ServerDescription } from './endpoints/admin/routes.ts'
import { listenOnUnixSocket } from './endpoints/admin/unix-socket.ts'
import { InFlight, PATIENCE, type Patience } from './endpoints/edge.ts'
import { addReflection } from './endpoints/grpc-reflection.ts'
import { GrpcServer } from './endpoints/grpc-server.ts'
import { GrpcHealth } from './endpoints/health/grpc-health.ts'
import { serveHealth } from './endpoints/health/http.ts'
import { addIstioCa } from './endpoints/istio-ca/handler.ts'
import { type Address, checkFree, TlsListener } from './endpoints/listener.ts'
import { keyAlgorithm } from './keys/algorithms.ts'
import { PlainKeys } from './keys/plain-keys.ts'
import { SealedKeys } from './keys/sealed-keys.ts'
import type { KeyVaults } from './keys/vaults.ts'
import { discoverTokenIssuer, KubernetesCluster } from './kubernetes/cluster.ts'
import { connectKubeconfig, connectMounted } from './kubernetes/connect.ts'
import { BoundedLedger } from './ledger/bounded-ledger.ts'
import { DevCluster } from './service/dev-cluster.ts'
import { issuingSvids } from './service/issue-svid.ts'
import { Keeper, type RootSource } from './service/keeper.ts'
import { OwnCertificate } from './service/own-certificate.ts'
import { readinessCheck } from './service/readiness.ts'
import { type Status, statusOf } from './service/status.ts'
import { AuthorityDirectory } from './storage/authority-directory.ts'
import { lockDirectory } from './storage/directory-lock.ts'
import { hasLedger, LedgerDirectory } from './storage/ledger-directory.ts'
import { PluggedCaDirectory } from './storage/plugged-ca-directory.ts'
import { encryptionFrom } from './storage/secret-file.ts'
import { telemetry } from './telemetry/events.ts'
import type { Log } from './telemetry/log.ts'
import { Metrics } from './telemetry/metrics.ts'
import { certificatePem } from './x509/pem.ts'

export type ServerParts = {
  readonly config: Config
  readonly version: string
  readonly clock: Clock
  readonly random: RandomBytes
  readonly log: Log
  /** How long peers may take, where not as long as usual. */
  readonly patience?: Partial<Patience>
}

/** A server that answers. */
export type RunningServer = {
  readonly ca: Address
  readonly health: Address
  readonly adminSocket: string
  readonly status: () => Promise<Status>
  /** Lets running requests finish, for at most eight seconds, and gives everything back. */
  readonly close: () => Promise<void>
}

const TOKEN_KEYS_EVERY_MS = 5 * MINUTE
const READINESS_EVERY_MS = 5 * SECOND
const DRAIN_FOR_MS = 8 * SECOND

/**
 * Puts the parts of a server together and starts it.
 * @throws CaError: why it can't start, and what to do
 */
export async function startServer(parts: ServerParts): Promise<RunningServer> {
  const { config, version, clock, random, log } = parts
  // What was opened is closed in reverse, whether the start fails or the server ends.
  await using opened = new AsyncDisposableStack()
  const stop = new AbortController()
  opened.defer(() => stop.abort())
  const { signal } = stop
  const state = config.stateDirectory
  for (const address of [config.listen, config.healthListen]) await checkFree(address)
  await openState(state)
  opened.use(lockDirectory(state))

  const metrics = new Metrics(clock)
  const events = telemetry(log, metrics)
  const ledgerPath = join(state, 'ledger')
  const ledgerDirectory = opened.use(new LedgerDirectory(ledgerPath, clock))
  const ledger = new BoundedLedger(ledgerDirectory, clock)
  const plugged = config.pluggedCa === undefined ? undefined : new PluggedCaDirectory(config.pluggedCa, clock)
  const source: RootSource = plugged
    ? { kind: 'plugged-in', ca: await plugged.read(signal) }
    : {
        kind: config.dev ? 'dev' : 'own',
        root: { algorithm: keyAlgorithm(config.root.algorithm), lifetimeMs: config.root.lifetime },
      }
  const evidence = () => ({ incomplete: 'the inventory of live workloads is not read yet', workloads: () => [] })
  const keeper = await Keeper.open({
    store: new AuthorityDirectory(state, keyVaults(config), () => hasLedger(ledgerPath)),
    trustDomain: config.trustDomain,
    source,
    issuing: { algorithm: keyAlgorithm(config.issuing.algorithm), lifetimeMs: config.issuing.lifetime },
    rotation: { rootDueBeforeMs: config.root.rotateBefore },
    evidence,
    ledger,
    events,
    clock,
    random,
  })
  const { active } = keeper

  const dev = config.dev
    ? await DevCluster.start(config.trustDomain, config.attestation.audiences[0] as string, clock)
    : undefined
  const tokens = dev
    ? { cluster: dev.cluster, fetch: dev.tokenIssuer, run: async () => undefined }
    : await kubernetesTokens(config, clock, random, events)
  const keys = new TokenKeys(tokens.fetch, clock, signal)
  const refreshKeys = async () => {
    await keys.refresh()
    events.lookedUp('token keys', keys.lastError === undefined ? 'ok' : { failed: keys.lastError })
  }
  await refreshKeys()

  const inFlight = new InFlight({ issuing: config.limits.requests, light: config.limits.requests }, events)
  let closing = false
  let dead: string | undefined
  const readiness = readinessCheck({
    active,
    clock,
    random,
    obstacles: () => {
      if (closing) return 'shutting down'
      if (keys.issuer === undefined) return 'the cluster’s token keys could not be read yet'
      if (keeper.stopped !== undefined) return 'the journal may or may not hold the last write; restart this server'
      return ledgerDirectory.failure === undefined ? undefined : 'the ledger can’t be written'
    },
  })
  const status = () => statusOf(keeper, active, readiness, version)
  const certificate = new OwnCertificate({
    active,
    names: config.serverNames,
    install: (key, chain) => listener.install(key, chain),
    events,
    clock,
    random,
  })
  const issueSvid = issuingSvids({
    attest: attestation({
      trustDomain: config.trustDomain,
      keys,
      issuers: keeper,
      cluster: tokens.cluster,
      policy: {
        audiences: config.attestation.audiences,
        authentication: config.attestation.authentication,
        unboundTokens: config.attestation.unboundTokens,
        lineageMs: config.attestation.lineage,
        maxStalenessMs: config.attestation.maxStaleness,
      },
      trustedNodeAccounts: config.attestation.trustedNodeAccounts,
      clock,
    }),
    policy: {
      trustDomain: config.trustDomain,
      defaultTtlMs: config.svid.defaultTtl,
      maxTtlMs: config.svid.maxTtl,
      experimental: config.experimental,
    },
    active,
    isOurs: (key) => keeper.isOurs(key) || certificate.isOurs(key),
    ledger,
    events,
    clock,
    random,
  })

  const patience: Patience = { ...PATIENCE, ...parts.patience }
  const grpc = new GrpcServer({ clock, random, inFlight, patience })
  addIstioCa(grpc, issueSvid)
  const grpcHealth = new GrpcHealth()
  grpcHealth.addTo(grpc)
  addReflection(grpc)
  const listener = new TlsListener({
    address: config.listen,
    maxConnections: config.limits.connections,
    grpc: grpc.accept,
    http: (connectionOf) =>
      httpApplication({
        routes: publicRoutes({ issueSvid, bundle: () => bundleOf(keeper.set), status }),
        inFlight,
        clock,
        random,
        connectionOf: (request) => connectionOf(request.socket),
      }),
    patience,
    clock,
    events,
  })
  opened.defer(() => listener.destroy())
  await certificate.renewIfDue()
  const ca = await listener.listen()
  opened.defer(() => listener.stopAccepting())

  metrics.observe({
    active: () => active.get(),
    ready: async () => (await readiness()).ready,
    watchSilenceMs: dev ? () => undefined : () => tokens.cluster.watch.silence(),
    inFlight: () => inFlight.total,
    version,
  })
  const health = await serveHealth({
    address: config.healthListen,
    dead: () => dead,
    readiness,
    metrics: () => metrics.text(),
    version,
  })
  opened.defer(() => void health.server.close().closeAllConnections())

  const adminSocket = join(state, 'admin.sock')
  const describe = async (): Promise<ServerDescription> => ({
    status: await status(),
    caAddress: `${loopbackOf(ca.host)}:${ca.port}`,
    trustBundle: bundleOf(keeper.set).roots.map(certificatePem).join(''),
  })
  const admin = await listenOnUnixSocket(
    adminSocket,
    httpApplication({
      routes: [
        ...localRoutes({ describe, issueToken: dev && ((account) => dev.issueToken(account)) }),
        ...authorityRoutes(keeper),
      ],
      inFlight,
      clock,
      random,
      connectionOf: () => undefined,
    }),
  )
  opened.defer(() => void admin.close().closeAllConnections())

  const loops = Promise.all([
    keeper.run(signal),
    certificate.run(signal),
    listener.sweep(signal),
    grpc.sweep(signal),
    tokens.run(signal),
    loop(clock, signal, () => TOKEN_KEYS_EVERY_MS, refreshKeys),
    loop(
      clock,
      signal,
      () => READINESS_EVERY_MS,
      async () => grpcHealth.set((await readiness()).ready),
    ),
    plugged?.follow(signal, (next) => keeper.takePluggedCa(next), events.pluggedCaRefused),
  ])
  grpcHealth.set((await readiness()).ready)
  // No loop ends before the signal; one that does takes the process's liveness with it.
  loops.catch((error) => {
    dead = `a background loop ended: ${causesOf(error)}`
    log.error({ detail: dead }, 'not alive any more')
  })
  opened.defer(() =>
    loops.then(
      () => undefined,
      () => undefined,
    ),
  )
  const running = opened.move()

  const close = async () => {
    closing = true
    grpcHealth.end()
    listener.stopAccepting()
    // Left alone, the timer would keep the process alive for as long as it runs.
    const drained = new AbortController()
    const late = clock.sleep(DRAIN_FOR_MS, drained.signal).catch(() => undefined)
    await Promise.race([Promise.all([grpc.drain(), inFlight.drained()]), late])
    drained.abort()
    grpc.destroy()
    stop.abort()
    await running.disposeAsync()
  }
  return { ca, health: health.address, adminSocket, status, close }
}

/** Keys in the clear are dev mode's alone. */
function keyVaults({ dev, keys }: Config): KeyVaults {
  if (dev) return [new PlainKeys()]
  const encryption = encryptionFrom(keys)
  return encryption ? [new SealedKeys(encryption)] : []
}

async function openState(path: string): Promise<void> {
  try {
    await mkdir(path, { recursive: true, mode: 0o700 })
  } catch (cause) {
    throw new CaError(
      'invalid_argument',
      `the state directory ${path} can’t be made: ${(cause as Error).message}; choose another with --state-directory`,
      { cause },
    )
  }
}

type Tokens = {
  readonly cluster: Cluster
  readonly fetch: FetchTokenIssuer
  readonly run: (signal: AbortSignal) => Promise<unknown>
}

async function kubernetesTokens(
  config: Config,
  clock: Clock,
  random: RandomBytes,
  events: ReturnType<typeof telemetry>,
): Promise<Tokens> {
  const {
    kubeconfig,
    apiServer: server = '',
    apiServerCa: caFile,
    apiServerToken: tokenFile,
    jwksFile,
    issuer,
  } = config.attestation
  const api =
    kubeconfig === undefined
      ? connectMounted({ server, caFile, tokenFile }, clock)
      : await connectKubeconfig(kubeconfig, clock)
  const cluster = new KubernetesCluster({ api, clock, random, events })
  const discover = discoverTokenIssuer(api)
  const fetch: FetchTokenIssuer = async (signal) => {
    if (jwksFile !== undefined && issuer !== undefined) return { issuer, jwks: await readFile(jwksFile, 'utf8') }
    const found = await discover(signal)
    return { issuer: issuer ?? found.issuer, jwks: found.jwks }
  }
  return { cluster: cluster.cluster, fetch, run: (signal) => cluster.run(signal) }
}

/** Where this machine reaches a server that listens on every address. */
function loopbackOf(host: string): string {
  if (host === '0.0.0.0') return '127.0.0.1'
  if (host === '::') return '[::1]'
  return host.includes(':') ? `[${host}]` : host
}
