import { expect } from 'vitest'

/** Waits for what a real socket or process is about to do; fails with `what` if it does not come. */
export async function until(what: string, holds: () => boolean | Promise<boolean>, withinMs = 5000): Promise<void> {
  const end = performance.now() + withinMs
  while (!(await holds())) {
    if (performance.now() > end) expect.fail(`not within ${withinMs} ms: ${what}`)
    await new Promise((done) => setTimeout(done, 5))
  }
}

/** Time enough for what must not happen to have happened on loopback. */
export const aMoment = (): Promise<void> => new Promise((done) => setTimeout(done, 50))
