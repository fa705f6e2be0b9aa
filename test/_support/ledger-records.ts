import type {
  AuthorityRecord,
  IntentRecord,
  IssuedRecord,
  RefusedRecord,
  ShownRecord,
} from '../../src/ledger/ledger.ts'

const common = (requestId: string) => ({ at: '2030-01-01T00:00:00.000Z', requestId, peer: '127.0.0.1:40000' })

export const anIntent = (requestId: string): IntentRecord => ({
  kind: 'intent',
  ...common(requestId),
  caller: { namespace: 'shop', serviceAccount: 'cart', method: 'service-account-token' },
  id: 'spiffe://cluster.local/ns/shop/sa/cart',
  serial: '5ee0',
  issuer: 'a'.repeat(40),
  notBefore: '2029-12-31T23:58:00.000Z',
  notAfter: '2030-01-02T00:00:00.000Z',
  key: 'ecdsa-p256',
  tbsSha256: 'b'.repeat(64),
})

export const anIssued = (requestId: string): IssuedRecord => ({
  kind: 'issued',
  ...common(requestId),
  id: 'spiffe://cluster.local/ns/shop/sa/cart',
  serial: '5ee0',
  issuer: 'a'.repeat(40),
  notAfter: '2030-01-02T00:00:00.000Z',
  bundleSequence: 1,
  sha256: 'c'.repeat(64),
  method: 'client-certificate',
  pod: 'cart-0',
  podUid: 'uid-of-cart-0',
  predecessor: '5edf',
})

export const aShown = (requestId: string): ShownRecord => ({
  kind: 'shown',
  at: '2030-01-01T00:00:00.000Z',
  requestId,
  serial: '5ee0',
})

export const aRefused = (requestId: string, reason = 'expired'): RefusedRecord => ({
  kind: 'refused',
  ...common(requestId),
  code: 'unauthenticated',
  reason,
  detail: 'the token ended at 2029-12-31T23:00:00Z – “gestern”',
})

export const anAuthorityRecord = (detail: string): AuthorityRecord => ({
  kind: 'authority',
  at: '2030-01-01T00:00:00.000Z',
  what: 'root made',
  authority: 'd'.repeat(40),
  detail,
})
