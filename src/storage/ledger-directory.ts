import { constants, type Dirent } from 'node:fs'
import { type FileHandle, mkdir, open, readdir } from 'node:fs/promises'
import { join } from 'node:path'
import type { Clock } from '../core/clock.ts'
import { CaError } from '../core/errors.ts'
import type { IntentRecord, Ledger, LedgerRecord } from '../ledger/ledger.ts'
import { isMissing, syncDirectory } from './durable-file.ts'

type Waiting = {
  readonly line: string
  readonly durable: boolean
  readonly done: () => void
  readonly failed: (error: unknown) => void
}

/**
 * The ledger as append-only lines of JSON, a file a day (UTC), in `<state>/ledger`. Records that wait at the same time are written and synced
 * together, so a sync is shared by all that is in flight.
 */
export class LedgerDirectory implements Ledger, AsyncDisposable {
  readonly #directory: string
  readonly #clock: Clock
  #queue: Waiting[] = []
  /** Owned by the one running flush. */
  #flushing: Promise<void> | undefined
  #file: { readonly name: string; readonly handle: FileHandle } | undefined
  /** A write failed part-way: the next one begins on a line of its own. */
  #torn = false
  #failure: unknown

  constructor(directory: string, clock: Clock) {
    this.#directory = directory
    this.#clock = clock
  }

  intend(record: IntentRecord): Promise<void> {
    return this.#append(record, false)
  }

  record(record: LedgerRecord): Promise<void> {
    return this.#append(record, true)
  }

  /** Why the last write failed; nothing when it did not. */
  get failure(): unknown {
    return this.#failure
  }

  async [Symbol.asyncDispose](): Promise<void> {
    while (this.#flushing !== undefined) await this.#flushing
    await this.#file?.handle.close()
    this.#file = undefined
  }

  #append(record: LedgerRecord, durable: boolean): Promise<void> {
    return new Promise((done, failed) => {
      this.#queue.push({ line: `${JSON.stringify(record)}\n`, durable, done, failed })
      this.#flushing ??= this.#flush()
    })
  }

  async #flush(): Promise<void> {
    while (this.#queue.length > 0) {
      const batch = this.#queue
      this.#queue = []
      try {
        const handle = await this.#open()
        const text = Buffer.from((this.#torn ? '\n' : '') + batch.map((waiting) => waiting.line).join(''))
        this.#torn = true
        await writeAll(handle, text)
        this.#torn = false
        for (const waiting of batch) if (!waiting.durable) waiting.done()
        if (batch.some((waiting) => waiting.durable)) await handle.datasync()
        for (const waiting of batch) if (waiting.durable) waiting.done()
        this.#failure = undefined
      } catch (cause) {
        this.#failure = cause
        const error = new CaError(
          'dependency_unavailable',
          'the ledger can’t be written, so nothing is issued; try again later',
          { cause },
        )
        for (const waiting of batch) waiting.failed(error)
      }
    }
    this.#flushing = undefined
  }

  async #open(): Promise<FileHandle> {
    const name = `${this.#clock.now().toISOString().slice(0, 10)}.jsonl`
    if (this.#file?.name === name) return this.#file.handle
    await mkdir(this.#directory, { mode: 0o700, recursive: true })
    const handle = await open(
      join(this.#directory, name),
      constants.O_RDWR | constants.O_APPEND | constants.O_CREAT,
      0o600,
    )
    await syncDirectory(this.#directory)
    // A crash may have torn the last line.
    const { size } = await handle.stat()
    if (size > 0) {
      const last = Buffer.alloc(1)
      await handle.read(last, 0, 1, size - 1)
      if (last[0] !== 0x0a) this.#torn = true
    }
    await this.#file?.handle.close()
    this.#file = { name, handle }
    return handle
  }
}

async function writeAll(handle: FileHandle, text: Buffer): Promise<void> {
  for (let at = 0; at < text.length; ) at += (await handle.write(text, at)).bytesWritten
}

/** A line that is no record: torn by a crash, or damaged. */
export type DamagedLine = { readonly kind: 'damaged'; readonly file: string; readonly line: number }

/** Every record in the order it was written, from the file of `since` (UTC day) on. */
export async function* readLedger(
  directory: string,
  since: Date | undefined,
): AsyncGenerator<LedgerRecord | DamagedLine> {
  const first = since ? `${since.toISOString().slice(0, 10)}.jsonl` : ''
  for (const name of await ledgerFiles(directory)) {
    if (name < first) continue
    await using handle = await open(join(directory, name), constants.O_RDONLY)
    let line = 0
    for await (const text of handle.readLines()) {
      line++
      if (text === '') continue
      yield parseLine(text) ?? { kind: 'damaged', file: name, line }
    }
  }
}

/** Whether there is any record at all. */
export async function hasLedger(directory: string): Promise<boolean> {
  return (await ledgerFiles(directory)).length > 0
}

async function ledgerFiles(directory: string): Promise<string[]> {
  let entries: Dirent[]
  try {
    entries = await readdir(directory, { withFileTypes: true })
  } catch (error) {
    if (isMissing(error)) return []
    throw error
  }
  return entries
    .filter((entry) => entry.isFile() && /^\d{4}-\d\d-\d\d\.jsonl$/.test(entry.name))
    .map((entry) => entry.name)
    .sort()
}

function parseLine(text: string): LedgerRecord | undefined {
  try {
    const value = JSON.parse(text) as LedgerRecord | null
    return typeof value === 'object' && value !== null && typeof value.kind === 'string' ? value : undefined
  } catch {
    return undefined // the caller names the line
  }
}
