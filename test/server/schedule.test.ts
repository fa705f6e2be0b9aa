import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { wholeSecond } from '../../src/core/clock.ts'
import { DAY, HOUR, MINUTE } from '../../src/core/duration.ts'
import type { JobName } from '../../src/service/events.ts'
import type { ScheduleStatus } from '../../src/service/schedule.ts'
import { aDevServer, aPluggedServer, TestCluster, type TestServer } from '../_support/a-server.ts'
import { alcazar } from '../_support/a-terminal.ts'
import { odd } from '../_support/odd-certificates.ts'
import { writeCacerts } from '../_support/plugged-ca.ts'
import { scratch } from '../_support/scratch.ts'
import { SteeredClock } from '../_support/steered-clock.ts'
import { until } from '../_support/until.ts'

/** A clock at which no job is due for a while. */
const aMinutePast = () => new SteeredClock({ aheadMs: HOUR - (Date.now() % HOUR) + MINUTE })

const statusOf = async (server: TestServer) => (await server.admin('GET', '/v1/schedule')).json<ScheduleStatus>()
const jobOf = async (server: TestServer, name: JobName) =>
  (await statusOf(server)).jobs.find((job) => job.name === name) ?? expect.fail(`no ${name}`)

test('a server runs its jobs by the clock, and shows them on the admin’s socket', async () => {
  const clock = aMinutePast()
  await using server = await aDevServer({ clock })
  const { jobs, timeZone } = await statusOf(server)
  expect(timeZone).toBe('UTC')
  expect(jobs.map(({ name, expression }) => [name, expression])).toEqual([
    ['checkAuthorities', '*/5 * * * *'],
    ['renewIssuing', '*/5 * * * *'],
    ['rotateRoot', undefined],
    ['prune', '17 * * * *'],
  ])
  await clock.leap(HOUR)
  await until('all have run', async () =>
    (await statusOf(server)).jobs.every(({ last, expression }) => !expression || last?.outcome?.kind === 'done'),
  )
  expect((await jobOf(server, 'checkAuthorities')).last?.outcome?.text).toMatch(
    /^of the roots, root .{9} ends first, in \d+ years$/,
  )
  expect(await server.metric('alcazar_scheduled_runs_total{job="prune",outcome="ok"}')).toBe(1)
  const { out } = await alcazar(['schedule', '--state-directory', server.state])
  expect(out).toMatch(/^checkAuthorities {2}.*\n {2}due {3}\*\/5 \* \* \* \* {2}\(UTC\)\n {2}last {2}.*ends first/)
})

test('it is not served to others', async () => {
  await using server = await aDevServer()
  expect((await server.api('GET', '/v1/schedule')).status).toBe(404)
})

test('what was missed while no server ran is made up once, by the next', async () => {
  const state = scratch()
  const clock = aMinutePast()
  {
    await using _server = await aDevServer({ state, clock })
  }
  await clock.leap(3 * DAY)
  {
    await using server = await aDevServer({ state, clock })
    await until('prune has run', async () => (await jobOf(server, 'prune')).last?.outcome !== undefined)
    expect(await server.metric('alcazar_scheduled_runs_total{job="prune",outcome="ok"}')).toBe(1)
  }
  await using server = await aDevServer({ state, clock })
  expect((await jobOf(server, 'prune')).last?.outcome?.kind).toBe('done')
  expect(await server.metric('alcazar_scheduled_runs_total{job="prune",outcome="ok"}')).toBe(0)
})

test('of two servers on one state directory one runs the jobs: the other does not start', async () => {
  const state = scratch()
  const clock = aMinutePast()
  await using server = await aDevServer({ state, clock })
  const before = readFileSync(join(state, 'schedule.json'), 'utf8')
  await expect(aDevServer({ state, clock: new SteeredClock({ aheadMs: DAY }) })).rejects.toMatchObject({
    code: 'conflict',
    message: expect.stringMatching(/^another Alcazar server is using /),
  })
  expect(readFileSync(join(state, 'schedule.json'), 'utf8')).toBe(before)
  await clock.leap(HOUR)
  await until('prune has run', async () => (await jobOf(server, 'prune')).last !== undefined)
})

test('a damaged record is told as a warning, and the server starts', async () => {
  const state = scratch()
  writeFileSync(join(state, 'schedule.json'), '{')
  await using server = await aDevServer({ state })
  const line = server.log.map((one) => JSON.parse(one)).find(({ message }) => message.includes('begun anew'))
  expect(line).toMatchObject({ level: 'warn', detail: expect.stringContaining('schedule.json is damaged: not JSON') })
  expect(JSON.parse(readFileSync(join(state, 'schedule.json'), 'utf8')).jobs).toHaveLength(3)
})

test('the root is replaced when the clock says so', async () => {
  const clock = aMinutePast()
  await using server = await aDevServer({ clock, settings: { 'schedule.rotateRoot': '30 * * * *' } })
  await clock.leap(HOUR)
  await until('it has run', async () => (await jobOf(server, 'rotateRoot')).last?.outcome !== undefined)
  expect((await jobOf(server, 'rotateRoot')).last?.outcome).toMatchObject({
    kind: 'done',
    text: expect.stringMatching(/^on its way since \d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC: the schedule says so$/),
  })
})

describe('a plugged-in CA that ends soon', () => {
  /** A CA that may sign CAs, under a root that lives long. */
  const cacerts = (clock: SteeredClock, left: number) => async (directory: string) => {
    const now = wholeSecond(clock.now()).getTime()
    const notBefore = new Date(now - 100 * DAY)
    const root = await odd('root', 'itself', { notBefore, notAfter: new Date(now + 3650 * DAY) })
    const ca = await odd('ca', root, { notBefore, notAfter: new Date(now + left) })
    await writeCacerts(directory, ca, [ca], [root])
  }

  test('is warned of at the start and by the clock, is in the metrics, and keeps the server from being ready when it has ended', async () => {
    await using cluster = await TestCluster.start()
    const clock = aMinutePast()
    await using server = await aPluggedServer({
      cluster: cluster.settings(),
      cacerts: cacerts(clock, 20 * DAY + MINUTE),
      clock,
    })
    const warned = () => server.log.map((one) => JSON.parse(one)).filter(({ message }) => message.includes('ends soon'))
    expect(warned()).toMatchObject([{ level: 'warn', role: 'intermediate', state: 'active', left: '20 days' }])
    const { authority } = warned()[0]
    const left = () =>
      server.metric(`alcazar_authority_remaining_seconds{role="intermediate",state="active",authority="${authority}"}`)
    expect(await left()).toBeGreaterThan(20 * 86_400 - 1)
    expect((await server.health('/readyz')).status).toBe(200)
    await clock.leap(7 * DAY)
    await until('it is warned of', () => warned().length === 2)
    expect(await left()).toBeLessThan(13 * 86_400 + 61)
    // A job that still writes its outcome would not be due beside itself.
    await until('nothing runs', async () => (await statusOf(server)).jobs.every(({ running }) => !running))
    await clock.leap(13 * DAY + 2 * MINUTE)
    await until('it is warned of', () => warned().length === 3)
    expect(warned().at(-1)).toMatchObject({ level: 'error', left: 'nothing: it has ended' })
    expect(await left()).toBeLessThan(0)
    const { status, text } = await server.health('/readyz')
    expect({ status, text }).toEqual({ status: 503, text: expect.stringMatching(/ended/) })
    expect(await server.metric('alcazar_ready')).toBe(0)
  })
})
