import { readFile } from 'node:fs/promises'
import type { MomentStore } from '../service/ports.ts'
import { writeDurably } from './durable-file.ts'

/** A moment as a line of ISO 8601, in one file. */
export class MomentFile implements MomentStore {
  readonly #path: string

  constructor(path: string) {
    this.#path = path
  }

  async read(): Promise<Date | undefined> {
    const text = await readFile(this.#path, 'utf8').catch(() => '')
    const moment = new Date(text.trim())
    return Number.isNaN(moment.getTime()) ? undefined : moment
  }

  async write(moment: Date): Promise<void> {
    await writeDurably(this.#path, `${moment.toISOString()}\n`, 0o600)
  }
}
