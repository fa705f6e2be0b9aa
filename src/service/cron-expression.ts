import cron, { type ScheduledTask } from 'node-cron'
import { DAY, MINUTE } from '../core/duration.ts'
import { CaError } from '../core/errors.ts'

/** The calendar repeats within this: 29 February on a given day of the week can be forty years away. */
const MAX_DAYS = 41 * 366

/**
 * When a job is due, in minutes: five fields of cron, or a nickname such as `@daily`. Where day of month and day of week are both limited, both
 * must hold. Reading it and choosing days is node-cron's; moments are found here, for node-cron knows no time but the machine's.
 */
export class CronExpression {
  readonly text: string
  /** Asked about calendar days, each by its noon in UTC. */
  readonly #days: Pick<ScheduledTask, 'match'>
  readonly #months: ReadonlySet<number>
  /** Minutes of the day, ascending. */
  readonly #minutes: readonly number[]
  /** Due in every hour: then it counts hours as they pass, and not as the clock on the wall shows them. */
  readonly #hourly: boolean

  private constructor(text: string) {
    const { fields, errors } = cron.validateDetailed(text)
    if (!fields)
      throw refusal(text, errors.map(({ message }) => message.replace(' a invalid ', ' an invalid ')).join(', '))
    const { minute, hour, dayOfMonth, month, dayOfWeek } = fields
    const task = cron.createTask(`0 12 ${dayOfMonth.join()} ${month.join()} ${dayOfWeek.join()}`, () => undefined, {
      timezone: 'Etc/UTC',
    })
    // It stands in a registry until then; nothing ever starts it.
    void task.destroy()
    this.text = text
    this.#days = task
    this.#months = new Set(month)
    this.#minutes = hour.flatMap((h) => minute.map((m) => h * 60 + m)).sort((a, b) => a - b)
    this.#hourly = new Set(hour).size === 24
  }

  /** @throws CaError `invalid_argument`: what is wrong, what is taken, an example */
  static parse(text: string): CronExpression {
    const words = text.trim().split(/\s+/)
    // Three digits stand in no field, and a long range is written out in memory.
    if (text.length > 256 || /\d{3}/.test(text)) throw refusal(text, 'a field is out of its bounds')
    if (words.length !== 5 && !(words.length === 1 && text.trim().startsWith('@')))
      throw refusal(text, `it has ${words.length} field${words.length === 1 ? '' : 's'}`)
    let expression: CronExpression
    try {
      expression = new CronExpression(words.join(' '))
    } catch (error) {
      throw error instanceof CaError ? error : refusal(text, (error as Error).message)
    }
    if (!expression.#everHolds()) throw refusal(text, 'no day ever matches')
    return expression
  }

  /** The first moment after `after` at which it is due, by the clocks of that IANA time zone. */
  next(after: Date, timeZone: string): Date {
    const today = dayOf(after, timeZone)
    for (let days = -1; days <= MAX_DAYS; days++) {
      const due = this.#dueOn(today.add({ days }), timeZone).find((moment) => moment > after.getTime())
      if (due !== undefined) return new Date(due)
    }
    throw new CaError('internal', `${this.text} is never due after ${after.toISOString()}`)
  }

  /** The last moment up to and including `until` at which it was due. */
  previous(until: Date, timeZone: string): Date {
    const today = dayOf(until, timeZone)
    for (let days = 1; days >= -MAX_DAYS; days--) {
      const due = this.#dueOn(today.add({ days }), timeZone).findLast((moment) => moment <= until.getTime())
      if (due !== undefined) return new Date(due)
    }
    throw new CaError('internal', `${this.text} was never due before ${until.toISOString()}`)
  }

  /** Written as it was read: for `config print` and the record of runs. */
  toJSON(): string {
    return this.text
  }

  #everHolds(): boolean {
    let day = Temporal.PlainDate.from('2000-01-01')
    for (let days = 0; days < MAX_DAYS; days++, day = day.add({ days: 1 })) if (this.#isDue(day)) return true
    return false
  }

  #isDue(day: Temporal.PlainDate): boolean {
    return this.#months.has(day.month) && this.#days.match(new Date(noonOf(day)))
  }

  /** Moments in milliseconds since 1970, ascending, each once. */
  #dueOn(day: Temporal.PlainDate, timeZone: string): readonly number[] {
    if (!this.#isDue(day)) return []
    const begin = day.toZonedDateTime(timeZone)
    const end = day.add({ days: 1 }).toZonedDateTime(timeZone)
    const isPlain = begin.hour === 0 && begin.minute === 0 && end.epochMilliseconds - begin.epochMilliseconds === DAY
    if (isPlain) return this.#minutes.map((minute) => begin.epochMilliseconds + minute * MINUTE)
    const due = this.#minutes.flatMap((minute) => this.#momentsOf(day, minute, timeZone))
    return [...new Set(due)].sort((a, b) => a - b)
  }

  /**
   * A day on which clocks are put forward or back. A time that is left out comes as much later as the clocks were put forward; one that is
   * there twice counts the first time. Who is due in every hour takes the hours as they come: none that is left out, both of those.
   */
  #momentsOf(day: Temporal.PlainDate, minute: number, timeZone: string): number[] {
    const local = day.toPlainDateTime({ hour: Math.floor(minute / 60), minute: minute % 60 })
    const first = local.toZonedDateTime(timeZone, { disambiguation: 'earlier' })
    const second = local.toZonedDateTime(timeZone, { disambiguation: 'later' })
    const isLeftOut = !first.toPlainDateTime().equals(local)
    if (isLeftOut) return this.#hourly ? [] : [second.epochMilliseconds]
    return this.#hourly ? [first.epochMilliseconds, second.epochMilliseconds] : [first.epochMilliseconds]
  }
}

/** An IANA time zone's name. @throws CaError `invalid_argument` */
export function parseTimeZone(text: string): string {
  try {
    // An offset is no zone: it knows no summer.
    if (/^[A-Za-z]/.test(text)) return new Intl.DateTimeFormat('en-US', { timeZone: text }).resolvedOptions().timeZone
  } catch (error) {
    if (!(error instanceof RangeError)) throw error
  }
  throw new CaError(
    'invalid_argument',
    `not a time zone: ${JSON.stringify(text.slice(0, 100))}; write an IANA name, for example UTC or Europe/Berlin`,
  )
}

const dayOf = (moment: Date, timeZone: string): Temporal.PlainDate =>
  Temporal.Instant.fromEpochMilliseconds(moment.getTime()).toZonedDateTimeISO(timeZone).toPlainDate()

const noonOf = ({ year, month, day }: Temporal.PlainDate): number => Date.UTC(year, month - 1, day, 12)

function refusal(text: string, because: string): CaError {
  return new CaError(
    'invalid_argument',
    `not a cron expression: ${JSON.stringify(text.slice(0, 100))} (${because}); write five fields: minute (0-59), hour (0-23), day of month (1-31), month (1-12), day of week (0-7), each a number, a range, a list, a step or *; or @hourly, @daily, @weekly, @monthly, @yearly; for example "*/5 * * * *" for every five minutes, "0 3 1 1 *" for 1 January at 03:00`,
  )
}
