import { CaError } from './errors.ts'

export const SECOND = 1000
export const MINUTE = 60 * SECOND
export const HOUR = 60 * MINUTE
export const DAY = 24 * HOUR
export const YEAR = 365 * DAY

const UNITS: ReadonlyMap<string, number> = new Map([
  ['ms', 1],
  ['s', SECOND],
  ['m', MINUTE],
  ['h', HOUR],
  ['d', DAY],
  ['y', YEAR],
])

/**
 * Milliseconds from `24h`, `90d`, `1h30m`, `250ms`: whole numbers with the units ms, s, m, h, d (24 h) and y (365 d), at most 64
 * characters, and no more than 1,000 years.
 * @throws CaError `invalid_argument`
 */
export function parseDuration(text: string): number {
  const refuse = () =>
    new CaError(
      'invalid_argument',
      `not a duration: ${JSON.stringify(text.slice(0, 64))}; write for example 90s, 15m, 24h, 1h30m, 30d`,
    )
  if (text.length === 0 || text.length > 64) throw refuse()
  let total = 0
  // Fourteen digits: a thousand years in milliseconds.
  const part = /(\d{1,14})(ms|[smhdy])/y
  while (part.lastIndex < text.length) {
    const found = part.exec(text)
    if (!found) throw refuse()
    total += Number(found[1]) * (UNITS.get(found[2] as string) as number)
  }
  if (total > 1000 * YEAR) throw refuse()
  return total
}

/**
 * A duration as a person says it, in one unit: `10 years`, `25 days`, `24 h`, `70 s`. Rounded down, but for the last hundredth: ten years less a
 * minute are ten years.
 */
export function durationInWords(ms: number): string {
  const size = Math.abs(ms)
  const count = (unit: number, one: string, many: string) => {
    const number = Math.floor(size / unit + 0.01)
    return `${number.toLocaleString('en-US')} ${number === 1 ? one : many}`
  }
  if (size >= 1.99 * YEAR) return count(YEAR, 'year', 'years')
  if (size >= 1.99 * DAY) return count(DAY, 'day', 'days')
  if (size >= 1.99 * HOUR) return count(HOUR, 'h', 'h')
  if (size >= 1.99 * MINUTE) return count(MINUTE, 'min', 'min')
  return count(SECOND, 's', 's')
}

/** A moment seen from `now`: `in 24 h`, `3 days ago`, `now`. */
export function relativeInWords(moment: Date, now: Date): string {
  const ms = moment.getTime() - now.getTime()
  if (Math.abs(ms) < SECOND) return 'now'
  return ms > 0 ? `in ${durationInWords(ms)}` : `${durationInWords(ms)} ago`
}

/** A moment in words that stand wherever they are kept: `2027-01-31 14:02:11 UTC`. */
export const momentInUtc = (moment: Date): string => `${moment.toISOString().slice(0, 19).replace('T', ' ')} UTC`
