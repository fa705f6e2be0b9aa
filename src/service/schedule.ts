import { type Clock, later, loop } from '../core/clock.ts'
import { MINUTE } from '../core/duration.ts'
import { asCaError, CaError } from '../core/errors.ts'
import type { CronExpression } from './cron-expression.ts'
import { type Events, JOB_NAMES, type JobName } from './events.ts'
import type { JobRecord, RunRecord, ScheduleStore } from './ports.ts'

/** Something to be done by the clock. Safe to run again: after a crash in the middle it is. */
export type Job = {
  readonly name: JobName
  /** What it does, as `alcazar schedule` says it. */
  readonly what: string
  /** Gives its outcome in words. On the signal it may reject; it is then run again at the next start. */
  readonly run: (signal: AbortSignal) => Promise<string>
}

/** When each job is due, as the settings say. */
export type Timetable = { readonly [name in JobName]: CronExpression | undefined } & { readonly timeZone: string }

export type ScheduleParts = {
  readonly jobs: readonly Job[]
  readonly timetable: Timetable
  readonly store: ScheduleStore
  readonly events: Events
  readonly clock: Clock
}

/** What an admin is shown; moments in ISO 8601, UTC. */
export type ScheduleStatus = {
  readonly timeZone: string
  readonly now: string
  readonly jobs: readonly JobStatus[]
}

export type JobStatus = {
  readonly name: JobName
  readonly what: string
  /** None: it never runs by itself. */
  readonly expression?: string
  readonly running: boolean
  readonly last?: {
    readonly due: string
    readonly begunAt: string
    /** None while it runs, or where its process ended in the middle. */
    readonly outcome?: { readonly kind: 'done' | 'failed'; readonly text: string; readonly tookMs: number }
  }
  readonly next?: string
}

type Planned = { readonly job: Job; readonly expression: CronExpression }

/** Stretches without runs that are kept of a job, the widest. */
const MAX_SKIPPED = 8

/** An outcome's longest text, in characters. */
const MAX_TEXT = 500

/** While the clock is back in time that was skipped, what is due counts for this long. */
const FRESH_FOR_MS = 2 * MINUTE

/**
 * Runs jobs when they are due. What was missed, however often, is made up once. Nothing runs twice for one due moment, nor beside itself.
 * One process at a time uses a store: whoever opens it holds the state directory's lock.
 */
export class Schedule {
  readonly #parts: ScheduleParts
  readonly #planned: ReadonlyMap<JobName, Planned>
  #records: ReadonlyMap<JobName, JobRecord>
  readonly #running = new Map<JobName, Promise<void>>()
  #writing: Promise<unknown> = Promise.resolve()

  private constructor(parts: ScheduleParts, planned: ReadonlyMap<JobName, Planned>, found: readonly JobRecord[]) {
    this.#parts = parts
    this.#planned = planned
    const { timetable, clock } = parts
    const now = clock.now()
    this.#records = new Map(
      [...planned].map(([name, { expression }]) => {
        const known = found.find(
          (one) => one.job === name && one.expression === expression.text && one.timeZone === timetable.timeZone,
        )
        return [name, known ?? beginning(name, expression.text, timetable.timeZone, now)]
      }),
    )
  }

  /**
   * Goes on where the last process ended. A record that can't be read is told of and begun anew: then nothing is made up.
   * @throws CaError `invalid_argument`: a time is set for a job that there isn't
   */
  static async open(parts: ScheduleParts): Promise<Schedule> {
    const { jobs, timetable, store, events } = parts
    const planned = new Map<JobName, Planned>()
    for (const name of JOB_NAMES) {
      const expression = timetable[name]
      if (!expression) continue
      const job = jobs.find((one) => one.name === name)
      if (!job)
        throw new CaError(
          'invalid_argument',
          `schedule.${name} is set, and this server has no such job; there are ${jobs.map((one) => one.name).join(', ')}: leave it out`,
        )
      planned.set(name, { job, expression })
    }
    let found: readonly JobRecord[] = []
    try {
      found = (await store.read()) ?? []
    } catch (error) {
      events.scheduleLost(error)
    }
    const schedule = new Schedule(parts, planned, found)
    // From here on what is missed is owed, whenever this process ends.
    await schedule.#write().catch(events.scheduleUnrecorded)
    return schedule
  }

  /** Does what is due, and looks again at the beginning of every minute, until the signal; then waits for what runs. */
  async run(signal: AbortSignal): Promise<void> {
    const { clock } = this.#parts
    const look = async () => this.look(signal)
    await look()
    await loop(clock, signal, () => MINUTE - (clock.now().getTime() % MINUTE), look)
    await this.settled()
  }

  /** Begins what is due now, each job apart from the others. */
  look(signal: AbortSignal): void {
    for (const [name, { job }] of this.#planned) {
      const due = this.#running.has(name) ? undefined : this.#dueNow(name)
      if (due)
        this.#running.set(
          name,
          this.#run(job, due, signal).finally(() => this.#running.delete(name)),
        )
    }
  }

  /** Resolves when nothing runs any more. */
  async settled(): Promise<void> {
    while (this.#running.size > 0) await Promise.all(this.#running.values())
  }

  get status(): ScheduleStatus {
    const { jobs, timetable, clock } = this.#parts
    return {
      timeZone: timetable.timeZone,
      now: clock.now().toISOString(),
      jobs: jobs.map(({ name, what }) => {
        const expression = this.#planned.get(name)?.expression
        const last = this.#records.get(name)?.last
        return {
          name,
          what,
          ...(expression && { expression: expression.text, next: this.#next(name, expression).toISOString() }),
          running: this.#running.has(name),
          ...(last && { last: { ...last, due: last.due.toISOString(), begunAt: last.begunAt.toISOString() } }),
        }
      }),
    }
  }

  #dueNow(name: JobName): Date | undefined {
    const { expression } = this.#planned.get(name) as Planned
    const { clock, timetable } = this.#parts
    const record = this.#records.get(name) as JobRecord
    const now = clock.now()
    const due = expression.previous(now, timetable.timeZone)
    if (due > record.settled) return due
    // The clock was ahead, and is set back: what comes now comes for the first time, but nothing is made up twice.
    const isFresh = now < record.settled && now.getTime() - due.getTime() < FRESH_FOR_MS
    return isFresh && wasSkipped(record, due) ? due : undefined
  }

  #next(name: JobName, expression: CronExpression): Date {
    const { clock, timetable } = this.#parts
    const record = this.#records.get(name) as JobRecord
    const next = expression.next(clock.now(), timetable.timeZone)
    return next > record.settled || wasSkipped(record, next)
      ? next
      : expression.next(record.settled, timetable.timeZone)
  }

  /** Recorded as begun, then done, then recorded as done: a crash between leaves it due, and the next start runs it. */
  async #run(job: Job, due: Date, signal: AbortSignal): Promise<void> {
    const { clock, events } = this.#parts
    const { name } = job
    const begun: RunRecord = { due, begunAt: clock.now() }
    const before = this.#records.get(name) as JobRecord
    try {
      await this.#write({ ...before, last: begun })
    } catch (error) {
      return events.scheduleUnrecorded(error)
    }
    this.#remember({ ...before, last: begun })
    const start = clock.elapsed()
    const tookMs = () => Math.round(clock.elapsed() - start)
    let outcome: RunRecord['outcome']
    try {
      const text = await job.run(signal)
      outcome = { kind: 'done', text: text.slice(0, MAX_TEXT), tookMs: tookMs() }
      events.jobRan(name, due, { done: outcome.text }, outcome.tookMs)
    } catch (error) {
      // It was told to stop, and is as a crash would leave it.
      if (signal.aborted) return
      outcome = { kind: 'failed', text: asCaError(error).message.slice(0, MAX_TEXT), tookMs: tookMs() }
      events.jobRan(name, due, { failed: error }, outcome.tookMs)
    }
    const after = { ...this.#withSettled(before, due), last: { ...begun, outcome } }
    // It did run, so this process does not run it again, whether or not the next one will know.
    this.#remember(after)
    await this.#write().catch(events.scheduleUnrecorded)
  }

  #withSettled(record: JobRecord, due: Date): JobRecord {
    const { settled, skipped } = record
    const { timetable } = this.#parts
    const { expression } = this.#planned.get(record.job as JobName) as Planned
    if (due <= settled)
      return { ...record, skipped: skipped.map((one) => (isIn(one, due) ? { ...one, after: due } : one)) }
    const missed = expression.next(settled, timetable.timeZone) < due
    const widest = [...skipped, ...(missed ? [{ after: settled, before: due }] : [])]
      .sort((a, b) => width(b) - width(a))
      .slice(0, MAX_SKIPPED)
    return { ...record, settled: later(settled, due), skipped: widest }
  }

  #remember(record: JobRecord): void {
    this.#records = new Map(this.#records).set(record.job as JobName, record)
  }

  /** One write at a time, each of what holds when its turn comes. */
  #write(changed?: JobRecord): Promise<void> {
    const turn = this.#writing.then(() => {
      const records = changed ? new Map(this.#records).set(changed.job as JobName, changed) : this.#records
      return this.#parts.store.write([...records.values()])
    })
    this.#writing = turn.catch(() => undefined)
    return turn
  }
}

/** Nothing before its first moment is owed. A clock that was wrong then, and is set back, finds it all skipped. */
function beginning(job: JobName, expression: string, timeZone: string, now: Date): JobRecord {
  return { job, expression, timeZone, settled: now, skipped: [{ after: new Date(0), before: now }] }
}

type Stretch = JobRecord['skipped'][number]

const isIn = ({ after, before }: Stretch, moment: Date): boolean => after < moment && moment < before
const wasSkipped = ({ skipped }: JobRecord, moment: Date): boolean => skipped.some((one) => isIn(one, moment))
const width = ({ after, before }: Stretch): number => before.getTime() - after.getTime()
