import type { Cancel, Clock } from '../../src/core/clock.ts'

type Due = { readonly at: number; readonly run: () => void; timer: NodeJS.Timeout | undefined }

/** Runs as the real clock does, and leaps ahead when told to: for servers whose sockets live in real time. */
export class SteeredClock implements Clock {
  #shift: number
  readonly #due = new Set<Due>()

  constructor({ aheadMs = 0 } = {}) {
    this.#shift = aheadMs
  }

  now(): Date {
    return new Date(Date.now() + this.#shift)
  }

  elapsed(): number {
    return performance.now() + this.#shift
  }

  sleep(ms: number, signal: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      if (signal.aborted) return reject(signal.reason)
      const aborted = () => {
        cancel()
        reject(signal.reason)
      }
      const cancel = this.#plan(ms, () => {
        signal.removeEventListener('abort', aborted)
        resolve()
      })
      signal.addEventListener('abort', aborted, { once: true })
    })
  }

  after(ms: number, action: () => void): Cancel {
    return this.#plan(ms, action)
  }

  /** Passes `ms` at once. What falls due on the way runs once, in order; a loop does not make up for the rounds it missed. */
  async leap(ms: number): Promise<void> {
    this.#shift += ms
    const pending = [...this.#due].sort((a, b) => a.at - b.at)
    for (const due of pending) {
      // What ran before it may have cancelled it.
      if (!this.#due.has(due)) continue
      clearTimeout(due.timer)
      if (due.at <= this.elapsed()) this.#run(due)
      else this.#arm(due)
    }
    await new Promise((done) => setImmediate(done))
  }

  #plan(ms: number, run: () => void): Cancel {
    const due: Due = { at: this.elapsed() + ms, run, timer: undefined }
    this.#due.add(due)
    this.#arm(due)
    return () => {
      clearTimeout(due.timer)
      this.#due.delete(due)
    }
  }

  #arm(due: Due): void {
    due.timer = setTimeout(() => this.#run(due), Math.max(0, due.at - this.elapsed()))
    due.timer.unref()
  }

  #run(due: Due): void {
    this.#due.delete(due)
    due.run()
  }
}
