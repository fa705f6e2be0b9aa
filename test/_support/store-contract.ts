import { beforeAll, describe, expect, test } from 'vitest'
import type { AuthoritySet } from '../../src/authority/authority.ts'
import { printJournal } from '../../src/authority/journal.ts'
import type { PrivateKey } from '../../src/keys/private-key.ts'
import type { AuthorityStore } from '../../src/service/ports.ts'
import { aSet, issuingOf, rootOf } from './authority-sets.ts'
import { odd } from './odd-certificates.ts'

/** A set as dev mode begins it, one as it goes on, and the root's key. */
export async function sets(): Promise<{
  begun: AuthoritySet
  later: AuthoritySet
  rootKey: PrivateKey
  rootId: string
}> {
  const root = await odd('root', 'itself')
  const issuing = await odd('issuing', root, { pathLength: 0 })
  const begun = aSet([rootOf(root)])
  return {
    begun,
    later: aSet([...begun.authorities, issuingOf(issuing)]),
    rootKey: root.key,
    rootId: begun.authorities[0]?.id as string,
  }
}

/** What every AuthorityStore does, the fake of the tests included. */
export function storeContract(open: () => AuthorityStore): void {
  let given: Awaited<ReturnType<typeof sets>>
  beforeAll(async () => {
    given = await sets()
  })
  const begun = async () => {
    const store = open()
    await store.begin(given.begun, given.rootKey)
    return store
  }
  const textOf = async (store: AuthorityStore) => {
    const found = await store.read()
    return found && printJournal(found.revision, found.set)
  }

  describe('contract of an authority store', () => {
    test('has nothing before a trust domain begins', async () => {
      expect(await open().read()).toBeUndefined()
    })

    test('begins with revision 1', async () => {
      const store = open()
      expect(await store.begin(given.begun, given.rootKey)).toBe(1)
      expect(await textOf(store)).toBe(printJournal(1, given.begun))
    })

    test('begins once: a second beginning is refused, and changes nothing', async () => {
      const store = await begun()
      const other = await sets()
      await expect(store.begin(other.begun, other.rootKey)).rejects.toMatchObject({ code: 'conflict' })
      expect(await textOf(store)).toBe(printJournal(1, given.begun))
      expect((await store.rootKey(given.rootId)).publicKey.spki).toEqual(given.rootKey.publicKey.spki)
    })

    test('gives back the root’s key it was given', async () => {
      const store = await begun()
      const signer = await store.rootKey(given.rootId)
      expect(signer.publicKey.spki).toEqual(given.rootKey.publicKey.spki)
    })

    test('has no root key where the root is plugged in', async () => {
      const store = open()
      await store.begin(aSet([], { origin: 'plugged-in' }), undefined)
      await expect(store.rootKey(given.rootId)).rejects.toMatchObject({
        code: 'wrong_state',
        message: expect.stringContaining('missing'),
      })
    })

    test('replaces the revision that the writer has seen, and gives the next', async () => {
      const store = await begun()
      expect(await store.write(1, given.later)).toBe(2)
      expect(await textOf(store)).toBe(printJournal(2, given.later))
    })

    test.each([0, 1, 3])(
      'refuses a writer who has seen revision %i where there is 2, and writes nothing',
      async (seen) => {
        const store = await begun()
        await store.write(1, given.later)
        await expect(store.write(seen, given.begun)).rejects.toMatchObject({
          code: 'conflict',
          message: `the journal has revision 2, not ${seen}`,
        })
        expect(await textOf(store)).toBe(printJournal(2, given.later))
      },
    )

    test('of two writers who have seen the same, one is refused', async () => {
      const store = await begun()
      await store.write(1, given.later)
      await expect(store.write(1, given.later)).rejects.toMatchObject({ code: 'conflict' })
      expect((await store.read())?.revision).toBe(2)
    })

    test('keeps the root’s key through every write', async () => {
      const store = await begun()
      await store.write(1, given.later)
      await store.write(2, given.begun)
      expect((await store.rootKey(given.rootId)).publicKey.spki).toEqual(given.rootKey.publicKey.spki)
    })
  })
}
