import { beforeAll, describe, expect, test } from 'vitest'
import type { AuthoritySet } from '../../src/authority/authority.ts'
import { JournalInDoubt, printJournal } from '../../src/authority/journal.ts'
import { hex } from '../../src/core/bytes.ts'
import { keyAlgorithm } from '../../src/keys/algorithms.ts'
import type { PrivateKey } from '../../src/keys/private-key.ts'
import { keyIdOf } from '../../src/keys/public-key.ts'
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
    await store.takeRootKey(given.rootKey)
    await store.begin(given.begun)
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
      expect(await store.begin(given.begun)).toBe(1)
      expect(await textOf(store)).toBe(printJournal(1, given.begun))
    })

    test('begins once: a second beginning is refused, and changes nothing', async () => {
      const store = await begun()
      const other = await sets()
      await expect(store.begin(other.begun)).rejects.toMatchObject({ code: 'conflict' })
      expect(await textOf(store)).toBe(printJournal(1, given.begun))
      expect((await store.rootKey(given.rootId, store.newKeyHome)).publicKey.spki).toEqual(given.rootKey.publicKey.spki)
    })

    test('gives back the root’s key it was given', async () => {
      const store = await begun()
      const signer = await store.rootKey(given.rootId, store.newKeyHome)
      expect(signer.publicKey.spki).toEqual(given.rootKey.publicKey.spki)
    })

    test('destroys the root’s key, once, and no journal with it', async () => {
      const store = await begun()
      expect(await store.destroyRootKey(given.rootId, store.newKeyHome)).toBe(true)
      expect(await store.destroyRootKey(given.rootId, store.newKeyHome)).toBe(false)
      await expect(store.rootKey(given.rootId, store.newKeyHome)).rejects.toMatchObject({
        code: 'wrong_state',
        message: expect.stringContaining('missing'),
      })
      expect(await textOf(store)).toBe(printJournal(1, given.begun))
    })

    test('destroys no key where it keeps none', async () => {
      const store = await begun()
      await expect(store.destroyRootKey(given.rootId, 'pkcs11')).rejects.toMatchObject({
        code: 'wrong_state',
        message: expect.stringMatching(/^the root’s key is/),
      })
    })

    test('has no root key where the root is plugged in', async () => {
      const store = open()
      await store.begin(aSet([], { origin: 'plugged-in' }))
      await expect(store.rootKey(given.rootId, store.newKeyHome)).rejects.toMatchObject({
        code: 'wrong_state',
        message: expect.stringContaining('missing'),
      })
    })

    test('makes a root’s key before it begins, and another afterwards, and gives both back', async () => {
      const store = open()
      const keys = [await store.newRootKey(keyAlgorithm('ecdsa-p256'))]
      await store.begin(given.begun)
      keys.push(await store.newRootKey(keyAlgorithm('ecdsa-p384')))
      expect(keys.map(({ publicKey }) => publicKey.algorithm.name)).toEqual(['ecdsa-p256', 'ecdsa-p384'])
      for (const { publicKey } of keys) {
        const again = await store.rootKey(hex(keyIdOf(publicKey.spki)), store.newKeyHome)
        expect(hex(again.publicKey.spki)).toBe(hex(publicKey.spki))
      }
    })

    test('takes a key after it began, and the same one twice', async () => {
      const store = await begun()
      const other = await sets()
      for (const _ of [1, 2])
        expect((await store.takeRootKey(other.rootKey)).publicKey.spki).toEqual(other.rootKey.publicKey.spki)
      expect((await store.rootKey(other.rootId, store.newKeyHome)).publicKey.spki).toEqual(other.rootKey.publicKey.spki)
    })

    test.each(['memory', 'elsewhere', 'plugged-in'] as const)('keeps no root’s key that is “%s”', async (home) => {
      const store = await begun()
      await expect(store.rootKey(given.rootId, home)).rejects.toMatchObject({
        code: 'wrong_state',
        message: `the root’s key is not kept here, but “${home}”`,
      })
    })

    test('replaces the revision that the writer has seen, and gives the next', async () => {
      const store = await begun()
      expect(await store.write(1, given.later)).toBe(2)
      expect(await textOf(store)).toBe(printJournal(2, given.later))
    })

    test('confirms the revision that is the last, and is in doubt about any other', async () => {
      const store = await begun()
      await store.confirm(1)
      await store.write(1, given.later)
      await store.confirm(2)
      await store.confirm(2)
      for (const seen of [1, 3])
        await expect(store.confirm(seen)).rejects.toThrow(
          new JournalInDoubt(`the journal has revision 2, not ${seen}: somebody else wrote it`),
        )
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
      expect((await store.rootKey(given.rootId, store.newKeyHome)).publicKey.spki).toEqual(given.rootKey.publicKey.spki)
    })
  })
}
