import type { AuthoritySet } from '../authority/authority.ts'
import type { Journal } from '../authority/journal.ts'
import type { PrivateKey, Signer } from '../keys/private-key.ts'

/** The journal together with the root keys that belong to it. */
export interface AuthorityStore extends Journal {
  /**
   * Begins a trust domain where there is none: journal and root key appear together or not at all. Gives revision 1.
   * @throws CaError `conflict`: there is one · `wrong_state`: there was one
   */
  begin(set: AuthoritySet, rootKey: PrivateKey | undefined): Promise<number>
  /** @throws CaError `wrong_state`: missing, damaged or readable by others */
  rootKey(id: string): Promise<Signer>
}

/** One run of a job. Without an outcome it was begun and its process ended in the middle. */
export type RunRecord = {
  readonly due: Date
  readonly begunAt: Date
  readonly outcome?: { readonly kind: 'done' | 'failed'; readonly text: string; readonly tookMs: number }
}

/** What is remembered of a job, so that nothing due is run twice and what was missed is made up. */
export type JobRecord = {
  readonly job: string
  /** By what it was due: by another expression or in another time zone nothing of the past is owed. */
  readonly expression: string
  readonly timeZone: string
  /** Whatever was due up to this moment was run, made up, or never owed. */
  readonly settled: Date
  /** Stretches of that, bounds excluded, in which nothing ran. They count again if the clock is set back into one. */
  readonly skipped: readonly { readonly after: Date; readonly before: Date }[]
  readonly last?: RunRecord
}

/** Remembers the runs of scheduled jobs. */
export interface ScheduleStore {
  /** Nothing if nothing was ever written. @throws CaError `wrong_state`: damaged · `dependency_unavailable`: can't be read */
  read(): Promise<readonly JobRecord[] | undefined>
  /** Replaces all; durable when it resolves. @throws CaError `dependency_unavailable` */
  write(records: readonly JobRecord[]): Promise<void>
}
