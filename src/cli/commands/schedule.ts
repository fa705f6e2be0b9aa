import { durationInWords, MINUTE, relativeInWords } from '../../core/duration.ts'
import type { JobStatus, ScheduleStatus } from '../../service/schedule.ts'
import { print, type Verb } from '../env.ts'
import { LocalServer, STATE_FLAG, STATE_HELP } from '../local-server.ts'
import { momentInWords } from '../moments.ts'
import { outputOption } from '../output-option.ts'

/** A run that began later than this was made up. */
const LATE_MS = 2 * MINUTE

export const schedule: Verb = {
  name: 'schedule',
  summary: 'Show what the server does by the clock: each job, its last run and its next',
  define(command) {
    command.option(STATE_FLAG, STATE_HELP).addOption(outputOption())
  },
  async run(env, _args, options) {
    const status = (await new LocalServer(env, options).call('GET', '/v1/schedule')) as ScheduleStatus
    print(env, options, status, () => lines(status))
  },
}

/** Seen from the server's clock: by that one the jobs run. */
function lines({ timeZone, now, jobs }: ScheduleStatus): readonly string[] {
  const at = new Date(now)
  return jobs.flatMap((job, index) => [
    ...(index === 0 ? [] : ['']),
    `${job.name}  ${job.what}`,
    `  due   ${job.expression === undefined ? `never by itself; schedule.${job.name} is not set` : `${job.expression}  (${timeZone})`}`,
    `  last  ${lastInWords(job, at)}`,
    ...(job.next === undefined ? [] : [`  next  ${seen(job.next, at)}`]),
  ])
}

function lastInWords({ last, running }: JobStatus, now: Date): string {
  if (!last) return 'not yet'
  const late = new Date(last.begunAt).getTime() - new Date(last.due).getTime()
  const when = `${seen(last.begunAt, now)}${late > LATE_MS ? `, made up ${durationInWords(late)} late` : ''}`
  if (!last.outcome) return `${when}: ${running ? 'runs now' : 'interrupted; it is run again'}`
  const { kind, text, tookMs } = last.outcome
  const took = tookMs < 1000 ? `${tookMs} ms` : durationInWords(tookMs)
  return `${when}, ${took}: ${kind === 'failed' ? `failed: ${text}` : text}`
}

const seen = (moment: string, now: Date): string =>
  `${momentInWords(new Date(moment), now)} (${relativeInWords(new Date(moment), now)})`
