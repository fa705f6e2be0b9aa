import { type PluggedCa, pluggedCa } from '../../src/authority/plugged-ca.ts'
import { NOW } from './authority-sets.ts'
import { odd } from './odd-certificates.ts'
import type { TestCa } from './plugged-ca.ts'

/** A plugged-in CA from its parts, as if read from files that belong together. */
export function plugged(ca: TestCa, chain: readonly TestCa[], roots: readonly TestCa[], now = NOW): PluggedCa {
  const certificates = (of: readonly TestCa[]) => of.map(({ certificate }) => certificate)
  return pluggedCa(
    {
      'ca-cert.pem': certificates([ca]),
      'ca-key.pem': ca.key,
      'cert-chain.pem': certificates(chain),
      'root-cert.pem': certificates(roots),
    },
    now,
  )
}

/** What an admin plugs in, one after the other, to go from root A to root B: A → A+B → B signs → B. */
export async function aPluggedCa({ pathLength }: { pathLength?: number } = {}) {
  const limit = pathLength === undefined ? {} : { pathLength }
  const rootA = await odd('root a', 'itself', { notAfter: new Date('2040-01-01T00:00:00Z') })
  const rootB = await odd('root b', 'itself', { notAfter: new Date('2040-01-01T00:00:00Z') })
  const underA = await odd('ca under a', rootA, { ...limit, notAfter: new Date('2035-01-01T00:00:00Z') })
  const underB = await odd('ca under b', rootB, { ...limit, notAfter: new Date('2035-01-01T00:00:00Z') })
  return {
    rootA,
    rootB,
    underA,
    underB,
    a: plugged(underA, [underA], [rootA]),
    ab: plugged(underA, [underA], [rootA, rootB]),
    abSignedByB: plugged(underB, [underB], [rootA, rootB]),
    b: plugged(underB, [underB], [rootB]),
  }
}
