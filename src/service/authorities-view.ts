import { type Authority, activeRoot, type Forgotten, type Origin } from '../authority/authority.ts'
import { NAMED, standingOn, type Tally } from '../authority/gate.ts'
import { renewalOf, rootDueAt } from '../authority/next-action.ts'
import { canRenew } from '../authority/plugged-roots.ts'
import { rootAbove } from '../authority/root-above.ts'
import { DAY } from '../core/duration.ts'
import { type StepView, snapshot, stepsOf } from './authority-steps.ts'
import { type Seen, STOPPED } from './seen.ts'

export type AuthorityView = {
  readonly id: string
  readonly role: Authority['role']
  readonly state: Authority['state']
  readonly createdAt: string
  readonly notBefore: string
  readonly notAfter: string
  readonly algorithm: string
  /** Where its private key is. Gone: from where we keep keys; copies made elsewhere, by an export among them, nobody here can know of. */
  readonly key: Authority['key'] | 'gone'
  /** The id of the root an issuing authority stands under. */
  readonly root?: string
  /** The first bundle that had it; of a root. */
  readonly bundledSince?: number
  /** Live workloads with a certificate on it. */
  readonly live: number
  readonly cross: readonly { readonly by: string; readonly notAfter: string }[]
  readonly taint?: { readonly at: string; readonly because: string; readonly leavesAt: string }
  /** When its replacement begins by itself: of what signs. */
  readonly dueAt?: string
  /** What is wrong with it, a sentence each. */
  readonly warnings: readonly string[]
  /** What an admin can do to a root. */
  readonly steps: readonly StepView[]
}

export type AuthoritiesView = {
  readonly now: string
  /** Why no verb is possible until the server is restarted. */
  readonly stopped?: string
  readonly origin: Origin
  readonly bundleSequence: number
  readonly live: number
  /** Why there may be more. */
  readonly incomplete?: string
  readonly rotating: boolean
  readonly authorities: readonly AuthorityView[]
  readonly forgotten: readonly { readonly workload: string; readonly at: string; readonly until: string }[]
}

/** A root this close to its end is warned of. */
const SOON_MS = 30 * DAY

/** @param named how many workloads are listed for each step */
export function authoritiesView(seen: Seen, named = NAMED): AuthoritiesView {
  const { set, now } = seen
  const evidence = snapshot(seen.evidence)
  const standing = standingOn(set, evidence)
  return {
    now: now.toISOString(),
    ...(seen.stopped && { stopped: STOPPED }),
    origin: set.origin,
    bundleSequence: set.bundleSequence,
    live: evidence.all.length,
    ...(evidence.incomplete !== undefined && { incomplete: evidence.incomplete }),
    rotating: set.rotation !== undefined,
    authorities: set.authorities.map((one) => authorityView(one, { ...seen, evidence }, standing, named)),
    forgotten: set.forgotten.map(forgottenView),
  }
}

const forgottenView = ({ workload, at, until }: Forgotten) => ({
  workload,
  at: at.toISOString(),
  until: until.toISOString(),
})

function authorityView(one: Authority, seen: Seen, standing: ReadonlyMap<string, Tally>, named: number): AuthorityView {
  const { set } = seen
  const { notBefore, notAfter } = one.certificate.tbs
  const isRoot = one.role === 'root'
  const root = isRoot ? undefined : rootAbove(set, one)
  const due = dueAt(one, seen)
  return {
    id: one.id,
    role: one.role,
    state: one.state,
    createdAt: one.createdAt.toISOString(),
    notBefore: notBefore.toISOString(),
    notAfter: notAfter.toISOString(),
    algorithm: one.publicKey.algorithm.name,
    key: isRoot && one.state === 'revoked' && seen.gone.has(one.id) ? 'gone' : one.key,
    ...(root && { root: root.id }),
    ...(isRoot && { bundledSince: one.bundledSince }),
    live: standing.get(one.id)?.workloads ?? 0,
    cross: one.cross.map(({ by, certificate }) => ({ by, notAfter: certificate.tbs.notAfter.toISOString() })),
    ...(one.taint && {
      taint: {
        at: one.taint.at.toISOString(),
        because: one.taint.because,
        leavesAt: one.taint.leavesAt.toISOString(),
      },
    }),
    ...(due && { dueAt: due.toISOString() }),
    warnings: warningsOf(one, seen),
    steps: isRoot && !seen.stopped ? stepsOf(seen, one, named) : [],
  }
}

export function dueAt(one: Authority, { set, policy, holding }: Seen): Date | undefined {
  if (one.state !== 'active') return undefined
  if (one.role === 'root') return set.origin === 'plugged-in' ? undefined : rootDueAt(one, policy)
  return one.key === 'memory' && one.id === holding ? renewalOf(one) : undefined
}

function warningsOf(one: Authority, { now, set, policy, holding }: Seen): string[] {
  if (one.state === 'revoked') return []
  const { notBefore, notAfter } = one.certificate.tbs
  const warnings: string[] = []
  // A file in the clear is dev mode's way, or where an imported key was.
  if (one.key === 'file') warnings.push('its key lies in the clear in the state directory: for dev mode only')
  if (one.key === 'plugged-in') warnings.push('its key lies in the clear in the files of the plugged-in CA')
  if (one.wasInTheClear) warnings.push('its key was in the clear: replace it with alcazar root rotate')
  if (one.taint) warnings.push(`declared compromised: ${one.taint.because}`)
  if (one.role === 'root') {
    const soon = Math.min(SOON_MS, (notAfter.getTime() - notBefore.getTime()) / 10)
    if (now > notAfter) warnings.push('it has ended: nothing under it verifies')
    else if (notAfter.getTime() - now.getTime() <= soon && one.state === 'active')
      warnings.push(
        `it ends soon: replace it ${set.origin === 'plugged-in' ? 'in the plugged-in CA’s files' : 'with alcazar root rotate'}`,
      )
    const active = activeRoot(set)
    if (one === active && holding === undefined && !canRenew(set, policy.plugged))
      warnings.push(
        'nothing signs: the key of its CA left the plugged-in CA’s files before the next root may sign; put that CA back, with both roots in root-cert.pem, or go on with alcazar root activate --force',
      )
    if (one.state === 'prepared' && active && one.cross.every(({ by }) => by !== active.id))
      warnings.push(
        'no cross-certificate: it may sign only when every certificate that is alive came with it in the bundle',
      )
  }
  return warnings
}
