import { bundleOf } from './authority/active-authority.ts'
import type { Clock } from './core/clock.ts'
import { authorityRoutes } from './endpoints/admin/authority-routes.ts'
import type { Route } from './endpoints/admin/http.ts'
import { offlineRoutes } from './endpoints/admin/offline-routes.ts'
import { revocationRoutes } from './endpoints/admin/revocation-routes.ts'
import { localRoutes } from './endpoints/admin/routes.ts'
import type { Address } from './endpoints/listener.ts'
import type { KeyVaults } from './keys/vaults.ts'
import type { Inventory } from './ledger/inventory.ts'
import { loopbackOf, sealedWith, type Tokens } from './server-parts.ts'
import type { DevCluster } from './service/dev-cluster.ts'
import { findingRevocable } from './service/find-revocable.ts'
import type { Keeper } from './service/keeper.ts'
import { listingWorkloads } from './service/list-workloads.ts'
import type { RefusingClients } from './service/refusing-clients.ts'
import type { Schedule } from './service/schedule.ts'
import type { Status } from './service/status.ts'
import { readLedger } from './storage/ledger-directory.ts'
import { certificatePem } from './x509/pem.ts'

export type AdminParts = {
  readonly keeper: Keeper
  readonly vaults: KeyVaults
  readonly inventory: Inventory
  readonly ledgerPath: string
  readonly cluster: Tokens['cluster']
  readonly schedule: Schedule
  readonly refusing: RefusingClients
  /** Issues tokens, in dev mode alone. */
  readonly dev: DevCluster | undefined
  readonly status: () => Promise<Status>
  /** Where certificates are issued. */
  readonly ca: Address
  readonly clock: Clock
}

/** What the admin socket answers. */
export function adminRoutes(parts: AdminParts): readonly Route[] {
  const { keeper, inventory, ledgerPath, ca, dev, clock } = parts
  const listWorkloads = listingWorkloads({
    inventory,
    watch: parts.cluster.watch,
    journal: () => keeper.set,
    standsOn: (issuer) => keeper.set.authorities.find(({ id, role }) => id === issuer && role === 'issuing')?.root,
    clock,
  })
  const findRevocable = findingRevocable({
    inventory,
    readLedger: (since) => readLedger(ledgerPath, since, { without: 'intent', latestDayFirst: true }),
    authorities: () => keeper.set,
    clock,
  })
  return [
    ...localRoutes({
      describe: async () => ({
        status: await parts.status(),
        caAddress: `${loopbackOf(ca.host)}:${ca.port}`,
        trustBundle: bundleOf(keeper.set).roots.map(certificatePem).join(''),
      }),
      listWorkloads,
      schedule: () => parts.schedule.status,
      issueToken: dev && ((account) => dev.issueToken(account)),
    }),
    ...authorityRoutes(
      keeper,
      () => parts.refusing.list(),
      sealedWith(parts.vaults),
      () => parts.schedule.status.jobs.find(({ name }) => name === 'rotateRoot')?.next,
    ),
    ...offlineRoutes(keeper.offline),
    ...revocationRoutes(keeper, findRevocable),
  ]
}
