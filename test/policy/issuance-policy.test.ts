import { describe, expect, test } from 'vitest'
import { attestedCaller, type Caller } from '../../src/attestation/caller.ts'
import { DAY, HOUR, SECOND } from '../../src/core/duration.ts'
import { type KeyAlgorithmName, keyAlgorithm } from '../../src/keys/algorithms.ts'
import { PrivateKey } from '../../src/keys/private-key.ts'
import { checkKeyAllowed, entitlementOf, type IssuancePolicy } from '../../src/policy/issuance-policy.ts'
import { TrustDomain } from '../../src/spiffe/trust-domain.ts'

const policy = (change: Partial<IssuancePolicy> = {}): IssuancePolicy => ({
  trustDomain: TrustDomain.parse('cluster.local'),
  defaultTtlMs: 24 * HOUR,
  maxTtlMs: 90 * DAY,
  experimental: false,
  ...change,
})

const caller = (change: Partial<Caller> = {}): Caller =>
  attestedCaller({
    account: { namespace: 'shop', name: 'cart' },
    method: 'service-account-token',
    pod: undefined,
    lineage: undefined,
    onBehalfBy: undefined,
    svid: undefined,
    ...change,
  })

describe('the identity a caller is entitled to', () => {
  test('is its service account’s in our trust domain', () => {
    expect(entitlementOf(caller(), 0, policy()).id.uri).toBe('spiffe://cluster.local/ns/shop/sa/cart')
    expect(entitlementOf(caller(), 0, policy({ trustDomain: TrustDomain.parse('prod.example.org') })).id.uri).toBe(
      'spiffe://prod.example.org/ns/shop/sa/cart',
    )
  })

  test('is that of the account it asks on behalf of, not that of the proxy', () => {
    const onBehalf = caller({ method: 'impersonation', onBehalfBy: { namespace: 'istio-system', name: 'ztunnel' } })
    expect(entitlementOf(onBehalf, 0, policy()).id.uri).toBe('spiffe://cluster.local/ns/shop/sa/cart')
  })

  test('keeps the dots and dashes that an account’s name may have', () => {
    const dotted = caller({ account: { namespace: 'shop-eu', name: 'cart.v2-blue' } })
    expect(entitlementOf(dotted, 0, policy()).id.uri).toBe('spiffe://cluster.local/ns/shop-eu/sa/cart.v2-blue')
  })

  test.each([
    ['a slash', 'cart/../admin'],
    ['nothing', ''],
    ['two dots', '..'],
    ['a percent sign', 'c%61rt'],
  ])('is none at all for an account whose name is or has %s', (_what, name) => {
    expect(() => entitlementOf(caller({ account: { namespace: 'shop', name } }), 0, policy())).toThrow(
      expect.objectContaining({ code: 'invalid_argument' }),
    )
  })
})

describe('the lifetime a caller is entitled to', () => {
  test.each([
    ['nothing was asked for', 0, 24 * HOUR],
    ['less than nothing was asked for', -1, 24 * HOUR],
    ['as much less than nothing as there is', Number.MIN_SAFE_INTEGER, 24 * HOUR],
    ['a second was asked for', SECOND, SECOND],
    ['the default was asked for', 24 * HOUR, 24 * HOUR],
    ['the maximum was asked for', 90 * DAY, 90 * DAY],
  ])('when %s', (_what, asked, ttlMs) => {
    expect(entitlementOf(caller(), asked, policy()).ttlMs).toBe(ttlMs)
  })

  test.each([1, SECOND, 910 * DAY, Number.MAX_SAFE_INTEGER - 90 * DAY])(
    'is refused, not cut short, when %i ms more than the maximum were asked for',
    (more) => {
      expect(() => entitlementOf(caller(), 90 * DAY + more, policy())).toThrow(
        expect.objectContaining({
          code: 'invalid_argument',
          message: expect.stringMatching(
            /at most 90 days \(svid\.maxTtl\), and 0 means 24 h \(svid\.defaultTtl\)$/,
          ) as string,
        }),
      )
    },
  )

  test('follows the admin’s default and maximum', () => {
    const short = policy({ defaultTtlMs: HOUR, maxTtlMs: 2 * HOUR })
    expect(entitlementOf(caller(), 0, short).ttlMs).toBe(HOUR)
    expect(entitlementOf(caller(), 2 * HOUR, short).ttlMs).toBe(2 * HOUR)
    expect(() => entitlementOf(caller(), 2 * HOUR + SECOND, short)).toThrow(
      'at most 2 h (svid.maxTtl), and 0 means 60 min (svid.defaultTtl)',
    )
  })
})

describe('the kind of key', () => {
  const key = async (name: KeyAlgorithmName) => (await PrivateKey.generate(keyAlgorithm(name))).publicKey

  test.each(['ecdsa-p256', 'ecdsa-p384', 'ecdsa-p521', 'ed25519', 'rsa-2048'] as const)(
    '%s is certified everywhere',
    async (name) => {
      expect(checkKeyAllowed(await key(name), policy()).name).toBe(name)
    },
  )

  test.each(['ml-dsa-44', 'ml-dsa-65', 'ml-dsa-87'] as const)(
    '%s is certified only where experiments are',
    async (name) => {
      const publicKey = await key(name)
      expect(() => checkKeyAllowed(publicKey, policy())).toThrow(
        expect.objectContaining({ code: 'bad_csr', message: expect.stringContaining('--experimental') as string }),
      )
      expect(checkKeyAllowed(publicKey, policy({ experimental: true })).name).toBe(name)
    },
  )
})

test('an attested caller can’t be changed on its way', () => {
  expect(Object.isFrozen(caller())).toBe(true)
})
