import { createHash, generateKeyPairSync, type KeyObject, sign } from 'node:crypto'
import { describe, expect, test } from 'vitest'
import { KEY_ALGORITHM_NAMES, KEY_ALGORITHMS, keyAlgorithm } from '../../src/keys/algorithms.ts'
import { PrivateKey } from '../../src/keys/private-key.ts'
import { keyIdOf, readPublicKey, verifySignature } from '../../src/keys/public-key.ts'
import { childrenOf, constructed, contentOf, encode, primitive, type Tree, treeOf } from '../_support/der-tree.ts'
import { anHonestModulus, fermatModulus, rocaModulus, withFactor } from '../_support/moduli.ts'
import { ecSpki, magnitude, oid, rsaSpki, rsaSpkiOf, spki } from '../_support/spki.ts'

const refusal = (why: string) => expect.objectContaining({ code: 'bad_csr', message: `the public key is ${why}` })
const anyRefusal = expect.objectContaining({ code: 'bad_csr' })
const spkiOf = ({ publicKey }: { publicKey: KeyObject }) => publicKey.export({ format: 'der', type: 'spki' })

const UNREADABLE = 'unreadable, of an unknown kind, or a point that is not on its curve'
const OFF_LIST = 'an elliptic-curve key not on P-256, P-384 or P-521 with an uncompressed point'

const honest = anHonestModulus(2048)
const p256 = spkiOf(generateKeyPairSync('ec', { namedCurve: 'P-256' }))
const point = p256.subarray(-65)

describe('is taken:', () => {
  test.each(KEY_ALGORITHMS.filter((row) => !row.name.startsWith('rsa')))('a key of $name', async (row) => {
    const { publicKey } = await row.generate()
    const bytes = publicKey.export({ format: 'der', type: 'spki' })
    expect(readPublicKey(bytes)).toMatchObject({ algorithm: row, spki: bytes })
  })

  test.each([
    [2048, 'rsa-2048'],
    [3072, 'rsa-3072'],
    [4096, 'rsa-4096'],
    [8192, 'rsa-2048'],
    [2049, 'rsa-2048'],
  ])('RSA with %d bits, as the row %s', (bits, name) => {
    expect(readPublicKey(rsaSpki(anHonestModulus(bits))).algorithm.name).toBe(name)
  })

  test.each([65_537n, 65_539n, 2n ** 32n + 1n, 2n ** 64n - 1n])('RSA with the public exponent %s', (exponent) => {
    expect(readPublicKey(rsaSpki(honest, exponent)).algorithm.family).toBe('rsa')
  })

  test('a key that is part of a larger buffer', () => {
    const around = Buffer.concat([Buffer.alloc(7, 1), p256, Buffer.alloc(7, 1)])
    expect(readPublicKey(around.subarray(7, 7 + p256.length)).spki).toEqual(p256)
  })
})

describe('RSA is refused', () => {
  test.each([512, 1024, 2047, 8193, 16_384])('with %d bits', (bits) => {
    expect(() => readPublicKey(rsaSpki(anHonestModulus(bits)))).toThrow(
      refusal(`RSA with ${bits} bits; accepted are 2048 to 8192`),
    )
  })

  test.each([1n, 2n, 3n, 17n, 65_535n, 65_536n, 65_538n, 2n ** 64n - 2n])('with the public exponent %s', (exponent) => {
    expect(() => readPublicKey(rsaSpki(honest, exponent))).toThrow(
      refusal(`RSA with the public exponent ${exponent}; accepted are odd ones from 65537`),
    )
  })

  test.each([
    ['2^64', 2n ** 64n],
    ['2^64 + 1', 2n ** 64n + 1n],
    ['one as long as the modulus', honest - 2n],
  ])('with the public exponent %s', (_, exponent) => {
    expect(() => readPublicKey(rsaSpki(honest, exponent))).toThrow(
      refusal('RSA with the public exponent beyond 64 bits; accepted are odd ones from 65537'),
    )
  })

  test.each([
    ['an even modulus', honest - 1n],
    ['a modulus with the small factor 3', withFactor(3n, 2048)],
    ['a modulus with the small factor 751', withFactor(751n, 2048)],
    ['a modulus made by a broken generator (ROCA, CVE-2017-15361)', rocaModulus(2048)],
    ['a modulus whose two primes are close together (Fermat, CVE-2022-26320)', fermatModulus(2048, 100)],
  ])('with %s', (why, modulus) => {
    expect(() => readPublicKey(rsaSpki(modulus))).toThrow(refusal(`RSA with ${why}`))
  })

  const n = primitive(0x02, magnitude(honest))
  const e = primitive(0x02, magnitude(65_537n))
  test.each<[string, Buffer]>([
    ['with a modulus that has a second leading zero', rsaSpkiOf(primitive(0x02, [0, ...magnitude(honest)]), e)],
    ['with a negative modulus', rsaSpkiOf(primitive(0x02, magnitude(honest).subarray(1)), e)],
    ['with an exponent that has a leading zero', rsaSpkiOf(n, primitive(0x02, [0, 1, 0, 1]))],
    ['with a modulus of zero', rsaSpkiOf(primitive(0x02, [0]), e)],
    ['with an empty modulus', rsaSpkiOf(primitive(0x02, []), e)],
    ['without an exponent', spki([oid('2a864886f70d010101'), primitive(5, [])], encode(constructed(0x30, n)))],
    ['with a third number', spki([oid('2a864886f70d010101'), primitive(5, [])], encode(constructed(0x30, n, e, e)))],
    ['without the NULL of its parameters (RFC 3279 §2.3.1)', rsaSpkiOf(n, e, [])],
    ['with other parameters', rsaSpkiOf(n, e, [primitive(0x02, [1])])],
    ['with parameters twice', rsaSpkiOf(n, e, [primitive(0x05, []), primitive(0x05, [])])],
  ])('%s', (_, bytes) => {
    expect(() => readPublicKey(bytes)).toThrow(anyRefusal)
  })

  test('when it is for PSS alone', () => {
    const pss = spkiOf(generateKeyPairSync('rsa-pss', { modulusLength: 2048 }))
    expect(() => readPublicKey(pss)).toThrow(
      refusal(`a key of kind rsa-pss; accepted are ${KEY_ALGORITHM_NAMES.join(', ')}`),
    )
  })

  test('when its bytes are more than any key on the list has, before it is read', () => {
    expect(() => readPublicKey(rsaSpki(anHonestModulus(33_000)))).toThrow(/is 41\d\d bytes long$/)
    expect(() => readPublicKey(Buffer.alloc(4097))).toThrow(refusal('4097 bytes long'))
    expect(() => readPublicKey(Buffer.alloc(4096))).toThrow(refusal(UNREADABLE))
  })
})

describe('an elliptic-curve key is refused', () => {
  test.each(['secp224r1', 'secp256k1', 'brainpoolP256r1', 'brainpoolP384r1'])('on %s', (namedCurve) => {
    expect(() => readPublicKey(spkiOf(generateKeyPairSync('ec', { namedCurve })))).toThrow(refusal(OFF_LIST))
  })

  test('on a curve that nobody knows', () => {
    const unknown = spki([oid('2a8648ce3d0201'), oid('2a0304')], point)
    expect(() => readPublicKey(unknown)).toThrow(refusal(UNREADABLE))
  })

  test.each(['P-256', 'P-384', 'P-521'])('with the parameters of %s spelled out (CVE-2020-0601)', (namedCurve) => {
    const explicit = generateKeyPairSync('ec', { namedCurve, paramEncoding: 'explicit' })
    expect(() => readPublicKey(spkiOf(explicit))).toThrow(refusal(OFF_LIST))
  })

  const negated = Buffer.from(point)
  negated[64] = (negated[64] as number) ^ 1
  const [x, y] = [point.subarray(1, 33), point.subarray(33)]
  const odd = (y[31] as number) & 1
  const field = Buffer.from('ffffffff00000001000000000000000000000000ffffffffffffffffffffffff', 'hex')
  test.each<[string, Uint8Array, string]>([
    ['that is not on the curve', negated, UNREADABLE],
    ['of zeros', Buffer.concat([Buffer.of(4), Buffer.alloc(64)]), UNREADABLE],
    ['whose coordinate is the field’s prime', Buffer.concat([Buffer.of(4), field, y]), UNREADABLE],
    ['at infinity', Buffer.of(0), OFF_LIST],
    ['in compressed form', Buffer.concat([Buffer.of(2 + odd), x]), OFF_LIST],
    ['in hybrid form', Buffer.concat([Buffer.of(6 + odd), x, y]), OFF_LIST],
    ['that lacks a byte', point.subarray(0, -1), UNREADABLE],
    ['with a byte more', Buffer.concat([point, Buffer.of(0)]), UNREADABLE],
    ['of no bytes', new Uint8Array(), UNREADABLE],
  ])('with a point %s', (_, bytes, why) => {
    expect(() => readPublicKey(ecSpki('p256', bytes))).toThrow(refusal(why))
  })

  test('with a point of one curve under the name of another', () => {
    expect(() => readPublicKey(ecSpki('p384', point))).toThrow(refusal(UNREADABLE))
    expect(() => readPublicKey(ecSpki('secp256k1', point))).toThrow(anyRefusal)
  })

  test.each<[string, readonly Tree[]]>([
    ['no curve', [oid('2a8648ce3d0201')]],
    ['a NULL for a curve', [oid('2a8648ce3d0201'), primitive(0x05, [])]],
    ['a third parameter', [oid('2a8648ce3d0201'), oid('2a8648ce3d030107'), primitive(0x05, [])]],
    ['the identifier for key agreement alone', [oid('2b8104010c'), oid('2a8648ce3d030107')]],
  ])('with %s', (_, algorithm) => {
    expect(() => readPublicKey(spki(algorithm, point))).toThrow(anyRefusal)
  })
})

describe('a key of another kind is refused:', () => {
  test.each([
    ['X25519', 'x25519', generateKeyPairSync('x25519')],
    ['X448', 'x448', generateKeyPairSync('x448')],
    ['Ed448', 'ed448', generateKeyPairSync('ed448')],
  ])('%s', (_, kind, pair) => {
    expect(() => readPublicKey(spkiOf(pair))).toThrow(
      refusal(`a key of kind ${kind}; accepted are ${KEY_ALGORITHM_NAMES.join(', ')}`),
    )
  })

  test('DSA', () => {
    const numbers = [anHonestModulus(2048), anHonestModulus(256), 2n].map((one) => primitive(0x02, magnitude(one)))
    const dsa = spki([oid('2a8648ce380401'), constructed(0x30, ...numbers)], encode(primitive(0x02, magnitude(7n))))
    expect(() => readPublicKey(dsa)).toThrow(anyRefusal)
  })

  test('Diffie-Hellman', () => {
    const numbers = [anHonestModulus(2048), 2n].map((one) => primitive(0x02, magnitude(one)))
    const algorithm = [oid('2a864886f70d010301'), constructed(0x30, ...numbers)]
    expect(() => readPublicKey(spki(algorithm, encode(primitive(0x02, magnitude(7n)))))).toThrow(anyRefusal)
  })

  test('one that nobody knows', () => {
    expect(() => readPublicKey(spki([oid('2a0304')], point))).toThrow(refusal(UNREADABLE))
  })
})

describe('an encoding that is not the only one is refused:', () => {
  const ed25519 = spkiOf(generateKeyPairSync('ed25519'))
  const mlDsa = generateKeyPairSync('ml-dsa-44').publicKey.export({ format: 'der', type: 'spki' })
  const rsa = rsaSpki(honest)
  const kinds: readonly (readonly [string, Buffer])[] = [
    ['EC', p256],
    ['RSA', rsa],
    ['Ed25519', ed25519],
    ['ML-DSA', mlDsa],
  ]

  test.each(kinds)('%s with a byte after it', (_, bytes) => {
    expect(() => readPublicKey(Buffer.concat([bytes, Buffer.of(0)]))).toThrow(anyRefusal)
  })

  test.each(kinds)('%s that was cut off', (_, bytes) => {
    expect(() => readPublicKey(bytes.subarray(0, -1))).toThrow(refusal(UNREADABLE))
  })

  test.each(kinds)('%s with a length in more octets than it needs', (_, bytes) => {
    const content = bytes.subarray(bytes[1] === 0x82 ? 4 : bytes[1] === 0x81 ? 3 : 2)
    const length = Buffer.from([0x30, 0x83, 0, content.length >> 8, content.length & 0xff])
    expect(() => readPublicKey(Buffer.concat([length, content]))).toThrow(anyRefusal)
  })

  test.each(kinds)('%s of indefinite length', (_, bytes) => {
    const content = bytes.subarray(bytes[1] === 0x82 ? 4 : bytes[1] === 0x81 ? 3 : 2)
    expect(() => readPublicKey(Buffer.concat([Buffer.of(0x30, 0x80), content, Buffer.alloc(2)]))).toThrow(anyRefusal)
  })

  test.each(kinds)('%s with unused bits in its BIT STRING', (_, bytes) => {
    const [algorithm, key] = childrenOf(treeOf(bytes)) as [Tree, Tree]
    const bits = contentOf(key)
    const unused = primitive(0x03, [1, ...bits.subarray(1, -1), (bits.at(-1) as number) & 0xfe])
    expect(() => readPublicKey(encode(constructed(0x30, algorithm, unused)))).toThrow(anyRefusal)
  })

  test.each(kinds)('%s with a third field', (_, bytes) => {
    const children = childrenOf(treeOf(bytes))
    expect(() => readPublicKey(encode(constructed(0x30, ...children, primitive(0x05, []))))).toThrow(anyRefusal)
  })

  test('Ed25519 with parameters (RFC 8410 §3)', () => {
    const withNull = spki([oid('2b6570'), primitive(0x05, [])], ed25519.subarray(-32))
    expect(() => readPublicKey(withNull)).toThrow(anyRefusal)
  })

  test.each([0, 31, 33])('Ed25519 of %d bytes', (length) => {
    expect(() => readPublicKey(spki([oid('2b6570')], Buffer.alloc(length, 1)))).toThrow(refusal(UNREADABLE))
  })

  test.each(['', '00', '30', '3000', '30023000', '05 00', 'ff'.repeat(100)])('the bytes %s', (hex) => {
    expect(() => readPublicKey(Buffer.from(hex.replaceAll(' ', ''), 'hex'))).toThrow(refusal(UNREADABLE))
  })
})

test('a refusal never quotes the key, and keeps the reader’s own words for the log', () => {
  const secret = Buffer.from('not a key but a secret that came by mistake')
  try {
    readPublicKey(secret)
    expect.fail('it was taken')
  } catch (error) {
    expect(error).toMatchObject({ code: 'bad_csr', cause: expect.any(Error) })
    expect(String((error as Error).message)).not.toMatch(/secret|6e6f7420/)
  }
})

describe('verifySignature refuses', () => {
  const signed = Buffer.from('what is signed')
  const rsaPair = generateKeyPairSync('rsa', { modulusLength: 2048 })
  const ecPair = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  const [rsa, ec] = [readPublicKey(spkiOf(rsaPair)), readPublicKey(spkiOf(ecPair))]
  const identifier = (hex: string) => Buffer.from(hex, 'hex')

  test.each([
    ['RSA with SHA-1', rsa, '300d06092a864886f70d0101050500', sign('sha1', signed, rsaPair.privateKey)],
    ['RSA with MD5', rsa, '300d06092a864886f70d0101040500', sign('md5', signed, rsaPair.privateKey)],
    ['ECDSA with SHA-1', ec, '300906072a8648ce3d0401', sign('sha1', signed, ecPair.privateKey)],
    ['ECDSA with SHA-224', ec, '300a06082a8648ce3d040301', sign('sha224', signed, ecPair.privateKey)],
    ['RSA under the name of ECDSA', rsa, '300a06082a8648ce3d040302', sign('sha256', signed, rsaPair.privateKey)],
    ['ECDSA under the name of RSA', ec, '300d06092a864886f70d01010b0500', sign('sha256', signed, ecPair.privateKey)],
    ['ECDSA under the name of Ed25519', ec, '300506032b6570', sign('sha256', signed, ecPair.privateKey)],
    ['RSA under the name of ML-DSA', rsa, '300b0609608648016503040311', sign('sha256', signed, rsaPair.privateKey)],
    [
      'SHA-384 under the name of SHA-256',
      rsa,
      '300d06092a864886f70d01010b0500',
      sign('sha384', signed, rsaPair.privateKey),
    ],
    ['no algorithm at all', ec, '', sign('sha256', signed, ecPair.privateKey)],
  ])('%s, although the signature is right', (_, key, algorithm, signature) => {
    expect(verifySignature(key, identifier(algorithm), signed, signature)).toBe(false)
  })

  test('ML-DSA-65 under the name of ML-DSA-44', async () => {
    const key = await PrivateKey.generate(keyAlgorithm('ml-dsa-65'))
    const signature = await key.sign(signed)
    expect(verifySignature(key.publicKey, keyAlgorithm('ml-dsa-44').signatureAlgorithm, signed, signature)).toBe(false)
  })

  test('an ECDSA signature of r = s = 0 (CVE-2022-21449)', () => {
    const zeros = encode(constructed(0x30, primitive(0x02, [0]), primitive(0x02, [0])))
    expect(verifySignature(ec, ec.algorithm.signatureAlgorithm, signed, zeros)).toBe(false)
  })

  test('an ECDSA signature in the form of JWS, and in BER', () => {
    const raw = sign('sha256', signed, { key: ecPair.privateKey, dsaEncoding: 'ieee-p1363' })
    expect(verifySignature(ec, ec.algorithm.signatureAlgorithm, signed, raw)).toBe(false)
    const der = sign('sha256', signed, ecPair.privateKey)
    const ber = Buffer.concat([Buffer.of(0x30, 0x81, der[1] as number), der.subarray(2)])
    expect(verifySignature(ec, ec.algorithm.signatureAlgorithm, signed, ber)).toBe(false)
  })

  test('an Ed25519 signature whose S is not below the group’s order (RFC 8032 §5.1.7)', () => {
    const pair = generateKeyPairSync('ed25519')
    const key = readPublicKey(spkiOf(pair))
    const signature = sign(null, signed, pair.privateKey)
    const order = 2n ** 252n + 27742317777372353535851937790883648493n
    const s = BigInt(`0x${Buffer.from(signature.subarray(32)).reverse().toString('hex')}`) + order
    const again = Buffer.concat([
      signature.subarray(0, 32),
      Buffer.from(s.toString(16).padStart(64, '0'), 'hex').reverse(),
    ])
    expect(verifySignature(key, key.algorithm.signatureAlgorithm, signed, signature)).toBe(true)
    expect(verifySignature(key, key.algorithm.signatureAlgorithm, signed, again)).toBe(false)
  })

  test('but not SHA-384 or SHA-512 where they are named', () => {
    const sha512 = sign('sha512', signed, rsaPair.privateKey)
    expect(verifySignature(rsa, identifier('300d06092a864886f70d01010d0500'), signed, sha512)).toBe(true)
    const sha384 = sign('sha384', signed, ecPair.privateKey)
    expect(verifySignature(ec, identifier('300a06082a8648ce3d040303'), signed, sha384)).toBe(true)
  })
})

describe('the key id', () => {
  test.each(KEY_ALGORITHMS.filter((row) => row.name !== 'rsa-4096' && row.name !== 'rsa-3072'))(
    'of a $name key is the first 160 bits of SHA-256 over its BIT STRING (RFC 7093 §2, method 1)',
    async (row) => {
      const { publicKey } = await row.generate()
      const bytes = publicKey.export({ format: 'der', type: 'spki' })
      const bits = contentOf(childrenOf(treeOf(bytes))[1])
      const expected = createHash('sha256').update(bits.subarray(1)).digest().subarray(0, 20)
      expect(Buffer.from(keyIdOf(bytes))).toEqual(expected)
    },
  )

  test('of RSA 8192, whose lengths take two octets each', () => {
    const bytes = rsaSpki(anHonestModulus(8192))
    const bits = contentOf(childrenOf(treeOf(bytes))[1])
    const expected = createHash('sha256').update(bits.subarray(1)).digest().subarray(0, 20)
    expect(Buffer.from(keyIdOf(bytes))).toEqual(expected)
  })
})
