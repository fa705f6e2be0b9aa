import { DAY, MINUTE, relativeInWords } from '../core/duration.ts'

/** A moment so near is told by the second. */
const NEAR_MS = 2 * MINUTE

/** A moment in UTC: `today 14:02 UTC`, `tomorrow 14:02 UTC`, `2027-01-31 14:02 UTC`; one that is near, `today 14:02:11 UTC`. */
export function momentInWords(moment: Date, now: Date): string {
  const [date, time] = parts(moment, Math.abs(moment.getTime() - now.getTime()) < NEAR_MS ? 8 : 5)
  if (date === parts(now, 0)[0]) return `today ${time} UTC`
  if (date === parts(new Date(now.getTime() + DAY), 0)[0]) return `tomorrow ${time} UTC`
  return `${date} ${time} UTC`
}

function parts(moment: Date, digits: number): [date: string, time: string] {
  const [date = '', time = ''] = moment.toISOString().split('T')
  return [date, time.slice(0, digits)]
}

/** `ends in 3 days`, `ended 3 days ago`. */
export function endInWords(end: Date, now: Date): string {
  return `${end <= now ? 'ended' : 'ends'} ${relativeInWords(end, now)}`
}
