import { readdirSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { keyAlgorithm } from '../../src/keys/algorithms.ts'
import { SealedKeys } from '../../src/keys/sealed-keys.ts'
import type { KeyEncryption } from '../../src/keys/vault.ts'
import { AuthorityDirectory } from '../../src/storage/authority-directory.ts'
import { lockDirectory } from '../../src/storage/directory-lock.ts'
import { KeyDirectory } from '../../src/storage/key-directory.ts'
import { alcazar } from '../_support/a-terminal.ts'
import { aSet } from '../_support/authority-sets.ts'
import { scratch } from '../_support/scratch.ts'
import { aWrappingKey, secretFile, withKey } from '../_support/secrets.ts'
import { idOf } from '../_support/vault-contract.ts'

async function aState(encryption: KeyEncryption) {
  const state = scratch()
  const store = new AuthorityDirectory(state, [new SealedKeys(encryption)], async () => false)
  const id = idOf(await store.newRootKey(keyAlgorithm('ecdsa-p256')))
  await store.begin(aSet([], { origin: 'plugged-in' }))
  return { state, id, folder: new KeyDirectory(join(state, 'authority')) }
}
const file = (content: string | Uint8Array) => secretFile(join(scratch(), 'secret'), content)
const reseal = (state: string, ...args: string[]) => alcazar(['keys', 'reseal', '--state-directory', state, ...args])

test('reseals from a wrapping key to another, in hex', async () => {
  const { state, id, folder } = await aState(withKey('old'))
  const ran = await reseal(
    state,
    ...['--wrapping-key-file', file(aWrappingKey('old'))],
    ...['--new-wrapping-key-file', file(`${aWrappingKey('new').toString('hex')}\n`)],
  )
  expect(ran).toMatchObject({ exit: 0, err: '' })
  expect(idOf(await new SealedKeys(withKey('new')).open(id, folder))).toBe(id)
})

test('says what it did to programs, and that it had been done', async () => {
  const { state, id } = await aState(withKey('old'))
  const done = async () => {
    const { exit, out } = await reseal(
      state,
      ...['--wrapping-key-file', file(aWrappingKey('old')), '--new-wrapping-key-file', file(aWrappingKey('new'))],
      ...['--output', 'json'],
    )
    expect(exit).toBe(0)
    return JSON.parse(out) as unknown
  }
  const name = `root-${id.slice(0, 16)}.key.sealed`
  expect(await done()).toEqual([{ file: name, outcome: 'resealed' }])
  expect(await done()).toEqual([{ file: name, outcome: 'was already' }])
})

test('asks for the server to be stopped that is using the directory', async () => {
  const { state } = await aState(withKey('old'))
  using _server = lockDirectory(state)
  const keys = ['--wrapping-key-file', file(aWrappingKey('old')), '--new-wrapping-key-file', file(aWrappingKey('new'))]
  expect(await reseal(state, ...keys)).toEqual({
    exit: 6,
    out: '',
    err: `alcazar: an Alcazar server is using ${state}; stop the server first\n`,
  })
})

test.each<[string, string[], RegExp]>([
  [
    'the old secret',
    ['--new-passphrase-file', '/new'],
    /^alcazar: --passphrase-file, --wrapping-key-file or --pkcs11-module is required\n$/,
  ],
  [
    'the new secret',
    ['--passphrase-file', '/old'],
    /^alcazar: --new-passphrase-file, --new-wrapping-key-file or --new-pkcs11-module is required\n$/,
  ],
])('wants %s', async (_, args, says) => {
  const { state } = await aState(withKey('old'))
  const { exit, err } = await reseal(state, ...args)
  expect(exit).toBe(2)
  expect(err).toMatch(says)
})

test.each([
  ['--passphrase-file', '--wrapping-key-file'],
  ['--new-passphrase-file', '--new-wrapping-key-file'],
])('takes %s or %s, not both', async (one, other) => {
  const { exit, err } = await reseal(scratch(), one, '/a', other, '/b')
  expect(exit).toBe(2)
  expect(err).toMatch(/cannot be used with option/)
})

test('wants a state directory to be named, and finds none of its own', async () => {
  const { exit, err } = await alcazar(['keys', 'reseal', '--passphrase-file', '/a', '--new-passphrase-file', '/b'])
  expect(exit).toBe(2)
  expect(err).toMatch(/required option '--state-directory <dir>' not specified/)
})

test('leaves a directory that is no server’s as it was', async () => {
  const directory = scratch()
  expect(await reseal(directory, '--passphrase-file', '/a', '--new-passphrase-file', '/b')).toMatchObject({
    exit: 5,
    out: '',
    err: expect.stringMatching(
      /^alcazar: there is no sealed key in .*authority; name the server’s directory by --state-directory\n$/,
    ),
  })
  expect(readdirSync(directory)).toEqual([])
})

test.each<[string, string[], RegExp]>([
  [
    'a wrong old key',
    ['--wrapping-key-file', 'other'],
    /does not open: the wrapping key is not the one it was sealed with/,
  ],
  [
    'an old secret of another kind',
    ['--passphrase-file', 'other'],
    /is sealed with a wrapping key from a file, and a passphrase was given/,
  ],
])('refuses %s with exit code 6, and changes nothing', async (_, [flag = '', word = ''], says) => {
  const { state, id, folder } = await aState(withKey('old'))
  const { exit, err } = await reseal(
    state,
    ...[flag, file(aWrappingKey(word))],
    ...['--new-wrapping-key-file', file(aWrappingKey('new'))],
  )
  expect(exit).toBe(6)
  expect(err).toMatch(says)
  expect(idOf(await new SealedKeys(withKey('old')).open(id, folder))).toBe(id)
})

test('refuses a new passphrase that is too short, and changes nothing', async () => {
  const { state, id, folder } = await aState(withKey('old'))
  const ran = await reseal(
    state,
    '--wrapping-key-file',
    file(aWrappingKey('old')),
    '--new-passphrase-file',
    file('short'),
  )
  expect(ran).toMatchObject({ exit: 2, err: 'alcazar: the passphrase is too short; it has at least 8 characters\n' })
  expect(idOf(await new SealedKeys(withKey('old')).open(id, folder))).toBe(id)
})
