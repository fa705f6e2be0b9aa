import type { Authority, AuthoritySet } from '../authority/authority.ts'
import type { Signer } from '../keys/private-key.ts'
import type { AuthorityRecord } from '../ledger/ledger.ts'
import type { OpenParent } from './parents.ts'

/** An authority whose key this process holds. */
export type Successor = { readonly authority: Authority; readonly signer: Signer }

/** One change of the authorities, while it runs: no other runs beside it. */
export type Change = {
  /** The state as the journal holds it. */
  readonly set: AuthoritySet
  /** Makes it what the journal holds, then what memory holds; what signs goes on. */
  readonly commit: (next: AuthoritySet) => Promise<void>
  /** The same, and `successor`, which `next` has as its active issuing authority, signs from then on. It is proved against all roots of the bundle first. */
  readonly activate: (next: AuthoritySet, successor: Successor) => Promise<void>
  /** What signs issuing authorities under a root of the journal. @throws CaError `wrong_state`: its key can't be opened here */
  readonly parentOf: (root: Authority) => Promise<OpenParent>
  /** Without all that has ended; the very set if nothing has, or while the clock is in doubt. */
  readonly withoutEnded: (set: AuthoritySet) => AuthoritySet
  readonly makeIssuing: (root: Authority, parent: OpenParent) => Promise<Successor>
  readonly record: (what: AuthorityRecord['what'], authority: Pick<Authority, 'id'>, detail: string) => Promise<void>
}

/** What lets them run, one after the other, and what they have led to. */
export type Changes = {
  readonly set: AuthoritySet
  /** What gives trust: `set`, and what a write under way or in doubt makes of it. */
  readonly trusted: readonly AuthoritySet[]
  change<T>(action: (change: Change) => Promise<T>): Promise<T>
}
