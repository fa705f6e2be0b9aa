import { CaError } from '../core/errors.ts'

/** How many a person wants to see. @throws CaError `invalid_argument` */
export function limitOf(given: unknown, most: number): number {
  const limit = Number(given)
  if (Number.isSafeInteger(limit) && limit >= 1 && limit <= most) return limit
  throw new CaError('invalid_argument', `--limit is a whole number from 1 to ${most}, not ${JSON.stringify(given)}`)
}
