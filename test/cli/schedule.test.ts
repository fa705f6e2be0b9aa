import { createServer } from 'node:http'
import { join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import type { ScheduleStatus } from '../../src/service/schedule.ts'
import { alcazar } from '../_support/a-terminal.ts'
import { scratch } from '../_support/scratch.ts'

/** The state directory of a server that answers so. */
async function answering(status: ScheduleStatus): Promise<string> {
  const directory = scratch()
  const server = createServer((request, response) => {
    expect(`${request.method} ${request.url}`).toBe('GET /v1/schedule')
    response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify(status))
  })
  await new Promise<void>((listening) => void server.listen(join(directory, 'admin.sock'), listening))
  onTestFinished(() => new Promise<void>((closed) => void server.close(() => closed())))
  return directory
}

const at = (text: string) => `2030-01-02T${text}Z`

const STATUS: ScheduleStatus = {
  timeZone: 'Europe/Berlin',
  now: at('12:00:30.000'),
  jobs: [
    {
      name: 'checkAuthorities',
      what: 'warns',
      expression: '*/5 * * * *',
      running: false,
      last: {
        due: at('12:00:00.000'),
        begunAt: at('12:00:00.004'),
        outcome: { kind: 'done', text: 'of the roots, root 3f9a 21c4 ends first, in 10 years', tookMs: 12 },
      },
      next: at('12:05:00.000'),
    },
    { name: 'rotateRoot', what: 'replaces the root', running: false },
    {
      name: 'renewIssuing',
      what: 'renews',
      expression: '0 3 * * *',
      running: false,
      last: {
        due: '2030-01-01T02:00:00.000Z',
        begunAt: '2030-01-01T11:00:00.000Z',
        outcome: { kind: 'failed', text: 'the journal can’t be written\u001b[2J', tookMs: 2500 },
      },
      next: '2030-01-03T02:00:00.000Z',
    },
    {
      name: 'prune',
      what: 'forgets',
      expression: '17 * * * *',
      running: true,
      last: { due: at('11:17:00.000'), begunAt: at('11:17:00.000') },
      next: at('12:17:00.000'),
    },
  ],
}

test('shows each job, when it is due, its last run and its next, for people', async () => {
  const { exit, out, err } = await alcazar(['schedule', '--state-directory', await answering(STATUS)])
  expect({ exit, err }).toEqual({ exit: 0, err: '' })
  expect(out).toBe(`checkAuthorities  warns
  due   */5 * * * *  (Europe/Berlin)
  last  today 12:00:00 UTC (30 s ago), 12 ms: of the roots, root 3f9a 21c4 ends first, in 10 years
  next  today 12:05 UTC (in 4 min)

rotateRoot  replaces the root
  due   never by itself; schedule.rotateRoot is not set
  last  not yet

renewIssuing  renews
  due   0 3 * * *  (Europe/Berlin)
  last  2030-01-01 11:00 UTC (25 h ago), made up 9 h late, 2 s: failed: the journal can’t be written\\u001b[2J
  next  tomorrow 02:00 UTC (in 14 h)

prune  forgets
  due   17 * * * *  (Europe/Berlin)
  last  today 11:17 UTC (43 min ago): runs now
  next  today 12:17 UTC (in 16 min)
`)
})

test('says of a run that was interrupted that it is made up', async () => {
  const [job] = STATUS.jobs.filter(({ name }) => name === 'prune')
  const directory = await answering({ ...STATUS, jobs: [{ ...(job ?? expect.fail()), running: false }] })
  const { out } = await alcazar(['schedule', '--state-directory', directory])
  expect(out).toContain('  last  today 11:17 UTC (43 min ago): interrupted; it is run again\n')
})

test('gives programs the same, as the server says it', async () => {
  const { exit, out } = await alcazar(['schedule', '--output', 'json', '--state-directory', await answering(STATUS)])
  expect({ exit, status: JSON.parse(out) }).toEqual({ exit: 0, status: STATUS })
})

test('without a server says how to start one', async () => {
  expect(await alcazar(['schedule', '--state-directory', scratch()])).toMatchObject({
    exit: 7,
    out: '',
    err: expect.stringMatching(
      /^alcazar: .*start one \(alcazar serve; npm start for dev mode\), or name another with --state-directory\n$/,
    ),
  })
})
