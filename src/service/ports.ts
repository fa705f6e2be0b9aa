import type { AuthoritySet, KeyHome } from '../authority/authority.ts'
import type { Journal } from '../authority/journal.ts'
import type { KeyAlgorithm } from '../keys/algorithms.ts'
import type { PrivateKey, Signer } from '../keys/private-key.ts'
import type { VaultHome } from '../keys/vault.ts'

/** The journal together with the root keys that belong to it. */
export interface AuthorityStore extends Journal {
  /**
   * Begins a trust domain where there is none: the journal and the root keys made or taken before appear together or not at all. Gives revision 1.
   * @throws CaError `conflict`: there is one · `wrong_state`: there was one
   */
  begin(set: AuthoritySet): Promise<number>
  /** Where keys made or taken from now on are. @throws CaError `wrong_state`: no place for them is set */
  readonly newKeyHome: VaultHome
  /**
   * Makes a root's key, durable when it resolves: before `begin` as soon as that resolves. One that no journal names after a crash signed nothing.
   * @throws CaError `wrong_state`: no place for keys is set, or the state is damaged · `dependency_unavailable`
   */
  newRootKey(algorithm: KeyAlgorithm): Promise<Signer>
  /** Keeps a root's key that was made elsewhere. @throws as `newRootKey`; CaError `wrong_state` too where keys can't be taken */
  takeRootKey(key: PrivateKey): Promise<Signer>
  /**
   * @param home as the authority's record has it
   * @throws CaError `wrong_state`: missing, damaged, readable by others, sealed with something else, or kept where no setting leads
   */
  rootKey(id: string, home: KeyHome): Promise<Signer>
  /**
   * Takes a root's key away for ever; durable when it resolves. Whether there was one.
   * @throws CaError `dependency_unavailable` · `wrong_state`: kept where no setting leads, or refused there
   */
  destroyRootKey(id: string, home: KeyHome): Promise<boolean>
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

/** Remembers one moment. */
export interface MomentStore {
  /** Nothing if there is none, or none that can be read. */
  read(): Promise<Date | undefined>
  write(moment: Date): Promise<void>
}
