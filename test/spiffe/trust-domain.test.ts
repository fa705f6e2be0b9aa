import { describe, expect, test } from 'vitest'
import { REFUSALS } from '../../src/spiffe/refusals.ts'
import { TrustDomain } from '../../src/spiffe/trust-domain.ts'

/** SPIFFE-ID §2.1, written out again so that it can disagree. */
const ALLOWED = new Set('abcdefghijklmnopqrstuvwxyz0123456789.-_')
const BYTES = Array.from({ length: 256 }, (_, byte) => byte)

const refusal = (message: string) => expect.objectContaining({ code: 'invalid_argument', message })

describe('every byte', () => {
  test.each([
    ['alone', (c: string) => c],
    ['first', (c: string) => `${c}example.org`],
    ['in the middle', (c: string) => `example${c}org`],
    ['last', (c: string) => `example.org${c}`],
  ])('%s is taken if the specification lists it and refused otherwise', (_, place) => {
    for (const byte of BYTES) {
      const character = String.fromCharCode(byte)
      const name = place(character)
      if (ALLOWED.has(character)) expect(TrustDomain.parse(name).name).toBe(name)
      else expect(() => TrustDomain.parse(name), `byte ${byte}`).toThrow(refusal(REFUSALS.trustDomainCharacter))
    }
  })
})

test.each(['cluster.local', 'prod', '192.0.2.1', '1', '_', '-', '.', '..', 'a..b', 'xn--bcher-kva.example'])(
  'takes %j, which has only characters of the list',
  (name) => {
    expect(TrustDomain.parse(name).name).toBe(name)
  },
)

test.each([
  'Cluster.local',
  'EXAMPLE.ORG',
  'example.org:443',
  'user@example.org',
  'spiffe://example.org',
  'example.org/',
  'example%2eorg',
  '[2001:db8::1]',
  'bücher.example',
  'example\u3002org',
  '\u212a', // KELVIN SIGN, whose lower case is k
  'example.org\u0000',
  'example org',
])('refuses %j rather than mend it', (name) => {
  expect(() => TrustDomain.parse(name)).toThrow(refusal(REFUSALS.trustDomainCharacter))
})

test('refuses an empty name', () => {
  expect(() => TrustDomain.parse('')).toThrow(refusal(REFUSALS.trustDomainMissing))
})

test('takes 255 bytes and not 256', () => {
  expect(TrustDomain.parse('a'.repeat(255)).name).toHaveLength(255)
  expect(() => TrustDomain.parse('a'.repeat(256))).toThrow(refusal(REFUSALS.trustDomainTooLong))
})

test('has a SPIFFE ID without a path, for signing certificates', () => {
  expect(TrustDomain.parse('cluster.local').uri).toBe('spiffe://cluster.local')
})

test('is equal by name', () => {
  const domain = TrustDomain.parse('cluster.local')
  expect(domain.equals(TrustDomain.parse('cluster.local'))).toBe(true)
  expect(domain.equals(TrustDomain.parse('cluster.locai'))).toBe(false)
})

test('prints as its name and cannot be changed', () => {
  const domain = TrustDomain.parse('cluster.local')
  expect(`${domain}`).toBe('cluster.local')
  expect(Object.isFrozen(domain)).toBe(true)
})
