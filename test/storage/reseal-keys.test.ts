import { mkdirSync, readdirSync, readFileSync, renameSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { beforeAll, describe, expect, test } from 'vitest'
import { keyAlgorithm } from '../../src/keys/algorithms.ts'
import { PrivateKey } from '../../src/keys/private-key.ts'
import { SealedKeys } from '../../src/keys/sealed-keys.ts'
import type { KeyEncryption } from '../../src/keys/vault.ts'
import { AuthorityDirectory } from '../../src/storage/authority-directory.ts'
import { KeyDirectory } from '../../src/storage/key-directory.ts'
import { resealKeys } from '../../src/storage/reseal-keys.ts'
import { aSet } from '../_support/authority-sets.ts'
import { eachStep, FaultyDisk, LEFTOVERS } from '../_support/faulty-disk.ts'
import { scratch } from '../_support/scratch.ts'
import { secretsOf, withKey, withPassphrase } from '../_support/secrets.ts'
import { idOf } from '../_support/vault-contract.ts'

let keys: PrivateKey[]
let ids: string[]
beforeAll(async () => {
  keys = [
    await PrivateKey.generate(keyAlgorithm('ecdsa-p256')),
    await PrivateKey.generate(keyAlgorithm('ed25519')),
    await PrivateKey.generate(keyAlgorithm('ecdsa-p256')),
  ]
  ids = keys.map(idOf)
})

const OLD = () => withKey('old')
const NEW = () => withKey('new')

/** A state directory with three keys, sealed with the old secret. */
async function aState(encryption: () => KeyEncryption = OLD): Promise<string> {
  const state = scratch()
  const store = new AuthorityDirectory(state, [new SealedKeys(encryption())], async () => false)
  for (const key of keys) await store.takeRootKey(key)
  await store.begin(aSet([], { origin: 'plugged-in' }))
  return state
}

const folder = (state: string) => new KeyDirectory(join(state, 'authority'))
const filesOf = (state: string) =>
  readdirSync(join(state, 'authority'))
    .filter((name) => name.endsWith('.sealed'))
    .map((name) => join(state, 'authority', name))
const content = (state: string) => filesOf(state).map((path) => readFileSync(path, 'latin1'))
const opens = async (state: string, encryption: KeyEncryption) =>
  (
    await Promise.all(
      ids.map((id) =>
        new SealedKeys(encryption).open(id, folder(state)).then(
          (key) => idOf(key) === id,
          () => false,
        ),
      ),
    )
  ).filter((opened) => opened).length

test('seals every key anew: the new secret opens them, the old one does not', async () => {
  const state = await aState()
  const done = await resealKeys(state, OLD(), NEW())
  expect(done).toEqual(filesOf(state).map((path) => ({ file: path.split('/').at(-1), outcome: 'resealed' })))
  expect([await opens(state, NEW()), await opens(state, OLD())]).toEqual([3, 0])
  for (const path of filesOf(state)) expect(statSync(path).mode & 0o777).toBe(0o600)
  expect(readdirSync(join(state, 'authority')).length, 'and leaves nothing else behind').toBe(4)
})

test('changes a passphrase to another, to a wrapping key, and back', async () => {
  const secrets = [
    withPassphrase('open sesame'),
    withPassphrase('close sesame'),
    withKey('k'),
    withPassphrase('at last!'),
  ]
  const state = await aState(() => secrets[0] as KeyEncryption)
  for (const [index, to] of secrets.slice(1).entries()) {
    await resealKeys(state, secrets[index] as KeyEncryption, to)
    expect([await opens(state, to), await opens(state, secrets[index] as KeyEncryption)]).toEqual([3, 0])
  }
})

test('does nothing to what is sealed so already', async () => {
  const state = await aState(NEW)
  const before = content(state)
  expect((await resealKeys(state, OLD(), NEW())).map(({ outcome }) => outcome)).toEqual(Array(3).fill('was already'))
  expect(content(state)).toEqual(before)
})

describe('killed at any step', () => {
  const reseal = (state: string) => resealKeys(state, OLD(), NEW())

  test.each(LEFTOVERS)(
    'it leaves each key under the old secret or the new one, and doing it again finishes it (%s)',
    async (leftover) => {
      const mixtures = new Set<number>()
      const steps = await eachStep('dies', aState, reseal, async ({ disk, root, error, at }) => {
        expect(error, at).toMatchObject({ code: 'dependency_unavailable' })
        disk.restart(leftover)
        const [before, after] = [await opens(root, OLD()), await opens(root, NEW())]
        expect(before + after, at).toBe(3)
        mixtures.add(after)
        await reseal(root)
        expect([await opens(root, OLD()), await opens(root, NEW())], at).toEqual([0, 3])
        expect(readdirSync(join(root, 'authority')).length, at).toBe(4)
      })
      expect(steps.length).toBeGreaterThanOrEqual(15)
      expect([...mixtures].sort(), 'it was killed between all of them').toEqual(expect.arrayContaining([0, 1, 2]))
    },
  )

  test.each(LEFTOVERS)('it is durable when it resolves (%s)', async (leftover) => {
    const state = await aState()
    using disk = new FaultyDisk(state)
    await reseal(state)
    disk.restart(leftover)
    expect(await opens(state, NEW())).toBe(3)
  })

  test('a disk that is full says so, loses nothing, and doing it again finishes it', async () => {
    await eachStep('fails once', aState, reseal, async ({ root, error, at }) => {
      expect(error, at).toMatchObject({
        code: 'dependency_unavailable',
        message: expect.stringMatching(
          /authority: the root’s key root-[0-9a-f]{16}\.key\.sealed can’t be written: EIO/,
        ),
      })
      expect((await opens(root, OLD())) + (await opens(root, NEW())), at).toBe(3)
      await reseal(root)
      expect(await opens(root, NEW()), at).toBe(3)
    })
  })
})

describe('is refused, and every key stays as it was:', () => {
  const refused = async (state: string, from: KeyEncryption, code: string, message: RegExp) => {
    const before = content(state)
    await expect(resealKeys(state, from, NEW())).rejects.toMatchObject({
      code,
      message: expect.stringMatching(message),
    })
    expect(content(state)).toEqual(before)
  }

  test('a wrong old secret', async () => {
    const state = await aState()
    await refused(
      state,
      withKey('other'),
      'wrong_state',
      /authority: the root’s key .* does not open: the wrapping key is not the one/,
    )
  })

  test('an old secret of another kind', async () => {
    const state = await aState()
    await refused(
      state,
      withPassphrase('open sesame'),
      'wrong_state',
      /is sealed with a wrapping key from a file, and a passphrase was given/,
    )
  })

  test('one key of three that is damaged', async () => {
    const state = await aState()
    const last = filesOf(state).at(-1) as string
    writeFileSync(last, readFileSync(last, 'utf8').replace('"sealed":"', '"sealed":"A'))
    await refused(
      state,
      OLD(),
      'wrong_state',
      /authority: the root’s key .* is damaged: its digest does not fit; put back a copy that is whole/,
    )
  })

  test('one key of three under yet another secret', async () => {
    const state = await aState()
    const [path = ''] = filesOf(await aState(() => withKey('third')))
    const last = filesOf(state).at(-1) as string
    const same = filesOf(state).find((one) => one.split('/').at(-1) === path.split('/').at(-1)) as string
    writeFileSync(same, readFileSync(path))
    expect(last).toBeDefined()
    await refused(state, OLD(), 'wrong_state', /does not open/)
  })

  test('a key under the name of another', async () => {
    const state = await aState()
    const [first = '', second = ''] = filesOf(state)
    renameSync(first, second)
    await refused(state, OLD(), 'wrong_state', /is another root’s; put back the right one/)
  })

  test.each(['no state at all', 'keys in the clear'])('%s', async (what) => {
    const state = scratch()
    mkdirSync(join(state, 'authority'))
    if (what === 'keys in the clear') writeFileSync(join(state, 'authority', 'root-0123456789abcdef.key.pem'), '')
    await refused(
      state,
      OLD(),
      'not_found',
      /^there is no sealed key in .*authority; name the server’s directory by --state-directory$/,
    )
    await expect(resealKeys(join(state, 'nowhere'), OLD(), NEW())).rejects.toMatchObject({ code: 'not_found' })
  })
})

test('leaves no key in the clear on the way', async () => {
  const secrets = (await Promise.all(keys.map(secretsOf))).flat()
  await eachStep(
    'dies',
    aState,
    (state) => resealKeys(state, OLD(), NEW()),
    async ({ root }) => {
      for (const name of readdirSync(join(root, 'authority'))) {
        const text = readFileSync(join(root, 'authority', name), 'latin1')
        expect(
          secrets.filter((secret) => text.includes(secret)),
          name,
        ).toEqual([])
      }
    },
  )
})
