import { equalBytes, idPrefix, shortId } from '../core/bytes.ts'
import { earlier } from '../core/clock.ts'
import { CaError } from '../core/errors.ts'
import { type Authority, type AuthoritySet, type AuthorityState, bundledRoots, type Taint } from './authority.ts'

/** What can be done to an authority that is in the journal. */
export const VERBS = ['activate', 'rollback', 'taint', 'revoke'] as const
export type Verb = (typeof VERBS)[number]

/**
 * What must hold for every live workload before a step: it can verify what the authority signs · that, and it was sent the authority itself ·
 * nothing of its own stands on it.
 */
export type Condition = 'followed' | 'trusted' | 'unused'

export type Transition = {
  readonly verb: Verb
  readonly from: AuthorityState
  readonly to: AuthorityState
  readonly condition: Condition | undefined
}

/**
 * Every transition there is, for all kinds of authority, whoever asks: API, CLI or clock. Whatever becomes active makes the former active one
 * of its kind old, in the same write. The active one is never tainted as such: a successor is activated, and then it is old.
 */
export const TRANSITIONS: readonly Transition[] = [
  { verb: 'activate', from: 'prepared', to: 'active', condition: 'trusted' },
  { verb: 'rollback', from: 'old', to: 'active', condition: 'trusted' },
  { verb: 'taint', from: 'old', to: 'tainted', condition: undefined },
  // It leaves, or has left, but not what its key signs: roots of the bundle may have certified that.
  { verb: 'taint', from: 'prepared', to: 'revoked', condition: undefined },
  { verb: 'taint', from: 'revoked', to: 'revoked', condition: undefined },
  // It never signed, so nothing stands on it.
  { verb: 'revoke', from: 'prepared', to: 'revoked', condition: undefined },
  { verb: 'revoke', from: 'old', to: 'revoked', condition: 'unused' },
  { verb: 'revoke', from: 'tainted', to: 'revoked', condition: 'unused' },
]

/** @throws CaError `wrong_state`: naming the state it is in and the verbs that are possible in it */
export function transitionFor(authority: Authority, verb: Verb): Transition {
  const found = rowsOf(authority).find((one) => one.verb === verb)
  if (found) return found
  const possible =
    authority.state === 'active'
      ? 'it signs, and another must do so first; alcazar root status shows what can be done'
      : `possible now: ${possibleVerbs(authority).join(', ') || 'nothing'}`
  throw new CaError(
    'wrong_state',
    `${authority.role} ${shortId(authority.id)} is ${authority.state}, so ${verb} is not possible; ${possible}`,
  )
}

/** What a step must wait for. A root that signed before is activated by going back to it. */
export function conditionOf(root: Authority, verb: 'activate' | 'revoke'): Condition | undefined {
  return transitionFor(root, verb === 'activate' ? activation(root) : verb).condition
}

/** By which verb a root that does not sign comes to sign. */
export const activation = ({ state }: Authority): 'activate' | 'rollback' => (state === 'old' ? 'rollback' : 'activate')

export function possibleVerbs(authority: Authority): readonly Verb[] {
  return rowsOf(authority).map(({ verb }) => verb)
}

/** What has left can be declared compromised for as long as some root that certified it has not: with that its cross-certificates go. */
function rowsOf({ state, cross }: Authority): readonly Transition[] {
  return TRANSITIONS.filter(({ from }) => from === state && (state !== 'revoked' || cross.length > 0))
}

/** A root as it is put in the bundle: prepared, and first in the next one. One that was there before and left begins anew. */
export function withPrepared(set: AuthoritySet, root: Authority): AuthoritySet {
  if (bundledRoots(set).some(({ id }) => id === root.id))
    throw new CaError('conflict', `root ${shortId(root.id)} is in the bundle already`)
  const bundleSequence = set.bundleSequence + 1
  return {
    ...set,
    bundleSequence,
    authorities: [
      ...set.authorities.filter((other) => !isSame(other, root)),
      { ...root, state: 'prepared', bundledSince: bundleSequence },
    ],
  }
}

/**
 * The root signs from now on by way of `issuing`; the former ones become old.
 * @throws CaError `wrong_state`
 */
export function withActiveRoot(
  set: AuthoritySet,
  root: Authority,
  verb: 'activate' | 'rollback',
  issuing: Authority,
): AuthoritySet {
  transitionFor(root, verb)
  return withActive(
    {
      ...set,
      authorities: set.authorities.map((other) => {
        if (other.role !== 'root') return other
        if (isSame(other, root)) return { ...other, state: 'active' as const }
        return other.state === 'active' ? { ...other, state: 'old' as const } : other
      }),
    },
    issuing,
  )
}

/** The issuing authority signs from now on; the former one becomes old. The same certificate again has its record replaced, not doubled; what was declared compromised stays said. */
export function withActive(set: AuthoritySet, issuing: Authority): AuthoritySet {
  return {
    ...set,
    authorities: [
      ...set.authorities
        .filter(
          ({ role, state, certificate }) =>
            role === 'root' || state === 'tainted' || !equalBytes(certificate.der, issuing.certificate.der),
        )
        .map((other) =>
          other.role === 'issuing' && other.state === 'active' ? { ...other, state: 'old' as const } : other,
        ),
      { ...issuing, state: 'active' as const },
    ],
  }
}

/**
 * Declared compromised, and with a root all that stands on it: from this moment nothing it signed authenticates anybody. Roots that
 * certified its key by a cross-certificate, which cannot be called back, leave the bundle with it: whoever trusts one of them trusts that key. One that
 * is prepared leaves at once.
 * @throws CaError `wrong_state`
 */
export function withTainted(before: AuthoritySet, authority: Authority, taint: Taint): AuthoritySet {
  const { from, to } = transitionFor(authority, 'taint')
  const set = from === 'prepared' ? withRevoked(before, authority) : before
  const vouching = vouchingFor(set, authority)
  // One that has to leave sooner for another reason still does.
  const leavesAt = authority.taint ? earlier(authority.taint.leavesAt, taint.leavesAt) : taint.leavesAt
  return changed(set, (other) => {
    if (isSame(other, authority)) return { ...other, state: to, taint: { ...taint, leavesAt } }
    if (standsOn(other, authority) && other.state === 'old')
      return { ...other, state: 'tainted', taint: { ...taint, leavesAt } }
    if (!vouching.includes(other) || (other.taint && other.taint.leavesAt <= leavesAt)) return other
    const because = `it certified root ${shortId(authority.id)}: ${taint.because}`
    return { ...other, taint: { ...taint, leavesAt, because } }
  })
}

/** The roots of the bundle that certified a root's key: it is trusted for as long as one of them is, whether or not it is in the bundle itself. */
export function vouchingFor(set: AuthoritySet, root: Authority): readonly Authority[] {
  return bundledRoots(set).filter(({ id }) => root.cross.some(({ by }) => by === id))
}

/**
 * Out of the bundle, and with a root all that stands on it and the cross-certificates it signed.
 * @throws CaError `wrong_state`
 */
export function withRevoked(set: AuthoritySet, authority: Authority): AuthoritySet {
  transitionFor(authority, 'revoke')
  const { role, id } = authority
  const after = changed(set, (other) => {
    if (isSame(other, authority) || standsOn(other, authority)) return { ...other, state: 'revoked' }
    if (role !== 'root' || !other.cross.some(({ by }) => by === id)) return other
    return { ...other, cross: other.cross.filter(({ by }) => by !== id) }
  })
  return {
    ...after,
    bundleSequence: role === 'root' ? set.bundleSequence + 1 : set.bundleSequence,
    // Who discards the root that a rotation would end on ends the rotation.
    rotation: set.rotation?.to === id && role === 'root' ? undefined : set.rotation,
  }
}

/** A plugged-in root that signs leaves itself has two records of one id. */
const isSame = (a: Authority, b: Authority): boolean => a.id === b.id && a.role === b.role

const standsOn = (issuing: Authority, root: Authority): boolean => root.role === 'root' && issuing.root === root.id

/**
 * The one authority whose id begins so; spaces and colons don't count.
 * @throws CaError `invalid_argument`: fewer than four hex digits, or several begin so · `not_found`
 */
export function authorityByPrefix(set: AuthoritySet, given: string, role?: Authority['role']): Authority {
  const wanted = idPrefix(given)
  if (!/^[0-9a-f]{4,40}$/.test(wanted))
    throw new CaError(
      'invalid_argument',
      `not an authority’s id: ${JSON.stringify(given.slice(0, 60))}; write at least its first four hex digits`,
    )
  const found = set.authorities.filter((one) => one.id.startsWith(wanted) && (role === undefined || one.role === role))
  const [only, ...more] = found
  if (!only) throw new CaError('not_found', `no ${role ?? 'authority'} has an id that begins with ${wanted}`)
  if (more.length > 0)
    throw new CaError(
      'invalid_argument',
      `${found.length} begin with ${wanted}: ${found.map(({ id }) => shortId(id)).join(', ')}; write more digits`,
    )
  return only
}

function changed(set: AuthoritySet, change: (authority: Authority) => Authority): AuthoritySet {
  return { ...set, authorities: set.authorities.map(change) }
}
