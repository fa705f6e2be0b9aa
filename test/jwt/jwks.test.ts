import { generateKeyPairSync, type KeyObject } from 'node:crypto'
import { describe, expect, test } from 'vitest'
import { Jwks, type JwsAlgorithm, jwsAlgorithm } from '../../src/jwt/jwks.ts'
import { ALGORITHM_NAMES } from '../_support/jose-tokens.ts'
import { anHonestModulus } from '../_support/moduli.ts'
import { magnitude } from '../_support/spki.ts'

type Jwk = Record<string, unknown>

const jwkOf = ({ publicKey }: { publicKey: KeyObject }): Jwk => ({ ...publicKey.export({ format: 'jwk' }) })
const rsa: Jwk = { kid: 'rsa', ...jwkOf(generateKeyPairSync('rsa', { modulusLength: 2048 })) }
const p256: Jwk = { kid: 'p256', ...jwkOf(generateKeyPairSync('ec', { namedCurve: 'P-256' })) }
const p384: Jwk = { kid: 'p384', ...jwkOf(generateKeyPairSync('ec', { namedCurve: 'P-384' })) }
const p521: Jwk = { kid: 'p521', ...jwkOf(generateKeyPairSync('ec', { namedCurve: 'P-521' })) }
const ed25519: Jwk = { kid: 'ed25519', ...jwkOf(generateKeyPairSync('ed25519')) }

const parse = (...keys: unknown[]) => Jwks.parse(JSON.stringify({ keys }))
const algorithm = (name: string) => jwsAlgorithm(name) as JwsAlgorithm
const refusal = (message: string) => expect.objectContaining({ code: 'invalid_argument', message })
const rsaOf = (bits: number) => ({ ...rsa, n: magnitude(anHonestModulus(bits)).toString('base64url') })

describe('the algorithms', () => {
  test('are the asymmetric ones', () => {
    expect(ALGORITHM_NAMES.map((name) => jwsAlgorithm(name)?.name)).toEqual(ALGORITHM_NAMES)
  })

  test.each([
    'none',
    'None',
    'NONE',
    '',
    'HS256',
    'HS384',
    'HS512',
    'ES256K',
    'rs256',
    'RSA1_5',
    'RSA-OAEP',
    'dir',
    'A128KW',
    'PBES2-HS256+A128KW',
    'RS1',
    'ES256 ',
    'toString',
    '__proto__',
    null,
    undefined,
    0,
    ['RS256'],
    { name: 'RS256' },
  ])('%j is none of them', (name) => {
    expect(jwsAlgorithm(name as never)).toBeUndefined()
  })
})

describe('a set of one key of each kind', async () => {
  const jwks = await parse(rsa, p256, p384, p521, ed25519)
  const ALLOWED: Readonly<Record<string, readonly string[]>> = {
    rsa: ['RS256', 'RS384', 'RS512', 'PS256', 'PS384', 'PS512'],
    p256: ['ES256'],
    p384: ['ES384'],
    p521: ['ES512'],
    ed25519: ['EdDSA'],
  }

  test('has them all', () => {
    expect(jwks.size).toBe(5)
  })

  test.each(Object.keys(ALLOWED))('gives %s for its own algorithms and for no other', (kid) => {
    for (const name of ALGORITHM_NAMES) {
      const key = jwks.find(kid, algorithm(name))
      if (ALLOWED[kid]?.includes(name)) expect(key).toMatchObject({ type: 'public' })
      else expect(key).toBe('other algorithm')
    }
  })

  test.each(['', 'RSA', 'rsa ', '__proto__', 'constructor'])('has no key %j', (kid) => {
    expect(jwks.find(kid, algorithm('RS256'))).toBe('unknown kid')
  })
})

describe('a key', () => {
  test('that names its algorithm is for that one alone', async () => {
    const jwks = await parse({ ...rsa, alg: 'PS256' })
    expect(jwks.find('rsa', algorithm('PS256'))).toMatchObject({ type: 'public' })
    expect(jwks.find('rsa', algorithm('RS256'))).toBe('other algorithm')
  })

  test('that comes with its private part is the public one of it', async () => {
    const pair = generateKeyPairSync('ec', { namedCurve: 'P-256' })
    const jwks = await parse({ kid: 'own', ...pair.privateKey.export({ format: 'jwk' }) })
    expect(jwks.find('own', algorithm('ES256'))).toMatchObject({ type: 'public' })
  })

  test.each<[string, Jwk]>([
    ['without a kid', { ...rsa, kid: undefined }],
    ['whose kid is a number', { ...rsa, kid: 1 }],
    ['for encryption', { ...rsa, use: 'enc' }],
    ['for X.509-SVIDs', { ...rsa, use: 'x509-svid' }],
    ['of a use that is no text', { ...rsa, use: ['sig'] }],
    ['for HMAC', { kid: 'hmac', kty: 'oct', k: 'c2VjcmV0', alg: 'HS256' }],
    ['for HMAC that calls itself RS256', { kid: 'hmac', kty: 'oct', k: 'c2VjcmV0', alg: 'RS256' }],
    ['of an RSA kind for HMAC', { ...rsa, alg: 'HS256' }],
    ['for none', { ...rsa, alg: 'none' }],
    ['for RSA encryption', { ...rsa, alg: 'RSA-OAEP' }],
    ['on secp256k1', { kid: 'k1', ...jwkOf(generateKeyPairSync('ec', { namedCurve: 'secp256k1' })) }],
    ['for key agreement', { kid: 'x', ...jwkOf(generateKeyPairSync('x25519')) }],
    ['of P-256 for ES384', { ...p256, alg: 'ES384' }],
    ['of a kind that nobody knows', { kid: 'new', kty: 'AKP', alg: 'ML-DSA-44', pub: 'AAAA' }],
  ])('%s is passed over (RFC 7517 §5)', async (_, jwk) => {
    const jwks = await parse(jwk, p256)
    expect(jwks.size).toBe(1)
    expect(jwks.find('p256', algorithm('ES256'))).toMatchObject({ type: 'public' })
  })

  test.each([['a text'], [null], [1], [['a list']]])('that is no object, %j, is passed over', async (key) => {
    expect((await parse(key, p256)).size).toBe(1)
  })

  test.each<[string, Jwk, string]>([
    ['RSA without a modulus', { ...rsa, n: undefined }, 'RSA'],
    ['RSA without an exponent', { ...rsa, e: undefined }, 'RSA'],
    ['RSA with a number for a modulus', { ...rsa, n: 5 }, 'RSA'],
    ['EC without a coordinate', { ...p256, y: undefined }, 'EC'],
    ['EC off its curve', { ...p256, y: p256.x }, 'EC'],
    ['EC with a coordinate of another length', { ...p256, x: p384.x }, 'EC'],
    ['Ed25519 without its point', { ...ed25519, x: undefined }, 'OKP'],
    ['Ed25519 of 31 bytes', { ...ed25519, x: Buffer.alloc(31, 1).toString('base64url') }, 'OKP'],
  ])('that is malformed, %s, is refused', async (_, jwk, kind) => {
    await expect(parse(p256, { ...jwk, kid: 'bad' })).rejects.toThrow(refusal(`a key set with a malformed ${kind} key`))
  })

  test.each([1024, 2047, 8193])('of RSA with %d bits is refused', async (bits) => {
    await expect(parse(rsaOf(bits))).rejects.toThrow(
      refusal(`a key set with an RSA key of ${bits} bits; taken are 2048 to 8192`),
    )
  })

  test.each([2048, 8192])('of RSA with %d bits is taken', async (bits) => {
    expect((await parse(rsaOf(bits))).size).toBe(1)
  })

  test.each([
    ['0', ''],
    ['1, under which anybody can sign', 'AQ'],
    ['2', 'Ag'],
    ['65536', 'AQAA'],
  ])('of RSA with the public exponent %s is refused', async (_, e) => {
    await expect(parse({ ...rsa, e })).rejects.toThrow(expect.objectContaining({ code: 'invalid_argument' }))
  })

  test('twice under the same kid is refused, whatever their order', async () => {
    await expect(parse(p256, { ...rsa, kid: 'p256' })).rejects.toThrow(refusal('a key set with the kid "p256" twice'))
    await expect(parse({ ...rsa, kid: 'p256' }, p256)).rejects.toThrow(refusal('a key set with the kid "p256" twice'))
  })

  test('twice under a long kid is refused without repeating all of it', async () => {
    const kid = 'k'.repeat(1000)
    await expect(parse({ ...p256, kid }, { ...rsa, kid })).rejects.toThrow(
      refusal(`a key set with the kid "${'k'.repeat(64)}" twice`),
    )
  })
})

describe('a set', () => {
  test('may be empty', async () => {
    expect((await parse()).size).toBe(0)
  })

  test.each([
    ['nothing', '', 'not JSON'],
    ['no JSON', '<html>', 'not JSON'],
    ['a list', '[]', 'not a JSON Web Key Set: it has no list “keys”'],
    ['an object without keys', '{}', 'not a JSON Web Key Set: it has no list “keys”'],
    ['keys that are no list', '{"keys":{}}', 'not a JSON Web Key Set: it has no list “keys”'],
    ['one key', JSON.stringify(rsa), 'not a JSON Web Key Set: it has no list “keys”'],
    ['keys twice', '{"keys":[],"keys":[]}', 'JSON with a key twice in one object'],
    ['a key that names its kid twice', '{"keys":[{"kid":"a","kid":"b"}]}', 'JSON with a key twice in one object'],
    ['nested too deep', `{"keys":${'['.repeat(20)}${']'.repeat(20)}}`, 'JSON nested deeper than 16'],
  ])('is refused that is %s', async (_, text, message) => {
    await expect(Jwks.parse(text)).rejects.toThrow(refusal(message))
  })

  test('is taken with 256 KiB and refused with one more', async () => {
    const text = JSON.stringify({ keys: [p256] }).padEnd(256 * 1024, ' ')
    expect((await Jwks.parse(text)).size).toBe(1)
    await expect(Jwks.parse(`${text} `)).rejects.toThrow(refusal('a key set of 262145 bytes; at most 262144'))
  })

  test('is taken with 64 keys and refused with 65', async () => {
    const keys = Array.from({ length: 65 }, (_, n) => ({ ...p256, kid: `key ${n}` }))
    expect((await parse(...keys.slice(0, 64))).size).toBe(64)
    await expect(parse(...keys)).rejects.toThrow(refusal('a key set of 65 keys; at most 64'))
  })
})
