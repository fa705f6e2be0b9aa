import { shortId } from '../core/bytes.ts'
import { momentInUtc } from '../core/duration.ts'
import type { EndWarnings } from './end-warnings.ts'
import type { Keeper } from './keeper.ts'
import type { Job } from './schedule.ts'

export type ScheduledJobParts = {
  readonly keeper: Pick<Keeper, 'active' | 'renewIfDue' | 'change' | 'roots' | 'doubtsClock'>
  readonly warnings: Pick<EndWarnings, 'check'>
}

/** What a server does by the clock. */
export function scheduledJobs({ keeper, warnings }: ScheduledJobParts): readonly Job[] {
  return [
    {
      name: 'checkAuthorities',
      what: 'looks how much is left of every authority, and warns',
      run: async () => warnings.check(),
    },
    {
      name: 'renewIssuing',
      what: 'replaces the issuing authority when it is due',
      run: async () => {
        const before = keeper.active.get()?.authority.id
        await keeper.renewIfDue()
        const now = keeper.active.get()?.authority.id
        return now === undefined || now === before ? 'it is not due yet' : `${shortId(now)} signs now`
      },
    },
    {
      name: 'rotateRoot',
      what: 'begins to replace the root; each step waits until it is safe',
      run: async () => {
        const { because, since } = await keeper.roots.rotate({ by: 'clock', because: 'the schedule says so' })
        return `on its way since ${momentInUtc(since)}: ${because}`
      },
    },
    {
      name: 'prune',
      what: 'takes issuing authorities that have ended, and roots of which nothing is left, out of the journal',
      run: async () => {
        if (keeper.doubtsClock) return 'nothing, for an hour: the clock jumped'
        const count = await prune(keeper)
        return count === 0 ? 'nothing had ended' : `${count} had ended`
      },
    },
  ]
}

/**
 * Takes issuing authorities that have ended, and sign no longer, out of the journal, roots of which nothing is left, and cross-certificates, forgotten workloads and revocations with them;
 * gives how many authorities. @throws CaError: it can't be written
 */
export function prune(keeper: Pick<Keeper, 'change'>): Promise<number> {
  return keeper.change(async ({ set, withoutEnded, commit }) => {
    const next = withoutEnded(set)
    if (next !== set) await commit(next)
    return set.authorities.length - next.authorities.length
  })
}
