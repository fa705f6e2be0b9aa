import type { ActiveAuthority } from '../authority/active-authority.ts'
import { bundledRoots, type Origin } from '../authority/authority.ts'
import { renewalOf } from '../authority/next-action.ts'
import type { Latest } from '../core/latest.ts'
import type { Keeper } from './keeper.ts'
import type { Readiness } from './readiness.ts'
import { keyPlaceOf } from './seen.ts'

export type AuthorityStatus = {
  readonly id: string
  readonly role: 'root' | 'issuing'
  readonly state: string
  readonly algorithm: string
  readonly key: string
  readonly notBefore: string
  readonly notAfter: string
  /** When its successor is due; only for what this process renews. */
  readonly renewalAt?: string
}

export type Status = {
  readonly trustDomain: string
  readonly version: string
  readonly mode: Origin
  readonly ready: boolean
  readonly notReadyBecause?: string
  readonly bundleSequence: number
  /** Whether the root is being replaced. */
  readonly rotating: boolean
  readonly authorities: readonly AuthorityStatus[]
  /** Ids of the roots in the bundle whose key, or whose online CA’s, was in the clear: each until it is replaced. */
  readonly inTheClear: readonly string[]
}

/** What an admin wants to see first: who signs, until when, and whether it works. */
export async function statusOf(
  keeper: Keeper,
  active: Latest<ActiveAuthority>,
  readiness: () => Promise<Readiness>,
  version: string,
): Promise<Status> {
  const ready = await readiness()
  const seen = keeper.seen()
  const { trustDomain, origin, bundleSequence, authorities, rotation } = seen.set
  return {
    trustDomain: trustDomain.name,
    version,
    mode: origin,
    ready: ready.ready,
    ...(!ready.ready && { notReadyBecause: ready.why }),
    bundleSequence,
    rotating: rotation !== undefined,
    authorities: authorities.map((authority) => ({
      id: authority.id,
      role: authority.role,
      state: authority.state,
      algorithm: authority.publicKey.algorithm.name,
      key: keyPlaceOf(authority, seen),
      notBefore: authority.certificate.tbs.notBefore.toISOString(),
      notAfter: authority.certificate.tbs.notAfter.toISOString(),
      ...(authority.key === 'memory' &&
        authority.id === active.get()?.authority.id && { renewalAt: renewalOf(authority).toISOString() }),
    })),
    inTheClear: bundledRoots(seen.set)
      .filter(({ wasInTheClear }) => wasInTheClear)
      .map(({ id }) => id),
  }
}
