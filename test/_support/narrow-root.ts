import { authorityOf, emptySet } from '../../src/authority/authority.ts'
import { plus } from '../../src/core/clock.ts'
import { DAY } from '../../src/core/duration.ts'
import { TrustDomain } from '../../src/spiffe/trust-domain.ts'
import type { World } from './a-world.ts'
import { odd } from './odd-certificates.ts'

/** The state begins with a root of our own that can certify no other: it allows one CA below it, or with a `pathLength` of 0 none, and signs leaves itself. */
export async function beginWithNarrowRoot(
  { clock, store }: Pick<World, 'clock' | 'store'>,
  lifetimeMs: number,
  pathLength = 1,
): Promise<void> {
  const now = clock.now()
  const { key, certificate } = await odd('narrow root', 'itself', {
    pathLength,
    notBefore: plus(now, -DAY),
    notAfter: plus(now, lifetimeMs),
  })
  await store.takeRootKey(key)
  const root = authorityOf(certificate, { role: 'root', state: 'active', key: 'file', bundledSince: 1 }, now)
  await store.begin({ ...emptySet(TrustDomain.parse('cluster.local'), 'dev'), authorities: [root] })
}
