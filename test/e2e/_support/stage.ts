import { mkdirSync, mkdtempSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { Processes } from './processes.ts'
import { Testbed } from './testbed.ts'

export const REPOSITORY = resolve(import.meta.dirname, '../../..')

/** What every suite stands on: a folder of its own, processes, the testbed, and what is to be undone at the end. */
export class Stage {
  /** Only its owner can look into it; it is gone after a run that passed. */
  readonly directory: string
  readonly processes: Processes
  /** Rejects when a process ends that nobody asked to: the step that runs then fails at once. */
  readonly accident: Promise<never>
  #testbed: Testbed | undefined
  #undo = new AsyncDisposableStack()

  constructor() {
    this.directory = mkdtempSync(join(tmpdir(), 'alcazar-e2e-'))
    const { promise, reject } = Promise.withResolvers<never>()
    promise.catch(() => undefined)
    this.accident = promise
    this.processes = new Processes(this.directory, (message) => reject(new Error(message)))
  }

  /** For suites that need it. @throws where there is none */
  get testbed(): Testbed {
    this.#testbed ??= new Testbed(resolve(REPOSITORY, process.env.ALCAZAR_TESTBED ?? '../shared/testbed'))
    return this.#testbed
  }

  /** A new folder for something. */
  folder(...path: string[]): string {
    const made = join(this.directory, ...path)
    mkdirSync(made, { recursive: true })
    return made
  }

  /** Has something done at the end, the latest first. */
  atEnd(undo: () => Promise<unknown>): void {
    this.#undo.defer(async () => void (await undo()))
  }

  /** Ends every process and undoes the rest. Safe to call again. */
  async end(): Promise<void> {
    await this.processes.endAll()
    await this.#undo.disposeAsync()
  }
}
