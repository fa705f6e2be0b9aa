import type { Evidence } from '../authority/gate.ts'
import { CaError } from '../core/errors.ts'
import type { Wish } from './root-steps.ts'
import type { Roots } from './roots.ts'

/**
 * Cuts off a workload that is alive.
 * @throws CaError `not_found`: no live workload has that name, or it may be one that is not known · as `Roots.forget`
 */
export async function forgetWorkload(
  roots: Pick<Roots, 'forget'>,
  evidence: Evidence,
  workload: string,
  wish: Wish,
): Promise<void> {
  for (const { name } of evidence.workloads()) if (name === workload) return roots.forget(workload, wish)
  throw new CaError(
    'not_found',
    `no live workload has the name ${workload}${evidence.incomplete === undefined ? '' : ` as far as is known (${evidence.incomplete})`}; alcazar workloads lists them, and marks what is cut off already`,
  )
}
