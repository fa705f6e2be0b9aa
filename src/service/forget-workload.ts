import type { Evidence } from '../authority/gate.ts'
import { CaError } from '../core/errors.ts'
import type { Wish } from './root-steps.ts'
import type { Roots } from './roots.ts'

/**
 * Cuts off a workload that is alive, until the last of its certificates has ended.
 * @throws CaError `not_found`: no live workload has that name, or it may be one that is not known
 */
export async function forgetWorkload(
  roots: Pick<Roots, 'forget'>,
  evidence: Evidence,
  workload: string,
  wish: Wish,
): Promise<void> {
  for (const { name, svids } of evidence.workloads()) {
    if (name !== workload) continue
    const until = new Date(Math.max(...svids.map(({ endsAt }) => endsAt)))
    return roots.forget(workload, until, wish)
  }
  throw new CaError(
    'not_found',
    `no live workload has the name ${workload}${evidence.incomplete === undefined ? '' : ` as far as is known (${evidence.incomplete})`}; alcazar workloads lists them`,
  )
}
