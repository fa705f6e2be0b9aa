import { createPrivateKey, createPublicKey } from 'node:crypto'
import { expect, test } from 'vitest'
import { provenKey } from '../../src/issuance/csr-key.ts'
import { KEY_ALGORITHMS } from '../../src/keys/algorithms.ts'
import { readCsrPem } from '../../src/x509/csr.ts'
import { aCsr } from '../_support/csr.ts'
import { greedyCsr } from '../_support/openssl-csr.ts'

const quick = KEY_ALGORITHMS.filter(({ name }) => !['rsa-3072', 'rsa-4096'].includes(name)).map(({ name }) => name)

test.each(quick)('takes the key of a CSR that %s signed', async (algorithm) => {
  const { key, pem } = await aCsr(algorithm)
  const proven = provenKey(readCsrPem(pem))
  expect(proven.algorithm.name).toBe(algorithm)
  expect(Buffer.from(proven.spki)).toEqual(Buffer.from(key.publicKey.spki))
})

test('takes the key, and only the key, of a CSR that asks for everything', () => {
  const { pem, privateKeyPem } = greedyCsr()
  const proven = provenKey(readCsrPem(pem))
  const expected = createPublicKey(createPrivateKey(privateKeyPem)).export({ format: 'der', type: 'spki' })
  expect(Buffer.from(proven.spki)).toEqual(expected)
  expect(Object.keys(proven).sort()).toEqual(['algorithm', 'handle', 'spki'])
})

test('refuses a CSR that another key signed: its sender may not hold the key', async () => {
  const mine = readCsrPem((await aCsr()).pem)
  const theirs = readCsrPem((await aCsr()).pem)
  expect(() => provenKey({ ...theirs, signature: mine.signature })).toThrow(
    expect.objectContaining({
      code: 'bad_csr',
      message: 'the CSR’s own signature does not verify with its public key',
    }),
  )
})

test('refuses a CSR with one bit changed after it was signed', async () => {
  const csr = readCsrPem((await aCsr()).pem)
  const signed = Uint8Array.from(csr.signed)
  signed[4] = (signed[4] as number) ^ 1
  expect(() => provenKey({ ...csr, signed })).toThrow(expect.objectContaining({ code: 'bad_csr' }))
})

test.each([
  ['SHA-1', '300906072a8648ce3d0401'],
  ['MD5', '300d06092a864886f70d0101040500'],
  ['DSA', '300b0609608648016503040302'],
])('refuses a CSR signed with %s and says what is accepted', async (_name, algorithm) => {
  const csr = readCsrPem((await aCsr()).pem)
  expect(() => provenKey({ ...csr, signatureAlgorithm: Buffer.from(algorithm, 'hex') })).toThrow(
    expect.objectContaining({ code: 'bad_csr', message: expect.stringContaining('SHA-256, SHA-384 or SHA-512') }),
  )
})

test('refuses a signature of one family under a key of another', async () => {
  const ec = readCsrPem((await aCsr()).pem)
  const { signatureAlgorithm, signature } = readCsrPem((await aCsr('ed25519')).pem)
  expect(() => provenKey({ ...ec, signatureAlgorithm, signature })).toThrow(
    expect.objectContaining({ code: 'bad_csr', message: expect.stringContaining('does not verify') }),
  )
})
