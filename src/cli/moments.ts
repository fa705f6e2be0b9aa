import { DAY, relativeInWords } from '../core/duration.ts'

/** A moment in UTC: `today 14:02 UTC`, `tomorrow 14:02 UTC`, `2027-01-31 14:02 UTC`. */
export function momentInWords(moment: Date, now: Date): string {
  const [date, time] = parts(moment)
  if (date === parts(now)[0]) return `today ${time} UTC`
  if (date === parts(new Date(now.getTime() + DAY))[0]) return `tomorrow ${time} UTC`
  return `${date} ${time} UTC`
}

function parts(moment: Date): [date: string, time: string] {
  const [date = '', time = ''] = moment.toISOString().split('T')
  return [date, time.slice(0, 5)]
}

/** `ends in 3 days`, `ended 3 days ago`. */
export function endInWords(end: Date, now: Date): string {
  return `${end <= now ? 'ended' : 'ends'} ${relativeInWords(end, now)}`
}
