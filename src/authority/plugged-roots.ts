import { equalBytes, shortId } from '../core/bytes.ts'
import { CaError } from '../core/errors.ts'
import { type Authority, type AuthoritySet, activeRoot, bundledRoots } from './authority.ts'
import { withPrepared } from './transitions.ts'

/** What the files of a plugged-in CA ask for. */
export type PluggedWish = {
  /** The id of the root that the CA in them stands under. */
  readonly signing: string
  /** Ids of all roots in them. */
  readonly roots: readonly string[]
  /** Ids of the roots under which this process can sign: the CA is in the files, or was since it started. */
  readonly atHand: readonly string[]
}

/** A step of the transition table that the files ask for; one that signed before is activated, too. */
export type AskedStep = { readonly verb: 'activate' | 'revoke'; readonly root: Authority }

/** What the files ask for and is not so yet, first what nobody can be in the way of. */
export function askedSteps(set: AuthoritySet, { signing, roots }: PluggedWish): readonly AskedStep[] {
  const waiting = bundledRoots(set).filter(({ state }) => state !== 'active')
  const gone = waiting.filter(({ id }) => !roots.includes(id))
  const leaving = (prepared: boolean): AskedStep[] =>
    gone.filter(({ state }) => (state === 'prepared') === prepared).map((root) => ({ verb: 'revoke', root }))
  const incoming = waiting.filter(({ id }) => id === signing).map((root): AskedStep => ({ verb: 'activate', root }))
  return [...leaving(true), ...incoming, ...leaving(false)]
}

/**
 * With the roots of the files in the bundle, each that is new prepared; none leaves it here. Where there was no root at all, the one that the CA stands
 * under is active. A root whose certificate was renewed over the same key stays what it is: what either verifies, both do.
 * @param roots one for each key
 * @param signing the id of the one that the CA stands under
 * @throws CaError `invalid_argument`: none is in the bundle so far, or one is known by another name
 */
export function withPluggedRoots(set: AuthoritySet, roots: readonly Authority[], signing: string): AuthoritySet {
  const before = bundledRoots(set)
  if (before.length === 0) {
    const begun = roots.map((root): Authority => {
      return { ...root, state: root.id === signing ? 'active' : 'prepared', bundledSince: set.bundleSequence }
    })
    return { ...set, authorities: [...begun, ...set.authorities.filter(({ role }) => role !== 'root')] }
  }
  if (!before.some(({ id }) => roots.some((root) => root.id === id)))
    throw new CaError(
      'invalid_argument',
      `root-cert.pem shares no root with the bundle published so far (${before.map((root) => shortId(root.id)).join(', ')}): whoever trusts that bundle would refuse every new certificate; put the old roots beside the new ones first, and take them out once the new CA signs`,
    )
  const next = roots.reduce(withPluggedRoot, set)
  // A root that signed by its own key, in the files: they have another now.
  const isPast = ({ id, key }: Authority) => key === 'plugged-in' && !roots.some((root) => root.id === id)
  if (!bundledRoots(next).some(isPast)) return next
  const authorities = next.authorities.map((other) =>
    other.role === 'root' && isPast(other) ? { ...other, key: 'elsewhere' as const } : other,
  )
  return { ...next, authorities }
}

function withPluggedRoot(set: AuthoritySet, root: Authority): AuthoritySet {
  const known = bundledRoots(set).find(({ id }) => id === root.id)
  if (!known) {
    const isPast = (other: Authority) => other.role === 'root' && other.id === root.id
    return withPrepared({ ...set, authorities: set.authorities.filter((other) => !isPast(other)) }, root)
  }
  const isSame = equalBytes(known.certificate.der, root.certificate.der)
  if (isSame && known.key === root.key) return set
  if (!equalBytes(known.certificate.tbs.subject, root.certificate.tbs.subject))
    throw new CaError(
      'invalid_argument',
      `root-cert.pem has the key of root ${shortId(root.id)} under another name than the bundle: what was signed before would not lead to it; give the new root a key of its own`,
    )
  const { certificate, key } = root
  return {
    ...set,
    bundleSequence: isSame ? set.bundleSequence : set.bundleSequence + 1,
    authorities: set.authorities.map((other) => (other === known ? { ...known, certificate, key } : other)),
  }
}

/** Whether this process could make another issuing authority under the root that signs. */
export function canRenew(set: AuthoritySet, wish: PluggedWish | undefined): boolean {
  const active = activeRoot(set)
  return wish === undefined || (active !== undefined && wish.atHand.includes(active.id))
}
