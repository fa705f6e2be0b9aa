import { describe } from 'vitest'
import { AuthorityDirectory } from '../../src/storage/authority-directory.ts'
import { MemoryStore } from '../_support/memory-store.ts'
import { scratch } from '../_support/scratch.ts'
import { storeContract } from '../_support/store-contract.ts'

describe('the store in memory that other tests use', () => storeContract(() => new MemoryStore()))

describe('the directory', () => storeContract(() => new AuthorityDirectory(scratch(), async () => false)))
