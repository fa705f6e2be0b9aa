import { createPrivateKey, generateKeyPairSync, type KeyObject } from 'node:crypto'
import type { Server } from 'node:tls'
import { inspect } from 'node:util'
import { serialize } from 'node:v8'
import { describe, expect, test } from 'vitest'
import { KEY_ALGORITHMS, keyAlgorithm } from '../../src/keys/algorithms.ts'
import { PrivateKey } from '../../src/keys/private-key.ts'
import { verifySignature } from '../../src/keys/public-key.ts'
import { certificatePem, pem } from '../../src/x509/pem.ts'
import { constructed, encode, primitive } from '../_support/der-tree.ts'
import { opensslBytes, testWithOpenssl } from '../_support/openssl-command.ts'
import { aRoot } from '../_support/plugged-ca.ts'
import { CURVES, oid } from '../_support/spki.ts'

const message = Buffer.from('what is signed')
const FAST = KEY_ALGORITHMS.filter((row) => row.name !== 'rsa-3072' && row.name !== 'rsa-4096')
const pemOf = (key: KeyObject, type: 'pkcs8' | 'pkcs1' | 'sec1' = 'pkcs8') =>
  Buffer.from(key.export({ format: 'pem', type } as { format: 'pem'; type: 'pkcs8' }))
const ec = generateKeyPairSync('ec', { namedCurve: 'P-256' })
const rsa = generateKeyPairSync('rsa', { modulusLength: 2048 })

const refusal = expect.objectContaining({
  code: 'invalid_argument',
  message: 'not an unencrypted private key in PEM',
})

describe('cannot be read out by accident', async () => {
  const key = await PrivateKey.generate(keyAlgorithm('ecdsa-p256'))
  /** Every form in which the private part could appear. */
  const secrets = await secretsOf(key)
  const holder = { name: 'root', key, list: [key], map: new Map([['key', key]]) }

  test.each<[string, () => string]>([
    ['JSON', () => JSON.stringify(holder)],
    ['JSON of the key alone', () => JSON.stringify(key)],
    ['String', () => String(key)],
    ['a template', () => `${key}`],
    ['util.inspect', () => inspect(holder, { depth: 9 })],
    [
      'util.inspect with everything shown',
      () => inspect(holder, { depth: 99, showHidden: true, getters: true, maxArrayLength: 1e6, maxStringLength: 1e6 }),
    ],
    ['an error about it', () => inspect(new Error('failed', { cause: key }), { depth: 9, showHidden: true })],
    ['its own properties', () => inspect(Object.getOwnPropertyDescriptors(key), { depth: 99, showHidden: true })],
    ['a copy of its properties', () => inspect({ ...key }, { depth: 99, showHidden: true })],
  ])('by %s', (_, read) => {
    const text = read()
    for (const secret of secrets) expect(text).not.toContain(secret)
  })

  test('it prints as what it is', () => {
    expect(JSON.stringify({ key })).toBe('{"key":"[private key]"}')
    expect(inspect(key)).toBe('[private key]')
  })

  test('by structuredClone, which refuses', () => {
    expect(() => structuredClone(key)).toThrow(expect.objectContaining({ name: 'DataCloneError' }))
  })

  test('by v8.serialize, which refuses', () => {
    expect(() => serialize(key)).toThrow('could not be cloned')
  })

  test('and holds nothing under a name but its public half', () => {
    expect(Reflect.ownKeys(key)).toEqual(['publicKey'])
    expect(key.publicKey.handle.type).toBe('public')
  })
})

describe('store', () => {
  test('hands out PKCS#8 that is the same key', async () => {
    const key = await PrivateKey.generate(keyAlgorithm('ecdsa-p256'))
    const again = PrivateKey.fromPem(await stored(key))
    expect(again.publicKey.spki).toEqual(key.publicKey.spki)
    expect((await stored(key)).toString()).toMatch(/^-----BEGIN PRIVATE KEY-----\n/)
  })

  test('wipes what it handed out', async () => {
    const key = await PrivateKey.generate(keyAlgorithm('ecdsa-p256'))
    let kept: Uint8Array = new Uint8Array()
    await key.store(async (pem) => {
      kept = pem
      expect(pem.length).toBeGreaterThan(200)
    })
    expect(kept.length).toBeGreaterThan(200)
    expect(kept.every((octet) => octet === 0)).toBe(true)
  })

  test('wipes it also where writing fails, and says why', async () => {
    const key = await PrivateKey.generate(keyAlgorithm('ecdsa-p256'))
    let kept: Uint8Array = Uint8Array.of(1)
    const writing = key.store((pem) => {
      kept = pem
      return Promise.reject(new Error('the disk is full'))
    })
    await expect(writing).rejects.toThrow('the disk is full')
    expect(kept.every((octet) => octet === 0)).toBe(true)
  })
})

describe('fromPem reads', () => {
  test.each<[string, Buffer, string]>([
    ['PKCS#8 with an EC key', pemOf(ec.privateKey), 'ecdsa-p256'],
    ['SEC 1', pemOf(ec.privateKey, 'sec1'), 'ecdsa-p256'],
    ['PKCS#8 with an RSA key', pemOf(rsa.privateKey), 'rsa-2048'],
    ['PKCS#1', pemOf(rsa.privateKey, 'pkcs1'), 'rsa-2048'],
    ['Ed25519', pemOf(generateKeyPairSync('ed25519').privateKey), 'ed25519'],
    ['text around the key, as people leave it', Buffer.from(`Bag Attributes\n${pemOf(ec.privateKey)}`), 'ecdsa-p256'],
  ])('%s', async (_, pem, name) => {
    const key = PrivateKey.fromPem(pem)
    expect(key.publicKey.algorithm.name).toBe(name)
    const { signatureAlgorithm } = key.publicKey.algorithm
    expect(verifySignature(key.publicKey, signatureAlgorithm, message, await key.sign(message))).toBe(true)
  })

  test.each(FAST)('what it stored of $name', async (row) => {
    const key = await PrivateKey.generate(row)
    const again = PrivateKey.fromPem(await stored(key))
    expect(again.publicKey).toMatchObject({ algorithm: row, spki: key.publicKey.spki })
    expect(verifySignature(key.publicKey, row.signatureAlgorithm, message, await again.sign(message))).toBe(true)
  })

  testWithOpenssl('what openssl ecparam writes, its parameters before its key', () => {
    const text = opensslBytes(['ecparam', '-name', 'prime256v1', '-genkey'])
    expect(text.toString()).toContain('BEGIN EC PARAMETERS')
    expect(PrivateKey.fromPem(text).publicKey.algorithm.name).toBe('ecdsa-p256')
  })
})

describe('fromPem refuses', () => {
  const secret = pemOf(ec.privateKey).toString()

  test.each<[string, string | Buffer]>([
    ['nothing', ''],
    ['text', 'hello'],
    ['a public key', Buffer.from(ec.publicKey.export({ format: 'pem', type: 'spki' }))],
    ['DER', ec.privateKey.export({ format: 'der', type: 'pkcs8' })],
    ['a key that was cut off', secret.slice(0, -40)],
    ['a key of damaged base64', secret.replace(/\n./, '\n*')],
    [
      'an encrypted PKCS#8',
      ec.privateKey.export({ format: 'pem', type: 'pkcs8', cipher: 'aes-256-cbc', passphrase: 'x' }),
    ],
    [
      'an encrypted SEC 1',
      ec.privateKey.export({ format: 'pem', type: 'sec1', cipher: 'aes-256-cbc', passphrase: 'x' }),
    ],
  ])('%s', (_, pem) => {
    expect(() => PrivateKey.fromPem(Buffer.from(pem))).toThrow(refusal)
  })

  test.each<[string, () => { privateKey: KeyObject }, string]>([
    ['RSA with 1024 bits', () => generateKeyPairSync('rsa', { modulusLength: 1024 }), 'RSA with 1024 bits'],
    [
      'RSA with the public exponent 3',
      () => generateKeyPairSync('rsa', { modulusLength: 2048, publicExponent: 3 }),
      'the public exponent 3',
    ],
    ['secp256k1', () => generateKeyPairSync('ec', { namedCurve: 'secp256k1' }), 'not on P-256, P-384 or P-521'],
    [
      'explicit curve parameters',
      () => generateKeyPairSync('ec', { namedCurve: 'P-256', paramEncoding: 'explicit' }),
      'not on P-256, P-384 or P-521',
    ],
    ['X25519', () => generateKeyPairSync('x25519'), 'a key of kind x25519'],
  ])('%s, as an argument that is wrong: there is no CSR here', (_, make, why) => {
    expect(() => PrivateKey.fromPem(pemOf(make().privateKey))).toThrow(
      expect.objectContaining({ code: 'invalid_argument', message: expect.stringContaining(why) }),
    )
  })

  test('a private key that does not belong to the public one beside it', () => {
    const [own, other] = [ec, generateKeyPairSync('ec', { namedCurve: 'P-256' })].map((pair) => ({
      d: Buffer.from(pair.privateKey.export({ format: 'jwk' }).d ?? '', 'base64url'),
      point: pair.publicKey.export({ format: 'der', type: 'spki' }).subarray(-65),
    })) as [{ d: Buffer; point: Buffer }, { d: Buffer; point: Buffer }]
    const sec1 = (d: Uint8Array, point: Uint8Array) =>
      constructed(
        0x30,
        primitive(0x02, [1]),
        primitive(0x04, d),
        constructed(0xa0, oid(CURVES.p256)),
        constructed(0xa1, primitive(0x03, [0, ...point])),
      )
    const read = (d: Uint8Array, point: Uint8Array) =>
      PrivateKey.fromPem(Buffer.from(pem('EC PRIVATE KEY', encode(sec1(d, point)))))
    expect(read(own.d, own.point).publicKey.algorithm.name).toBe('ecdsa-p256')
    expect(() => read(own.d, other.point)).toThrow(
      expect.objectContaining({
        code: 'invalid_argument',
        message: 'a private key whose signatures do not verify',
      }),
    )
  })

  test('without quoting what it was given, in its words or in its cause', () => {
    const spoiled = secret.replace('-----END PRIVATE KEY-----', '-----END SOMETHING ELSE-----')
    try {
      PrivateKey.fromPem(Buffer.from(spoiled))
      expect.fail('it was taken')
    } catch (error) {
      expect(error).toEqual(refusal)
      expect((error as Error).cause).toBeUndefined()
      const everything = inspect(error, { depth: 9, showHidden: true })
      for (const line of secret.split('\n').slice(1, -2)) expect(everything).not.toContain(line)
    }
  })
})

describe('TLS', () => {
  test('a context is made with the chain of the key and of no other', async () => {
    const [own, other] = [await aRoot(), await aRoot()]
    const chain = certificatePem(own.certificate.der)
    expect(own.key.secureContext(chain, {})).toBeDefined()
    expect(() => other.key.secureContext(chain, {})).toThrow('key values mismatch')
  })

  test('a server is given the key and its chain, and the options beside them', async () => {
    const key = await PrivateKey.generate(keyAlgorithm('ecdsa-p256'))
    const given: object[] = []
    const server = { setSecureContext: (options: object) => void given.push(options) } satisfies Pick<
      Server,
      'setSecureContext'
    >
    key.answerOn(server, 'the chain', { minVersion: 'TLSv1.3' })
    expect(given).toEqual([{ minVersion: 'TLSv1.3', cert: 'the chain', key: (await stored(key)).toString() }])
  })
})

async function stored(key: PrivateKey): Promise<Buffer> {
  let pem = Buffer.alloc(0)
  await key.store(async (bytes) => {
    pem = Buffer.from(bytes)
  })
  return pem
}

/** The private number as hex, base64 and base64url, and the lines of the PEM. */
async function secretsOf(key: PrivateKey): Promise<string[]> {
  const pem = (await stored(key)).toString()
  const { d = '' } = createPrivateKey(pem).export({ format: 'jwk' })
  const bytes = Buffer.from(d, 'base64url')
  return [d, bytes.toString('hex'), bytes.toString('base64'), [...bytes].join(', '), ...pem.split('\n').slice(1, -2)]
}

describe('as PKCS#8 in DER', () => {
  test.each(FAST.map((row) => row.name))('a key (%s) is stored and read back', async (name) => {
    const key = await PrivateKey.generate(keyAlgorithm(name))
    const again = await key.storeDer(async (pkcs8) => PrivateKey.fromDer(pkcs8))
    expect(Buffer.from(again.publicKey.spki)).toEqual(Buffer.from(key.publicKey.spki))
    const { algorithm } = key.publicKey
    expect(verifySignature(key.publicKey, algorithm.signatureAlgorithm, message, await again.sign(message))).toBe(true)
  })

  test('its bytes are wiped, also when storing them fails', async () => {
    const key = await PrivateKey.generate(keyAlgorithm('ecdsa-p256'))
    const seen: Uint8Array[] = []
    await key.storeDer(async (pkcs8) => seen.push(pkcs8))
    const failing = key.storeDer(async (pkcs8) => {
      seen.push(pkcs8)
      throw new Error('the disk is full')
    })
    await expect(failing).rejects.toThrow('the disk is full')
    for (const bytes of seen) expect(bytes.every((octet) => octet === 0)).toBe(true)
    expect(seen.map(({ length }) => length > 100)).toEqual([true, true])
  })

  test.each([
    ['nothing', Buffer.alloc(0)],
    ['PEM', pemOf(ec.privateKey)],
    ['a public key', ec.publicKey.export({ format: 'der', type: 'spki' })],
    ['SEC 1', ec.privateKey.export({ format: 'der', type: 'sec1' })],
  ])('%s is refused, without a cause that could quote it', (_, bytes) => {
    let refused: unknown
    try {
      PrivateKey.fromDer(bytes)
    } catch (error) {
      refused = error
    }
    expect(refused).toMatchObject({
      code: 'invalid_argument',
      message: 'not an unencrypted private key in PKCS#8',
    })
    expect((refused as Error).cause).toBeUndefined()
  })

  test('a pair that does not fit is refused', () => {
    const pkcs8 = ec.privateKey.export({ format: 'der', type: 'pkcs8' })
    const other = generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey.export({ format: 'der', type: 'pkcs8' })
    // The public point is at the end.
    const odd = Buffer.concat([pkcs8.subarray(0, -64), other.subarray(-64)])
    expect(() => PrivateKey.fromDer(odd)).toThrow(
      expect.objectContaining({
        code: 'invalid_argument',
        message: expect.stringMatching(/^not an unencrypted private key|whose signatures do not verify$/),
      }),
    )
  })
})
