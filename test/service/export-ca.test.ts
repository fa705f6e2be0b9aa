import { expect, test } from 'vitest'
import { type Authority, activeRoot } from '../../src/authority/authority.ts'
import { shortId } from '../../src/core/bytes.ts'
import { keyAlgorithm } from '../../src/keys/algorithms.ts'
import { PrivateKey, type Signer } from '../../src/keys/private-key.ts'
import { openForExport } from '../../src/service/export-ca.ts'
import { World } from '../_support/a-world.ts'

/** A stopped server's state with one root, which is as it is said to be. */
async function stopped(as: Partial<Authority> = {}) {
  const world = new World()
  const keeper = await world.start()
  const root = { ...(activeRoot(keeper.set) as Authority), ...as }
  const opened: string[] = []
  const open = (key?: Signer) =>
    openForExport({ ...keeper.set, authorities: [root] }, root, {
      rootKey: async (id, home) => {
        opened.push(id)
        return key ?? world.store.rootKey(id, home)
      },
    })
  return { root, open, opened, key: world.store.keys.get(root.id) as PrivateKey, name: shortId(root.id) }
}

test('the key of a root, its certificate and the bundle leave together', async () => {
  const { root, open, key } = await stopped()
  expect(await open()).toEqual({
    certificate: root.certificate,
    key,
    chain: [root.certificate],
    roots: [root.certificate],
  })
})

test.each<[string, Partial<Authority>, (name: string) => string]>([
  ['revoked', { state: 'revoked' }, (name) => `root ${name} is revoked; nobody trusts it any more`],
  [
    'in a token',
    { key: 'pkcs11' },
    (name) => `the key of root ${name} is in a PKCS#11 token, which never gives it away; nothing was exported`,
  ],
  [
    'elsewhere',
    { key: 'elsewhere' },
    (name) => `the key of root ${name} is not kept here, so there is nothing to export`,
  ],
  [
    'plugged in',
    { key: 'plugged-in' },
    (name) => `the key of root ${name} is not kept here, so there is nothing to export`,
  ],
])('what is %s is not even opened', async (_what, as, message) => {
  const { open, opened, name } = await stopped(as)
  await expect(open()).rejects.toMatchObject({ code: 'wrong_state', message: message(name) })
  expect(opened).toEqual([])
})

test('another key under the name of the root’s does not leave', async () => {
  const { open, name } = await stopped()
  await expect(open(await PrivateKey.generate(keyAlgorithm('ecdsa-p256')))).rejects.toMatchObject({
    code: 'wrong_state',
    message: `the key found for the root ${name} is another root’s; put back the right one`,
  })
})

test('a key that can only sign stays where it is', async () => {
  const { open, key, name } = await stopped()
  const signer: Signer = { publicKey: key.publicKey, sign: (bytes) => key.sign(bytes) }
  await expect(open(signer)).rejects.toMatchObject({
    code: 'wrong_state',
    message: `the key of root ${name} can only sign where it is; nothing was exported`,
  })
})
