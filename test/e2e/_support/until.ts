const LOOK_EVERY_MS = 100

/** What `look` gives as soon as it gives something; an error of it counts as nothing yet. Fails after `seconds`, with the last error as the reason. */
export async function until<T>(
  what: string,
  seconds: number,
  look: () => T | undefined | false | Promise<T | undefined | false>,
): Promise<T> {
  const end = performance.now() + seconds * 1000
  let last: unknown
  for (;;) {
    try {
      const found = await look()
      if (found !== undefined && found !== false) return found
      last = undefined
    } catch (error) {
      last = error
    }
    if (performance.now() > end)
      throw new Error(`not within ${seconds} s: ${what}${last instanceof Error ? ` (${last.message})` : ''}`, {
        cause: last,
      })
    await pause(LOOK_EVERY_MS)
  }
}

/** For showing that something does not happen. */
export const pause = (ms: number): Promise<void> => new Promise((done) => setTimeout(done, ms))
