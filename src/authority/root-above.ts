import { later } from '../core/clock.ts'
import type { Authority, AuthoritySet } from './authority.ts'
import { leadsTo } from './path.ts'

/**
 * The root that an issuing authority stands under, one in the bundle before one that was revoked. Where the record does not say, the
 * root that its path leads to; nothing if there is none.
 */
export function rootAbove(set: Pick<AuthoritySet, 'authorities'>, issuing: Authority): Authority | undefined {
  const roots = set.authorities
    .filter(({ role }) => role === 'root')
    .toSorted((one, other) => Number(one.state === 'revoked') - Number(other.state === 'revoked'))
  if (issuing.root !== undefined) return roots.find(({ id }) => id === issuing.root)
  const path = [issuing.certificate, ...issuing.intermediates]
  return roots.find((root) => {
    // At the first moment at which all of it was valid: what has ended since still stands under its root.
    const first = [...path, root.certificate].map(({ tbs }) => tbs.notBefore).reduce(later)
    return leadsTo(path, [root.certificate], first)
  })
}
