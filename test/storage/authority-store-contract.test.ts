import { describe, expect, test } from 'vitest'
import { printJournal } from '../../src/authority/journal.ts'
import { KeyFileEncryption } from '../../src/keys/key-encryption.ts'
import { PlainKeys } from '../../src/keys/plain-keys.ts'
import { SealedKeys } from '../../src/keys/sealed-keys.ts'
import type { KeyVault } from '../../src/keys/vault.ts'
import type { AuthorityStore } from '../../src/service/ports.ts'
import { AuthorityDirectory } from '../../src/storage/authority-directory.ts'
import { MemoryStore } from '../_support/memory-store.ts'
import { scratch } from '../_support/scratch.ts'
import { sets, storeContract } from '../_support/store-contract.ts'

describe('the store in memory that other tests use', () => storeContract(() => new MemoryStore()))

describe.each<[string, () => KeyVault]>([
  ['in the clear', () => new PlainKeys()],
  ['sealed', () => new SealedKeys(new KeyFileEncryption(async () => Buffer.alloc(32, 'key')))],
])('the directory with keys %s', (_, vault) =>
  storeContract(() => new AuthorityDirectory(scratch(), [vault()], async () => false)),
)

test('the one in memory holds the very text that the directory holds after the same writes, one of which came too late', async () => {
  const { begun, later } = await sets()
  const story = async (store: AuthorityStore) => {
    const first = await store.begin(begun)
    await store.write(first, later)
    await expect(store.write(first, begun)).rejects.toMatchObject({ code: 'conflict' })
    const found = await store.read()
    return found && printJournal(found.revision, found.set)
  }
  const inMemory = await story(new MemoryStore())
  expect(inMemory).toBe(printJournal(2, later))
  expect(await story(new AuthorityDirectory(scratch(), [new PlainKeys()], async () => false))).toBe(inMemory)
})
