import { describe, expect, test } from 'vitest'
import { REFUSALS } from '../../src/spiffe/refusals.ts'
import { SpiffeId, serviceAccountId, serviceAccountOf } from '../../src/spiffe/spiffe-id.ts'
import { TrustDomain } from '../../src/spiffe/trust-domain.ts'

/** SPIFFE-ID §2.2, written out again so that it can disagree. */
const ALLOWED = new Set('abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_')
const BYTES = Array.from({ length: 256 }, (_, byte) => byte)

const refusal = (message: string) => expect.objectContaining({ code: 'invalid_argument', message })
const domain = TrustDomain.parse('cluster.local')

describe('every byte', () => {
  test.each([
    ['alone in the only segment', (c: string) => `/${c}`],
    ['alone in the first segment', (c: string) => `/${c}/b`],
    ['alone in a middle segment', (c: string) => `/a/${c}/b`],
    ['alone in the last segment', (c: string) => `/a/${c}`],
    ['first in the only segment', (c: string) => `/${c}abc`],
    ['in the middle of the only segment', (c: string) => `/a${c}c`],
    ['last in the only segment', (c: string) => `/abc${c}`],
    ['first in a middle segment', (c: string) => `/ns/${c}abc/sa`],
    ['in the middle of a middle segment', (c: string) => `/ns/ab${c}c/sa`],
    ['last in a middle segment', (c: string) => `/ns/abc${c}/sa`],
    ['first in the last segment', (c: string) => `/ns/${c}abc`],
    ['last in the last segment', (c: string) => `/ns/abc${c}`],
  ])('%s is taken if the specification lists it and refused otherwise', (_, place) => {
    for (const byte of BYTES) {
      const character = String.fromCharCode(byte)
      const uri = `spiffe://cluster.local${place(character)}`
      // What a slash or a dot alone means has tests of its own.
      if (character === '/' || place(character).split('/').includes('.')) continue
      if (ALLOWED.has(character)) expect(SpiffeId.parse(uri).uri).toBe(uri)
      else expect(() => SpiffeId.parse(uri), `byte ${byte}`).toThrow(refusal(REFUSALS.pathCharacter))
    }
  })

  test('in the trust domain of an ID is taken if the specification lists it and refused otherwise', () => {
    const allowed = new Set('abcdefghijklmnopqrstuvwxyz0123456789.-_/')
    for (const byte of BYTES) {
      const character = String.fromCharCode(byte)
      const uri = `spiffe://a${character}b/sa`
      if (allowed.has(character)) expect(SpiffeId.parse(uri).uri).toBe(uri)
      else expect(() => SpiffeId.parse(uri), `byte ${byte}`).toThrow(refusal(REFUSALS.trustDomainCharacter))
    }
  })

  test('given as a segment is refused unless listed; a slash is no way to smuggle in another segment', () => {
    for (const byte of BYTES) {
      const character = String.fromCharCode(byte)
      if (ALLOWED.has(character)) expect(SpiffeId.of(domain, ['ns', `a${character}b`]).path).toBe(`/ns/a${character}b`)
      else
        expect(() => SpiffeId.of(domain, ['ns', `a${character}b`]), `byte ${byte}`).toThrow(
          refusal(REFUSALS.pathCharacter),
        )
    }
  })
})

describe('the path', () => {
  test.each([
    ['spiffe://cluster.local', REFUSALS.noPath],
    ['spiffe://cluster.local/', REFUSALS.noPath],
    ['spiffe://cluster.local//', REFUSALS.emptySegment],
    ['spiffe://cluster.local//a', REFUSALS.emptySegment],
    ['spiffe://cluster.local/a//b', REFUSALS.emptySegment],
    ['spiffe://cluster.local/a/', REFUSALS.trailingSlash],
    ['spiffe://cluster.local/.', REFUSALS.dotSegment],
    ['spiffe://cluster.local/..', REFUSALS.dotSegment],
    ['spiffe://cluster.local/./a', REFUSALS.dotSegment],
    ['spiffe://cluster.local/a/../b', REFUSALS.dotSegment],
    ['spiffe://cluster.local/a/..', REFUSALS.dotSegment],
    ['spiffe://cluster.local/a?b', REFUSALS.pathCharacter],
    ['spiffe://cluster.local/a#b', REFUSALS.pathCharacter],
    ['spiffe://cluster.local/a%62', REFUSALS.pathCharacter],
    ['spiffe://cluster.local/a%2Fb', REFUSALS.pathCharacter],
    ['spiffe://cluster.local/ns/ünter', REFUSALS.pathCharacter],
    ['spiffe://cluster.local/a\u2024', REFUSALS.pathCharacter], // ONE DOT LEADER, which NFKC makes a dot
    ['spiffe://cluster.local/a\\b', REFUSALS.pathCharacter],
  ])('of %j is refused', (uri, message) => {
    expect(() => SpiffeId.parse(uri)).toThrow(refusal(message))
  })

  test.each(['/...', '/.a', '/a.', '/..a', '/-', '/_', '/A', '/ns/a/sa/b/pod/c'])('may be %s', (path) => {
    expect(SpiffeId.parse(`spiffe://cluster.local${path}`).path).toBe(path)
  })

  test('is told apart by case', () => {
    expect(SpiffeId.parse('spiffe://td/A').uri).toBe('spiffe://td/A')
  })

  test.each([
    [[], REFUSALS.noPath],
    [[''], REFUSALS.noPath],
    [['', 'a'], REFUSALS.emptySegment],
    [['a', '', 'b'], REFUSALS.emptySegment],
    [['a', ''], REFUSALS.trailingSlash],
    [['.'], REFUSALS.dotSegment],
    [['a', '..', 'b'], REFUSALS.dotSegment],
  ])('cannot be made of %j', (segments, message) => {
    expect(() => SpiffeId.of(domain, segments)).toThrow(refusal(message))
  })
})

describe('before the path', () => {
  test.each([
    ['', REFUSALS.scheme],
    ['cluster.local/a', REFUSALS.scheme],
    ['SPIFFE://cluster.local/a', REFUSALS.scheme],
    ['Spiffe://cluster.local/a', REFUSALS.scheme],
    ['https://cluster.local/a', REFUSALS.scheme],
    ['spiffe:/cluster.local/a', REFUSALS.scheme],
    ['spiffe:cluster.local/a', REFUSALS.scheme],
    [' spiffe://cluster.local/a', REFUSALS.scheme],
    ['spiffe://', REFUSALS.trustDomainMissing],
    ['spiffe:///a', REFUSALS.trustDomainMissing],
    ['spiffe://user@cluster.local/a', REFUSALS.trustDomainCharacter],
    ['spiffe://user:password@cluster.local/a', REFUSALS.trustDomainCharacter],
    ['spiffe://cluster.local:443/a', REFUSALS.trustDomainCharacter],
    ['spiffe://cluster.local:/a', REFUSALS.trustDomainCharacter],
    ['spiffe://cluster.local?a/b', REFUSALS.trustDomainCharacter],
    ['spiffe://cluster.local#a/b', REFUSALS.trustDomainCharacter],
    ['spiffe://cluster%2elocal/a', REFUSALS.trustDomainCharacter],
    ['spiffe://Cluster.local/a', REFUSALS.trustDomainCharacter],
    ['spiffe://[2001:db8::1]/a', REFUSALS.trustDomainCharacter],
    [`spiffe://${'a'.repeat(256)}/a`, REFUSALS.trustDomainTooLong],
  ])('%j is refused', (uri, message) => {
    expect(() => SpiffeId.parse(uri)).toThrow(refusal(message))
  })

  test('a dotted IPv4 address is a trust domain', () => {
    expect(SpiffeId.parse('spiffe://192.0.2.1/a').trustDomain.name).toBe('192.0.2.1')
  })
})

describe('2048 bytes', () => {
  const prefix = 'spiffe://cluster.local/'
  const longest = prefix + 'a'.repeat(2048 - prefix.length)

  test('are taken and 2049 refused when an ID is read', () => {
    expect(SpiffeId.parse(longest).uri).toHaveLength(2048)
    expect(() => SpiffeId.parse(`${longest}a`)).toThrow(refusal(REFUSALS.idTooLong))
  })

  test('are taken and 2049 refused when an ID is made', () => {
    const segment = 'a'.repeat(2048 - prefix.length)
    expect(SpiffeId.of(domain, [segment]).uri).toBe(longest)
    expect(() => SpiffeId.of(domain, [`${segment}a`])).toThrow(refusal(REFUSALS.idTooLong))
  })
})

describe('a service account', () => {
  test('is written as istio writes it', () => {
    expect(serviceAccountId(domain, { namespace: 'shop', name: 'cart' }).uri).toBe(
      'spiffe://cluster.local/ns/shop/sa/cart',
    )
  })

  test.each([
    [{ namespace: 'shop/sa/admin', name: 'cart' }, REFUSALS.pathCharacter],
    [{ namespace: 'shop', name: 'cart/../admin' }, REFUSALS.pathCharacter],
    [{ namespace: '..', name: 'cart' }, REFUSALS.dotSegment],
    [{ namespace: '', name: 'cart' }, REFUSALS.emptySegment],
    [{ namespace: 'shop', name: '' }, REFUSALS.trailingSlash],
    [{ namespace: 'shop', name: 'c%61rt' }, REFUSALS.pathCharacter],
  ])('%j is refused', (account, message) => {
    expect(() => serviceAccountId(domain, account)).toThrow(refusal(message))
  })

  test('is read back', () => {
    expect(serviceAccountOf(SpiffeId.parse('spiffe://td/ns/shop/sa/cart.v1'))).toEqual({
      namespace: 'shop',
      name: 'cart.v1',
    })
  })

  test.each([
    '/ns/shop/sa',
    '/ns/shop/sa/cart/more',
    '/NS/shop/sa/cart',
    '/ns/shop/SA/cart',
    '/sa/cart/ns/shop',
    '/x/ns/shop/sa/cart',
    '/ns/shop/pod/cart',
    '/workload',
  ])('is not %s', (path) => {
    expect(() => serviceAccountOf(SpiffeId.parse(`spiffe://td${path}`))).toThrow(refusal(REFUSALS.notServiceAccount))
  })
})

test('prints as its URI and cannot be changed', () => {
  const id = SpiffeId.parse('spiffe://td/ns/shop/sa/cart')
  expect(`${id}`).toBe('spiffe://td/ns/shop/sa/cart')
  expect(SpiffeId.of(TrustDomain.parse('td'), ['ns', 'shop', 'sa', 'cart']).uri).toBe(id.uri)
  expect(Object.isFrozen(id)).toBe(true)
})
