import { X509Certificate } from 'node:crypto'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { AuthoritiesView, AuthorityView } from '../../../src/service/authorities-view.ts'
import type { RotationView } from '../../../src/service/rotation-view.ts'
import { TestCluster } from '../../_support/a-server.ts'
import { httpCall } from '../../_support/http-client.ts'
import { Alcazar, type Settings } from '../_support/alcazar.ts'
import type { Stage } from '../_support/stage.ts'
import { until } from '../_support/until.ts'
import { MeshWorkload, type RenewalOutcome } from './mesh-workload.ts'

export type MeshOptions = {
  readonly name: string
  readonly workloads: number
  /** Of the SVIDs, seconds. */
  readonly ttl: number
  /** Requests among workloads in a second. */
  readonly requestsPerSecond: number
  readonly settings: Omit<Settings, 'kubeconfig' | 'svid'>
  readonly environment?: NodeJS.ProcessEnv
}

export type FailedRequest = { readonly at: number; readonly from: string; readonly to: string; readonly why: string }

const AT_ONCE = 8
/** Whoever finds nobody tries again after this, and after twice as long each time. */
const [RETRY_MS, RETRY_AT_MOST_MS] = [400, 1600] as const
const NAMESPACES = ['shop', 'billing', 'search', 'mail']

/** Alcazar with its cluster, and workloads that renew and talk to each other all the time, each by what it holds. */
export class Mesh {
  readonly name: string
  readonly alcazar: Alcazar
  readonly cluster: TestCluster
  readonly workloads: MeshWorkload[] = []
  readonly failed: FailedRequest[] = []
  readonly renewals: Record<RenewalOutcome, number> = {
    'by token': 0,
    'by SVID': 0,
    refused: 0,
    'CA untrusted': 0,
    'CA away': 0,
  }
  requests = 0
  #bootstrapRoots = ''
  #underWay = 0
  readonly #options: MeshOptions
  readonly #common: Pick<Settings, 'kubeconfig' | 'svid'>
  readonly #stop = new AbortController()
  readonly #loops: Promise<void>[] = []

  private constructor(
    options: MeshOptions,
    alcazar: Alcazar,
    cluster: TestCluster,
    common: Pick<Settings, 'kubeconfig' | 'svid'>,
  ) {
    this.#common = common
    this.name = options.name
    this.#options = options
    this.alcazar = alcazar
    this.cluster = cluster
  }

  /** All have their first certificate, and nobody calls anybody yet. */
  static async start(stage: Stage, options: MeshOptions): Promise<Mesh> {
    const { name, workloads, ttl, settings, environment = {} } = options
    const cluster = await TestCluster.start()
    stage.atEnd(() => cluster[Symbol.asyncDispose]())
    const kubeconfig = join(stage.folder(name), 'kubeconfig')
    writeFileSync(kubeconfig, cluster.api.kubeconfig(), { mode: 0o600 })
    const common = { kubeconfig, svid: { defaultTtl: `${ttl}s` } }
    const alcazar = await Alcazar.start(stage, { ...settings, ...common }, { name, environment })
    const mesh = new Mesh(options, alcazar, cluster, common)
    stage.atEnd(() => mesh.end())
    mesh.#bootstrapRoots = (await mesh.admin<{ trustBundle: string }>('/v1/server')).trustBundle
    const made = Array.from({ length: workloads }, (_, index) => mesh.aWorkload(index))
    await pooled(made, AT_ONCE, async (one) => {
      await mesh.#renewal(one)
      await one.serve()
    })
    mesh.workloads.push(...made)
    return mesh
  }

  /** A pod that nothing keeps fresh, beside those that live. It comes with the bundle of now. */
  aWorkload(index: number, { serviceAccount = `app-${index}`, ttlSeconds = 0 } = {}): MeshWorkload {
    const pod = this.cluster.pod(NAMESPACES[index % NAMESPACES.length], serviceAccount)
    return new MeshWorkload({
      pod,
      ca: this.alcazar,
      token: () => this.cluster.tokenOf(pod),
      bootstrapRoots: this.#newestRoots(),
      ttlSeconds,
    })
  }

  /** Where the server's root comes from, from its next start on. */
  configure(settings: MeshOptions['settings']): void {
    this.alcazar.configure({ ...settings, ...this.#common })
  }

  /** From now on they renew and call each other. */
  live(): void {
    const { ttl, requestsPerSecond } = this.#options
    this.workloads.forEach((one, index) => {
      // Spread over the time in which the first renewals are due, as pods are that did not all start at once.
      const first = ttl * 1000 * (0.1 + (0.45 * index) / this.workloads.length)
      this.#loops.push(this.#keepFresh(one, first))
    })
    this.#loops.push(this.#talk(1000 / requestsPerSecond))
  }

  async end(): Promise<void> {
    this.#stop.abort()
    await Promise.all(this.#loops)
    await until('no request is under way', 15, () => this.#underWay === 0)
    await Promise.all(this.workloads.map((one) => one.end()))
  }

  async admin<T>(path: string): Promise<T> {
    const socketPath = join(this.alcazar.stateDirectory, 'admin.sock')
    const { status, text, json } = await httpCall({ socketPath }, 'GET', path)
    if (status !== 200) throw new Error(`${path}: ${status} ${text}`)
    return json<T>()
  }

  rotation(): Promise<RotationView> {
    return this.admin<RotationView>('/v1/rotation')
  }

  async roots(): Promise<readonly AuthorityView[]> {
    const { authorities } = await this.admin<AuthoritiesView>('/v1/authorities')
    return authorities.filter(({ role }) => role === 'root')
  }

  async activeRoot(): Promise<AuthorityView> {
    const active = (await this.roots()).filter(({ state }) => state === 'active')
    if (active.length !== 1) throw new Error(`${active.length} roots are active`)
    return active[0] as AuthorityView
  }

  /** The roots of the bundle that is published now, by their ids. */
  async bundle(): Promise<ReadonlyMap<string, X509Certificate>> {
    const { trustBundle } = await this.admin<{ trustBundle: string }>('/v1/server')
    return new Map(certificatesIn(trustBundle).map((one) => [rootIdOf(one), one]))
  }

  async #keepFresh(one: MeshWorkload, firstMs: number): Promise<void> {
    const { signal } = this.#stop
    await slept(firstMs, signal)
    let failures = 0
    while (!signal.aborted) {
      const outcome = await this.#renewal(one, true)
      failures = outcome === 'CA away' || outcome === 'CA untrusted' ? failures + 1 : 0
      const some = 0.9 + Math.random() * 0.2
      if (failures > 0) await slept(some * Math.min(RETRY_AT_MOST_MS, RETRY_MS * 2 ** (failures - 1)), signal)
      // Refused, it asks again by token at once; else before half of the certificate’s life is over.
      else if (outcome !== 'refused') {
        const { receivedAt, notAfter } = one.held
        await slept(receivedAt + (notAfter - receivedAt) * 0.45 * some - Date.now(), signal)
      }
    }
  }

  async #renewal(one: MeshWorkload, mayFail = false): Promise<RenewalOutcome> {
    const outcome = await one.renew()
    this.renewals[outcome]++
    if (!mayFail && outcome !== 'by token') throw new Error(`${one.name} got no certificate: ${outcome}`)
    return outcome
  }

  /** So many calls in a second, whatever becomes of each. */
  async #talk(everyMs: number): Promise<void> {
    const { signal } = this.#stop
    const began = performance.now()
    for (let turn = 1; !signal.aborted; turn++) {
      const from = this.#someone()
      let to = this.#someone()
      while (to === from) to = this.#someone()
      void this.#request(from, to)
      await slept(began + turn * everyMs - performance.now(), signal)
    }
  }

  async #request(from: MeshWorkload, to: MeshWorkload): Promise<void> {
    this.#underWay++
    const at = Date.now()
    try {
      await from.call(to)
    } catch (error) {
      const { code = '', message } = error as NodeJS.ErrnoException
      const stale = [from, to].filter(({ held }) => held.notAfter < at).map(({ name }) => `; ${name} has expired`)
      this.failed.push({ at, from: from.name, to: to.name, why: `${code} ${message}${stale.join('')}` })
    } finally {
      this.requests++
      this.#underWay--
    }
  }

  #newestRoots(): string {
    const newest = this.workloads.map(({ held }) => held).toSorted((a, b) => b.receivedAt - a.receivedAt)[0]
    return newest?.roots ?? this.#bootstrapRoots
  }

  #someone(): MeshWorkload {
    return this.workloads[Math.floor(Math.random() * this.workloads.length)] as MeshWorkload
  }
}

/** The subject of a root names it: `CN=root 91d0 77aa`; the journal knows it by its subject key identifier. */
export function rootIdOf(root: X509Certificate): string {
  const id = /CN=root ([0-9a-f]{4}) ([0-9a-f]{4})/.exec(root.subject)
  return id ? `${id[1]}${id[2]}` : root.fingerprint256
}

export function certificatesIn(pem: string): X509Certificate[] {
  return (pem.match(/-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g) ?? []).map(
    (block) => new X509Certificate(block),
  )
}

/** Nothing once the signal is there. */
export function slept(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((done) => {
    if (signal.aborted) return done()
    const end = () => {
      clearTimeout(timer)
      signal.removeEventListener('abort', end)
      done()
    }
    const timer = setTimeout(end, Math.max(0, ms))
    signal.addEventListener('abort', end)
  })
}

async function pooled<T>(all: readonly T[], atOnce: number, each: (one: T) => Promise<void>): Promise<void> {
  const left = [...all]
  await Promise.all(
    Array.from({ length: atOnce }, async () => {
      for (let one = left.shift(); one !== undefined; one = left.shift()) await each(one)
    }),
  )
}
