import { type Clock, plus } from '../core/clock.ts'
import { SECOND } from '../core/duration.ts'
import { CaError } from '../core/errors.ts'
import type { ServiceAccount } from '../spiffe/spiffe-id.ts'
import type { ClusterWatch, Pod } from './cluster.ts'

/** A watch without event or bookmark for longer is not synced: its word alone is not enough. */
const SYNCED_WITHIN_MS = 60 * SECOND

/** A pod keeps its identity while it shuts down, and this long after its grace period. */
const AFTER_DELETION_MS = 60 * SECOND

/** What an identity stands on: an account of that UID and, where its credential is bound to one, a pod of that UID. */
export type Standing = {
  readonly account: ServiceAccount
  readonly accountUid: string
  readonly pod: { readonly name: string; readonly uid: string } | undefined
}

/**
 * What a watch shows, where it may be believed. A fresh watch may say yes. It never says no: where it shows nothing, or is not fresh,
 * `ask` puts the question to the API server and throws `unauthenticated` for a no. When the API server can't be asked, the watch is
 * believed until it is `maxStalenessMs` old.
 * @throws CaError what `ask` throws
 */
export async function seenOrAsked<T>(
  watch: ClusterWatch,
  maxStalenessMs: number,
  seen: () => T | undefined,
  ask: () => Promise<T>,
): Promise<T> {
  const fresh = watch.silence() <= SYNCED_WITHIN_MS ? seen() : undefined
  if (fresh !== undefined) return fresh
  try {
    return await ask()
  } catch (error) {
    if (!(error instanceof CaError) || error.code !== 'dependency_unavailable') throw error
    const stale = watch.silence() <= maxStalenessMs ? seen() : undefined
    if (stale === undefined) throw error
    return stale
  }
}

/**
 * That what an identity stands on is still there, as `seenOrAsked` says.
 * @throws CaError what `ask` throws
 */
export async function confirmAlive(
  standing: Standing,
  watch: ClusterWatch,
  maxStalenessMs: number,
  clock: Clock,
  ask: () => Promise<void>,
): Promise<void> {
  const { account, accountUid, pod } = standing
  const podStands = ({ name, uid }: { name: string; uid: string }) => {
    const found = watch.pod(uid)
    return found?.name === name && isStanding(found, account, clock.now())
  }
  const seen = () => watch.serviceAccountUid(account) === accountUid && (pod === undefined || podStands(pod))
  await seenOrAsked(
    watch,
    maxStalenessMs,
    () => seen() || undefined,
    async () => {
      await ask()
      return true
    },
  )
}

/** The pod runs, or ran until a minute ago, as that account. */
export function isStanding(pod: Pod | undefined, account: ServiceAccount, now: Date): boolean {
  return (
    pod !== undefined &&
    pod.namespace === account.namespace &&
    pod.serviceAccount === account.name &&
    (pod.deletion === undefined || now <= plus(pod.deletion, AFTER_DELETION_MS))
  )
}

/**
 * Whether a pod of that UID is still there, as far as the watch can say: no where it saw the pod deleted. Where it never saw the pod, no only if it
 * is fresh and has been heard since the pod was known to exist, for it may lag behind what made the pod.
 */
export function stillThere(watch: ClusterWatch, now: Date): (uid: string, heardOf: number) => boolean | undefined {
  const silence = watch.silence()
  const isFresh = silence <= SYNCED_WITHIN_MS
  const settled = now.getTime() - silence - SYNCED_WITHIN_MS
  return (uid, heardOf) => {
    if (watch.isGone(uid)) return false
    if (!isFresh) return undefined
    return watch.pod(uid) !== undefined ? true : heardOf < settled ? false : undefined
  }
}
