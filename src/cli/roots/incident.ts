import { shortId } from '../../core/bytes.ts'
import { momentInUtc, relativeInWords } from '../../core/duration.ts'
import type { TaintedView } from '../../endpoints/admin/authority-routes.ts'
import type { RotationView } from '../../service/rotation-view.ts'
import { momentInWords } from '../moments.ts'
import type { Seen } from './watch.ts'
import { count, workloads } from './words.ts'

/** How many namespaces get a line of their own, and how many of those cut off are named. */
const NAMED = 20

/** What happens from now on, how long it takes, and what to do for those who should not wait. */
export function incidentLines({ tainted, authorities, now: at }: TaintedView, view: RotationView): string[] {
  const now = new Date(at)
  const because = authorities.find(({ id }) => id === tainted.id)?.taint?.because ?? ''
  const leaves = new Date(tainted.leavesAt)
  const until = tainted.until === undefined ? undefined : new Date(tainted.until)
  const waiting = view.namespaces.filter(({ live, ready }) => ready < live)
  return [
    `Root ${shortId(tainted.id)} is declared compromised: ${because}`,
    `  from now on  nothing under it authenticates anybody here${view.signing === undefined ? '' : `; root ${shortId(view.signing)} signs`}`,
    `  affected     ${workloads(tainted.affected)}`,
    `  out          ${whatLeaves(tainted)}${tainted.leaving.length === 0 ? '' : `, at the latest ${momentInWords(leaves, now)} (${relativeInWords(leaves, now)})`}`,
    ...(until
      ? [
          `  renewal      workloads renew by themselves, by token, the last by ${momentInWords(until, now)}`,
          ...(until > leaves
            ? ['               who has not renewed when the root leaves is cut off: restart those who may not wait']
            : []),
        ]
      : []),
    ...(waiting.length === 0 ? [] : restarts(view, now)),
  ]
}

function whatLeaves({ id, leaving }: TaintedView['tainted']): string {
  const [first, ...others] = leaving.map((one) => `root ${shortId(one)}`)
  if (first === undefined) return `root ${shortId(id)} has left the bundle, and no root of it certified its key`
  const leave =
    others.length === 0
      ? `${first} leaves the bundle when nothing stands on it`
      : `${[first, ...others].join(' and ')} leave the bundle, each when nothing stands on it`
  return leaving.includes(id) ? leave : `root ${shortId(id)} is not in the bundle, but its key was certified: ${leave}`
}

function restarts({ namespaces }: RotationView, now: Date): string[] {
  const waiting = namespaces
    .filter(({ live, ready }) => ready < live)
    .sort((a, b) => b.live - b.ready - (a.live - a.ready))
  const lines = waiting.slice(0, NAMED).map(({ namespace, live, ready, until }) => {
    const by = until === undefined ? '' : `, by themselves until ${momentInWords(new Date(until), now)}`
    return `  kubectl rollout restart deployment,statefulset,daemonset -n ${namespace}    # ${workloads(live - ready, '')}${by}`
  })
  return [
    'Who should not wait is restarted; a restart of all that runs in a namespace:',
    ...lines,
    ...(waiting.length > NAMED
      ? [
          `  … ${waiting.length - NAMED} more ${waiting.length === NAMED + 1 ? 'namespace' : 'namespaces'}: alcazar workloads`,
        ]
      : []),
  ]
}

/** What a person pastes into the incident's report. */
export type Incident = {
  readonly root: string
  readonly because: string
  readonly declaredAt: string
  readonly successor?: string
  readonly affected: number
  readonly outAt: string
  readonly bundleSequence: number
  /** Workloads that stood on it, or were not known to trust its successor, when it left. */
  readonly cutOff: number
  /** The first of them. */
  readonly named: readonly string[]
}

/** As the server saw it; where that was restarted since, as it was at the last look before the root left. */
export function incidentOf({ tainted, authorities }: TaintedView, { last, end }: Seen): Incident {
  const taint = authorities.find(({ id }) => id === tainted.id)?.taint
  const known = end.left?.id === tainted.id ? end.left : undefined
  // Before its time it leaves only when nobody is in the way.
  const gate = end.now >= tainted.leavesAt ? last.gate : undefined
  const { at, bundleSequence, cutOff, named } = known ?? {
    at: end.now,
    bundleSequence: end.bundleSequence,
    cutOff: gate?.inTheWay ?? 0,
    named: (gate?.first ?? []).map(({ workload }) => workload),
  }
  return {
    root: tainted.id,
    because: taint?.because ?? '',
    declaredAt: taint?.at ?? '',
    ...(end.signing !== undefined && { successor: end.signing }),
    affected: tainted.affected,
    outAt: at,
    bundleSequence,
    cutOff,
    named,
  }
}

export function reportLines(incident: Incident): string[] {
  const { root, because, declaredAt, successor, affected, outAt, bundleSequence, cutOff, named } = incident
  const shown = named.slice(0, NAMED)
  const more = cutOff - shown.length
  return [
    '--- for the incident report ---',
    `Root ${shortId(root)} compromised: ${because}`,
    `declared       ${momentInUtc(new Date(declaredAt))}`,
    ...(successor === undefined ? [] : [`replaced by    root ${shortId(successor)}`]),
    `affected       ${workloads(affected)} had a certificate under it`,
    `out of bundle  ${momentInUtc(new Date(outAt))}, ${relativeInWords(new Date(outAt), new Date(declaredAt)).replace('in ', '')} later, with bundle ${bundleSequence}`,
    cutOff === 0
      ? 'cut off        nobody: all had renewed or ended'
      : `cut off        ${count(cutOff)}: ${shown.join(', ')}${more > 0 ? ` and ${count(more)} more` : ''}`,
    `record         alcazar ledger show ${root.slice(0, 8)}`,
    '-------------------------------',
  ]
}
