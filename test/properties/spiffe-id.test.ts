import fc from 'fast-check'
import { expect, test } from 'vitest'
import { SpiffeId, serviceAccountId, serviceAccountOf } from '../../src/spiffe/spiffe-id.ts'
import { TrustDomain } from '../../src/spiffe/trust-domain.ts'
import { anyCharacter } from '../_support/any-character.ts'
import { unlessRefused } from '../_support/refusals.ts'

const trustDomain = fc.stringMatching(/^[a-z0-9._-]{1,60}$/)
const segment = fc.stringMatching(/^[a-zA-Z0-9._-]{1,20}$/).filter((text) => text !== '.' && text !== '..')
const uri = fc
  .tuple(trustDomain, fc.array(segment, { minLength: 1, maxLength: 8 }))
  .map(([domain, segments]) => `spiffe://${domain}/${segments.join('/')}`)
/** Whatever the specification does not list, from all of Unicode. */
const refused = fc
  .oneof(
    anyCharacter,
    fc.integer({ min: 0, max: 255 }).map((byte) => String.fromCharCode(byte)),
  )
  .filter((character) => !/^[a-zA-Z0-9._/-]$/.test(character))

test('an ID is printed as it was read', () => {
  fc.assert(
    fc.property(uri, (text) => {
      expect(`${SpiffeId.parse(text)}`).toBe(text)
    }),
  )
})

test('an ID is the same when made of its parts', () => {
  fc.assert(
    fc.property(uri, (text) => {
      const id = SpiffeId.parse(text)
      const again = SpiffeId.of(TrustDomain.parse(id.trustDomain.name), id.path.slice(1).split('/'))
      expect(again.uri).toBe(id.uri)
    }),
  )
})

test('any text is an ID to the letter or refused; nothing is mended', () => {
  const text = fc.oneof(
    fc.string({ unit: anyCharacter }),
    fc.string().map((rest) => `spiffe://${rest}`),
    fc.webUrl(),
    uri,
  )
  fc.assert(
    fc.property(text, (any) => {
      const id = unlessRefused(() => SpiffeId.parse(any))
      if (id) expect(id.uri).toBe(any)
    }),
    { numRuns: 500 },
  )
})

test('the URL parser of others sees the same trust domain and path, and nothing else', () => {
  fc.assert(
    fc.property(uri, (text) => {
      const [id, url] = [SpiffeId.parse(text), new URL(text)]
      expect([url.protocol, url.host, url.pathname]).toEqual(['spiffe:', id.trustDomain.name, id.path])
      expect([url.port, url.username, url.password, url.search, url.hash]).toEqual(['', '', '', '', ''])
    }),
  )
})

test('one refused character, anywhere, makes it no ID', () => {
  fc.assert(
    fc.property(uri, refused, fc.nat(), (text, character, share) => {
      const at = share % (text.length + 1)
      expect(unlessRefused(() => SpiffeId.parse(text.slice(0, at) + character + text.slice(at)))).toBeUndefined()
    }),
    { numRuns: 500 },
  )
})

test('a slash more, at its end or beside another, makes it no ID', () => {
  fc.assert(
    fc.property(uri, fc.nat(), (text, share) => {
      const slashes = [...text.matchAll(/\/|$/g)].map((found) => found.index)
      const at = slashes[share % slashes.length] as number
      expect(unlessRefused(() => SpiffeId.parse(`${text.slice(0, at)}/${text.slice(at)}`))).toBeUndefined()
    }),
  )
})

test('an ID is written as it was read', () => {
  fc.assert(
    fc.property(uri, (text) => {
      expect(SpiffeId.parse(text).uri).toBe(text)
    }),
  )
})

test('a service account is read back from its ID', () => {
  const name = fc.stringMatching(/^[a-z0-9]([a-z0-9.-]{0,20}[a-z0-9])?$/)
  fc.assert(
    fc.property(trustDomain, name, name, (domain, namespace, account) => {
      const id = serviceAccountId(TrustDomain.parse(domain), { namespace, name: account })
      expect(serviceAccountOf(SpiffeId.parse(id.uri))).toEqual({ namespace, name: account })
    }),
  )
})

test('no two service accounts have the same ID, whatever is in their names', () => {
  const name = fc.oneof(fc.string(), fc.stringMatching(/^[a-z./]{1,6}$/))
  const account = fc.record({ namespace: name, name })
  const domain = TrustDomain.parse('cluster.local')
  fc.assert(
    fc.property(account, account, (a, b) => {
      const [first, second] = [a, b].map((one) => unlessRefused(() => serviceAccountId(domain, one)))
      if (first && second) expect(first.uri === second.uri).toBe(a.namespace === b.namespace && a.name === b.name)
    }),
    { numRuns: 500 },
  )
})
