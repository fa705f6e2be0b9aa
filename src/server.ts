import { join } from 'node:path'
import { attestation } from './attestation/attest.ts'
import { TokenKeys } from './attestation/token-keys.ts'
import { bundleOf } from './authority/active-authority.ts'
import { vouches } from './authority/authority.ts'
import type { Evidence } from './authority/gate.ts'
import { type Renewable, suggestedRenewal } from './authority/svid-renewal.ts'
import type { Config } from './config/schema.ts'
import { type Clock, loop } from './core/clock.ts'
import { MINUTE, SECOND } from './core/duration.ts'
import { causesOf } from './core/errors.ts'
import type { RandomBytes } from './core/random.ts'
import { httpApplication } from './endpoints/admin/http.ts'
import { publicRoutes } from './endpoints/admin/routes.ts'
import { listenOnUnixSocket } from './endpoints/admin/unix-socket.ts'
import { InFlight, PATIENCE, type Patience } from './endpoints/edge.ts'
import { addReflection } from './endpoints/grpc-reflection.ts'
import { GrpcServer } from './endpoints/grpc-server.ts'
import { GrpcHealth } from './endpoints/health/grpc-health.ts'
import { serveHealth } from './endpoints/health/http.ts'
import { addIstioCa } from './endpoints/istio-ca/handler.ts'
import { type Address, checkFree, TlsListener } from './endpoints/listener.ts'
import { keyAlgorithm } from './keys/algorithms.ts'
import type { KubernetesApi } from './kubernetes/api.ts'
import { BoundedLedger } from './ledger/bounded-ledger.ts'
import { Inventory } from './ledger/inventory.ts'
import { adminRoutes } from './server-admin.ts'
import { apiServerOf, crlsIntoFile, keyVaults, kubernetesTokens, openState, tokenPolicy } from './server-parts.ts'
import { askingRenewals } from './service/ask-renewal.ts'
import type { AttestedCallParts } from './service/attested-call.ts'
import { DevCluster } from './service/dev-cluster.ts'
import { EndWarnings } from './service/end-warnings.ts'
import { inventoryEvidence } from './service/inventory-evidence.ts'
import { keepInventory } from './service/inventory-upkeep.ts'
import { IssuancesUnderWay } from './service/issuances-under-way.ts'
import { issuingSvids } from './service/issue-svid.ts'
import { Keeper } from './service/keeper.ts'
import type { RootSource } from './service/keeper-parts.ts'
import { OwnCertificate } from './service/own-certificate.ts'
import { readinessCheck } from './service/readiness.ts'
import { RefusingClients } from './service/refusing-clients.ts'
import { Schedule } from './service/schedule.ts'
import { scheduledJobs } from './service/scheduled-jobs.ts'
import { type Status, statusOf } from './service/status.ts'
import { AuthorityDirectory } from './storage/authority-directory.ts'
import { lockDirectory } from './storage/directory-lock.ts'
import { hasLedger, LedgerDirectory, readLedger } from './storage/ledger-directory.ts'
import { MomentFile } from './storage/moment-file.ts'
import { PluggedCaDirectory } from './storage/plugged-ca-directory.ts'
import { ScheduleFile } from './storage/schedule-file.ts'
import { telemetry } from './telemetry/events.ts'
import type { Log } from './telemetry/log.ts'
import { Metrics } from './telemetry/metrics.ts'

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
  await checkFree(config.listen, '--listen')
  await checkFree(config.healthListen, '--health-listen')
  const api = config.dev ? undefined : await apiServerOf(config, clock)
  await openState(state, log)
  const lock = opened.use(lockDirectory(state))

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
  const underWay = new IssuancesUnderWay()
  const inventory = new Inventory()
  const vaults = keyVaults(config, random, opened)
  // Nothing is known while nobody watches the cluster yet, so a start takes no step that needs a gate.
  let evidence = (): Evidence => ({ incomplete: 'this server is starting', workloads: () => [] })
  const keeper = await Keeper.open({
    store: new AuthorityDirectory(state, vaults, () => hasLedger(ledgerPath), lock.check),
    trustDomain: config.trustDomain,
    source,
    issuing: { algorithm: keyAlgorithm(config.issuing.algorithm), lifetimeMs: config.issuing.lifetime },
    rotation: { rootDueBeforeMs: config.root.rotateBefore },
    evidence: () => underWay.among(evidence()),
    lastMoment: new MomentFile(join(state, 'clock')),
    ledger,
    events,
    clock,
    random,
  })
  const { active } = keeper
  const warnings = new EndWarnings({ set: () => keeper.set, events, clock })
  warnings.check()
  const schedule = await Schedule.open({
    jobs: scheduledJobs({ keeper, warnings }),
    timetable: config.schedule,
    store: new ScheduleFile(join(state, 'schedule.json')),
    events,
    clock,
  })

  const dev = api
    ? undefined
    : await DevCluster.start(config.trustDomain, config.attestation.audiences[0] as string, clock)
  const tokens = dev
    ? { cluster: dev.cluster, fetch: dev.tokenIssuer, run: async () => undefined }
    : kubernetesTokens(api as KubernetesApi, config, clock, random, events)
  evidence = () => inventoryEvidence(inventory, tokens.cluster.watch, keeper.set, clock.now())
  const keys = new TokenKeys(tokens.fetch, clock, signal)
  const refreshKeys = async () => {
    await keys.refresh()
    events.lookedUp('token keys', keys.lastError === undefined ? 'ok' : { failed: keys.lastError })
  }
  await refreshKeys()

  const inFlight = new InFlight({ issuing: config.limits.requests, light: config.limits.requests }, events)
  const edge = { inFlight, events, clock, random }
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
      if (keeper.plugged && !active.get()) return keeper.plugged.obstacle(keeper.set)
      return ledgerDirectory.failure === undefined ? undefined : 'the ledger can’t be written'
    },
  })
  const status = () => statusOf(keeper, active, readiness, version)
  const certificate = new OwnCertificate({
    serving: keeper.serving.authority,
    names: config.serverNames,
    install: (key, chain) => listener.install(key, chain),
    events,
    clock,
    random,
  })
  const suggestRenewal = (svid: Renewable) => suggestedRenewal(svid, keeper.set, clock.now(), config.root.renewalWindow)
  const calls: AttestedCallParts = {
    attest: attestation({
      trustDomain: config.trustDomain,
      keys,
      issuers: keeper,
      cluster: tokens.cluster,
      policy: tokenPolicy(config),
      trustedNodeAccounts: config.attestation.trustedNodeAccounts,
      clock,
    }),
    ledger,
    inventory,
    events,
    clock,
  }
  const issueSvid = issuingSvids({
    ...calls,
    policy: {
      trustDomain: config.trustDomain,
      defaultTtlMs: config.svid.defaultTtl,
      maxTtlMs: config.svid.maxTtl,
      experimental: config.experimental,
    },
    active,
    isOurs: (key) => keeper.isOurs(key) || certificate.isOurs(key),
    vouches: (issuer) => keeper.trusted.every((set) => vouches(set, issuer, clock.now())),
    takenBackSince: (caller, since) => keeper.revocations.takenBackSince(caller, since),
    suggestRenewal,
    underWay,
    random,
  })

  const patience: Patience = { ...PATIENCE, ...parts.patience }
  const grpc = new GrpcServer({ clock, random, inFlight, patience })
  addIstioCa(grpc, issueSvid)
  const grpcHealth = new GrpcHealth()
  grpcHealth.addTo(grpc)
  addReflection(grpc)
  const refusing = new RefusingClients({ clock, events })
  const listener = new TlsListener({
    address: config.listen,
    maxConnections: config.limits.connections,
    grpc: grpc.accept,
    http: (connectionOf) =>
      httpApplication({
        routes: publicRoutes({
          issueSvid,
          askRenewal: askingRenewals({ ...calls, suggest: suggestRenewal, windowMs: config.root.renewalWindow }),
          bundle: () => bundleOf(keeper.set),
          status,
          crls: () => keeper.revocations.crls(),
        }),
        ...edge,
        connectionOf: (request) => connectionOf(request.socket),
      }),
    refusedBy: (address, alert) => refusing.note(address, alert),
    patience,
    clock,
    events,
  })
  opened.defer(() => listener.destroy())
  await certificate.renewIfDue()
  const crls = await crlsIntoFile(config, keeper, { events, clock })
  const ca = await listener.listen()
  opened.defer(() => listener.stopAccepting())

  metrics.observe({
    active: () => active.get(),
    authorities: () => keeper.set,
    ledgerWritable: () => ledgerDirectory.failure === undefined,
    ready: async () => (await readiness()).ready,
    watchSilenceMs: dev ? () => undefined : () => tokens.cluster.watch.silence(),
    inFlight: () => inFlight.total,
    version,
    pluggedWaits: () => keeper.plugged?.waits(keeper.set) ?? [],
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
  const admin = await listenOnUnixSocket(
    adminSocket,
    httpApplication({
      routes: adminRoutes({
        keeper,
        vaults,
        inventory,
        ledgerPath,
        cluster: tokens.cluster,
        schedule,
        refusing,
        dev,
        status,
        ca,
        clock,
      }),
      ...edge,
      connectionOf: () => undefined,
    }),
  )
  opened.defer(() => void admin.close().closeAllConnections())

  const loops = Promise.all([
    keeper.run(signal),
    schedule.run(signal),
    crls.run(signal),
    certificate.run(signal),
    listener.sweep(signal),
    grpc.sweep(signal),
    tokens.run(signal),
    keepInventory(
      {
        inventory,
        authorities: () => keeper.set,
        readLedger: (since, written) => readLedger(ledgerPath, since, { without: 'intent', written }),
        longestMs: config.svid.maxTtl,
        events,
        clock,
      },
      signal,
    ),
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
  opened.defer(async () => void (await Promise.allSettled([loops])))
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
