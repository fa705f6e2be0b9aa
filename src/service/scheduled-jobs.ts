import { shortId } from '../core/bytes.ts'
import type { EndWarnings } from './authority-ends.ts'
import type { Keeper } from './keeper.ts'
import type { Job } from './schedule.ts'

export type ScheduledJobParts = {
  readonly keeper: Pick<Keeper, 'active' | 'renewIfDue' | 'prune'>
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
        const before = keeper.active.get()
        await keeper.renewIfDue()
        const now = keeper.active.get()
        if (!now || now === before) return 'it is not due yet'
        return `${shortId(now.authority.id)} signs now`
      },
    },
    {
      name: 'prune',
      what: 'takes issuing authorities that have ended out of the journal',
      run: async () => {
        const count = await keeper.prune()
        return count === 0 ? 'nothing had ended' : `${count} had ended`
      },
    },
  ]
}
