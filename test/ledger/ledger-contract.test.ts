import '../_support/ledger-disk.ts'
import { join } from 'node:path'
import { describe, onTestFinished } from 'vitest'
import { systemClock } from '../../src/core/clock.ts'
import { BoundedLedger } from '../../src/ledger/bounded-ledger.ts'
import type { LedgerRecord } from '../../src/ledger/ledger.ts'
import { LedgerDirectory, readLedger } from '../../src/storage/ledger-directory.ts'
import { FakeClock } from '../_support/fake-clock.ts'
import { ledgerContract } from '../_support/ledger-contract.ts'
import { LedgerDisk } from '../_support/ledger-disk.ts'
import { MemoryLedger } from '../_support/memory-ledger.ts'
import { scratch } from '../_support/scratch.ts'

function inMemory() {
  const ledger = new MemoryLedger()
  return {
    ledger,
    records: async () => ledger.records,
    setFull: (full: boolean) => {
      ledger.full = full
    },
  }
}

function inADirectory() {
  const directory = join(scratch(), 'ledger')
  const disk = new LedgerDisk(directory)
  const ledger = new LedgerDirectory(directory, systemClock)
  onTestFinished(async () => {
    disk[Symbol.dispose]()
    await ledger[Symbol.asyncDispose]()
  })
  return {
    ledger,
    records: async () => {
      const records: LedgerRecord[] = []
      for await (const entry of readLedger(directory, undefined)) if (entry.kind !== 'damaged') records.push(entry)
      return records
    },
    setFull: (full: boolean) => {
      disk.room = full ? 0 : Number.POSITIVE_INFINITY
    },
  }
}

describe('the ledger in memory that other tests use', () => ledgerContract(inMemory))

describe('the directory', () => ledgerContract(inADirectory))

describe('the bounded ledger, which is one as long as there is no flood', () =>
  ledgerContract(() => {
    const inner = inADirectory()
    return { ...inner, ledger: new BoundedLedger(inner.ledger, new FakeClock()) }
  }))
