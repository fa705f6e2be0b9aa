import type { Clock } from '../../src/core/clock.ts'

type Due = { at: number; run: () => void }

/** A clock that stands still until it is told to go on. What falls due on the way runs in order. */
export class FakeClock implements Clock {
  #now: number
  #elapsed = 0
  #due: Due[] = []

  constructor(now = '2030-01-01T00:00:00Z') {
    this.#now = new Date(now).getTime()
  }

  now(): Date {
    return new Date(this.#now)
  }

  elapsed(): number {
    return this.#elapsed
  }

  sleep(ms: number, signal: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      if (signal.aborted) return reject(signal.reason)
      const due = { at: this.#elapsed + ms, run: resolve }
      this.#due.push(due)
      signal.addEventListener('abort', () => {
        this.#due = this.#due.filter((one) => one !== due)
        reject(signal.reason)
      })
    })
  }

  after(ms: number, action: () => void): () => void {
    const due = { at: this.#elapsed + ms, run: action }
    this.#due.push(due)
    return () => {
      this.#due = this.#due.filter((one) => one !== due)
    }
  }

  /** Goes on by `ms`, running what falls due and letting what waits on it run, too. */
  async advance(ms: number): Promise<void> {
    const end = this.#elapsed + ms
    await settle()
    for (;;) {
      const next = this.#due.filter((one) => one.at <= end).sort((a, b) => a.at - b.at)[0]
      if (!next) break
      this.#due = this.#due.filter((one) => one !== next)
      this.#move(next.at - this.#elapsed)
      next.run()
      await settle()
    }
    this.#move(end - this.#elapsed)
    await settle()
  }

  /** The wall clock jumps while nothing passes: a machine whose time was set. */
  jump(ms: number): void {
    this.#now += ms
  }

  #move(ms: number): void {
    this.#now += ms
    this.#elapsed += ms
  }
}

/** Lets promises, and what they lead to, run. */
export async function settle(): Promise<void> {
  for (let turn = 0; turn < 5; turn++) await new Promise((done) => setImmediate(done))
}
