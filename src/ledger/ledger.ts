import type { AttestationMethod } from '../attestation/caller.ts'

/**
 * What was issued and what was refused, in the order it happened. An intent stands there before the key is used, its outcome before
 * the answer leaves; an intent without an outcome means that the process died in between and nobody got an answer.
 */
export interface Ledger {
  /** Resolves when the record is where a crash of this process can't lose it. @throws CaError `dependency_unavailable` */
  intend(record: IntentRecord): Promise<void>
  /** Resolves when the record is durable. @throws CaError `dependency_unavailable` */
  record(record: OutcomeRecord): Promise<void>
}

type Common = {
  /** ISO 8601, UTC. */
  readonly at: string
  /** The same in a request's log lines, and in the answer's metadata. */
  readonly requestId: string
  /** Address and port it came from. */
  readonly peer: string
}

/** Who asked, as far as attestation got. */
export type CallerRecord = {
  readonly namespace: string
  readonly serviceAccount: string
  readonly method: AttestationMethod
  readonly pod?: string
  readonly podUid?: string
  readonly onBehalfBy?: string
}

export type IntentRecord = Common & {
  readonly kind: 'intent'
  readonly caller: CallerRecord
  readonly id: string
  /** Lower-case hex. */
  readonly serial: string
  readonly issuer: string
  readonly notBefore: string
  readonly notAfter: string
  readonly key: string
  /** SHA-256 of what is about to be signed. */
  readonly tbsSha256: string
}

export type IssuedRecord = Common & {
  readonly kind: 'issued'
  readonly id: string
  readonly serial: string
  readonly issuer: string
  readonly notAfter: string
  readonly bundleSequence: number
  /** SHA-256 of the certificate. */
  readonly sha256: string
  /** By what its holder proved who it is. With what follows, so that the inventory of what is live needs no other record. */
  readonly method: AttestationMethod
  readonly pod?: string
  readonly podUid?: string
  /** Serial of the SVID that made the call; it is replaced once this one is shown. */
  readonly predecessor?: string
}

/** An SVID made a call for the first time: it arrived, and so did the bundle of its answer. */
export type ShownRecord = {
  readonly kind: 'shown'
  readonly at: string
  readonly requestId: string
  readonly serial: string
}

export type RefusedRecord = Common & {
  readonly kind: 'refused'
  readonly caller?: CallerRecord
  readonly code: string
  /** One of a closed list, where the refusal has one. */
  readonly reason?: string
  /** For the admin's eyes; the caller never saw it if the credential was refused. */
  readonly detail: string
}

/** Many refusals in one line: what is left of a flood. */
export type RefusalsRecord = {
  readonly kind: 'refusals'
  readonly at: string
  readonly count: number
  readonly byReason: { readonly [reason: string]: number }
}

/** The authorities' own history, so that one file tells the whole story. */
export type AuthorityRecord = {
  readonly kind: 'authority'
  readonly at: string
  readonly what:
    | 'root made'
    | 'root prepared'
    | 'root activated'
    | 'root revoked'
    | 'root key destroyed'
    | 'authority tainted'
    | 'issuing authority activated'
    | 'plugged-in CA taken'
    | 'bundle published'
    | 'rotation begun'
    | 'rotation done'
    | 'rotation rolled back'
    | 'workload forgotten'
    | 'CA taken over'
    | 'online CA replaced'
    | 'key exported'
    | 'export disabled'
    | 'certificate revoked'
  readonly authority: string
  readonly detail: string
}

export type OutcomeRecord = IssuedRecord | RefusedRecord | ShownRecord | AuthorityRecord
export type LedgerRecord = IntentRecord | OutcomeRecord | RefusalsRecord

export const LEDGER_KINDS: readonly LedgerRecord['kind'][] = [
  'intent',
  'issued',
  'refused',
  'refusals',
  'shown',
  'authority',
]

/** A line that is no record, or with the number 0 that its file is missing, or was longer. `torn` is the beginning of one, as a crash or a full disk leaves it: it was never durable, and nobody got an answer. */
export type DamagedLine = {
  readonly kind: 'damaged'
  readonly file: string
  readonly line: number
  readonly torn: boolean
}
