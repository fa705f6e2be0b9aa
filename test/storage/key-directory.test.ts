import { chmodSync, existsSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { CaError } from '../../src/core/errors.ts'
import { keyAlgorithm } from '../../src/keys/algorithms.ts'
import { PrivateKey } from '../../src/keys/private-key.ts'
import { SealedKeys } from '../../src/keys/sealed-keys.ts'
import { KeyDirectory } from '../../src/storage/key-directory.ts'
import { eachStep, FaultyDisk, LEFTOVERS } from '../_support/faulty-disk.ts'
import { scratch } from '../_support/scratch.ts'
import { withKey } from '../_support/secrets.ts'
import { idOf } from '../_support/vault-contract.ts'

const OLD = Buffer.from('the old key, which is long enough to be seen half of\n')
const NEW = Buffer.from('and the new key, of another length than the old one had\n')

const holding = async () => {
  const path = scratch()
  await new KeyDirectory(path).write('key', OLD)
  return path
}

describe('a file of keys', () => {
  test('is written for its owner alone, and read back', async () => {
    const path = await holding()
    expect(statSync(join(path, 'key')).mode & 0o777).toBe(0o600)
    expect(await new KeyDirectory(path).read('key')).toEqual(OLD)
    expect(readdirSync(path)).toEqual(['key'])
  })

  test('is nothing where there is none', async () => {
    expect(await new KeyDirectory(scratch()).read('key')).toBeUndefined()
    expect(await new KeyDirectory(join(scratch(), 'nowhere')).read('key')).toBeUndefined()
  })

  test('is never overwritten by writing it', async () => {
    const path = await holding()
    await expect(new KeyDirectory(path).write('key', NEW)).rejects.toMatchObject({
      code: 'conflict',
      message: 'there is a key key, and none is ever overwritten',
    })
    expect(readFileSync(join(path, 'key'))).toEqual(OLD)
  })

  test('is replaced as a whole', async () => {
    const path = await holding()
    await new KeyDirectory(path).replace('key', NEW)
    expect(await new KeyDirectory(path).read('key')).toEqual(NEW)
    expect(readdirSync(path)).toEqual(['key'])
  })

  test.each([0o640, 0o604, 0o644, 0o602])('is refused when others may touch it (mode %o)', async (mode) => {
    const path = await holding()
    chmodSync(join(path, 'key'), mode)
    await expect(new KeyDirectory(path).read('key')).rejects.toMatchObject({
      code: 'wrong_state',
      message: `key can be read by others (mode ${mode.toString(8)}); make it 600, and ask who has read it`,
    })
  })

  test('is read up to 64 KiB', async () => {
    const path = scratch()
    writeFileSync(join(path, 'largest'), Buffer.alloc(65536), { mode: 0o600 })
    writeFileSync(join(path, 'larger'), Buffer.alloc(65537), { mode: 0o600 })
    expect((await new KeyDirectory(path).read('largest'))?.length).toBe(65536)
    await expect(new KeyDirectory(path).read('larger')).rejects.toMatchObject({
      code: 'wrong_state',
      message: 'larger has 65537 bytes; a key has at most 65536',
    })
  })

  test('that is a folder can’t be read, which is said', async () => {
    const path = scratch()
    mkdirSync(join(path, 'key'), { mode: 0o700 })
    await expect(new KeyDirectory(path).read('key')).rejects.toMatchObject({
      code: 'dependency_unavailable',
      message: expect.stringMatching(/^the root’s key key can’t be read: EISDIR/),
    })
  })

  test.each(LEFTOVERS)(
    'is the old one or the new one after a crash at any step of a replacement (%s)',
    async (leftover) => {
      const replace = (path: string) => new KeyDirectory(path).replace('key', NEW)
      await eachStep('dies', holding, replace, async ({ disk, root, error, at }) => {
        expect(error, at).toMatchObject({ code: 'dependency_unavailable' })
        disk.restart(leftover)
        expect([OLD.toString(), NEW.toString()], at).toContain(readFileSync(join(root, 'key'), 'utf8'))
      })
    },
  )

  test.each(LEFTOVERS)('is durable when writing it resolves (%s)', async (leftover) => {
    const path = scratch()
    using disk = new FaultyDisk(path)
    await new KeyDirectory(path).write('key', NEW)
    disk.restart(leftover)
    expect(readFileSync(join(path, 'key'))).toEqual(NEW)
  })
})

describe('a disk that is full in the middle of a write', () => {
  test('has no half key on it, and says so; when there is room, it is written', async () => {
    const key = await PrivateKey.generate(keyAlgorithm('ecdsa-p256'))
    const take = (path: string) => new SealedKeys(withKey('k')).take(key, new KeyDirectory(path))
    const failed: string[] = []
    await eachStep(
      'fails once',
      async () => scratch(),
      take,
      async ({ root, error, at }) => {
        failed.push(at.replace(/ .*/, ''))
        if (!(error instanceof CaError)) throw error
        expect(error.code, at).toBe('dependency_unavailable')
        expect(error.message, at).toMatch(/^the root’s key root-[0-9a-f]{16}\.key\.sealed can’t be written: EIO/)
        if (at.startsWith('write ') || at.startsWith('sync .')) expect(readdirSync(root), at).toEqual([])
        expect(idOf(await take(root)), at).toBe(idOf(key))
        expect(readdirSync(root), at).toEqual([`root-${idOf(key).slice(0, 16)}.key.sealed`])
      },
    )
    expect(failed).toEqual(expect.arrayContaining(['create', 'write', 'sync', 'rename']))
  })

  test('leaves the key that was there as it was', async () => {
    const replace = (path: string) => new KeyDirectory(path).replace('key', NEW)
    await eachStep('fails once', holding, replace, async ({ root, at }) => {
      if (at.startsWith('write ')) expect(readFileSync(join(root, 'key')), at).toEqual(OLD)
      expect(existsSync(join(root, 'key')), at).toBe(true)
    })
  })
})

describe('removing a key', () => {
  test('leaves nothing of it, and says whether there was one', async () => {
    const path = await holding()
    expect(await new KeyDirectory(path).remove('key')).toBe(true)
    expect(readdirSync(path)).toEqual([])
    expect(await new KeyDirectory(path).remove('key')).toBe(false)
  })

  test('is told where the disk refuses', async () => {
    const path = scratch()
    mkdirSync(join(path, 'key'))
    await expect(new KeyDirectory(path).remove('key')).rejects.toMatchObject({
      code: 'dependency_unavailable',
      message: expect.stringMatching(/^the root’s key key can’t be removed: E/),
    })
  })
})
