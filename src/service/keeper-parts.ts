import type { Evidence } from '../authority/gate.ts'
import type { RotationPolicy } from '../authority/next-action.ts'
import type { PluggedCa } from '../authority/plugged-ca.ts'
import type { Making } from '../issuance/ca-certificates.ts'
import type { KeyAlgorithm } from '../keys/algorithms.ts'
import type { Ledger } from '../ledger/ledger.ts'
import type { TrustDomain } from '../spiffe/trust-domain.ts'
import type { Events } from './events.ts'
import type { AuthorityStore, MomentStore } from './ports.ts'

/** Where the root of trust comes from: made and kept here (in dev mode in the clear, else sealed), or plugged in by an admin. */
export type RootSource =
  | { readonly kind: 'dev' | 'own'; readonly root: { readonly algorithm: KeyAlgorithm; readonly lifetimeMs: number } }
  | { readonly kind: 'plugged-in'; readonly ca: PluggedCa }

export type KeeperParts = Making & {
  readonly store: AuthorityStore
  readonly trustDomain: TrustDomain
  readonly source: RootSource
  readonly issuing: { readonly algorithm: KeyAlgorithm; readonly lifetimeMs: number }
  readonly rotation: Omit<RotationPolicy, 'issuingLifetimeMs'>
  /** What is known of the live workloads. */
  readonly evidence: () => Evidence
  /** Remembers for the next start when the clock was believed. */
  readonly lastMoment: MomentStore
  readonly ledger: Ledger
  readonly events: Events
}
