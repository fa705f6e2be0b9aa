import { createHmac } from 'node:crypto'
import { describe, expect, test } from 'vitest'
import { MAX_TOKEN_BYTES } from '../../src/jwt/jws.ts'
import { aCa, type CaOptions } from '../_support/a-ca.ts'
import { NEVER, opaque, refusal, withToken } from '../_support/attested.ts'
import { podClaims, TokenSigner } from '../_support/tokens.ts'

const signer = new TokenSigner({ alg: 'ES256' })
type Claims = Record<string, unknown>

/** A CA that knows shop/cart and its pod cart-0, and the claims of a good token for it. */
async function world(options: CaOptions = {}) {
  const ca = await aCa({ signer, ...options })
  const pod = ca.cluster.add({ namespace: 'shop', serviceAccount: 'cart', name: 'cart-0' })
  const good = podClaims({
    issuer: signer.issuer,
    namespace: 'shop',
    serviceAccount: 'cart',
    accountUid: 'uid-of-cart',
    pod,
    now: ca.clock.now(),
  })
  const attest = (token: string) => ca.attest(withToken(token), NEVER)
  return { ca, good, attest, now: ca.clock.now().getTime() / 1000 }
}

const encode = (text: string) => Buffer.from(text).toString('base64url')
const HEADER = { alg: 'ES256', kid: signer.kid }

describe('a good token', () => {
  test('makes its holder the service account it names, bound to its pod, with a lineage of 48 hours', async () => {
    const { good, attest } = await world()
    expect(await attest(signer.signed(good))).toEqual({
      account: { namespace: 'shop', name: 'cart' },
      method: 'service-account-token',
      pod: { name: 'cart-0', uid: 'uid-of-cart-0' },
      lineage: {
        podName: 'cart-0',
        podUid: 'uid-of-cart-0',
        serviceAccountUid: 'uid-of-cart',
        renewableUntil: new Date('2030-01-03T00:00:00Z'),
      },
      onBehalfBy: undefined,
    })
  })

  test('begins a lineage that ends at a whole second', async () => {
    const { ca, good, attest } = await world({ now: '2030-01-01T00:00:00.999Z' })
    const { lineage } = await attest(signer.signed({ ...good, iat: undefined, nbf: undefined }))
    expect(lineage?.renewableUntil).toEqual(new Date('2030-01-03T00:00:00Z'))
    expect(ca.clock.now().getMilliseconds()).toBe(999)
  })

  test('signed with RS256 is as good as one signed with ES256', async () => {
    const rsa = new TokenSigner({ alg: 'RS256' })
    const { good, attest } = await world({ signer: rsa })
    await expect(attest(rsa.signed(good))).resolves.toMatchObject({ account: { name: 'cart' } })
  })

  const taken: Record<string, (good: Claims, now: number) => Claims> = {
    'whose audience is a text': (good) => ({ ...good, aud: 'istio-ca' }),
    'with our audience among others': (good) => ({ ...good, aud: ['api', 'istio-ca', 'vault'] }),
    'with the second of our audiences': (good) => ({ ...good, aud: ['alcazar'] }),
    'without iat and nbf': ({ iat: _iat, nbf: _nbf, ...good }) => good,
    'that expired 59 s ago': (good, now) => ({ ...good, exp: now - 59 }),
    'that begins to be valid in 60 s': (good, now) => ({ ...good, nbf: now + 60 }),
    'issued in 60 s': (good, now) => ({ ...good, iat: now + 60 }),
    'with times that are no whole seconds': (good, now) => ({ ...good, exp: now + 0.5, iat: now - 0.5 }),
    'with claims nobody here knows': (good) => ({ ...good, jti: 7, groups: [{ a: null }] }),
    'that says which node its pod runs on': (good) => ({
      ...good,
      'kubernetes.io': { ...(good['kubernetes.io'] as object), node: { name: 'node-1', uid: 'n' }, warnafter: 1 },
    }),
  }
  test.each(Object.entries(taken))('is one %s', async (_title, change) => {
    const { good, attest, now } = await world({ tokenPolicy: { audiences: ['istio-ca', 'alcazar'] } })
    await expect(attest(signer.signed(change(good, now)))).resolves.toMatchObject({ account: { name: 'cart' } })
  })

  test.each(['JWT', 'JOSE'])('may say that it is of type %s', async (typ) => {
    const { good, attest } = await world()
    await expect(attest(signer.signed(good, { typ }))).resolves.toMatchObject({ account: { name: 'cart' } })
  })

  test('may have 16 KiB and not one byte more', async () => {
    const { good, attest } = await world()
    // Base64url grows in steps, so the two texts pad in different parts.
    const sized = (bytes: number) => {
      for (const typ of [undefined, 'JOSE'])
        for (let pad = 11_000; pad < 12_500; pad++) {
          const token = signer.signed({ ...good, pad: 'x'.repeat(pad) }, { typ })
          if (token.length === bytes) return token
        }
      return expect.fail(`no token of ${bytes} bytes`)
    }
    await expect(attest(sized(MAX_TOKEN_BYTES))).resolves.toMatchObject({ account: { name: 'cart' } })
    const refused = await refusal(attest(sized(MAX_TOKEN_BYTES + 1)))
    expect(refused).toMatchObject(opaque('malformed_token'))
    expect(refused.detail).toContain('at most 16384')
  })
})

type Mistake = [reason: string, make: (good: Claims, now: number) => string]
const claims =
  (change: (good: Claims, now: number) => unknown) =>
  (good: Claims, now: number): string =>
    signer.signed(change(good, now))
const header = (fields: Record<string, unknown>) => (good: Claims) => signer.signed(good, fields)
const kubernetes = (change: Claims) =>
  claims((good) => ({ ...good, 'kubernetes.io': { ...(good['kubernetes.io'] as Claims), ...change } }))
/** Names that agree with each other, in `sub` and in the claims of Kubernetes, and that no cluster has. */
const names = (namespace: string, name: string) =>
  claims((good) => ({
    ...good,
    sub: `system:serviceaccount:${namespace}:${name}`,
    'kubernetes.io': {
      ...(good['kubernetes.io'] as Claims),
      namespace,
      serviceaccount: { name, uid: 'uid-of-cart' },
    },
  }))
const sub = (value: unknown) => claims((good) => ({ ...good, sub: value }))

const forms: Record<string, Mistake> = {
  'that is a word': ['malformed_token', () => 'token'],
  'of two parts': ['malformed_token', (good) => signer.signed(good).split('.').slice(0, 2).join('.')],
  'of four parts': ['malformed_token', (good) => `${signer.signed(good)}.x`],
  'of five parts, as an encrypted one has': ['malformed_token', (good) => `${signer.signed(good)}.x.y`],
  'with an empty signature': ['malformed_token', (good) => signer.signed(good).replace(/[^.]*$/, '')],
  'with an empty payload': ['malformed_token', (good) => signer.signed(good).replace(/\..*\./, '..')],
  'of a thousand dots': ['malformed_token', () => '.'.repeat(1000)],
  'with padded base64': ['malformed_token', (good) => `${signer.signed(good)}==`],
  'in base64 with + and /': ['malformed_token', (good) => `${signer.signed(good)}+/`],
  'with a character beyond ASCII': ['malformed_token', (good) => `${signer.signed(good)}é`],
  'with a zero byte': ['malformed_token', (good) => `${signer.signed(good)}\0`],
  'whose header is no JSON': ['malformed_token', (good) => signer.signedText('alg=ES256', JSON.stringify(good))],
  'whose header is a list': ['malformed_token', (good) => signer.signedText('["ES256"]', JSON.stringify(good))],
  'whose header is null': ['malformed_token', (good) => signer.signedText('null', JSON.stringify(good))],
  'whose header names alg twice': [
    'malformed_token',
    (good) => signer.signedText('{"alg":"none","alg":"ES256","kid":"test-key"}', JSON.stringify(good)),
  ],
  'whose claims are no JSON': ['malformed_token', () => signer.signed('sub=cart')],
  'whose claims are a list': ['malformed_token', () => signer.signed('[]')],
  'whose claims are null': ['malformed_token', () => signer.signed('null')],
  'whose claims are followed by more': ['malformed_token', (good) => signer.signed(`${JSON.stringify(good)}{}`)],
  'whose claims nest a thousand deep': [
    'malformed_token',
    (good) => signer.signed({ ...good, deep: JSON.parse(`${'['.repeat(1000)}${']'.repeat(1000)}`) }),
  ],
  'of 16 KiB of claims that are no claims': ['malformed_token', () => signer.signed('['.repeat(8000))],
}

const headers: Record<string, Mistake> = {
  'with alg none': [
    'malformed_token',
    (good) => `${encode('{"alg":"none","kid":"test-key"}')}.${encode(JSON.stringify(good))}.x`,
  ],
  'with alg none and no signature': [
    'malformed_token',
    (good) => `${encode('{"alg":"none","kid":"test-key"}')}.${encode(JSON.stringify(good))}.`,
  ],
  'with HS256 over the public key': [
    'malformed_token',
    (good) => {
      const signed = `${encode('{"alg":"HS256","kid":"test-key"}')}.${encode(JSON.stringify(good))}`
      return `${signed}.${createHmac('sha256', JSON.stringify(signer.jwks.keys[0])).update(signed).digest('base64url')}`
    },
  ],
  'without alg': ['malformed_token', header({ alg: undefined })],
  'whose alg is a list': ['malformed_token', header({ alg: ['ES256'] })],
  'whose alg is in lower case': ['malformed_token', header({ alg: 'es256' })],
  'whose alg is a name every object has': ['malformed_token', header({ alg: 'constructor' })],
  'whose alg is another curve’s than the key': ['unknown_key', header({ alg: 'ES384' })],
  'whose alg is of another family than the key': ['unknown_key', header({ alg: 'RS256' })],
  'without kid': ['malformed_token', header({ kid: undefined })],
  'with an empty kid': ['malformed_token', header({ kid: '' })],
  'whose kid is a number': ['malformed_token', header({ kid: 1 })],
  'with a kid nobody knows': ['unknown_key', header({ kid: 'other-key' })],
  'whose kid is a name every object has': ['unknown_key', header({ kid: '__proto__' })],
  'of type at+jwt': ['malformed_token', header({ typ: 'at+jwt' })],
  'of type jwt in lower case': ['malformed_token', header({ typ: 'jwt' })],
  'with jku': ['malformed_token', header({ jku: 'https://keys.invalid/jwks' })],
  'with x5u': ['malformed_token', header({ x5u: 'https://keys.invalid/x5u' })],
  'with x5c': ['malformed_token', header({ x5c: ['MIIB'] })],
  'with jwk': ['malformed_token', (good) => signer.signed(good, { jwk: signer.jwks.keys[0] })],
  'with crit': ['malformed_token', header({ crit: ['exp'] })],
  'with an empty crit': ['malformed_token', header({ crit: [] })],
  'with b64 off': ['malformed_token', header({ b64: false })],
  'with zip': ['malformed_token', header({ zip: 'DEF' })],
}

const other = new TokenSigner({ alg: 'ES256' })
const signatures: Record<string, Mistake> = {
  'whose claims were changed after signing': [
    'bad_signature',
    (good) => {
      const [head, , signature] = signer.signed(good).split('.')
      return `${head}.${encode(JSON.stringify({ ...good, exp: 4e9 }))}.${signature}`
    },
  ],
  'whose header was changed after signing': [
    'bad_signature',
    (good) => {
      const [, payload, signature] = signer.signed(good).split('.')
      return `${encode(JSON.stringify({ ...HEADER, typ: 'JWT' }))}.${payload}.${signature}`
    },
  ],
  'signed by another key that goes by the same id': ['bad_signature', (good) => other.signed(good)],
  'with the signature of another good token': [
    'bad_signature',
    (good) => signer.signed(good).replace(/[^.]*$/, signer.signed({ ...good, jti: '2' }).split('.')[2] as string),
  ],
  'whose signature is all zeros (CVE-2022-21449)': [
    'bad_signature',
    (good) => signer.signed(good).replace(/[^.]*$/, Buffer.alloc(64).toString('base64url')),
  ],
  'whose signature lost its last byte': [
    'bad_signature',
    (good) =>
      signer
        .signed(good)
        .replace(/[^.]*$/, (text) => Buffer.from(text, 'base64url').subarray(0, 63).toString('base64url')),
  ],
  'whose signature has a byte more': [
    'bad_signature',
    (good) =>
      signer
        .signed(good)
        .replace(/[^.]*$/, (text) =>
          Buffer.concat([Buffer.from(text, 'base64url'), Buffer.of(0)]).toString('base64url'),
        ),
  ],
}

const issuers: Record<string, Mistake> = {
  'without iss': ['wrong_issuer', claims(({ iss: _iss, ...good }) => good)],
  'of another issuer': ['wrong_issuer', claims((good) => ({ ...good, iss: 'https://other.invalid' }))],
  'of our issuer with a slash more': ['wrong_issuer', claims((good) => ({ ...good, iss: `${signer.issuer}/` }))],
  'of our issuer in capitals': ['wrong_issuer', claims((good) => ({ ...good, iss: signer.issuer.toUpperCase() }))],
  'whose iss is a list with our issuer': ['wrong_issuer', claims((good) => ({ ...good, iss: [signer.issuer] }))],
  'of the issuer of old secrets': ['wrong_issuer', claims((good) => ({ ...good, iss: 'kubernetes/serviceaccount' }))],
}

const audiences: Record<string, Mistake> = {
  'without aud': ['wrong_audience', claims(({ aud: _aud, ...good }) => good)],
  'for another audience': ['wrong_audience', claims((good) => ({ ...good, aud: ['vault'] }))],
  'for nobody': ['wrong_audience', claims((good) => ({ ...good, aud: [] }))],
  'for an empty audience': ['wrong_audience', claims((good) => ({ ...good, aud: '' }))],
  'for an audience that begins with ours': ['wrong_audience', claims((good) => ({ ...good, aud: ['istio-ca-2'] }))],
  'for our audience in capitals': ['wrong_audience', claims((good) => ({ ...good, aud: ['ISTIO-CA'] }))],
  'for our audience and a space': ['wrong_audience', claims((good) => ({ ...good, aud: 'istio-ca ' }))],
  'whose aud is nested lists': ['wrong_audience', claims((good) => ({ ...good, aud: [['istio-ca']] }))],
  'whose aud is an object': ['wrong_audience', claims((good) => ({ ...good, aud: { 0: 'istio-ca', length: 1 } }))],
  'whose aud is a number': ['wrong_audience', claims((good) => ({ ...good, aud: 7 }))],
  'whose aud is null': ['wrong_audience', claims((good) => ({ ...good, aud: null }))],
  'whose aud is a list of our audience and a number': [
    'wrong_audience',
    claims((good) => ({ ...good, aud: ['istio-ca', 7] })),
  ],
}

const times: Record<string, Mistake> = {
  'without an end, as secrets of old held them': ['no_expiry', claims(({ exp: _exp, ...good }) => good)],
  'that expired 60 s ago': ['expired', claims((good, now) => ({ ...good, exp: now - 60 }))],
  'that expired 61 s ago': ['expired', claims((good, now) => ({ ...good, exp: now - 61 }))],
  'that expired in 1970': ['expired', claims((good) => ({ ...good, exp: 0 }))],
  'that expired before there was time': ['expired', claims((good) => ({ ...good, exp: -1e300 }))],
  'whose exp is a text': ['malformed_token', claims((good) => ({ ...good, exp: '4000000000' }))],
  'whose exp is null': ['malformed_token', claims((good) => ({ ...good, exp: null }))],
  'whose exp is true': ['malformed_token', claims((good) => ({ ...good, exp: true }))],
  'whose exp is NaN': [
    'malformed_token',
    (good) => signer.signed(JSON.stringify({ ...good, exp: 0 }).replace('"exp":0', '"exp":NaN')),
  ],
  'whose exp is beyond every number': [
    'malformed_token',
    (good) => signer.signed(JSON.stringify({ ...good, exp: 0 }).replace('"exp":0', '"exp":1e999')),
  ],
  'that begins to be valid in 61 s': ['not_yet_valid', claims((good, now) => ({ ...good, nbf: now + 61 }))],
  'issued in 61 s': ['not_yet_valid', claims((good, now) => ({ ...good, iat: now + 61 }))],
  'issued at the end of all time': ['not_yet_valid', claims((good) => ({ ...good, iat: 1e300 }))],
  'whose nbf is a text': ['malformed_token', claims((good) => ({ ...good, nbf: '0' }))],
  'whose iat is null': ['malformed_token', claims((good) => ({ ...good, iat: null }))],
}

const twice = (name: string) => (good: Claims) =>
  signer.signed(`${JSON.stringify(good).slice(0, -1)},"${name}":${JSON.stringify(good[name])}}`)
const duplicates: Record<string, Mistake> = {
  ...Object.fromEntries(
    ['sub', 'aud', 'iss', 'exp', 'kubernetes.io'].map((name): [string, Mistake] => [
      `that names ${name} twice`,
      ['malformed_token', twice(name)],
    ]),
  ),
  'that names sub twice, once with an escape': [
    'malformed_token',
    (good) => signer.signed(`{"s\\u0075b":"system:serviceaccount:shop:admin",${JSON.stringify(good).slice(1)}`),
  ],
  'that names the namespace twice in the claims of Kubernetes': [
    'malformed_token',
    (good) =>
      signer.signed(JSON.stringify(good).replace('"namespace":"shop"', '"namespace":"bank","namespace":"shop"')),
  ],
}

const subjects: Record<string, Mistake> = {
  'without sub': ['not_a_service_account', sub(undefined)],
  'whose sub is a list': ['not_a_service_account', sub(['system:serviceaccount:shop:cart'])],
  'whose sub is empty': ['not_a_service_account', sub('')],
  'whose sub has three parts': ['not_a_service_account', sub('system:serviceaccount:shop')],
  'whose sub has five parts': ['not_a_service_account', sub('system:serviceaccount:shop:cart:x')],
  'whose sub ends with a colon': ['not_a_service_account', sub('system:serviceaccount:shop:cart:')],
  'whose sub names no namespace': ['not_a_service_account', sub('system:serviceaccount::cart')],
  'whose sub names no account': ['not_a_service_account', sub('system:serviceaccount:shop:')],
  'of a node': ['not_a_service_account', sub('system:node:shop:cart')],
  'whose prefix is in capitals': ['not_a_service_account', sub('System:ServiceAccount:shop:cart')],
  'whose prefix is the group of accounts': ['not_a_service_account', sub('system:serviceaccounts:shop:cart')],
  'whose sub begins with a space': ['not_a_service_account', sub(' system:serviceaccount:shop:cart')],
  'whose sub has something before the prefix': ['not_a_service_account', sub('x:system:serviceaccount:shop:cart')],
  'of another account than the claims of Kubernetes say': [
    'not_a_service_account',
    sub('system:serviceaccount:shop:admin'),
  ],
  'of another namespace than the claims of Kubernetes say': [
    'not_a_service_account',
    sub('system:serviceaccount:bank:cart'),
  ],
  'with capitals in the namespace': ['not_a_service_account', names('Shop', 'cart')],
  'with capitals in the account': ['not_a_service_account', names('shop', 'Cart')],
  'with a letter that only looks like one of ASCII': ['not_a_service_account', names('shop', 'c\u0430rt')],
  'with a namespace of 64 characters': ['not_a_service_account', names('n'.repeat(64), 'cart')],
  'with an account of 254 characters': ['not_a_service_account', names('shop', 'a'.repeat(254))],
  'with a dot in the namespace': ['not_a_service_account', names('shop.eu', 'cart')],
  'whose account is two dots': ['not_a_service_account', names('shop', '..')],
  'whose account climbs up a path': ['not_a_service_account', names('shop', '../../bank/sa/teller')],
  'with a slash in the account': ['not_a_service_account', names('shop', 'cart/x')],
  'with a percent sign in the account': ['not_a_service_account', names('shop', 'cart%2fx')],
  'with an underscore in the account': ['not_a_service_account', names('shop', 'my_cart')],
  'with a dash at the end of the account': ['not_a_service_account', names('shop', 'cart-')],
  'with a line end after the account': ['not_a_service_account', names('shop', 'cart\n')],
  'with a space in the account': ['not_a_service_account', names('shop', 'my cart')],
}

const kubernetesClaims: Record<string, Mistake> = {
  'without the claims of Kubernetes': [
    'not_a_service_account',
    claims((good) => ({ ...good, 'kubernetes.io': undefined })),
  ],
  'whose claims of Kubernetes are null': [
    'not_a_service_account',
    claims((good) => ({ ...good, 'kubernetes.io': null })),
  ],
  'whose claims of Kubernetes are a list': [
    'not_a_service_account',
    claims((good) => ({ ...good, 'kubernetes.io': [good['kubernetes.io']] })),
  ],
  'whose claims of Kubernetes name another namespace': ['not_a_service_account', kubernetes({ namespace: 'bank' })],
  'whose claims of Kubernetes name no namespace': ['not_a_service_account', kubernetes({ namespace: undefined })],
  'whose claims of Kubernetes name no account': ['not_a_service_account', kubernetes({ serviceaccount: undefined })],
  'whose claims of Kubernetes name the account as a text': [
    'not_a_service_account',
    kubernetes({ serviceaccount: 'cart' }),
  ],
  'whose claims of Kubernetes name another account': [
    'not_a_service_account',
    kubernetes({ serviceaccount: { name: 'admin', uid: 'uid-of-cart' } }),
  ],
  'whose account has no UID': ['not_a_service_account', kubernetes({ serviceaccount: { name: 'cart' } })],
  'whose account has a number as UID': [
    'not_a_service_account',
    kubernetes({ serviceaccount: { name: 'cart', uid: 7 } }),
  ],
  'whose account has an empty UID': [
    'not_a_service_account',
    kubernetes({ serviceaccount: { name: 'cart', uid: '' } }),
  ],
  'whose account has a UID of 65 characters': [
    'not_a_service_account',
    kubernetes({ serviceaccount: { name: 'cart', uid: 'u'.repeat(65) } }),
  ],
  'whose account has a UID with a space': [
    'not_a_service_account',
    kubernetes({ serviceaccount: { name: 'cart', uid: 'uid of cart' } }),
  ],
  'whose pod is null': ['malformed_token', kubernetes({ pod: null })],
  'whose pod is a text': ['malformed_token', kubernetes({ pod: 'cart-0' })],
  'whose pod has no UID': ['malformed_token', kubernetes({ pod: { name: 'cart-0' } })],
  'whose pod has no name': ['malformed_token', kubernetes({ pod: { uid: 'uid-of-cart-0' } })],
  'whose pod has a name with a slash': ['malformed_token', kubernetes({ pod: { name: '../x', uid: 'uid-of-cart-0' } })],
  'whose pod has a UID that is a list': [
    'malformed_token',
    kubernetes({ pod: { name: 'cart-0', uid: ['uid-of-cart-0'] } }),
  ],
}

describe.each([
  ['form', forms],
  ['header', headers],
  ['signature', signatures],
  ['issuer', issuers],
  ['audience', audiences],
  ['times', times],
  ['duplicate names', duplicates],
  ['subject', subjects],
  ['claims of Kubernetes', kubernetesClaims],
])('by its %s', (_part, mistakes) => {
  test.each(Object.entries(mistakes))('refuses a token %s', async (_title, [reason, make]) => {
    const { ca, good, attest, now } = await world()
    // Whoever would be asked about it would say yes.
    ca.cluster.review = () => ({
      authenticated: true,
      username: 'system:serviceaccount:shop:cart',
      audiences: ['istio-ca'],
    })
    expect(await refusal(attest(make(good, now)))).toMatchObject(opaque(reason))
    expect(ca.cluster.asked).toEqual([])
  })
})

test('a refusal keeps neither the token nor its signature', async () => {
  const { good, attest } = await world()
  const token = signer.signed({ ...good, aud: 'vault' })
  const { message, detail } = await refusal(attest(token))
  for (const part of token.split('.')) expect(`${message} ${detail}`).not.toContain(part)
})
