import '../_support/ledger-disk.ts'
import { join } from 'node:path'
import { describe, expect, onTestFinished, test } from 'vitest'
import { systemClock } from '../../src/core/clock.ts'
import { BoundedLedger } from '../../src/ledger/bounded-ledger.ts'
import type { LedgerRecord } from '../../src/ledger/ledger.ts'
import { LedgerDirectory, readLedger } from '../../src/storage/ledger-directory.ts'
import { FakeClock } from '../_support/fake-clock.ts'
import { ledgerContract } from '../_support/ledger-contract.ts'
import { LedgerDisk } from '../_support/ledger-disk.ts'
import { anIntent, anIssued, aRefused } from '../_support/ledger-records.ts'
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

test('the one in memory holds what the directory holds after the same calls, some of which found no room', async () => {
  const story = async ({ ledger, records, setFull }: ReturnType<typeof inMemory> | ReturnType<typeof inADirectory>) => {
    await ledger.intend(anIntent('1'))
    await Promise.all([ledger.record(anIssued('1')), ledger.record(aRefused('2'))])
    setFull(true)
    await expect(ledger.record(anIssued('3'))).rejects.toThrow('the ledger can’t be written')
    setFull(false)
    await ledger.record(aRefused('4', 'pod_gone'))
    return records()
  }
  expect(await story(inMemory())).toEqual(await story(inADirectory()))
})
