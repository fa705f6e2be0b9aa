import type { Clock } from '../core/clock.ts'
import { DAY, HOUR } from '../core/duration.ts'
import type { Events } from './events.ts'

/** A clock that goes ahead by this much more than time passes has been set, or the machine slept. */
const JUMP_MS = DAY
/** How long nothing is done for ever by a clock that jumped: long enough for somebody to set it right. */
const SETTLE_MS = HOUR

/**
 * Notices a clock that jumped ahead while this process ran. To such a clock every certificate may have ended, and a root that seems to stand for
 * nobody would leave: so roots wait for an hour. Whoever knows that the clock is right restarts the server.
 */
export class ClockJumps {
  readonly #clock: Clock
  readonly #events: Events
  /** The wall clock less the time that passed: it moves only when the clock is set. */
  #offset: number
  #jump: { readonly from: number; readonly at: number } | undefined

  constructor(clock: Clock, events: Events) {
    this.#clock = clock
    this.#events = events
    this.#offset = this.#read()
  }

  /** Whether the clock jumped ahead by a day or more less than an hour ago, and was not set back since. */
  unsettled(): boolean {
    const now = this.#read()
    if (!this.#jump && now - this.#offset >= JUMP_MS) {
      this.#jump = { from: this.#offset, at: this.#clock.elapsed() }
      this.#events.clockJumped(now - this.#offset)
    }
    if (this.#jump && (now - this.#jump.from < JUMP_MS || this.#clock.elapsed() - this.#jump.at >= SETTLE_MS))
      this.#jump = undefined
    if (!this.#jump) this.#offset = now
    return this.#jump !== undefined
  }

  #read(): number {
    return this.#clock.now().getTime() - this.#clock.elapsed()
  }
}
