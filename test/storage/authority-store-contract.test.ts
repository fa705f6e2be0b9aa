import { describe, expect, test } from 'vitest'
import { printJournal } from '../../src/authority/journal.ts'
import type { AuthorityStore } from '../../src/service/ports.ts'
import { AuthorityDirectory } from '../../src/storage/authority-directory.ts'
import { MemoryStore } from '../_support/memory-store.ts'
import { scratch } from '../_support/scratch.ts'
import { sets, storeContract } from '../_support/store-contract.ts'

describe('the store in memory that other tests use', () => storeContract(() => new MemoryStore()))

describe('the directory', () => storeContract(() => new AuthorityDirectory(scratch(), async () => false)))

test('the one in memory holds the very text that the directory holds after the same writes, one of which came too late', async () => {
  const { begun, later, rootKey } = await sets()
  const story = async (store: AuthorityStore) => {
    const first = await store.begin(begun, rootKey)
    await store.write(first, later)
    await expect(store.write(first, begun)).rejects.toMatchObject({ code: 'conflict' })
    const found = await store.read()
    return found && printJournal(found.revision, found.set)
  }
  const inMemory = await story(new MemoryStore())
  expect(inMemory).toBe(printJournal(2, later))
  expect(await story(new AuthorityDirectory(scratch(), async () => false))).toBe(inMemory)
})
