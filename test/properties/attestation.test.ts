import fc from 'fast-check'
import { expect, test } from 'vitest'
import { type Caller, refusalOf } from '../../src/attestation/caller.ts'
import { CaError } from '../../src/core/errors.ts'
import { aCa } from '../_support/a-ca.ts'
import { anyCharacter } from '../_support/any-character.ts'
import { NEVER, withToken } from '../_support/attested.ts'
import { aSvid } from '../_support/svids.ts'
import { podClaims, TokenSigner } from '../_support/tokens.ts'

const signer = new TokenSigner({ alg: 'ES256' })
const MESSAGES = {
  unauthenticated: ['request authenticate failure', 'request impersonation authentication failure'],
  dependency_unavailable: ['the cluster can’t be asked now', 'the keys of service-account tokens can’t be fetched now'],
}

/** What came of an attempt. Anything but a caller or one of the two refusals fails the property. */
async function outcomeOf(attempt: Promise<Caller>): Promise<Caller | 'refused'> {
  try {
    return await attempt
  } catch (error) {
    if (!(error instanceof CaError) || (error.code !== 'unauthenticated' && error.code !== 'dependency_unavailable'))
      throw error
    expect(MESSAGES[error.code]).toContain(error.message)
    if (error.code === 'unauthenticated') expect(refusalOf(error)?.reason).toBeDefined()
    return 'refused'
  }
}

/** A CA whose cluster runs cart-0 of shop/cart, which may ask on behalf of its node’s pods. */
async function world() {
  const ca = await aCa({ signer, trustedNodeAccounts: [{ namespace: 'shop', name: 'cart' }] })
  ca.cluster.add({ namespace: 'shop', serviceAccount: 'cart', name: 'cart-0' })
  return ca
}

const START = new Date('2030-01-01T00:00:00Z')
const NOW = START.getTime() / 1000
const GOOD = podClaims({
  issuer: signer.issuer,
  namespace: 'shop',
  serviceAccount: 'cart',
  accountUid: 'uid-of-cart',
  pod: { name: 'cart-0', uid: 'uid-of-cart-0', node: 'node-1' },
  now: START,
})

const weird = fc.oneof(
  fc.jsonValue({ maxDepth: 4 }),
  fc.constantFrom('', '__proto__', 'constructor', -1, 0, 1e300, -1e300, 2 ** 53, null, [], {}, [[]], true),
)
/** Absent, right, nearly right or anything at all. */
const claim = (right: unknown, ...near: unknown[]) =>
  fc.oneof(
    { weight: 6, arbitrary: fc.constant(right) },
    { weight: 1, arbitrary: fc.constant(undefined) },
    { weight: 2, arbitrary: fc.constantFrom(right, ...near) },
    { weight: 1, arbitrary: weird },
  )
const name = (right: string) =>
  claim(
    right,
    right.toUpperCase(),
    `${right}.`,
    `${right}-`,
    `-${right}`,
    `${right}:x`,
    `${right}/x`,
    ` ${right}`,
    '..',
  )

/** An object may have a `toString` that is none. */
const asText = (part: unknown) => (typeof part === 'string' ? part : JSON.stringify(part))

const claims = fc.record({
  iss: claim(signer.issuer, `${signer.issuer}/`, [signer.issuer]),
  aud: claim(['istio-ca'], 'istio-ca', ['other'], ['other', 'istio-ca'], [['istio-ca']], ['istio-ca', 1], 'ISTIO-CA'),
  exp: claim(NOW + 3600, NOW - 59, NOW - 60, NOW - 61, String(NOW + 3600), Number.MAX_SAFE_INTEGER),
  nbf: claim(NOW, NOW + 60, NOW + 61, String(NOW)),
  iat: claim(NOW, NOW + 60, NOW + 61, null),
  sub: fc.oneof(
    claim(
      'system:serviceaccount:shop:cart',
      'system:serviceaccount:shop',
      'system:serviceaccount:shop:cart:',
      'system:serviceaccount:shop:admin',
      'system:serviceaccount:bank:cart',
      'system:node:shop:cart',
    ),
    fc
      .tuple(name('shop'), name('cart'))
      .map(([namespace, account]) => `system:serviceaccount:${asText(namespace)}:${asText(account)}`),
  ),
  'kubernetes.io': claim(GOOD['kubernetes.io'], [GOOD['kubernetes.io']]).chain((whole) =>
    fc.oneof(
      fc.constant(whole),
      fc.record({
        namespace: name('shop'),
        serviceaccount: fc.oneof(
          claim({ name: 'cart', uid: 'uid-of-cart' }),
          fc.record({ name: name('cart'), uid: claim('uid-of-cart', 'u', '') }),
        ),
        pod: fc.oneof(
          claim({ name: 'cart-0', uid: 'uid-of-cart-0' }),
          fc.record({ name: name('cart-0'), uid: claim('uid-of-cart-0', 'uid-of-another', 'u'.repeat(65)) }),
        ),
        node: claim(undefined, { name: 'node-1', uid: 'n' }, null),
        secret: claim(undefined, { name: 's', uid: 's' }),
      }),
    ),
  ),
})

/** What may be said of a token that was taken, written down without looking at how it is checked. */
function isOfCart(token: Record<string, unknown>): boolean {
  const { iss, aud, exp, nbf, iat, sub } = token
  const kubernetes = token['kubernetes.io'] as Record<string, Record<string, unknown>>
  return (
    iss === signer.issuer &&
    [aud].flat().includes('istio-ca') &&
    typeof exp === 'number' &&
    exp > NOW - 60 &&
    [nbf, iat].every((time) => time === undefined || (typeof time === 'number' && time <= NOW + 60)) &&
    sub === 'system:serviceaccount:shop:cart' &&
    (kubernetes.namespace as unknown) === 'shop' &&
    kubernetes.serviceaccount?.name === 'cart'
  )
}

test('whatever claims the cluster signs, the caller is the account they name by every rule, or nobody', async () => {
  const ca = await world()
  let taken = 0
  await fc.assert(
    fc.asyncProperty(claims, fc.boolean(), async (token, down) => {
      ca.cluster.down = down
      const caller = await outcomeOf(ca.attest(withToken(signer.signed(token)), NEVER))
      if (caller === 'refused') return
      taken++
      expect(JSON.parse(JSON.stringify(token))).toSatisfy(isOfCart)
      expect(caller.account).toEqual({ namespace: 'shop', name: 'cart' })
      const pod = (token['kubernetes.io'] as { pod?: object }).pod
      expect(caller.pod).toEqual(pod && { name: 'cart-0', uid: 'uid-of-cart-0' })
      expect(caller.lineage?.podUid).toBe(caller.pod?.uid)
    }),
    { numRuns: 2000 },
  )
  // Else the arbitraries have come so far from good tokens that nothing is proved.
  expect(taken).toBeGreaterThan(20)
})

test('any JSON at all as claims gives a refusal, and any text at all as a token', async () => {
  const ca = await world()
  await fc.assert(
    fc.asyncProperty(
      fc.oneof(
        fc.jsonValue().map((value) => signer.signed(JSON.stringify(value))),
        fc.string({ unit: anyCharacter, maxLength: 400 }).map((text) => signer.signed(text)),
        fc.string({ unit: anyCharacter, maxLength: 400 }),
        fc.array(fc.base64String({ maxLength: 80 }), { maxLength: 6 }).map((parts) => parts.join('.')),
      ),
      async (token) => {
        expect(await outcomeOf(ca.attest(withToken(token), NEVER))).toBe('refused')
      },
    ),
    { numRuns: 1000 },
  )
})

test('whatever the header says beside its two fields, the token is refused', async () => {
  const ca = await world()
  const field = fc.oneof(
    fc.constantFrom('jku', 'x5u', 'x5c', 'x5t', 'jwk', 'crit', 'b64', 'zip', 'enc', 'cty', 'p2c', '__proto__', 'ALG'),
    fc.string({ maxLength: 8 }),
  )
  await fc.assert(
    fc.asyncProperty(field, fc.jsonValue(), async (name, value) => {
      fc.pre(!['alg', 'kid', 'typ'].includes(name))
      const header = `{"alg":"ES256","kid":"test-key",${JSON.stringify(name)}:${JSON.stringify(value)}}`
      const token = signer.signedText(header, JSON.stringify(GOOD))
      expect(await outcomeOf(ca.attest(withToken(token), NEVER))).toBe('refused')
    }),
    { numRuns: 500 },
  )
})

test('whatever alg, kid and typ are, only the right ones are taken', async () => {
  const ca = await world()
  const header = fc.record({
    alg: claim('ES256', 'none', 'HS256', 'RS256', 'ES384', 'PS256', 'EdDSA', 'es256'),
    kid: claim('test-key', 'TEST-KEY', 'test-key ', 'constructor'),
    typ: fc.oneof(fc.constant(undefined), fc.constantFrom('JWT', 'JOSE'), weird),
  })
  await fc.assert(
    fc.asyncProperty(header, async (fields) => {
      const right =
        fields.alg === 'ES256' && fields.kid === 'test-key' && [undefined, 'JWT', 'JOSE'].includes(fields.typ as never)
      const outcome = await outcomeOf(ca.attest(withToken(signer.signed(GOOD, fields)), NEVER))
      expect(outcome !== 'refused').toBe(right)
    }),
    { numRuns: 500 },
  )
})

test('no other text passes for a good token: one character changed, dropped or added anywhere', async () => {
  const ca = await world()
  const good = signer.signed(GOOD)
  await expect(ca.attest(withToken(good), NEVER)).resolves.toMatchObject({ account: { name: 'cart' } })
  await fc.assert(
    fc.asyncProperty(
      fc.nat(good.length - 1),
      fc.string({ unit: 'grapheme', minLength: 0, maxLength: 2 }),
      fc.nat(1),
      async (at, insert, drop) => {
        const changed = good.slice(0, at) + insert + good.slice(at + drop)
        fc.pre(changed !== good)
        expect(await outcomeOf(ca.attest(withToken(changed), NEVER))).toBe('refused')
      },
    ),
    { numRuns: 1000 },
  )
})

test('whoever asks on behalf of anything at all gets an account of ours, or one refusal', async () => {
  const ca = await world()
  const token = signer.signed(GOOD)
  const requested = fc.oneof(
    fc.constant('spiffe://cluster.local/ns/shop/sa/cart'),
    fc.string({ unit: anyCharacter, maxLength: 100 }),
    fc.webUrl(),
    fc
      .tuple(name('cluster.local'), name('ns'), name('shop'), name('sa'), name('cart'))
      .map((parts) => `spiffe://${parts.map(asText).join('/')}`),
  )
  await fc.assert(
    fc.asyncProperty(requested, async (identity) => {
      const outcome = await outcomeOf(ca.attest(withToken(token, identity), NEVER))
      expect(outcome !== 'refused').toBe(identity === 'spiffe://cluster.local/ns/shop/sa/cart')
    }),
    { numRuns: 1000 },
  )
})

test('no other bytes pass for a good client certificate', async () => {
  const ca = await world()
  const active = ca.keeper.active.get()
  if (!active) return expect.fail('no active authority')
  const good = await aSvid({
    signer: active.signer,
    issuer: active.authority.certificate,
    now: ca.clock.now(),
    lineage: {
      podName: 'cart-0',
      podUid: 'uid-of-cart-0',
      serviceAccountUid: 'uid-of-cart',
      renewableUntil: new Date('2030-01-03T00:00:00Z'),
    },
  })
  const attest = (clientCertificate: Uint8Array) =>
    ca.attest({ authorization: [], clientCertificate, impersonatedIdentity: undefined }, NEVER)
  await expect(attest(good)).resolves.toMatchObject({ account: { name: 'cart' } })
  await fc.assert(
    fc.asyncProperty(
      fc.nat(good.length - 1),
      fc.integer({ min: 1, max: 255 }),
      fc.constantFrom('flip', 'drop', 'add'),
      async (at, bits, how) => {
        const byte = good[at] as number
        const changed = Buffer.concat([
          good.subarray(0, at),
          how === 'flip' ? Buffer.of(byte ^ bits) : how === 'add' ? Buffer.of(bits, byte) : Buffer.alloc(0),
          good.subarray(at + 1),
        ])
        expect(await outcomeOf(attest(changed))).toBe('refused')
      },
    ),
    { numRuns: 1500 },
  )
})
