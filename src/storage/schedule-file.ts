import { readFile } from 'node:fs/promises'
import { CaError } from '../core/errors.ts'
import { asObject, type Json, parseStrictJson } from '../core/json.ts'
import type { JobRecord, RunRecord, ScheduleStore } from '../service/ports.ts'
import { isMissing, unavailable, writeDurably } from './durable-file.ts'

const VERSION = 1

/** Runs of scheduled jobs in one JSON file, `<state>/schedule.json`. */
export class ScheduleFile implements ScheduleStore {
  readonly #path: string

  constructor(path: string) {
    this.#path = path
  }

  async read(): Promise<readonly JobRecord[] | undefined> {
    let text: string
    try {
      text = await readFile(this.#path, 'utf8')
    } catch (error) {
      if (isMissing(error)) return undefined
      throw unavailable(`${this.#path} can’t be read`, error)
    }
    try {
      return readSchedule(text)
    } catch (cause) {
      throw new CaError('wrong_state', `${this.#path} is damaged: ${(cause as Error).message}`, { cause })
    }
  }

  async write(records: readonly JobRecord[]): Promise<void> {
    try {
      await writeDurably(this.#path, printSchedule(records), 0o600)
    } catch (error) {
      throw unavailable(`${this.#path} can’t be written`, error)
    }
  }
}

export function printSchedule(records: readonly JobRecord[]): string {
  return `${JSON.stringify({ version: VERSION, jobs: records }, null, 2)}\n`
}

/** @throws CaError `invalid_argument`: it is not what was printed */
export function readSchedule(text: string): readonly JobRecord[] {
  const file = objectOf(parseStrictJson(text), 'the file')
  if (file.version !== VERSION) throw fault(`version ${JSON.stringify(file.version)}; this Alcazar reads ${VERSION}`)
  return listOf(file.jobs, 'jobs').map((value) => {
    const job = objectOf(value, 'a job')
    return {
      job: textOf(job.job, 'job'),
      expression: textOf(job.expression, 'expression'),
      timeZone: textOf(job.timeZone, 'timeZone'),
      settled: momentOf(job.settled, 'settled'),
      skipped: listOf(job.skipped, 'skipped').map((one) => {
        const { after, before } = objectOf(one, 'skipped')
        return { after: momentOf(after, 'after'), before: momentOf(before, 'before') }
      }),
      ...(job.last !== undefined && { last: runOf(job.last) }),
    }
  })
}

function runOf(value: Json): RunRecord {
  const { due, begunAt, outcome } = objectOf(value, 'last')
  const run = { due: momentOf(due, 'due'), begunAt: momentOf(begunAt, 'begunAt') }
  if (outcome === undefined) return run
  const { kind, text, tookMs } = objectOf(outcome, 'outcome')
  if (kind !== 'done' && kind !== 'failed') throw fault('kind is neither done nor failed')
  if (typeof tookMs !== 'number') throw fault('tookMs is no number')
  return { ...run, outcome: { kind, text: textOf(text, 'text'), tookMs } }
}

const fault = (says: string) => new CaError('invalid_argument', says)

function objectOf(value: Json | undefined, what: string): { readonly [key: string]: Json | undefined } {
  const object = asObject(value)
  if (!object) throw fault(`${what} is no object`)
  return object
}

function listOf(value: Json | undefined, what: string): readonly Json[] {
  if (!Array.isArray(value)) throw fault(`${what} is no list`)
  return value
}

function textOf(value: Json | undefined, what: string): string {
  if (typeof value !== 'string') throw fault(`${what} is no text`)
  return value
}

function momentOf(value: Json | undefined, what: string): Date {
  const moment = new Date(textOf(value, what))
  if (Number.isNaN(moment.getTime())) throw fault(`${what} is no moment`)
  return moment
}
