import type { MomentStore } from '../../src/service/ports.ts'

/** A MomentStore in memory. */
export class MemoryMoment implements MomentStore {
  moment: Date | undefined
  writes = 0

  constructor(moment?: Date) {
    this.moment = moment
  }

  async read(): Promise<Date | undefined> {
    return this.moment
  }

  async write(moment: Date): Promise<void> {
    this.writes++
    this.moment = moment
  }
}
