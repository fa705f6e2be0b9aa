import type { AuthoritySet } from '../authority/authority.ts'
import { type Clock, later } from '../core/clock.ts'
import { DAY, HOUR, MINUTE } from '../core/duration.ts'
import type { Events } from './events.ts'
import type { MomentStore } from './ports.ts'

/** A clock that goes ahead or back by this much more than time passes has been set, or nothing ran for so long. */
const JUMP_MS = DAY
/** How long nothing is done for ever by a clock that jumped: long enough for somebody to set it right. */
const SETTLE_MS = HOUR
const NOTE_EVERY_MS = 5 * MINUTE

/**
 * Notices a clock that jumped, while this process ran or since one last knew the time. To such a clock every certificate may have ended, and a
 * root that seems to stand for nobody would leave, what vouches for the living be forgotten: so that waits for an hour, begun anew by a restart.
 */
export class ClockJumps {
  readonly #clock: Clock
  readonly #events: Pick<Events, 'clockJumped'>
  readonly #store: MomentStore
  /** The wall clock less the time that passed: it moves only when the clock is set. */
  #offset: number
  #jump: { readonly from: number; readonly at: number } | undefined
  #notedAt: number | undefined

  /** @param last when the clock was last believed; nothing where none ever was */
  constructor(store: MomentStore, last: Date | undefined, { clock, events }: ClockJumpsParts) {
    this.#store = store
    this.#clock = clock
    this.#events = events
    this.#offset = (last ?? clock.now()).getTime() - clock.elapsed()
  }

  /** Goes on from what the store remembers, or if that is lost from the youngest moment of a journal. */
  static async open(store: MomentStore, set: AuthoritySet | undefined, parts: ClockJumpsParts): Promise<ClockJumps> {
    return new ClockJumps(store, set && ((await store.read()) ?? youngestMoment(set)), parts)
  }

  /** Whether the clock jumped by a day or more less than an hour ago, and was not set right since. */
  unsettled(): boolean {
    const now = this.#read()
    const isJump = (from: number) => Math.abs(now - from) >= JUMP_MS
    if (!this.#jump && isJump(this.#offset)) {
      this.#jump = { from: this.#offset, at: this.#clock.elapsed() }
      this.#events.clockJumped(now - this.#offset)
    }
    if (this.#jump && (!isJump(this.#jump.from) || this.#clock.elapsed() - this.#jump.at >= SETTLE_MS))
      this.#jump = undefined
    if (!this.#jump) this.#offset = now
    return this.#jump !== undefined
  }

  /** Remembers, every five minutes, that the clock is believed. If it can't be written, at worst the next start waits for an hour. */
  async note(): Promise<void> {
    const elapsed = this.#clock.elapsed()
    if (this.unsettled() || (this.#notedAt !== undefined && elapsed - this.#notedAt < NOTE_EVERY_MS)) return
    this.#notedAt = elapsed
    await this.#store.write(this.#clock.now()).catch(() => undefined)
  }

  #read(): number {
    return this.#clock.now().getTime() - this.#clock.elapsed()
  }
}

export type ClockJumpsParts = { readonly clock: Clock; readonly events: Pick<Events, 'clockJumped'> }

function youngestMoment({ authorities, crls }: AuthoritySet): Date | undefined {
  const moments = [...authorities.map(({ createdAt }) => createdAt), ...crls.map(({ crl }) => crl.tbs.thisUpdate)]
  return moments.length === 0 ? undefined : moments.reduce(later)
}
