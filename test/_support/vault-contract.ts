import { readdirSync, readFileSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { inspect } from 'node:util'
import { describe, expect, test } from 'vitest'
import { hex } from '../../src/core/bytes.ts'
import { type KeyAlgorithmName, keyAlgorithm } from '../../src/keys/algorithms.ts'
import { PrivateKey, type Signer } from '../../src/keys/private-key.ts'
import { keyIdOf, verifySignature } from '../../src/keys/public-key.ts'
import type { KeyVault } from '../../src/keys/vault.ts'
import { KeyDirectory } from '../../src/storage/key-directory.ts'
import { scratch } from './scratch.ts'

export type VaultKind = {
  /** Each call is another process on the same secret or token. */
  readonly open: () => KeyVault | Promise<KeyVault>
  readonly makes: readonly KeyAlgorithmName[]
  /** Whether a key that was made elsewhere can be put there. */
  readonly takes: boolean
}

export const idOf = ({ publicKey }: Signer): string => hex(keyIdOf(publicKey.spki))

/** What every KeyVault does. */
export function vaultContract({ open, makes, takes }: VaultKind): void {
  const p256 = keyAlgorithm('ecdsa-p256')
  const folder = () => {
    const path = scratch()
    return { path, files: new KeyDirectory(path) }
  }
  const proves = async (signer: Signer) => {
    const signed = Buffer.from('what is signed')
    const { publicKey } = signer
    const signature = await signer.sign(signed)
    expect(verifySignature(publicKey, publicKey.algorithm.signatureAlgorithm, signed, signature)).toBe(true)
  }

  describe('contract of a key vault', () => {
    test.each(makes)('makes a key (%s) that signs, and that another process opens', async (name) => {
      const { files } = folder()
      const made = await (await open()).make(keyAlgorithm(name), files)
      expect(made.publicKey.algorithm.name).toBe(name)
      await proves(made)
      const again = await (await open()).open(idOf(made), files)
      expect(hex(again.publicKey.spki)).toBe(hex(made.publicKey.spki))
      await proves(again)
    })

    test('makes another key each time, and opens each', async () => {
      const { files } = folder()
      const vault = await open()
      const made = [await vault.make(p256, files), await vault.make(p256, files)]
      expect(new Set(made.map(idOf)).size).toBe(2)
      const later = await open()
      for (const one of made) expect(idOf(await later.open(idOf(one), files))).toBe(idOf(one))
    })

    test('opens several at a time', async () => {
      const { files } = folder()
      const vault = await open()
      const ids = [idOf(await vault.make(p256, files)), idOf(await vault.make(p256, files))]
      const later = await open()
      const opened = await Promise.all([...ids, ...ids].map((id) => later.open(id, files)))
      expect(opened.map(idOf)).toEqual([...ids, ...ids])
      for (const one of opened) await proves(one)
    })

    test('refuses a key that is not there, and makes none', async () => {
      const { path, files } = folder()
      await expect((await open()).open('ab'.repeat(20), files)).rejects.toMatchObject({
        code: 'wrong_state',
        message: expect.stringMatching(/missing/),
      })
      expect(readdirSync(path)).toEqual([])
    })

    test('destroys a key for ever, and no other; one that is not there is told so', async () => {
      const { files } = folder()
      const vault = await open()
      const [one, other] = [idOf(await vault.make(p256, files)), idOf(await vault.make(p256, files))]
      expect(await vault.destroy(one, files)).toBe(true)
      const gone = { code: 'wrong_state', message: expect.stringMatching(/missing/) }
      await expect(vault.open(one, files)).rejects.toMatchObject(gone)
      const later = await open()
      await expect(later.open(one, files)).rejects.toMatchObject(gone)
      expect(await later.destroy(one, files)).toBe(false)
      await proves(await later.open(other, files))
    })

    test('gives out a signer that does not show its key', async () => {
      const { files } = folder()
      const made = await (await open()).make(p256, files)
      expect(inspect(made, { depth: 9, showHidden: true })).not.toMatch(/PRIVATE/)
      expect(JSON.stringify(made) ?? '').not.toMatch(/"d":|PRIVATE/)
    })

    test('leaves nothing that others may read', async () => {
      const { path, files } = folder()
      await (await open()).make(p256, files)
      for (const name of readdirSync(path)) expect(statSync(join(path, name)).mode & 0o777, name).toBe(0o600)
    })

    if (!takes)
      test('takes no key that was made elsewhere', async () => {
        const { path, files } = folder()
        const key = await PrivateKey.generate(p256)
        await expect((await open()).take(key, files)).rejects.toMatchObject({
          code: 'wrong_state',
          message: expect.stringMatching(/./),
        })
        expect(readdirSync(path)).toEqual([])
      })
    else {
      test('takes a key that was made elsewhere, and the same one again, changing nothing', async () => {
        const { path, files } = folder()
        const key = await PrivateKey.generate(p256)
        const content = () => readdirSync(path).map((name) => [name, readFileSync(join(path, name), 'latin1')])
        expect(idOf(await (await open()).take(key, files))).toBe(idOf(key))
        const before = content()
        expect(idOf(await (await open()).take(key, files))).toBe(idOf(key))
        expect(content()).toEqual(before)
        expect(idOf(await (await open()).open(idOf(key), files))).toBe(idOf(key))
      })

      test('does not take a key over one that is damaged', async () => {
        const { path, files } = folder()
        const key = await PrivateKey.generate(p256)
        await (await open()).take(key, files)
        const [name = ''] = readdirSync(path)
        await files.replace(name, Buffer.from('damaged'))
        await expect((await open()).take(key, files)).rejects.toMatchObject({
          code: 'wrong_state',
          message: expect.stringMatching(/is damaged: .*; put back a copy that is whole$/),
        })
        expect(readFileSync(join(path, name), 'utf8')).toBe('damaged')
      })
    }
  })
}
