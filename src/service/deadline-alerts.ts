import type { Overdue } from '../authority/next-action.ts'
import type { Clock } from '../core/clock.ts'
import { HOUR, MINUTE } from '../core/duration.ts'
import type { Events } from './events.ts'

/** Who is in the way past a deadline is told this often. */
const TELL_EVERY_MS = HOUR
/** Who has just started knows of nobody for a moment: that alone is not told sooner. */
const PATIENT_FOR_MS = MINUTE

/** Tells that a root is about to end, or has, and that its successor still has to wait. */
export class DeadlineAlerts {
  readonly #clock: Clock
  readonly #events: Pick<Events, 'deadlinePassed'>
  #since: number | undefined
  #told: number | undefined

  constructor({ clock, events }: { readonly clock: Clock; readonly events: Pick<Events, 'deadlinePassed'> }) {
    this.#clock = clock
    this.#events = events
  }

  /** @param overdue what was found at this look, if anything was */
  note(overdue: Overdue | undefined): void {
    const now = this.#clock.elapsed()
    this.#since = overdue && (this.#since ?? now)
    if (!overdue || this.#since === undefined) return
    if (this.#told !== undefined && now - this.#told < TELL_EVERY_MS) return
    if (overdue.gate.incomplete !== undefined && now - this.#since < PATIENT_FOR_MS) return
    this.#told = now
    this.#events.deadlinePassed(overdue.root, overdue.gate)
  }
}
