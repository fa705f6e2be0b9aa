import {
  closeSync,
  constants,
  type Dirent,
  fdatasync,
  fstatSync,
  fsyncSync,
  mkdirSync,
  openSync,
  readdirSync,
  readSync,
  writeSync,
} from 'node:fs'
import { open, readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { type Cancel, type Clock, nextTurn, plus } from '../core/clock.ts'
import { DAY, SECOND } from '../core/duration.ts'
import { CaError } from '../core/errors.ts'
import type { DamagedLine, IntentRecord, Ledger, LedgerRecord } from '../ledger/ledger.ts'
import { isMissing, unavailable } from './durable-file.ts'
import { beginningOf, couldBecomeMark, type FileHead, lineOf, linesOf, looksTorn, readLine } from './ledger-lines.ts'

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
  /** What its file has to begin with and does not yet. */
  #head = ''
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
      const at = this.#clock.now().toISOString()
      const bytes = Buffer.from(`${this.#torn ? `\n${lineOf({ kind: 'torn', at })}` : ''}${this.#head}${lines}`)
      this.#torn = true
      for (let done = 0; done < bytes.length; ) done += writeSync(descriptor, bytes, done)
      this.#torn = false
      this.#head = ''
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
    const name = fileOf(now)
    const descriptor = openSync(
      join(this.#directory, name),
      constants.O_RDWR | constants.O_APPEND | constants.O_CREAT,
      0o600,
    )
    try {
      syncDirectoryNow(this.#directory)
      // A crash may have torn the last line.
      const { size } = fstatSync(descriptor)
      const last = Buffer.alloc(1, '\n')
      if (size > 0) readSync(descriptor, last, 0, 1, size - 1)
      this.#head = hasLine(descriptor)
        ? ''
        : lineOf({ kind: 'file', at: now.toISOString(), ...fileBefore(this.#directory, name) })
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

function fileBefore(directory: string, name: string): Pick<FileHead, 'before' | 'bytes'> {
  const before = daysAmong(readdirSync(directory, { withFileTypes: true }))
    .filter((other) => other < name)
    .at(-1)
  if (before === undefined) return {}
  const descriptor = openSync(join(directory, before), constants.O_RDONLY)
  try {
    // A power cut must not make it shorter than is said of it.
    fsyncSync(descriptor)
    return { before, bytes: fstatSync(descriptor).size }
  } finally {
    closeSync(descriptor)
  }
}

/** A crash in its first write leaves a file without its head. */
function hasLine(descriptor: number): boolean {
  const beginning = Buffer.alloc(1024)
  const length = readSync(descriptor, beginning, 0, beginning.length, 0)
  return beginning.subarray(0, length).includes(0x0a)
}

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
  /** Moments at which something was recorded for sure, or soon after. */
  readonly written?: readonly Date[] | undefined
}

/** Every record in the order it was written, from the file of `since` (UTC day) on, and what is damaged or missing there. */
export async function* readLedger(
  directory: string,
  since: Date | undefined,
  { without, latestDayFirst = false, written = [] }: Reading = {},
): AsyncGenerator<LedgerRecord | DamagedLine> {
  const names = await ledgerFiles(directory)
  const first = since ? fileOf(since) : (names[0] ?? '')
  const passedOver = without && beginningOf(without)
  const sizes = new Map<string, number>()
  const heads: FileHead[] = []
  for (const name of latestDayFirst ? names.toReversed() : names) {
    if (name < first) continue
    await using handle = await open(join(directory, name), constants.O_RDONLY)
    sizes.set(name, (await handle.stat()).size)
    const end = { open: false }
    let line = 0
    /** What was cut off, if what comes next says so; then attempts to say so that were cut off, too. */
    let torn: DamagedLine[] = []
    for await (const bytes of linesOf(handle, end)) {
      line++
      if (bytes?.length === 0) continue
      const found = readLine(bytes, passedOver)
      const kind = typeof found === 'object' && found.kind
      // It was never whole if whoever wrote on found it so; else it may have been.
      if (found !== undefined || !couldBecomeMark(bytes)) {
        for (const one of torn) yield { ...one, torn: kind === 'torn' }
        torn = []
      }
      if (kind === 'file') heads.push(found as FileHead)
      else if (typeof found === 'object' && kind !== 'torn') yield found as LedgerRecord
      else if (found === undefined) {
        const damaged: DamagedLine = { kind: 'damaged', file: name, line, torn: false }
        if (looksTorn(bytes)) torn.push(damaged)
        else yield damaged
      }
    }
    for (const one of torn) yield { ...one, torn: end.open }
  }
  const lost = new Set<string>()
  for (const { before, bytes = 0 } of heads)
    if (before !== undefined && before >= first && (sizes.get(before) ?? -1) < bytes) lost.add(before)
  for (const moment of written) {
    // What is recorded soon after may stand in the next day’s.
    const day = fileOf(moment)
    if (day >= first && !sizes.has(day) && !sizes.has(fileOf(plus(moment, DAY)))) lost.add(day)
  }
  for (const file of lost) yield { kind: 'damaged', file, line: 0, torn: false }
}

const fileOf = (moment: Date): string => `${moment.toISOString().slice(0, 10)}.jsonl`

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
  return daysAmong(entries)
}

function daysAmong(entries: readonly Dirent[]): string[] {
  return entries
    .filter((entry) => entry.isFile() && /^\d{4}-\d\d-\d\d\.jsonl$/.test(entry.name))
    .map((entry) => entry.name)
    .sort()
}
