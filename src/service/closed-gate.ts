import type { Blocker, Gate } from '../authority/gate.ts'
import { durationInWords } from '../core/duration.ts'
import { CaError } from '../core/errors.ts'

/** How many of those in the way are named in a refusal. */
const NAMED = 10

/** How an admin goes through a closed gate: by saying exactly how many workloads that breaks. */
export type Force = { readonly breaks: number }

/**
 * That a step may be taken: the gate is open, or the admin knows exactly who will break.
 * @param what the step in words, as “activate root 91d0 77aa”
 * @param more the command that lists all who are in the way
 * @throws CaError `wrong_state`: who is in the way, and until when at the latest
 */
export function checkGate(gate: Gate, what: string, more: string, force: Force | undefined, now: Date): void {
  if (gate.open) return
  if (force?.breaks === gate.blockers.length) return
  if (force)
    throw new CaError(
      'wrong_state',
      `${workloadsInWords(gate.blockers.length)} would break if you ${what} now, not ${force.breaks}; nothing was done`,
    )
  throw new CaError('wrong_state', refusal(gate, what, more, now))
}

function refusal(gate: Gate, what: string, more: string, now: Date): string {
  const { blockers, incomplete, until } = gate
  if (incomplete !== undefined && blockers.length === 0)
    return `Not yet: nobody can say whether it is safe to ${what}: ${incomplete}`
  const named = [...blockers].sort((a, b) => b.until.getTime() - a.until.getTime()).slice(0, NAMED)
  const left = blockers.length - named.length
  return [
    `Not yet: ${blockers.length} of ${workloadsInWords(gate.live, 'live ')} ${blockers.length === 1 ? 'is' : 'are'} in the way if you ${what} now${incomplete === undefined ? '' : ` (and there may be more: ${incomplete})`}.`,
    ...table(named, now),
    ...(left > 0 ? [`  … ${left} more: ${more}`] : []),
    ...(until
      ? [
          `Safe at the latest in ${durationInWords(until.getTime() - now.getTime())}, when their certificates have ended. If one is gone: alcazar workloads forget NAMESPACE/NAME`,
        ]
      : []),
  ].join('\n')
}

function table(blockers: readonly Blocker[], now: Date): string[] {
  const width = Math.max(8, ...blockers.map(({ workload }) => workload.length))
  return blockers.map(
    ({ workload, why, until }) =>
      `  ${workload.padEnd(width)}  ${why.padEnd(28)}  ends in ${durationInWords(until.getTime() - now.getTime())}`,
  )
}

const workloadsInWords = (count: number, kind = ''): string =>
  `${count.toLocaleString('en-US')} ${kind}workload${count === 1 ? '' : 's'}`
