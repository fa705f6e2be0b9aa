import { createHmac, generateKeyPairSync, type KeyObject } from 'node:crypto'
import { describe, expect, test } from 'vitest'
import { Jwks, type JwsAlgorithmName } from '../../src/jwt/jwks.ts'
import { MAX_TOKEN_BYTES, readClaims, readToken, verifyToken } from '../../src/jwt/jws.ts'
import { ALGORITHM_NAMES, isCanonical, JoseSigner, joseTakes, read } from '../_support/jose-tokens.ts'

const base64url = (text: string | Uint8Array) => Buffer.from(text as string).toString('base64url')
const refusal = (message: string) => expect.objectContaining({ code: 'invalid_argument', message })
const claims = { iss: 'https://kubernetes.default.svc', sub: 'system:serviceaccount:shop:cart', exp: 1893456000 }
const payload = JSON.stringify(claims)
/** The parts of a token nobody signed, for what is refused before a signature matters. */
const unsigned = (header: object | string, body = payload) =>
  `${base64url(typeof header === 'string' ? header : JSON.stringify(header))}.${base64url(body)}.${base64url('signature')}`

const signers = new Map<JwsAlgorithmName, JoseSigner>()
for (const name of ALGORITHM_NAMES) signers.set(name, await JoseSigner.create(name))
const signerOf = (name: JwsAlgorithmName) => signers.get(name) as JoseSigner
const es256 = signerOf('ES256')
const ours = async (...all: JoseSigner[]) => Jwks.parse(JSON.stringify({ keys: all.map((one) => one.jwk) }))

describe.each(ALGORITHM_NAMES)('a token by jose, signed with %s,', async (name) => {
  const signer = signerOf(name)
  const jwks = await ours(...signers.values())
  const token = await signer.sign(payload)

  test('is taken, as jose takes it', async () => {
    expect(await read(token, jwks)).toMatchObject({ claims })
    expect(await joseTakes(token, signer.jwks)).toBe(true)
  })

  test.each<[string, (header: string, body: string, signature: string) => string]>([
    ['with other claims', (header, _, signature) => `${header}.${base64url('{"sub":"admin"}')}.${signature}`],
    ['with a byte of its signature changed', (header, body, signature) => `${header}.${body}.${flipped(signature)}`],
    [
      'with a signature of zeros',
      (header, body, s) => `${header}.${body}.${base64url(Buffer.alloc(Buffer.from(s, 'base64url').length))}`,
    ],
    ['with a signature of one byte', (header, body) => `${header}.${body}.AA`],
    [
      'with a signature one byte longer',
      (header, body, s) => `${header}.${body}.${base64url(Buffer.concat([Buffer.from(s, 'base64url'), Buffer.of(0)]))}`,
    ],
    ['with its claims and signature exchanged', (header, body, signature) => `${header}.${signature}.${body}`],
    [
      'with white space in its header',
      (_, body, s) => `${base64url(JSON.stringify({ alg: name, kid: signer.jwk.kid }, null, 1))}.${body}.${s}`,
    ],
  ])('%s is refused, as jose refuses it', async (_, change) => {
    const [header = '', body = '', signature = ''] = token.split('.')
    const changed = change(header, body, signature)
    expect(await read(changed, jwks)).toEqual({ refused: 'bad signature' })
    expect(await joseTakes(changed, signer.jwks)).toBe(false)
  })

  test('is refused under the name of every other algorithm', async () => {
    const [, body, signature] = token.split('.')
    for (const other of ALGORITHM_NAMES.filter((one) => one !== name)) {
      const renamed = `${base64url(JSON.stringify({ alg: other, kid: signer.jwk.kid }))}.${body}.${signature}`
      expect(await read(renamed, jwks)).toEqual({ refused: 'other algorithm' })
      expect(await joseTakes(renamed, signer.jwks)).toBe(false)
    }
  })

  test('is refused by another key of its kind', async () => {
    const other = await JoseSigner.create(name)
    expect(await read(await other.sign(payload), await ours(signer))).toEqual({ refused: 'bad signature' })
  })
})

describe('HMAC with what everybody knows, the public key,', () => {
  const { publicKey } = generateKeyPairSync('rsa', { modulusLength: 2048 })
  const jwk = { ...publicKey.export({ format: 'jwk' }), kid: 'rsa' }
  const secrets: readonly (readonly [string, string | Buffer])[] = [
    ['PEM', publicKey.export({ format: 'pem', type: 'spki' }) as string],
    ['DER', publicKey.export({ format: 'der', type: 'spki' })],
    ['JWK', JSON.stringify(jwk)],
    ['modulus', Buffer.from(jwk.n ?? '', 'base64url')],
  ]

  test.each(secrets)('as its %s for a secret, signs nothing', async (_, secret) => {
    const signed = `${base64url('{"alg":"HS256","kid":"rsa"}')}.${base64url(payload)}`
    const token = `${signed}.${createHmac('sha256', secret).update(signed).digest('base64url')}`
    const jwks = await Jwks.parse(JSON.stringify({ keys: [jwk] }))
    expect(await read(token, jwks)).toEqual({
      refused: 'a token signed with "HS256"; taken are asymmetric signatures only',
    })
  })
})

describe('the form', () => {
  const threeParts = 'a token that is not three parts with dots between'
  test.each([
    ['empty', ''],
    ['one dot', '.'],
    ['two dots', '..'],
    ['three dots', '...'],
    ['one part', 'abc'],
    ['two parts', 'abc.def'],
    ['no header', '.abc.def'],
    ['no claims: a detached signature', `${base64url('{"alg":"ES256","kid":"a"}')}..abc`],
    ['no signature', `${base64url('{"alg":"none"}')}.${base64url(payload)}.`],
    ['four parts', 'abc.def.ghi.jkl'],
    ['four parts, the last one empty', 'abc.def.ghi.'],
    ['five parts: encrypted', 'abc.def.ghi.jkl.mno'],
    ['six parts', 'a.b.c.d.e.f'],
    ['the general JSON form', JSON.stringify({ payload: 'a', signatures: [] })],
    ['16 KiB of dots', '.'.repeat(MAX_TOKEN_BYTES)],
    ['16 KiB of letters and dots', 'a.'.repeat(MAX_TOKEN_BYTES / 2)],
  ])('with %s is refused', (_, text) => {
    expect(() => readToken(text)).toThrow(refusal(threeParts))
  })

  test('of 256 MiB of dots costs no more than of 16 KiB: the size comes first', () => {
    const before = performance.now()
    expect(() => readToken('.'.repeat(2 ** 28))).toThrow(refusal(`a token of ${2 ** 28} bytes; at most 16384`))
    expect(performance.now() - before).toBeLessThan(1000)
  })

  test('of 16 KiB is taken, a character more refused', async () => {
    const jwks = await ours(es256)
    const filled = (length: number) => es256.sign(JSON.stringify({ ...claims, filler: 'x'.repeat(length) }))
    const overhead = (await filled(0)).length
    const near = Math.floor(((MAX_TOKEN_BYTES - overhead) * 3) / 4)
    // Three bytes of claims are four characters of the token, so one of three lengths in a row may be missing.
    const tokens = await Promise.all([-2, -1, 0, 1, 2, 3].map((more) => filled(near + more)))
    const fits = tokens.findLast((token) => token.length <= MAX_TOKEN_BYTES) as string
    const tooLong = tokens.find((token) => token.length > MAX_TOKEN_BYTES) as string
    expect(tooLong.length - fits.length).toBeLessThanOrEqual(2)
    expect(await read(fits, jwks)).toHaveProperty('claims')
    expect(() => readToken(tooLong)).toThrow(refusal(`a token of ${tooLong.length} bytes; at most 16384`))
  })

  test('is bounded before it is looked at: 16384 characters of nonsense are nonsense, 16385 are too many', () => {
    expect(() => readToken('a'.repeat(MAX_TOKEN_BYTES))).toThrow(refusal(threeParts))
    expect(() => readToken('a'.repeat(MAX_TOKEN_BYTES + 1))).toThrow(refusal('a token of 16385 bytes; at most 16384'))
  })

  const good = unsigned({ alg: 'ES256', kid: 'a' })
  test.each([
    ['padding', `${base64url('{"alg":"ES256","kid":"ab"}')}==`],
    ['a line feed', `${good.split('.')[0]}\n`],
    ['a blank', ` ${good.split('.')[0]}`],
    ['the other alphabet', base64url('{"alg":"ES256","kid":"~~~???"}').replaceAll('_', '/').replaceAll('-', '+')],
    ['a character of no alphabet', `${good.split('.')[0]}*`],
    ['a letter beyond ASCII', `${good.split('.')[0]}é`],
    ['a NUL', `${good.split('.')[0]}\0`],
    ['a fifth of a group', 'A'],
  ])('with %s in its header is refused', (_, header) => {
    expect(() => readToken(`${header}.${base64url(payload)}.AAAA`)).toThrow(refusal('a token that is not base64url'))
  })

  test('with bits that mean nothing at the end of a part is refused', () => {
    // Two bytes are 16 bits in three characters of 18: R and S differ only in the two bits that are left.
    expect(Buffer.from('e3R', 'base64url')).toEqual(Buffer.from('e3S', 'base64url'))
    expect(() => readToken('e3S.AAAA.AAAA')).toThrow(refusal('a token that is not base64url'))
  })

  test.each([
    ['padding', '=='],
    ['white space', '\n'],
    ['a character of no alphabet', '!'],
  ])('with %s after its signature is refused, not passed over', async (_, suffix) => {
    const token = await es256.sign(payload)
    expect(await read(token + suffix, await ours(es256))).toEqual({ refused: 'a token that is not base64url' })
  })
})

describe('the header', () => {
  test.each([
    ['no JSON', 'hello', 'not JSON'],
    ['a list', '[]', 'a token whose header is not an object'],
    ['null', 'null', 'a token whose header is not an object'],
    ['a text', '"alg"', 'a token whose header is not an object'],
    ['alg twice', '{"alg":"ES256","alg":"none","kid":"a"}', 'JSON with a key twice in one object'],
    ['kid twice, once escaped', '{"alg":"ES256","kid":"a","\\u006bid":"b"}', 'JSON with a key twice in one object'],
    ['nested too deep', `{"alg":${'['.repeat(17)}${']'.repeat(17)}}`, 'JSON nested deeper than 16'],
    ['a byte order mark', '\ufeff{"alg":"ES256","kid":"a"}', 'not JSON'],
  ])('is refused that is %s', (_, header, message) => {
    expect(() => readToken(unsigned(header))).toThrow(refusal(message))
  })

  test.each([
    ['jku', 'https://evil.example/keys'],
    ['x5u', 'https://evil.example/certificate'],
    ['jwk', es256.jwk],
    ['x5c', ['MIIB']],
    ['x5t', 'AAAA'],
    ['x5t#S256', 'AAAA'],
    ['crit', ['exp']],
    ['b64', false],
    ['zip', 'DEF'],
    ['enc', 'A256GCM'],
    ['p2c', 1_000_000_000],
    ['cty', 'JWT'],
    ['__proto__', {}],
    ['constructor', {}],
  ])('is refused with the field %s', (field, value) => {
    const header = `{"alg":"ES256","kid":"a",${JSON.stringify(field)}:${JSON.stringify(value)}}`
    expect(() => readToken(unsigned(header))).toThrow(
      refusal(`a token with the header field "${field}"; only alg, kid and typ are taken`),
    )
  })

  test('is refused without repeating all of a long field’s name', () => {
    expect(() => readToken(unsigned({ alg: 'ES256', kid: 'a', ['x'.repeat(1000)]: 1 }))).toThrow(
      refusal(`a token with the header field "${'x'.repeat(64)}"; only alg, kid and typ are taken`),
    )
  })

  test('is refused although the token that carries its own key is signed by it', async () => {
    const jwks = await ours(es256)
    const evil = await JoseSigner.create('ES256')
    const token = await evil.sign(payload, { kid: es256.jwk.kid, jwk: evil.jwk })
    expect(await read(token, jwks)).toEqual({
      refused: 'a token with the header field "jwk"; only alg, kid and typ are taken',
    })
  })

  test.each([
    ['none', '"none"'],
    ['None', '"None"'],
    ['HS256', '"HS256"'],
    ['HS512', '"HS512"'],
    ['ES256K', '"ES256K"'],
    ['PBES2-HS256+A128KW', '"PBES2-HS256+A128KW"'],
    ['es256', '"es256"'],
    ['', '""'],
    [['ES256'], '["ES256"]'],
    [null, 'null'],
    [undefined, 'nothing'],
    ['x'.repeat(1000), `"${'x'.repeat(63)}`],
  ])('is refused with the algorithm %j', (alg, named) => {
    expect(() => readToken(unsigned({ alg, kid: 'a' }))).toThrow(
      refusal(`a token signed with ${named}; taken are asymmetric signatures only`),
    )
  })

  test.each([[undefined], [''], [null], [1], [['a']], [{}]])('is refused with the kid %j', (kid) => {
    expect(() => readToken(unsigned({ alg: 'ES256', kid }))).toThrow(refusal('a token without a key id (kid)'))
  })

  test.each(['JWT', 'JOSE', undefined])('is taken with the type %j', (typ) => {
    expect(readToken(unsigned({ alg: 'ES256', kid: 'a', typ })).kid).toBe('a')
  })

  test.each(['jwt', 'at+jwt', 'wit+jwt', 'application/jwt', '', null, 1])('is refused with the type %j', (typ) => {
    expect(() => readToken(unsigned({ alg: 'ES256', kid: 'a', typ }))).toThrow(
      refusal('a token of a type other than JWT'),
    )
  })

  test('gives what chooses the key, and the signed text as it stands', () => {
    const token = unsigned({ kid: 'key 1', alg: 'RS256', typ: 'JWT' })
    expect(readToken(token)).toMatchObject({
      algorithm: { name: 'RS256' },
      kid: 'key 1',
      signed: token.slice(0, token.lastIndexOf('.')),
    })
  })
})

describe('the claims', () => {
  const claimsOf = (text: string | Uint8Array) => readClaims({ payload: base64url(text) })

  test('are an object that inherits nothing', () => {
    expect(claimsOf(payload)).toEqual(Object.assign(Object.create(null), claims))
    expect(claimsOf('{}').constructor).toBeUndefined()
  })

  test.each([
    ['no JSON', 'hello', 'not JSON'],
    ['a list', '[]', 'a token whose claims are not an object'],
    ['null', 'null', 'a token whose claims are not an object'],
    ['sub twice', '{"sub":"a","sub":"b"}', 'JSON with a key twice in one object'],
    ['aud twice, once escaped', '{"aud":"a","\\u0061ud":"b"}', 'JSON with a key twice in one object'],
    [
      'a name twice within',
      '{"kubernetes.io":{"namespace":"a","namespace":"b"}}',
      'JSON with a key twice in one object',
    ],
    ['nested too deep', `{"a":${'['.repeat(16)}${']'.repeat(16)}}`, 'JSON nested deeper than 16'],
  ])('are refused that are %s', (_, text, message) => {
    expect(() => claimsOf(text)).toThrow(refusal(message))
  })

  test('are refused that are not base64url', () => {
    expect(() => readClaims({ payload: 'e30=' })).toThrow(refusal('a token that is not base64url'))
  })

  test('are refused that are not UTF-8, rather than read with something in the place of what they say', () => {
    const bytes = Buffer.concat([Buffer.from('{"sub":"'), Buffer.of(0xc0, 0xaf), Buffer.from('"}')])
    expect(() => claimsOf(bytes)).toThrow(expect.objectContaining({ code: 'invalid_argument' }))
  })
})

describe('where jose is content', () => {
  test.each<[string, () => Promise<string>]>([
    ['with a token that has no kid', () => es256.sign(payload, { kid: undefined })],
    ['with another type', () => es256.sign(payload, { typ: 'at+jwt' })],
    ['with a further header field', () => es256.sign(payload, { cty: 'JWT' })],
    ['with a claim twice', () => es256.sign('{"sub":"a","sub":"b"}')],
  ])('%s, we are not', async (_, make) => {
    const token = await make()
    expect(await joseTakes(token, es256.jwks)).toBe(true)
    expect(await read(token, await ours(es256))).toHaveProperty('refused')
  })
})

test('changed in any one character, a token is taken by neither reader, or it is not what an encoder writes', async () => {
  const token = await es256.sign('{"sub":"a"}')
  const jwks = await ours(es256)
  for (let at = 0; at < token.length; at++)
    for (const character of ['A', '_']) {
      if (token[at] === character || token[at] === '.') continue
      const changed = token.slice(0, at) + character + token.slice(at + 1)
      expect(await read(changed, jwks), `character ${at}`).toHaveProperty('refused')
      if (isCanonical(changed)) expect(await joseTakes(changed, es256.jwks), `character ${at}`).toBe(false)
    }
})

describe('verifyToken', () => {
  test('never fails over a signature, whatever its length', async () => {
    const token = readToken(await es256.sign(payload))
    const key = (await ours(es256)).find(token.kid, token.algorithm) as KeyObject
    for (const length of [1, 31, 32, 63, 65, 128, 4000])
      expect(verifyToken({ ...token, signature: base64url(Buffer.alloc(length, 7)) }, key)).toBe(false)
  })

  test('does not take an ECDSA signature in the form of certificates', async () => {
    const token = readToken(await es256.sign(payload))
    const key = (await ours(es256)).find(token.kid, token.algorithm) as KeyObject
    const raw = Buffer.from(token.signature, 'base64url')
    const integer = (bytes: Buffer) => Buffer.concat([Buffer.of(2, 33, 0), bytes])
    const der = Buffer.concat([Buffer.of(0x30, 70), integer(raw.subarray(0, 32)), integer(raw.subarray(32))])
    expect(verifyToken({ ...token, signature: base64url(der) }, key)).toBe(false)
  })
})

function flipped(part: string): string {
  const bytes = Buffer.from(part, 'base64url')
  bytes[0] = (bytes[0] as number) ^ 1
  return bytes.toString('base64url')
}
