import { join } from 'node:path'
import { onTestFinished } from 'vitest'
import type { Evidence } from '../../src/authority/gate.ts'
import { shortId } from '../../src/core/bytes.ts'
import { plus } from '../../src/core/clock.ts'
import { HOUR } from '../../src/core/duration.ts'
import { authorityRoutes } from '../../src/endpoints/admin/authority-routes.ts'
import { httpApplication } from '../../src/endpoints/admin/http.ts'
import { listenOnUnixSocket } from '../../src/endpoints/admin/unix-socket.ts'
import { InFlight } from '../../src/endpoints/edge.ts'
import type { Keeper } from '../../src/service/keeper.ts'
import type { RootSource } from '../../src/service/keeper-parts.ts'
import type { RefusingClient } from '../../src/service/refusing-clients.ts'
import { alcazar, type Ran } from './a-terminal.ts'
import { World } from './a-world.ts'
import { recordedEvents } from './recorded-events.ts'
import { scratch } from './scratch.ts'
import { seededRandom } from './seeded-random.ts'

export type AdminOptions = NonNullable<Parameters<typeof alcazar>[1]>

/** More looks than any story here takes. */
const MAX_LOOKS = 500

/**
 * An admin's terminal beside a keeper that stands in a world: the real routes on a real unix socket. Workloads renew as they should: of each only the
 * SVID issued last counts. Time goes on only while the terminal waits.
 */
export class Admin {
  readonly world: World
  readonly state = scratch()
  keeper: Keeper
  incomplete: string | undefined
  /** Clients that refused the server’s certificate. */
  refusing: RefusingClient[] = []
  /** When schedule.rotateRoot is next due. */
  rotationScheduled: string | undefined
  /** What happens in the world while the terminal waits, one at each look. */
  meanwhile: (() => unknown)[] = []
  #close: (() => Promise<void>) | undefined

  private constructor(world: World) {
    this.world = world
    this.keeper = undefined as unknown as Keeper
  }

  static async start(from?: RootSource | World): Promise<Admin> {
    const admin = new Admin(from instanceof World ? from : new World(from))
    await admin.serve()
    onTestFinished(() => admin.stop())
    return admin
  }

  /** A server on the state there is. */
  async serve(): Promise<void> {
    const { world } = this
    this.keeper = await world.start({ evidence: () => this.evidence })
    const server = await listenOnUnixSocket(
      join(this.state, 'admin.sock'),
      httpApplication({
        routes: authorityRoutes(
          this.keeper,
          () => this.refusing,
          undefined,
          () => this.rotationScheduled,
        ),
        inFlight: new InFlight({ issuing: 8, light: 8 }, recordedEvents()),
        events: recordedEvents(),
        clock: world.clock,
        random: seededRandom(9),
        connectionOf: () => undefined,
      }),
    )
    this.#close = () =>
      new Promise((closed) => {
        server.close(() => closed())
        server.closeAllConnections()
      })
  }

  async stop(): Promise<void> {
    const close = this.#close
    this.#close = undefined
    await close?.()
  }

  get evidence(): Evidence {
    const now = this.world.clock.now()
    const byName = Map.groupBy(this.world.issued, ({ workload }) => workload)
    const live = [...byName].flatMap(([name, all]) => {
      const last = all.at(-1)
      if (!last || last.leaf.tbs.notAfter < now) return []
      const svids = [{ issuer: last.issuer, bundle: last.bundle.sequence, endsAt: last.leaf.tbs.notAfter.getTime() }]
      return [{ name, namespace: name.split('/')[0] as string, svids }]
    })
    return { incomplete: this.incomplete, workloads: () => live }
  }

  /** Each of these gets an SVID. */
  async issue(workloads: readonly string[], ttlMs = 24 * HOUR): Promise<void> {
    for (const workload of workloads) await this.world.issue(ttlMs, workload)
  }

  /** The clock's own look. */
  tick = (): Promise<void> => this.keeper.tick()

  /** Runs a command line. While it waits, the world goes on. */
  run(args: readonly string[], options: AdminOptions = {}): Promise<Ran> {
    const { clock } = this.world
    let looks = 0
    return alcazar([...args, '--state-directory', this.state], {
      environment: { USER: 'ada' },
      untilAskedToEnd: () => new Promise(() => undefined),
      clock: {
        now: () => clock.now(),
        elapsed: () => clock.elapsed(),
        after: (ms, action) => clock.after(ms, action),
        sleep: async (ms, signal) => {
          if (++looks > MAX_LOOKS) throw new Error('the story does not end')
          await this.meanwhile.shift()?.()
          signal.throwIfAborted()
          await clock.advance(ms)
        },
      },
      ...options,
    })
  }

  /** Time in which nobody watches. */
  async later(ms: number): Promise<void> {
    await this.world.clock.advance(ms)
  }

  in(ms: number): Date {
    return plus(this.world.clock.now(), ms)
  }

  /** With ids that are the same in each run: in the order in which authorities came to be. */
  steady(text: string): string {
    const recorded = this.world.ledger.of('authority').map(({ authority }) => authority)
    const ids = [...new Set([...recorded, ...this.keeper.set.authorities.map(({ id }) => id)])]
    return ids.reduce((steadier, id, index) => {
      const fake = `${(index + 1).toString(16).repeat(4).slice(0, 4)}${'c0de'}${'0'.repeat(32)}`
      return steadier
        .replaceAll(id, fake)
        .replaceAll(shortId(id), shortId(fake))
        .replaceAll(id.slice(0, 8), fake.slice(0, 8))
    }, text)
  }
}
