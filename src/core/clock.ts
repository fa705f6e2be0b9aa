/** The only source of time. Required wherever time matters; only `main.ts` chooses the real one. */
export interface Clock {
  now(): Date
  /** Milliseconds that only ever grow, for measuring; their zero means nothing. */
  elapsed(): number
  /** Resolves after `ms` (at most 2^31 - 1, about 24 days). Rejects with the signal's reason when it is aborted first. */
  sleep(ms: number, signal: AbortSignal): Promise<void>
  /** Runs `action` once after `ms`, unless cancelled first. Never keeps the process alive. */
  after(ms: number, action: () => void): Cancel
}

export type Cancel = () => void

export const systemClock: Clock = {
  now: () => new Date(),
  elapsed: () => performance.now(),
  sleep: (ms, signal) =>
    new Promise((resolve, reject) => {
      if (signal.aborted) return reject(signal.reason)
      const aborted = () => {
        clearTimeout(timer)
        reject(signal.reason)
      }
      const timer = setTimeout(() => {
        signal.removeEventListener('abort', aborted)
        resolve()
      }, ms)
      signal.addEventListener('abort', aborted, { once: true })
    }),
  after: (ms, action) => {
    const timer = setTimeout(action, ms)
    timer.unref()
    return () => clearTimeout(timer)
  },
}

/** After all that the event loop has ready now. */
export const nextTurn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve))

/** Calls `step` again and again, each `pauseMs()` milliseconds after the one before has ended, until the signal. */
export async function loop(
  clock: Clock,
  signal: AbortSignal,
  pauseMs: () => number,
  step: () => Promise<void>,
): Promise<void> {
  while (!signal.aborted) {
    try {
      await clock.sleep(pauseMs(), signal)
    } catch {
      return // aborted: the only way a sleep fails
    }
    await step()
  }
}

export const plus = (time: Date, ms: number): Date => new Date(time.getTime() + ms)
export const earlier = (a: Date, b: Date): Date => (a.getTime() <= b.getTime() ? a : b)
export const later = (a: Date, b: Date): Date => (a.getTime() >= b.getTime() ? a : b)

/** The last whole second up to `time`: certificates know no fractions. */
export const wholeSecond = (time: Date): Date => new Date(Math.floor(time.getTime() / 1000) * 1000)
