import { DAY } from '../core/duration.ts'

const two = (number: number): string => String(number).padStart(2, '0')

/** A moment in the reader's own time zone: `today 14:02`, `tomorrow 14:02`, `2027-01-31 14:02`. */
export function momentInWords(moment: Date, now: Date): string {
  const time = `${two(moment.getHours())}:${two(moment.getMinutes())}`
  if (moment.toDateString() === now.toDateString()) return `today ${time}`
  if (moment.toDateString() === new Date(now.getTime() + DAY).toDateString()) return `tomorrow ${time}`
  return `${moment.getFullYear()}-${two(moment.getMonth() + 1)}-${two(moment.getDate())} ${time}`
}
