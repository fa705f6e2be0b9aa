import { CaError } from '../../src/core/errors.ts'
import type { JobRecord, ScheduleStore } from '../../src/service/ports.ts'
import { printSchedule, readSchedule } from '../../src/storage/schedule-file.ts'

/** A ScheduleStore in memory, as text, which is damaged or full when told to be. */
export class MemorySchedule implements ScheduleStore {
  text: string | undefined
  /** Every text there was, in order. */
  readonly written: string[] = []
  full = false

  async read(): Promise<readonly JobRecord[] | undefined> {
    return this.text === undefined ? undefined : readSchedule(this.text)
  }

  async write(records: readonly JobRecord[]): Promise<void> {
    if (this.full) throw new CaError('dependency_unavailable', 'the schedule can’t be written')
    this.text = printSchedule(records)
    this.written.push(this.text)
  }
}
