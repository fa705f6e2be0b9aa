import { type Authority, type AuthoritySet, authorityOf, emptySet } from '../../src/authority/authority.ts'
import { TrustDomain } from '../../src/spiffe/trust-domain.ts'
import type { TestCa } from './plugged-ca.ts'

/** The moment at which a test's clock stands. */
export const NOW = new Date('2030-01-01T00:00:00Z')

export const rootOf = (ca: TestCa, change: Partial<Authority> = {}): Authority => ({
  ...authorityOf(ca.certificate, { role: 'root', state: 'active', key: 'file', bundledSince: 1 }, NOW),
  ...change,
})

export const issuingOf = (ca: TestCa, change: Partial<Authority> = {}): Authority => ({
  ...authorityOf(ca.certificate, { role: 'issuing', state: 'active', key: 'memory' }, NOW),
  ...change,
})

export const aSet = (authorities: readonly Authority[], change: Partial<AuthoritySet> = {}): AuthoritySet => ({
  ...emptySet(TrustDomain.parse('cluster.local'), 'dev'),
  authorities,
  ...change,
})
