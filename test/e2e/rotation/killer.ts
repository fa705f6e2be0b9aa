import { seededRandom } from '../../_support/seeded-random.ts'
import { pause } from '../_support/until.ts'
import type { Mesh } from './mesh.ts'
import type { Moment, Timeline } from './timeline.ts'

const LOOK_EVERY_MS = 60
/** From being up again to the next kill at random, besides as long as it was away: on a slow machine workloads need their share of it, too. */
const BETWEEN_MS = [1500, 5000] as const
/** How soon after a phase was first seen. */
const INTO_A_PHASE_MS = 350
/** Of every three times it stays away for a while. */
const AWAY_MS = 2500

/** Kills a server by SIGKILL at random moments, and once right inside each phase, and starts it again. */
export class Killer {
  readonly #mesh: Mesh
  readonly #timeline: Timeline
  readonly #random: (least: number, most: number) => number
  readonly #seen = new Set<Moment>()
  /** How long it took the last time, milliseconds. */
  #awayMs = 0

  /** @param seed of every moment, as far as the server keeps step */
  constructor(mesh: Mesh, timeline: Timeline, seed: number) {
    const bytes = seededRandom(seed)
    this.#mesh = mesh
    this.#timeline = timeline
    this.#random = (least, most) => {
      const [high = 0, low = 0] = bytes(2)
      return least + ((high * 256 + low) / 65536) * (most - least)
    }
  }

  /** Kills it a while from now, within so many milliseconds. */
  async killWithin(ms: number, why: string): Promise<void> {
    await pause(this.#random(0, ms))
    await this.#kill(why)
  }

  /** Watches until `isOver` and so many kills. @param within the phases right inside of which it is killed, if they are seen */
  async run(kills: number, within: readonly Moment[], isOver: () => boolean): Promise<void> {
    let next = this.#next()
    while (!isOver() || this.#timeline.kills < kills) {
      const moment = this.#timeline.see(await this.#mesh.rotation())
      const isNew = !this.#seen.has(moment)
      this.#seen.add(moment)
      const expected = isOver() ? [] : within.filter((one) => !this.#seen.has(one))
      const left = kills - this.#timeline.kills - expected.length
      if (isNew && within.includes(moment)) await this.killWithin(INTO_A_PHASE_MS, moment)
      else if (left > 0 && performance.now() >= next) await this.#kill('at random')
      else {
        await pause(LOOK_EVERY_MS)
        continue
      }
      next = this.#next()
    }
    this.#timeline.see(await this.#mesh.rotation())
  }

  #next(): number {
    return performance.now() + this.#awayMs + this.#random(...BETWEEN_MS)
  }

  async #kill(why: string): Promise<void> {
    this.#timeline.killed()
    const { kills } = this.#timeline
    await this.#mesh.alcazar.end('SIGKILL')
    const began = performance.now()
    if (this.#random(0, 3) < 1) await pause(this.#random(0, AWAY_MS))
    await this.#mesh.alcazar.start()
    this.#awayMs = performance.now() - began
    this.#timeline.say(`killed (${kills}, ${why}), ready again after ${(this.#awayMs / 1000).toFixed(1)} s`)
  }
}
