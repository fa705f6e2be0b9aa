import { CaError, type CaErrorCode } from '../../src/core/errors.ts'

/** What it gives, or `undefined` where it refuses with one of these codes. Anything else that is thrown is a fault and stays thrown. */
export function unlessRefused<T>(
  attempt: () => T,
  codes: readonly CaErrorCode[] = ['invalid_argument'],
): T | undefined {
  try {
    return attempt()
  } catch (error) {
    if (error instanceof CaError && codes.includes(error.code)) return undefined
    throw error
  }
}
