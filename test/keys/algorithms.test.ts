import { createPublicKey, verify } from 'node:crypto'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { KEY_ALGORITHM_NAMES, KEY_ALGORITHMS, keyAlgorithm, signatureScheme } from '../../src/keys/algorithms.ts'
import { PrivateKey } from '../../src/keys/private-key.ts'
import { verifySignature } from '../../src/keys/public-key.ts'
import { openssl, testWithOpenssl } from '../_support/openssl-command.ts'
import { scratch } from '../_support/scratch.ts'

const message = Buffer.from('what is signed')

/** RFC 5758 §3.2, RFC 4055 §5, RFC 8410 §3, RFC 9881 §2, as DER. */
const IDENTIFIERS: Readonly<Record<string, string>> = {
  'ecdsa-p256': '300a06082a8648ce3d040302',
  'ecdsa-p384': '300a06082a8648ce3d040303',
  'ecdsa-p521': '300a06082a8648ce3d040304',
  'rsa-2048': '300d06092a864886f70d01010b0500',
  'rsa-3072': '300d06092a864886f70d01010b0500',
  'rsa-4096': '300d06092a864886f70d01010b0500',
  ed25519: '300506032b6570',
  'ml-dsa-44': '300b0609608648016503040311',
  'ml-dsa-65': '300b0609608648016503040312',
  'ml-dsa-87': '300b0609608648016503040313',
}

test('there is a row for every kind of key, ECDSA P-256 first', () => {
  expect(KEY_ALGORITHM_NAMES).toEqual(Object.keys(IDENTIFIERS))
})

test('only those that few verifiers know are experimental', () => {
  expect(KEY_ALGORITHMS.filter((row) => row.experimental).map((row) => row.name)).toEqual([
    'ml-dsa-44',
    'ml-dsa-65',
    'ml-dsa-87',
  ])
})

describe.each(KEY_ALGORITHMS)('$name', (row) => {
  const made = PrivateKey.generate(row)

  test('signs under the identifier its standard gives it', () => {
    expect(Buffer.from(row.signatureAlgorithm).toString('hex')).toBe(IDENTIFIERS[row.name])
    expect(signatureScheme(row.signatureAlgorithm)).toMatchObject({ family: row.family, digest: row.digest })
  })

  test('makes a key of its own kind, and a new one each time', async () => {
    const { publicKey } = await made
    expect(publicKey.algorithm).toBe(row)
    expect(row.matches(publicKey.handle)).toBe(true)
    expect(KEY_ALGORITHMS.filter((other) => other.matches(publicKey.handle))).toEqual([row])
  })

  test('signs what node:crypto verifies from the SPKI alone', async () => {
    const key = await made
    const signature = await key.sign(message)
    const handle = createPublicKey({ key: Buffer.from(key.publicKey.spki), format: 'der', type: 'spki' })
    expect(verify(row.digest, message, handle, signature)).toBe(true)
  })

  test('verifies its own signatures and none over other bytes or by another key', async () => {
    const key = await made
    const signature = await key.sign(message)
    const other = (await PrivateKey.generate(keyAlgorithm(row.family === 'rsa' ? 'rsa-2048' : row.name))).publicKey
    expect(verifySignature(key.publicKey, row.signatureAlgorithm, message, signature)).toBe(true)
    expect(verifySignature(key.publicKey, row.signatureAlgorithm, Buffer.from('other'), signature)).toBe(false)
    expect(verifySignature(other, row.signatureAlgorithm, message, signature)).toBe(false)
  })

  test.each([
    ['empty', () => new Uint8Array()],
    ['all zeros', (signature: Uint8Array) => new Uint8Array(signature.length)],
    ['one byte short', (signature: Uint8Array) => signature.subarray(0, -1)],
    ['one byte long', (signature: Uint8Array) => Buffer.concat([signature, Buffer.of(0)])],
    ['of 64 KiB', () => new Uint8Array(65_536)],
    [
      'with one bit changed',
      (signature: Uint8Array) =>
        signature.with(signature.length >> 1, (signature[signature.length >> 1] as number) ^ 1),
    ],
  ])('does not verify a signature that is %s, and does not fail over it', async (_, spoil) => {
    const key = await made
    const signature = spoil(Uint8Array.from(await key.sign(message)))
    expect(verifySignature(key.publicKey, row.signatureAlgorithm, message, signature)).toBe(false)
  })
})

describe('OpenSSL verifies a signature of', () => {
  // OpenSSL before 3.5 does not know ML-DSA.
  testWithOpenssl.each(KEY_ALGORITHMS.filter((row) => !row.family.startsWith('ml-dsa') && row.name !== 'rsa-4096'))(
    '$name',
    async (row) => {
      const key = await PrivateKey.generate(row)
      const directory = scratch()
      const file = (name: string, content: Uint8Array | string) => {
        writeFileSync(join(directory, name), content)
        return join(directory, name)
      }
      const publicKey = openssl(['pkey', '-pubin', '-inform', 'DER'], key.publicKey.spki)
      const said = openssl([
        ...['pkeyutl', '-verify', '-pubin', '-inkey', file('key.pem', publicKey), '-rawin'],
        ...(row.digest ? ['-digest', row.digest] : []),
        ...['-in', file('message', message), '-sigfile', file('signature', await key.sign(message))],
      ])
      expect(said).toContain('Signature Verified Successfully')
    },
  )
})

describe('by name', () => {
  test('a row is found', () => {
    expect(keyAlgorithm('ecdsa-p256')).toBe(KEY_ALGORITHMS[0])
  })

  test.each(['', 'rsa', 'rsa-1024', 'RSA-2048', 'ecdsa', 'P-256', '__proto__', 'constructor'])(
    '%j is refused with all that there are',
    (name) => {
      expect(() => keyAlgorithm(name)).toThrow(
        expect.objectContaining({
          code: 'invalid_argument',
          message: `no key algorithm ${JSON.stringify(name)}; there are ${KEY_ALGORITHM_NAMES.join(', ')}`,
        }),
      )
    },
  )
})

describe('a signature scheme', () => {
  test.each([
    ['RSA with SHA-384', '300d06092a864886f70d01010c0500', 'RSA with SHA-384'],
    ['RSA with SHA-512', '300d06092a864886f70d01010d0500', 'RSA with SHA-512'],
    ['RSA with SHA-256', '300d06092a864886f70d01010b0500', 'RSA with SHA-256'],
    ['ECDSA with SHA-256', '300a06082a8648ce3d040302', 'ECDSA with SHA-256'],
    ['Ed25519', '300506032b6570', 'Ed25519'],
    ['ML-DSA-65', '300b0609608648016503040312', 'ML-DSA-65'],
  ])('%s is on the list', (_, hex, label) => {
    expect(signatureScheme(Buffer.from(hex, 'hex'))?.label).toBe(label)
  })

  test.each([
    ['RSA with MD5', '300d06092a864886f70d0101040500'],
    ['RSA with SHA-1', '300d06092a864886f70d0101050500'],
    ['RSA with SHA-224', '300d06092a864886f70d01010e0500'],
    ['RSA-PSS', '300b06092a864886f70d01010a'],
    ['ECDSA with SHA-1', '300906072a8648ce3d0401'],
    ['ECDSA with SHA-224', '300a06082a8648ce3d040301'],
    ['DSA with SHA-256', '300b0609608648016503040302'],
    ['Ed448', '300506032b6571'],
    ['RSA with SHA-256 without its NULL', '300b06092a864886f70d01010b'],
    ['ECDSA with SHA-256 and a NULL', '300c06082a8648ce3d0403020500'],
    ['nothing', ''],
  ])('%s is not', (_, hex) => {
    expect(signatureScheme(Buffer.from(hex, 'hex'))).toBeUndefined()
  })
})
