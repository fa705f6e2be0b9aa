import { createHash, X509Certificate } from 'node:crypto'
import { describe, expect, test } from 'vitest'
import { TrustBundle } from '../../src/spiffe/trust-bundle.ts'
import { TrustDomain } from '../../src/spiffe/trust-domain.ts'
import { aRoot } from '../_support/plugged-ca.ts'

const domain = TrustDomain.parse('cluster.local')
const [a, b] = [Uint8Array.of(0x30, 1, 1), Uint8Array.of(0x30, 1, 2)]

describe('the sequence', () => {
  test.each([0, -1, 1.5, Number.NaN, Number.POSITIVE_INFINITY, 2 ** 53])('is never %d', (sequence) => {
    expect(() => new TrustBundle(domain, sequence, [a])).toThrow(
      expect.objectContaining({ code: 'internal', message: 'a bundle’s sequence is a positive integer' }),
    )
  })

  test.each([1, 2, Number.MAX_SAFE_INTEGER])('may be %d', (sequence) => {
    expect(new TrustBundle(domain, sequence, [a]).sequence).toBe(sequence)
  })
})

describe('the digest', () => {
  test('is SHA-256 over the roots in their order', () => {
    const expected = createHash('sha256').update(a).update(b).digest('hex')
    expect(new TrustBundle(domain, 1, [a, b]).digest).toBe(expected)
  })

  test('tells bundles apart by their roots and the order of them, not by their sequence', () => {
    const digest = (sequence: number, roots: Uint8Array[]) => new TrustBundle(domain, sequence, roots).digest
    expect(digest(1, [a])).toBe(digest(2, [a]))
    expect(digest(1, [a, b])).not.toBe(digest(1, [b, a]))
    expect(digest(1, [a, b])).not.toBe(digest(1, [a]))
  })
})

test('does not change when the list it was made of does', () => {
  const roots = [a]
  const bundle = new TrustBundle(domain, 1, roots)
  roots.push(b)
  expect(bundle.roots).toEqual([a])
  expect(Object.isFrozen(bundle)).toBe(true)
  expect(Object.isFrozen(bundle.roots)).toBe(true)
})

describe('as a SPIFFE bundle document', async () => {
  const roots = [await aRoot(), await aRoot({ algorithm: 'rsa-2048' })].map((ca) => ca.certificate.der)
  const document = new TrustBundle(domain, 7, roots).toJwks(jwkOf, 300) as {
    spiffe_sequence: number
    spiffe_refresh_hint: number
    keys: Record<string, unknown>[]
  }

  test('says its sequence and how soon to ask again', () => {
    expect(document).toMatchObject({ spiffe_sequence: 7, spiffe_refresh_hint: 300 })
  })

  test('holds one key a root, in order', () => {
    expect(document.keys.map((key) => key.kty)).toEqual(['EC', 'RSA'])
  })

  test('every key is for X.509-SVIDs and has no kid (X509-SVID §6.1)', () => {
    for (const key of document.keys) {
      expect(key.use).toBe('x509-svid')
      expect(key).not.toHaveProperty('kid')
    }
  })

  test('every key has exactly one certificate, as base64 DER', () => {
    expect(document.keys.map((key) => key.x5c)).toEqual(roots.map((der) => [Buffer.from(der).toString('base64')]))
  })

  test('every key is the one of its certificate', () => {
    for (const key of document.keys) {
      const [x5c] = key.x5c as [string]
      expect(key).toMatchObject(jwkOf(Buffer.from(x5c, 'base64')))
    }
  })

  test('a bundle without roots, all of them revoked, still has the list of keys', () => {
    expect(new TrustBundle(domain, 8, []).toJwks(jwkOf, 300)).toMatchObject({ keys: [] })
  })

  test('what a key says of itself takes neither its use nor its certificate away', () => {
    const pushy = new TrustBundle(domain, 1, [a]).toJwks(() => ({ kty: 'EC', use: 'sig', kid: 'x', x5c: [] }), 300)
    expect(pushy).toMatchObject({ keys: [{ use: 'x509-svid', x5c: [Buffer.from(a).toString('base64')] }] })
  })
})

const jwkOf = (root: Uint8Array): object => new X509Certificate(root).publicKey.export({ format: 'jwk' })
