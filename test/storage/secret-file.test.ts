import { execFileSync } from 'node:child_process'
import { chmodSync, mkdirSync, symlinkSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { SCRYPT_COST } from '../../src/keys/key-encryption.ts'
import { encryptionFrom, readSecretFile } from '../../src/storage/secret-file.ts'
import { scratch } from '../_support/scratch.ts'
import { secretFile } from '../_support/secrets.ts'

const PASSPHRASE = 'open sesame\n'
const read = (path: string) => readSecretFile(path, 'the passphrase')
const aFile = (mode = 0o600, content: string | Uint8Array = PASSPHRASE) => {
  const path = secretFile(join(scratch(), 'secret'), content)
  chmodSync(path, mode)
  return path
}

describe('a file with a secret', () => {
  test.each([0o600, 0o400, 0o640, 0o440])('is read as it is (mode %o)', async (mode) => {
    expect(Buffer.from(await read(aFile(mode))).toString()).toBe(PASSPHRASE)
  })

  test('is read behind links, as Kubernetes mounts a Secret', async () => {
    const link = join(scratch(), 'link')
    symlinkSync(aFile(), link)
    expect(Buffer.from(await read(link)).toString()).toBe(PASSPHRASE)
  })

  test.each([0o604, 0o644, 0o666, 0o620, 0o602, 0o777])(
    'is refused when it is open to others (mode %o)',
    async (mode) => {
      const path = aFile(mode)
      await expect(read(path)).rejects.toMatchObject({
        code: 'invalid_argument',
        message: `the file of the passphrase ${path} is open to others (mode ${mode.toString(8)}); make it 600, or 640 for a group`,
      })
    },
  )

  test('has at most 4 KiB', async () => {
    expect((await read(aFile(0o600, Buffer.alloc(4096, 'x')))).length).toBe(4096)
    const path = aFile(0o600, Buffer.alloc(4097, 'x'))
    await expect(read(path)).rejects.toMatchObject({
      code: 'invalid_argument',
      message: `the file of the passphrase ${path} is larger than 4096 bytes`,
    })
  })

  test('that is missing is told by its name', async () => {
    const path = join(scratch(), 'nothing')
    await expect(read(path)).rejects.toMatchObject({
      code: 'invalid_argument',
      message: expect.stringMatching(/^the file of the passphrase .*nothing can’t be read: ENOENT/),
    })
  })

  test('is no folder, and no pipe, which nobody waits for', async () => {
    const directory = scratch()
    mkdirSync(join(directory, 'folder'), { mode: 0o700 })
    execFileSync('mkfifo', ['-m', '600', join(directory, 'pipe')])
    for (const name of ['folder', 'pipe'])
      await expect(read(join(directory, name))).rejects.toMatchObject({
        code: 'invalid_argument',
        message: `the file of the passphrase ${join(directory, name)} is no plain file`,
      })
  })
})

test('what seals keys is what the settings name: a passphrase at full cost, a wrapping key, or nothing', async () => {
  const none = { passphraseFile: undefined, wrappingKeyFile: undefined }
  expect(encryptionFrom(none)).toBeUndefined()
  expect(encryptionFrom({ ...none, wrappingKeyFile: aFile() })?.kind).toBe('key-file')
  const encryption = encryptionFrom({ ...none, passphraseFile: aFile() })
  expect(encryption?.kind).toBe('passphrase')
  const wrapped = await encryption?.wrap(Buffer.alloc(32, 'data'))
  expect([...(wrapped?.subarray(0, 3) ?? [])]).toEqual([SCRYPT_COST.logN, SCRYPT_COST.r, SCRYPT_COST.p])
})
