import { CaError } from '../../src/core/errors.ts'
import type { IntentRecord, Ledger, LedgerRecord } from '../../src/ledger/ledger.ts'

/** A Ledger in memory. */
export class MemoryLedger implements Ledger {
  readonly records: LedgerRecord[] = []
  /** Refuses every record while set. */
  full = false

  async intend(record: IntentRecord): Promise<void> {
    this.#add(record)
  }

  async record(record: LedgerRecord): Promise<void> {
    this.#add(record)
  }

  /** Records of one kind. */
  of<K extends LedgerRecord['kind']>(kind: K): Extract<LedgerRecord, { kind: K }>[] {
    return this.records.filter((record): record is Extract<LedgerRecord, { kind: K }> => record.kind === kind)
  }

  #add(record: LedgerRecord): void {
    if (this.full)
      throw new CaError('dependency_unavailable', 'the ledger can’t be written, so nothing is issued; try again later')
    this.records.push(record)
  }
}
