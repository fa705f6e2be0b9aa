import type { Clock } from '../core/clock.ts'
import { SECOND } from '../core/duration.ts'
import type { IntentRecord, Ledger, OutcomeRecord, RefusalsRecord } from './ledger.ts'

/** Refusals that get a line of their own: so many at once, and so many a second after that. */
const BURST = 200
const PER_SECOND = 5

/** What a ledger must take besides: many refusals in one line. */
export type SummingLedger = Ledger & { record(record: OutcomeRecord | RefusalsRecord): Promise<void> }

/**
 * A ledger that a flood of refusals can't fill: beyond the rate, refusals of the same second share one line, and their answers wait for it. So
 * everything refused is still recorded before its answer leaves, and who floods waits longest.
 */
export class BoundedLedger implements Ledger {
  readonly #inner: SummingLedger
  readonly #clock: Clock
  #tokens = BURST
  #filledAt: number
  #sum: { readonly byReason: Map<string, number>; readonly written: Promise<void> } | undefined

  constructor(inner: SummingLedger, clock: Clock) {
    this.#inner = inner
    this.#clock = clock
    this.#filledAt = clock.elapsed()
  }

  intend(record: IntentRecord): Promise<void> {
    return this.#inner.intend(record)
  }

  record(record: OutcomeRecord): Promise<void> {
    if (record.kind !== 'refused' || this.#take()) return this.#inner.record(record)
    return this.#add(record.reason ?? record.code)
  }

  #take(): boolean {
    const now = this.#clock.elapsed()
    this.#tokens = Math.min(BURST, this.#tokens + ((now - this.#filledAt) / SECOND) * PER_SECOND)
    this.#filledAt = now
    if (this.#tokens < 1) return false
    this.#tokens--
    return true
  }

  #add(reason: string): Promise<void> {
    if (!this.#sum) {
      const byReason = new Map<string, number>()
      const written = new Promise<void>((done, failed) => {
        this.#clock.after(SECOND, () => {
          this.#sum = undefined
          const count = [...byReason.values()].reduce((total, one) => total + one, 0)
          const at = this.#clock.now().toISOString()
          this.#inner.record({ kind: 'refusals', at, count, byReason: Object.fromEntries(byReason) }).then(done, failed)
        })
      })
      this.#sum = { byReason, written }
    }
    const { byReason, written } = this.#sum
    byReason.set(reason, (byReason.get(reason) ?? 0) + 1)
    return written
  }
}
