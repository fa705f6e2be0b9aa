import type { AttestationMethod } from '../attestation/caller.ts'

/** An unexpired SVID that somebody may be using. */
export type LiveSvid = {
  /** Lower-case hex. */
  readonly serial: string
  readonly id: string
  readonly namespace: string
  readonly serviceAccount: string
  readonly pod: { readonly name: string; readonly uid: string } | undefined
  /** Id of the authority that signed it. */
  readonly issuer: string
  readonly issuedAt: Date
  readonly notAfter: Date
  /** The same in milliseconds since 1970: a hundred thousand dates cost more than all that a gate does besides. */
  readonly endsAt: number
  /** Sequence of the bundle its answer carried. */
  readonly bundle: number
  /** By what its holder proved who it is when it asked for it. */
  readonly method: AttestationMethod
  /** Its holder showed it: a call was made with it. So its bundle arrived, too. */
  readonly proven: boolean
  /** When its holder was last heard of. */
  readonly lastSeen: Date
}

/** The live SVIDs of one pod; of what is in no pod, each is on its own. */
export type Workload = { readonly name: string; readonly namespace: string; readonly svids: readonly LiveSvid[] }

/**
 * Whether a pod is still there; nothing when nobody can say, which counts as yes.
 * @param heardOf when one of its SVIDs was last asked for or shown (milliseconds since 1970): a watch that lags may not have the pod yet
 */
export type PodExists = (uid: string, heardOf: number) => boolean | undefined

/** How people name the workload of an SVID: `shop/cart-0` by its pod, `shop/cart#5ee01f2a` by account and serial where it has none. */
export function workloadName({ namespace, serviceAccount, pod, serial }: LiveSvid): string {
  return pod ? `${namespace}/${pod.name}` : `${namespace}/${serviceAccount}#${serial.slice(0, 8)}`
}
