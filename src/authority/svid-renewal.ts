import { earlier, later, plus } from '../core/clock.ts'
import { SECOND } from '../core/duration.ts'
import { type Authority, type AuthoritySet, activeIssuing, activeRoot } from './authority.ts'
import type { Standing } from './gate.ts'
import { rootAbove } from './root-above.ts'

/** An SVID, as far as it says when its successor is due. */
export type Renewable = Pick<Standing, 'issuer' | 'bundle'> & {
  readonly notAfter: Date
  /** Hex. It ends in chance, which keeps apart those that are due together. */
  readonly serial: string
  /** Not its notBefore, which is dated back. */
  readonly issuedAt: Date
}

/** When the successor of an SVID is due: from `start` to `end`, and by chance, which stays the same at each question, at `at`. */
export type Renewal = { readonly start: Date; readonly end: Date; readonly at: Date }

/** Everybody's renewals, which would take until the half of their lives, are brought forward into this time. */
type Wave = { readonly since: Date; readonly withinMs: number }

/** Around the half of its life, as a part of that half. */
const SPREAD = 1 / 10
/** Who stands on a compromised root is refused by all who have heard of it: the sooner the better, but for the load. */
const COMPROMISED_WITHIN_MS = 30 * SECOND

/**
 * When an SVID is to be renewed: at half of its life, give or take a tenth; sooner where a step of a rotation waits for it, as the gates of
 * `gate.ts` do. Then the renewals that are ahead keep their order and are pressed into `windowMs` from that step on: of SVIDs that live equally long the
 * one that ends first goes first, each lifetime fills the window, and nothing gets later than it was. Never after its end, and
 * before `now` only if it has ended.
 * @param windowMs from the journal's write that made a root prepared, or active, to the last of the renewals that it leads to
 */
export function suggestedRenewal(svid: Renewable, set: AuthoritySet, now: Date, windowMs: number): Renewal {
  const usual = usualRenewal(svid)
  const { start, end, at } = wavesFor(svid, set, windowMs)
    .map((wave) => pressed(usual, svid, wave))
    .reduce(soonest, usual)
  const within = (moment: Date) => earlier(later(moment, now), svid.notAfter)
  return { start: within(start), end: within(end), at: within(at) }
}

const soonest = (a: Renewal, b: Renewal): Renewal => ({
  start: earlier(a.start, b.start),
  end: earlier(a.end, b.end),
  at: earlier(a.at, b.at),
})

function usualRenewal({ issuedAt, notAfter, serial }: Renewable): Renewal {
  const half = (notAfter.getTime() - issuedAt.getTime()) / 2
  const chance = Number.parseInt(serial.slice(-8), 16) / 2 ** 32
  return {
    start: plus(issuedAt, half * (1 - SPREAD)),
    end: plus(issuedAt, half * (1 + SPREAD)),
    at: plus(issuedAt, half * (1 + SPREAD * (2 * chance - 1))),
  }
}

function pressed({ start, end, at }: Renewal, { issuedAt }: Renewable, { since, withinMs }: Wave): Renewal {
  // Of all SVIDs of this lifetime the last was issued when the wave began. One issued since comes from a change that was under way.
  const last = end.getTime() - Math.min(issuedAt.getTime(), since.getTime())
  const by = withinMs / last
  const press = (moment: Date) => (moment <= since ? moment : plus(since, (moment.getTime() - since.getTime()) * by))
  return { start: press(start), end: press(end), at: press(at) }
}

/** What waits for this SVID's successor. */
function wavesFor({ issuer, bundle, issuedAt }: Renewable, set: AuthoritySet, windowMs: number): readonly Wave[] {
  const signer = set.authorities.find(({ id, role }) => role === 'issuing' && id === issuer)
  const root = signer && rootAbove(set, signer)
  // Nobody trusts it, or nobody knows who does.
  if (!root || root.state === 'revoked' || signer.state === 'revoked') return [{ since: issuedAt, withinMs: 0 }]
  const taint = [signer, root].find(({ state }) => state === 'tainted')?.taint
  if (taint) return [{ since: taint.at, withinMs: COMPROMISED_WITHIN_MS }]
  // The gate of activation: it is sent the bundle with the new root.
  const waves = set.authorities
    .filter(({ role, state, bundledSince }) => role === 'root' && state === 'prepared' && bundle < bundledSince)
    .map(({ createdAt }): Wave => ({ since: createdAt, withinMs: windowMs }))
  // The gate of the old root's leaving: nothing stands on it.
  if (root.state === 'old') waves.push(leaving(root, set, windowMs))
  return waves
}

function leaving({ taint }: Authority, set: AuthoritySet, windowMs: number): Wave {
  const since = signsSince(set)
  // It certified one that was compromised and leaves with it, the gate open or not: whoever was away has the other half of that time.
  const halfOfRest = taint ? (taint.leavesAt.getTime() - since.getTime()) / 2 : Number.POSITIVE_INFINITY
  return { since, withinMs: Math.max(0, Math.min(windowMs, halfOfRest)) }
}

/**
 * Since when what signs stands under the active root. Its first issuing authority of this turn tells: later ones came with restarts, earlier ones
 * are from before another root signed and this one was brought back.
 */
function signsSince(set: AuthoritySet): Date {
  const root = activeRoot(set)?.id
  const issuing = set.authorities.filter(({ role }) => role === 'issuing')
  const others = issuing.filter((one) => one.root !== root).map(({ createdAt }) => createdAt)
  const before = others.reduce(later, new Date(0))
  return issuing
    .filter((one) => one.root === root && one.createdAt >= before)
    .map(({ createdAt }) => createdAt)
    .reduce(earlier, activeIssuing(set)?.createdAt ?? before)
}
