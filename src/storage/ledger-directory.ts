import {
  closeSync,
  constants,
  type Dirent,
  fdatasync,
  fstatSync,
  fsyncSync,
  mkdirSync,
  openSync,
  readSync,
  writeSync,
} from 'node:fs'
import { type FileHandle, open, readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { type Cancel, type Clock, nextTurn } from '../core/clock.ts'
import { DAY, SECOND } from '../core/duration.ts'
import { CaError } from '../core/errors.ts'
import { harmlessJson } from '../core/terminal-text.ts'
import type { DamagedLine, IntentRecord, Ledger, LedgerRecord } from '../ledger/ledger.ts'
import { isMissing, unavailable } from './durable-file.ts'

type Waiting = { readonly line: string; readonly done: () => void; readonly failed: (error: unknown) => void }

/** How long a sync waits for others when some came together last time: it makes one of many, and delays nobody noticeably. */
const GATHER_MS = 1

/** How long after a failure a write is tried without a request. */
const PROBE_MS = 5 * SECOND

/**
 * The ledger as append-only lines of JSON, a file a day (UTC), in `<state>/ledger`. Intents are handed to the kernel before they are acted on, all of
 * one turn of the event loop in one write: a crash of this process can't lose them. Outcomes are written and synced in groups, so that one sync serves all who wait at the same time.
 */
export class LedgerDirectory implements Ledger, AsyncDisposable {
  readonly #directory: string
  readonly #clock: Clock
  /** Its day is counted from 1970. */
  #file: { readonly day: number; readonly descriptor: number } | undefined
  /** A write failed part-way: the next one begins on a line of its own. */
  #torn = false
  #failure: unknown
  #probe: Cancel | undefined
  /** Intents of this turn of the event loop, and the one write they share. */
  #intents = ''
  #handing: Promise<void> | undefined
  #waiting: Waiting[] = []
  /** Owned by the one running loop of syncs. */
  #syncing: Promise<void> | undefined
  #lastGroup = 1
  #retired: number[] = []

  constructor(directory: string, clock: Clock) {
    this.#directory = directory
    this.#clock = clock
  }

  intend(record: IntentRecord): Promise<void> {
    this.#intents += lineOf(record)
    this.#handing ??= this.#handOver()
    return this.#handing
  }

  record(record: LedgerRecord): Promise<void> {
    return new Promise((done, failed) => {
      this.#waiting.push({ line: lineOf(record), done, failed })
      this.#syncing ??= this.#sync()
    })
  }

  /** Why the last write failed; nothing when it did not. */
  get failure(): unknown {
    return this.#failure
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#handing?.catch(() => undefined)
    while (this.#syncing !== undefined) await this.#syncing
    this.#probe?.()
    for (const descriptor of this.#retired.splice(0)) closeSync(descriptor)
    if (this.#file) closeSync(this.#file.descriptor)
    this.#file = undefined
  }

  async #handOver(): Promise<void> {
    await nextTurn()
    const lines = this.#intents
    this.#intents = ''
    this.#handing = undefined
    this.#write(lines)
  }

  /** Gives the file it wrote to. */
  #write(lines: string): number {
    try {
      const { descriptor } = this.#open()
      const bytes = Buffer.from(this.#torn ? `\n${lines}` : lines)
      this.#torn = true
      for (let at = 0; at < bytes.length; ) at += writeSync(descriptor, bytes, at)
      this.#torn = false
      return descriptor
    } catch (cause) {
      throw this.#failed(cause)
    }
  }

  async #sync(): Promise<void> {
    // Nothing before this may end it: who starts the loop has yet to note that it runs.
    await undefined
    while (this.#waiting.length > 0) {
      if (this.#lastGroup > 1) await this.#clock.sleep(GATHER_MS, NEVER)
      const group = this.#waiting
      this.#waiting = []
      this.#lastGroup = group.length
      try {
        const written = this.#write(group.map((waiting) => waiting.line).join(''))
        // A file that another day retires meanwhile stays open until the next round.
        for (const descriptor of [...this.#retired]) {
          await synced(descriptor)
          closeSync(descriptor)
          this.#retired.shift()
        }
        await synced(written)
        this.#failure = undefined
        for (const waiting of group) waiting.done()
      } catch (cause) {
        const error = cause instanceof CaError ? cause : this.#failed(cause)
        for (const waiting of group) waiting.failed(error)
      }
    }
    this.#syncing = undefined
  }

  #failed(cause: unknown): CaError {
    this.#failure = cause
    // Who is not ready gets no requests, so none would show that the disk is well again: an empty line does.
    this.#probe ??= this.#clock.after(PROBE_MS, () => {
      this.#probe = undefined
      this.#waiting.push({ line: '\n', done: () => undefined, failed: () => undefined })
      this.#syncing ??= this.#sync()
    })
    return new CaError('dependency_unavailable', 'the ledger can’t be written, so nothing is issued; try again later', {
      cause: unavailable(`the ledger in ${this.#directory}`, cause),
    })
  }

  #open(): { readonly descriptor: number } {
    const now = this.#clock.now()
    const day = Math.floor(now.getTime() / DAY)
    if (this.#file?.day === day) return this.#file
    mkdirSync(this.#directory, { mode: 0o700, recursive: true })
    const descriptor = openSync(
      join(this.#directory, `${now.toISOString().slice(0, 10)}.jsonl`),
      constants.O_RDWR | constants.O_APPEND | constants.O_CREAT,
      0o600,
    )
    try {
      syncDirectoryNow(this.#directory)
      // A crash may have torn the last line.
      const { size } = fstatSync(descriptor)
      const last = Buffer.alloc(1, '\n')
      if (size > 0) readSync(descriptor, last, 0, 1, size - 1)
      this.#torn = last[0] !== 0x0a
    } catch (error) {
      closeSync(descriptor)
      throw error
    }
    // Yesterday's file may be in a sync right now; the loop of syncs closes it.
    if (this.#file) this.#retired.push(this.#file.descriptor)
    this.#file = { day, descriptor }
    return this.#file
  }
}

const lineOf = (record: LedgerRecord): string => `${harmlessJson(JSON.stringify(record))}\n`

const NEVER = new AbortController().signal

const synced = promisify(fdatasync)

function syncDirectoryNow(path: string): void {
  const descriptor = openSync(path, constants.O_RDONLY | constants.O_DIRECTORY)
  try {
    fsyncSync(descriptor)
  } finally {
    closeSync(descriptor)
  }
}

export type Reading = {
  /** A kind of records that are passed over, which takes a fraction of the time. */
  readonly without?: LedgerRecord['kind']
  /** The file of the latest day comes first; within it the order stays. */
  readonly latestDayFirst?: boolean
}

/** Every record in the order it was written, from the file of `since` (UTC day) on. */
export async function* readLedger(
  directory: string,
  since: Date | undefined,
  { without, latestDayFirst = false }: Reading = {},
): AsyncGenerator<LedgerRecord | DamagedLine> {
  const first = since ? `${since.toISOString().slice(0, 10)}.jsonl` : ''
  const passedOver = without && Buffer.from(`${BEGINNING}${without}"`)
  const names = await ledgerFiles(directory)
  for (const name of latestDayFirst ? names.toReversed() : names) {
    if (name < first) continue
    await using handle = await open(join(directory, name), constants.O_RDONLY)
    let line = 0
    for await (const text of linesOf(handle, passedOver)) {
      line++
      if (text === '') continue
      yield (text && parseLine(text)) || { kind: 'damaged', file: name, line, torn: isTorn(text) }
    }
  }
}

const BEGINNING = '{"kind":"'

/** Whether a line is a record’s beginning without its end. What ends as a record does may have been whole once. */
function isTorn(text: string | undefined): boolean {
  if (text === undefined || text.includes('\0') || text.endsWith('}')) return false
  return text.startsWith(BEGINNING) || BEGINNING.startsWith(text)
}

/** No record is nearly as long. */
const MAX_LINE_BYTES = 1024 * 1024

const READ_BYTES = 256 * 1024

/** What stands between line feeds, and nothing else ends a line; `undefined` for a line that is too long, nothing for one that begins as `passedOver`. */
async function* linesOf(handle: FileHandle, passedOver: Buffer | undefined): AsyncGenerator<string | undefined> {
  const chunk = Buffer.allocUnsafe(READ_BYTES)
  /** The beginning of a line whose end was not read yet. */
  let parts: Buffer[] = []
  let size = 0
  const textOf = (end: Buffer): string | undefined => {
    size += end.length
    const bytes = parts.length === 0 ? end : Buffer.concat([...parts, end])
    const long = size > MAX_LINE_BYTES
    parts = []
    size = 0
    if (long) return undefined
    if (passedOver && bytes.subarray(0, passedOver.length).equals(passedOver)) return ''
    return bytes.toString('utf8')
  }
  for (;;) {
    const { bytesRead } = await handle.read(chunk, 0, READ_BYTES, null)
    if (bytesRead === 0) break
    const read = chunk.subarray(0, bytesRead)
    let begin = 0
    for (let end = read.indexOf(0x0a); end >= 0; end = read.indexOf(0x0a, begin)) {
      yield textOf(read.subarray(begin, end))
      begin = end + 1
    }
    size += bytesRead - begin
    if (size > MAX_LINE_BYTES) parts = []
    // Copied: the next read takes its place.
    else if (begin < bytesRead) parts.push(Buffer.from(read.subarray(begin)))
  }
  if (size > 0) yield textOf(Buffer.alloc(0))
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
    const isRecord =
      typeof value === 'object' && value !== null && typeof value.kind === 'string' && typeof value.at === 'string'
    return isRecord ? value : undefined
  } catch {
    return undefined // the caller names the line
  }
}
