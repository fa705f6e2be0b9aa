import { type Authority, type AuthoritySet, KEY_HOMES } from '../authority/authority.ts'
import type { Evidence } from '../authority/gate.ts'
import type { RotationPolicy } from '../authority/next-action.ts'

/** What the views are made from: one moment. */
export type Seen = {
  readonly set: AuthoritySet
  readonly evidence: Evidence
  readonly now: Date
  readonly policy: RotationPolicy
  /** The id of the issuing authority whose key this process holds. */
  readonly holding: string | undefined
  /** Ids of keys that are not where they were kept: of roots that have left the bundle, and of issuing authorities of processes that ended. */
  readonly gone: ReadonlySet<string>
  /** Whether this process changes no authority any more. */
  readonly stopped: boolean
}

export const KEY_PLACES = [...KEY_HOMES, 'gone'] as const
export type KeyPlace = (typeof KEY_PLACES)[number]

/** Where an authority's private key is now. The journal has where it was made; a root that signed leaves itself has two records with one key. */
export const keyPlaceOf = ({ id, key }: Authority, { gone }: Pick<Seen, 'gone'>): KeyPlace =>
  gone.has(id) ? 'gone' : key

/** What an admin is told of a process that changes no authority any more. */
export const STOPPED =
  'nothing is changed any more: nobody knows whether the last change is in the journal; restart the server, and it finds out'
