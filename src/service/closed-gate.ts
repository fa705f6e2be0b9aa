import type { Blocker, Gate } from '../authority/gate.ts'
import { durationInWords } from '../core/duration.ts'
import { CaError } from '../core/errors.ts'

/** How many of those who are in the way of a step are listed at most: so many that an answer stays below the 4 MiB a client takes. */
export const MOST_NAMED = 2000

/** How an admin goes through a closed gate: by saying exactly how many workloads that breaks, or that nobody knows. */
export type Force = { readonly breaks: number | 'unknown' }

/**
 * That a step may be taken: the gate is open, or the admin knows exactly who will break, or where nobody can, that nobody does.
 * @param what the step in words, as “activate root 91d0 77aa”
 * @param more the command that lists all who are in the way
 * @throws CaError `wrong_state`: who is in the way, and until when at the latest; or what else would have been the word to go through
 */
export function checkGate(gate: Gate, what: string, more: string, force: Force | undefined, now: Date): void {
  const { open, incomplete, inTheWay } = gate
  if (open) return
  if (!force) throw new CaError('wrong_state', refusal(gate, what, more, now))
  const breaks = incomplete === undefined ? inTheWay : 'unknown'
  if (force.breaks === breaks) return
  throw new CaError(
    'wrong_state',
    incomplete === undefined
      ? `${workloadsInWords(inTheWay)} would break if you ${what} now, not ${force.breaks === 'unknown' ? 'an unknown number' : force.breaks}; nothing was done`
      : `Nobody can say who breaks if you ${what} now: ${incomplete}. So no number is right; wait until it is known, or say --yes-break unknown. Nothing was done`,
  )
}

function refusal(gate: Gate, what: string, more: string, now: Date): string {
  const { live, inTheWay, longest, incomplete, until } = gate
  if (incomplete !== undefined && inTheWay === 0)
    return `Not yet: nobody can say whether it is safe to ${what}: ${incomplete}`
  const left = inTheWay - longest.length
  return [
    `Not yet: ${inTheWay.toLocaleString('en-US')} of ${workloadsInWords(live, 'live ')} ${inTheWay === 1 ? 'is' : 'are'} in the way if you ${what} now${incomplete === undefined ? '' : ` (and there may be more: ${incomplete})`}.`,
    ...table(longest, now),
    ...(left > 0 ? [`  … ${left.toLocaleString('en-US')} more: ${more}`] : []),
    ...(until
      ? [
          `Safe at the latest in ${durationInWords(until.getTime() - now.getTime())}, when the last certificate that is in the way has ended. If one is gone: alcazar workloads forget NAMESPACE/NAME`,
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
