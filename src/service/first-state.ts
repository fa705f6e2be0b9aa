import { bundleOf } from '../authority/active-authority.ts'
import {
  type Authority,
  type AuthoritySet,
  activeRoot,
  authorityOf,
  bundledRoots,
  emptySet,
  type Origin,
} from '../authority/authority.ts'
import { shortId } from '../core/bytes.ts'
import { momentInUtc } from '../core/duration.ts'
import { CaError } from '../core/errors.ts'
import { makeRoot } from '../issuance/ca-certificates.ts'
import type { TrustDomain } from '../spiffe/trust-domain.ts'
import type { KeeperParts } from './keeper-parts.ts'
import { recordAuthority } from './record-authority.ts'
import { CrlSigner } from './signed-crls.ts'

/** What is said to a server of another kind than the one that made the state, dev mode aside. */
const ELSEWHERE: Readonly<Record<Origin, string>> = {
  dev: 'this state directory was made by dev mode: its root’s key lies there in the clear, so nothing but dev mode uses it; choose another with --state-directory',
  own: 'this state directory has a root of its own; leave out pluggedCa and name by keys.* what its key is sealed with or the token that has it, or choose another with --state-directory',
  'plugged-in':
    'this state directory was made with a plugged-in CA and has no root of its own; name that CA by pluggedCa, or choose another with --state-directory',
}

/**
 * That the state was made by a server of this kind, for this trust domain.
 * @throws CaError `wrong_state`: it was not; what to do
 */
export function checkBelongs(set: AuthoritySet, kind: Origin, trustDomain: TrustDomain): void {
  if (set.origin !== kind)
    throw new CaError(
      'wrong_state',
      kind === 'dev'
        ? 'this state directory was not made by dev mode, and dev mode leaves it alone; choose another with --state-directory'
        : ELSEWHERE[set.origin],
    )
  if (!set.trustDomain.equals(trustDomain))
    throw new CaError(
      'wrong_state',
      `this state directory belongs to the trust domain ${set.trustDomain.name}, not ${trustDomain.name}; choose another with --state-directory, or that trust domain with --trust-domain`,
    )
}

/**
 * The root that a start goes on with.
 * @throws CaError `wrong_state`: it has ended
 */
export function rootToSignBy(set: AuthoritySet, now: Date): Authority {
  const root = activeRoot(set) as Authority
  const { notAfter } = root.certificate.tbs
  // By a clock that may be wrong no root is replaced.
  if (now > notAfter)
    throw new CaError(
      'wrong_state',
      `the root ${shortId(root.id)} ended at ${notAfter.toISOString()}, and with it all that it signed; set the clock right, or if it is, begin anew in another directory with --state-directory`,
    )
  return root
}

/** Begins a trust domain: its journal, its root, and what is told of that. */
export async function beginState(
  parts: KeeperParts,
): Promise<{ readonly revision: number; readonly set: AuthoritySet }> {
  const set = await firstSet(parts)
  const revision = await parts.store.begin(set)
  for (const root of bundledRoots(set)) {
    await recordAuthority(parts, 'root made', root, `ends ${momentInUtc(root.certificate.tbs.notAfter)}`)
    parts.events.bundlePublished(bundleOf(set), [root])
  }
  return { revision, set }
}

/** What the journal begins with: a root of its own with its CRL, or with a plugged-in CA nothing. */
async function firstSet(parts: KeeperParts): Promise<AuthoritySet> {
  const { store, trustDomain, source, clock } = parts
  const empty = emptySet(trustDomain, source.kind)
  if (source.kind === 'plugged-in') return empty
  const key = await store.newRootKey(source.root.algorithm)
  const certificate = await makeRoot(trustDomain, key, source.root.lifetimeMs, parts)
  const details = { role: 'root', state: 'active', key: store.newKeyHome, bundledSince: empty.bundleSequence } as const
  const crls = new CrlSigner(parts, async () => key)
  return crls.complete({ ...empty, authorities: [authorityOf(certificate, details, clock.now())] })
}
