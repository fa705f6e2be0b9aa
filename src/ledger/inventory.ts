import { ATTESTATION_METHODS } from '../attestation/caller.ts'
import { type Clock, earlier, later, plus } from '../core/clock.ts'
import { DAY } from '../core/duration.ts'
import type { DamagedLine, IssuedRecord, LedgerRecord, ShownRecord } from './ledger.ts'
import type { LiveSvid, PodExists, Workload } from './live-svid.ts'
import { LiveTable } from './live-table.ts'

/** How far the inventory can be trusted. */
export type InventoryState = {
  /** False while the ledger is being read: SVIDs may be missing. */
  readonly complete: boolean
  /** Damaged lines of the ledger, and files that are missing: each may have held SVIDs that are alive. */
  readonly unknown: number
  /** When the last of those has ended at the latest; nothing when none can be alive. */
  readonly closedUntil: Date | undefined
}

/**
 * Every live SVID with what is known of its holder, in memory: made from the ledger, then told of each thing that was recorded there, after it
 * was. An SVID lives until its end, or until one that was issued to a call made with it is used itself: a newer one alone replaces nothing,
 * its answer may have been lost.
 */
export class Inventory {
  #table = new LiveTable()
  #complete = false
  /** What happened since the ledger began to be read; nothing while it is not being read. */
  #meanwhile: (() => void)[] | undefined
  #unknown = 0
  #closedUntil: Date | undefined
  /** Whatever ended before this was thrown away. */
  #prunedAt = new Date(0)
  /** So many are held when it is time to prune again. */
  #pruneAt = PRUNE_FROM

  /** An SVID was issued; the record is durable. */
  issued(record: IssuedRecord): void {
    this.#then(() => {
      this.#add(record)
      if (this.#hasGrown) this.prune(new Date(record.at))
    })
  }

  /** A call was made with an SVID, which is in the ledger. Its predecessor is replaced. */
  shown(serial: string, at: Date): void {
    this.#then(() => this.#show(serial, at))
  }

  /** Whether a call made with this SVID tells anything new. What is not known here any more tells nothing. */
  isUnproven(serial: string): boolean {
    if (!this.#complete) return true
    const row = this.#table.find(serial)
    return row !== undefined && !this.#table.isProven(row)
  }

  /** Gives back the room of what has ended. */
  prune(now: Date): void {
    this.#table.removeEnded(now.getTime())
    this.#prunedAt = later(this.#prunedAt, now)
    this.#pruneAt = Math.max(PRUNE_FROM, 2 * this.#table.size)
  }

  /** @param now before the last pruning means that the clock was set back: what was thrown away may be alive again */
  state(now: Date): InventoryState {
    const open = this.#closedUntil === undefined || this.#closedUntil < now
    return {
      complete: this.#complete && now >= this.#prunedAt,
      unknown: open ? 0 : this.#unknown,
      closedUntil: open ? undefined : this.#closedUntil,
    }
  }

  /** The SVID of that serial number; it may have ended, and it is not here if it was replaced. */
  find(serial: string): LiveSvid | undefined {
    const row = this.#table.find(serial)
    return row === undefined ? undefined : this.#table.svid(row)
  }

  /** How many are held, of which some may have ended. */
  get size(): number {
    return this.#table.size
  }

  /** What is alive now, in no particular order. Read it in one go. */
  *live(now: Date, podExists: PodExists): Generator<LiveSvid> {
    for (const { svids } of this.workloads(now, podExists)) yield* svids
  }

  /** The same by workload. */
  workloads(now: Date, podExists: PodExists): Generator<Workload> {
    return this.#table.workloads(now.getTime(), podExists)
  }

  /**
   * Begins anew from the ledger's records. Whatever happens meanwhile may or may not be among them, and counts once. Until this is done, and
   * after it failed, the inventory is not complete.
   * @param entries from before the first SVID that may be alive
   * @param longestMs how long an SVID may live, as far as is known
   * @throws what reading throws, and the signal's reason
   */
  async rebuild(
    entries: AsyncIterable<LedgerRecord | DamagedLine>,
    longestMs: number,
    clock: Clock,
    signal: AbortSignal,
  ): Promise<void> {
    this.#table = new LiveTable()
    this.#complete = false
    this.#prunedAt = new Date(0)
    const meanwhile: (() => void)[] = []
    this.#meanwhile = meanwhile
    try {
      const damage = await this.#replay(entries, longestMs, clock, signal)
      this.prune(clock.now())
      for (const happen of meanwhile) happen()
      this.#unknown = damage.lines
      this.#closedUntil = damage.until
      this.#complete = true
    } finally {
      this.#meanwhile = undefined
    }
  }

  async #replay(
    entries: AsyncIterable<LedgerRecord | DamagedLine>,
    longestMs: number,
    clock: Clock,
    signal: AbortSignal,
  ): Promise<{ readonly lines: number; readonly until: Date | undefined }> {
    let lines = 0
    let last: Date | undefined
    let longest = longestMs
    /** @param by when it was written at the latest; a moment that can't be read is now */
    const damaged = (by: Date) => {
      lines++
      const at = earlier(by, clock.now())
      last = last ? later(last, at) : at
    }
    for await (const entry of entries) {
      signal.throwIfAborted()
      // Torn lines were never durable: no answer left on their word.
      if (entry.kind === 'damaged') {
        if (!entry.torn) damaged(plus(new Date(entry.file.slice(0, 10)), DAY))
      } else if (entry.kind === 'shown') {
        if (isWholeShown(entry)) this.#show(entry.serial, new Date(entry.at))
        else damaged(new Date(entry.at))
      } else if (entry.kind === 'issued') {
        if (!isWholeIssued(entry)) {
          damaged(new Date(entry.at))
          continue
        }
        this.#add(entry)
        longest = Math.max(longest, Date.parse(entry.notAfter) - Date.parse(entry.at))
        // As it went at the time: what had ended by then was neither shown nor renewed afterwards.
        if (this.#hasGrown) this.prune(earlier(new Date(entry.at), clock.now()))
      }
    }
    return { lines, until: last && plus(last, longest) }
  }

  #then(happen: () => void): void {
    // While the ledger is not read it can wait: it will be found there.
    if (this.#complete) happen()
    else this.#meanwhile?.push(happen)
  }

  #add(record: IssuedRecord): void {
    const table = this.#table
    const issuedAt = Date.parse(record.at)
    if (record.predecessor !== undefined) {
      const before = table.find(record.predecessor)
      if (before !== undefined) table.heardOf(before, issuedAt)
    }
    const known = table.find(record.serial)
    // What is told again, as after a rebuild, may have brought back what it replaces.
    if (known === undefined) table.add(record, issuedAt)
    else table.setPredecessor(known, record.predecessor)
  }

  /** Then it is pruned, so that memory is bounded by what is alive and not by how fast it is issued. */
  get #hasGrown(): boolean {
    return this.#table.size >= this.#pruneAt
  }

  #show(serial: string, at: Date): void {
    const table = this.#table
    const row = table.find(serial)
    if (row === undefined) return
    table.heardOf(row, at.getTime())
    const before = table.prove(row)
    const replaced = before === undefined ? undefined : table.find(before)
    if (replaced !== undefined) table.remove(replaced)
  }
}

/** What has ended is thrown away whenever the table has doubled from here. */
const PRUNE_FROM = 10_000

/** A line may be JSON and yet not what was written. */
function isWholeIssued(record: IssuedRecord): boolean {
  return (
    [record.serial, record.issuer].every(isHex) &&
    typeof record.id === 'string' &&
    /^spiffe:\/\/[^/]+\/ns\/[^/]+\/sa\/[^/]+$/.test(record.id) &&
    [record.at, record.notAfter].every(isMoment) &&
    Number.isSafeInteger(record.bundleSequence) &&
    ATTESTATION_METHODS.includes(record.method) &&
    typeof record.pod === typeof record.podUid &&
    [record.pod, record.podUid].every((text) => text === undefined || typeof text === 'string') &&
    (record.predecessor === undefined || isHex(record.predecessor))
  )
}

const isWholeShown = ({ serial, at }: ShownRecord): boolean => isHex(serial) && isMoment(at)

const isHex = (text: unknown): boolean => typeof text === 'string' && /^[0-9a-f]+$/.test(text)
const isMoment = (text: string): boolean => !Number.isNaN(Date.parse(text))
