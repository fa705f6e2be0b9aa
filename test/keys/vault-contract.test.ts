import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { type KeyAlgorithmName, keyAlgorithm } from '../../src/keys/algorithms.ts'
import { PlainKeys } from '../../src/keys/plain-keys.ts'
import { SealedKeys } from '../../src/keys/sealed-keys.ts'
import { makingVault, vaultOf } from '../../src/keys/vaults.ts'
import { KeyDirectory } from '../../src/storage/key-directory.ts'
import { scratch } from '../_support/scratch.ts'
import { secretsOf, withKey, withPassphrase } from '../_support/secrets.ts'
import { idOf, vaultContract } from '../_support/vault-contract.ts'

const ALL: readonly KeyAlgorithmName[] = ['ecdsa-p256', 'ecdsa-p384', 'ecdsa-p521', 'rsa-2048', 'ed25519', 'ml-dsa-65']

describe('keys in the clear', () => vaultContract({ open: () => new PlainKeys(), makes: ALL, takes: true }))

describe('keys sealed under a passphrase', () =>
  vaultContract({ open: () => new SealedKeys(withPassphrase('open sesame')), makes: ['ecdsa-p256'], takes: true }))

describe('keys sealed under a key from a file', () =>
  vaultContract({ open: () => new SealedKeys(withKey('k')), makes: ALL, takes: true }))

test.each([
  ['a passphrase', () => withPassphrase('open sesame')],
  ['a key from a file', () => withKey('k')],
])('nothing of a key sealed under %s is on the disk', async (_, encryption) => {
  const path = scratch()
  const key = await new SealedKeys(encryption()).make(keyAlgorithm('rsa-2048'), new KeyDirectory(path))
  const [name = '', ...more] = readdirSync(path)
  expect([name, more]).toEqual([`root-${idOf(key).slice(0, 16)}.key.sealed`, []])
  const content = readFileSync(join(path, name), 'latin1')
  expect((await secretsOf(key)).filter((secret) => content.includes(secret))).toEqual([])
  expect(content).not.toMatch(/PRIVATE|sesame/)
})

describe('of several vaults', () => {
  const plain = new PlainKeys()
  const sealed = new SealedKeys(withKey('k'))

  test('the first makes, and each opens what it made', () => {
    expect(makingVault([sealed, plain])).toBe(sealed)
    expect(vaultOf([sealed, plain], 'file')).toBe(plain)
    expect(vaultOf([sealed, plain], 'sealed')).toBe(sealed)
  })

  test('none is there: it says which settings name one', () => {
    expect(() => makingVault([])).toThrow(
      expect.objectContaining({
        code: 'wrong_state',
        message:
          'no place for root keys is set; name one by keys.passphraseFile, keys.wrappingKeyFile or keys.pkcs11Module',
      }),
    )
  })

  test.each([
    ['file', 'the root’s key lies in the clear, which nothing but dev mode uses'],
    [
      'sealed',
      'the root’s key is sealed; name what it is sealed with by keys.passphraseFile or keys.wrappingKeyFile, or the token that wraps it by keys.pkcs11Module and keys.pkcs11Holds: wrapping-key',
    ],
    ['pkcs11', expect.stringMatching(/^the root’s key is in a PKCS#11 token; name the token by keys\.pkcs11Module/)],
    ['elsewhere', 'the root’s key is not kept here, but “elsewhere”'],
  ])('a key whose home (%s) is not set is refused, naming the setting', (home, message) => {
    const others = [plain, sealed].filter((one) => one.home !== home)
    expect(() => vaultOf(others, home)).toThrow(expect.objectContaining({ code: 'wrong_state', message }))
  })
})
