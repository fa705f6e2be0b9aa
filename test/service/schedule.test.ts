import { describe, expect, test } from 'vitest'
import { DAY, HOUR, MINUTE, SECOND } from '../../src/core/duration.ts'
import { CaError } from '../../src/core/errors.ts'
import { CronExpression } from '../../src/service/cron-expression.ts'
import type { JobName } from '../../src/service/events.ts'
import { type Job, Schedule } from '../../src/service/schedule.ts'
import { FakeClock, settle } from '../_support/fake-clock.ts'
import { MemorySchedule } from '../_support/memory-schedule.ts'
import { recordedEvents } from '../_support/recorded-events.ts'

type Times = Partial<Record<JobName, string>>

/** One state directory through every restart, with a clock that begins at 2030-01-01T00:00:00Z. What ran is in `ran`, with its moment. */
class Machine {
  readonly clock: FakeClock
  readonly store = new MemorySchedule()
  events = recordedEvents()
  times: Times
  timeZone = 'UTC'
  readonly ran: string[] = []
  /** What each job does besides being noted. */
  act: (name: JobName, signal: AbortSignal) => Promise<string> = async () => 'done'
  #stop = new AbortController()
  #running: Promise<void> | undefined
  schedule: Schedule | undefined

  constructor(times: Times = { prune: '17 * * * *' }, now = '2030-01-01T00:00:00Z') {
    this.clock = new FakeClock(now)
    this.times = times
  }

  async start(): Promise<void> {
    this.events = recordedEvents()
    const parse = (name: JobName) =>
      this.times[name] === undefined ? undefined : CronExpression.parse(this.times[name])
    const job = (name: JobName): Job => ({
      name,
      what: `the job ${name}`,
      run: (signal) => {
        this.ran.push(`${name} ${this.clock.now().toISOString().slice(0, 19)}`)
        return this.act(name, signal)
      },
    })
    this.schedule = await Schedule.open({
      jobs: [job('checkAuthorities'), job('rotateRoot'), job('prune')],
      timetable: {
        checkAuthorities: parse('checkAuthorities'),
        rotateRoot: parse('rotateRoot'),
        renewIssuing: parse('renewIssuing'),
        prune: parse('prune'),
        timeZone: this.timeZone,
      },
      store: this.store,
      events: this.events,
      clock: this.clock,
    })
    this.#stop = new AbortController()
    this.#running = this.schedule.run(this.#stop.signal)
    await settle()
  }

  /** Ends in order. */
  async stop(): Promise<void> {
    this.#stop.abort()
    await this.#running
  }

  /** Ends as a crash does: nothing more is written, whatever the jobs of the dead process still do. */
  crash(): void {
    const { text } = this.store
    this.store.write = async () => undefined
    this.#stop.abort()
    Reflect.deleteProperty(this.store, 'write')
    this.store.text = text
  }

  job(name: JobName) {
    return this.schedule?.status.jobs.find((one) => one.name === name) ?? expect.fail(`no ${name}`)
  }

  /** What was told, but for runs that went well. */
  get told() {
    return this.events.told.filter(({ event, args }) => event !== 'jobRan' || 'failed' in (args[2] as object))
  }
}

async function started(times?: Times, now?: string): Promise<Machine> {
  const machine = new Machine(times, now)
  await machine.start()
  return machine
}

describe('a job', () => {
  test('runs when it is due, each time', async () => {
    const machine = await started()
    await machine.clock.advance(3 * HOUR)
    expect(machine.ran).toEqual(['prune 2030-01-01T00:17:00', 'prune 2030-01-01T01:17:00', 'prune 2030-01-01T02:17:00'])
  })

  test('is due by the clocks of the time zone', async () => {
    const machine = new Machine({ prune: '30 2 * * *' }, '2030-03-29T12:00:00Z')
    machine.timeZone = 'Europe/Berlin'
    await machine.start()
    await machine.clock.advance(3 * DAY)
    // 02:30, 02:30, which is not on the wall, and 02:30 in summer.
    expect(machine.ran).toEqual(['prune 2030-03-30T01:30:00', 'prune 2030-03-31T01:30:00', 'prune 2030-04-01T00:30:00'])
  })

  test('at a time that a night has twice runs once', async () => {
    const machine = new Machine({ prune: '30 2 * * *' }, '2030-10-26T12:00:00Z')
    machine.timeZone = 'Europe/Berlin'
    await machine.start()
    await machine.clock.advance(DAY)
    expect(machine.ran).toEqual(['prune 2030-10-27T00:30:00'])
  })

  test('without a time never runs by itself, and is shown', async () => {
    const machine = await started({})
    await machine.clock.advance(2 * DAY)
    expect(machine.ran).toEqual([])
    expect(machine.job('rotateRoot')).toEqual({ name: 'rotateRoot', what: 'the job rotateRoot', running: false })
  })

  test('of which there is a time and nothing to run is refused at the start', async () => {
    await expect(started({ renewIssuing: '* * * * *' })).rejects.toMatchObject({
      code: 'invalid_argument',
      message:
        'schedule.renewIssuing is set, and this server has no such job; there are checkAuthorities, rotateRoot, prune: leave it out',
    })
  })

  test('is not owed what was due before the first start', async () => {
    const machine = await started({ rotateRoot: '0 3 1 1 *' }, '2030-06-01T00:00:00Z')
    await machine.clock.advance(DAY)
    expect(machine.ran).toEqual([])
  })

  test('that takes longer than its interval does not run beside itself, and holds up no other', async () => {
    const machine = new Machine({ checkAuthorities: '* * * * *', prune: '* * * * *' })
    let finish = (_text: string) => {}
    machine.act = (name) => (name === 'prune' ? new Promise((done) => (finish = done)) : Promise.resolve('done'))
    await machine.start()
    await machine.clock.advance(3 * MINUTE)
    expect(machine.ran.filter((one) => one.startsWith('prune'))).toEqual(['prune 2030-01-01T00:01:00'])
    expect(machine.ran.filter((one) => one.startsWith('check'))).toHaveLength(3)
    expect(machine.job('prune').running).toBe(true)
    finish('at last')
    await settle()
    expect(machine.job('prune').last?.outcome).toEqual({ kind: 'done', text: 'at last', tookMs: 2 * MINUTE })
    // What fell due meanwhile is made up, once.
    await machine.clock.advance(MINUTE)
    expect(machine.ran.filter((one) => one.startsWith('prune'))).toHaveLength(2)
  })

  test('that fails is told, and tried again when it is next due', async () => {
    const machine = new Machine()
    machine.act = async () => {
      throw new CaError('dependency_unavailable', 'the journal can’t be written')
    }
    await machine.start()
    await machine.clock.advance(HOUR)
    expect(machine.ran).toHaveLength(1)
    expect(machine.job('prune').last).toEqual({
      due: '2030-01-01T00:17:00.000Z',
      begunAt: '2030-01-01T00:17:00.000Z',
      outcome: { kind: 'failed', text: 'the journal can’t be written', tookMs: 0 },
    })
    expect(machine.told).toMatchObject([{ event: 'jobRan', args: ['prune', new Date('2030-01-01T00:17:00Z'), {}, 0] }])
    machine.act = async () => 'well again'
    await machine.clock.advance(HOUR)
    expect(machine.job('prune').last?.outcome).toMatchObject({ kind: 'done', text: 'well again' })
  })

  test('that throws what nobody foresaw tells the admin no more than that', async () => {
    const machine = new Machine()
    machine.act = async () => {
      throw new Error('secret-token-in-a-message')
    }
    await machine.start()
    await machine.clock.advance(HOUR)
    expect(machine.job('prune').last?.outcome?.text).toBe('internal error; the server log has the details')
    expect(machine.store.text).not.toContain('secret-token')
  })

  test('whose outcome is a novel is remembered by its beginning', async () => {
    const machine = new Machine()
    machine.act = async () => 'x'.repeat(10_000)
    await machine.start()
    await machine.clock.advance(HOUR)
    expect(machine.job('prune').last?.outcome?.text).toBe('x'.repeat(500))
  })
})

describe('what was missed', () => {
  test('while no process ran is made up once, at the next start', async () => {
    const machine = await started()
    await machine.clock.advance(HOUR)
    await machine.stop()
    await machine.clock.advance(5 * DAY)
    await machine.start()
    expect(machine.ran).toEqual(['prune 2030-01-01T00:17:00', 'prune 2030-01-06T01:00:00'])
    expect(machine.job('prune').last).toMatchObject({
      due: '2030-01-06T00:17:00.000Z',
      begunAt: '2030-01-06T01:00:00.000Z',
    })
    await machine.stop()
    await machine.start()
    expect(machine.ran).toHaveLength(2)
    await machine.clock.advance(17 * MINUTE)
    expect(machine.ran.at(-1)).toBe('prune 2030-01-06T01:17:00')
  })

  test('before a job ran for the first time is made up, too: it is owed from the first start on', async () => {
    const machine = await started({ rotateRoot: '0 3 1 1 *' }, '2029-12-31T00:00:00Z')
    await machine.stop()
    await machine.clock.advance(10 * DAY)
    await machine.start()
    expect(machine.ran).toEqual(['rotateRoot 2030-01-10T00:00:00'])
  })

  test('while the machine slept, or the clock was put ahead a year, is made up once', async () => {
    const machine = await started({ rotateRoot: '0 3 1 * *', prune: '17 * * * *' })
    await machine.clock.advance(4 * HOUR)
    machine.ran.length = 0
    machine.clock.jump(365 * DAY)
    await machine.clock.advance(MINUTE)
    expect(machine.ran.toSorted()).toEqual(['prune 2031-01-01T04:01:00', 'rotateRoot 2031-01-01T04:01:00'])
    await machine.clock.advance(MINUTE)
    expect(machine.ran).toHaveLength(2)
  })

  test('by another expression, or in another time zone, is not owed', async () => {
    const machine = await started({ rotateRoot: '0 3 1 1 *' }, '2030-06-15T00:00:00Z')
    await machine.stop()
    await machine.clock.advance(DAY)
    machine.times = { rotateRoot: '0 3 16 6 *' }
    await machine.clock.advance(DAY)
    await machine.start()
    await machine.stop()
    machine.timeZone = 'Europe/Berlin'
    await machine.clock.advance(365 * DAY)
    await machine.start()
    expect(machine.ran).toEqual([])
  })

  test('by a process that ended in the middle of the run is run again at the next start, once', async () => {
    const machine = new Machine()
    machine.act = () => new Promise(() => undefined)
    await machine.start()
    await machine.clock.advance(17 * MINUTE)
    expect(machine.job('prune')).toMatchObject({ running: true })
    machine.crash()
    machine.act = async () => 'done'
    await machine.clock.advance(MINUTE)
    await machine.start()
    expect(machine.ran).toEqual(['prune 2030-01-01T00:17:00', 'prune 2030-01-01T00:18:00'])
    expect(machine.job('prune').last).toMatchObject({ due: '2030-01-01T00:17:00.000Z', outcome: { kind: 'done' } })
    await machine.stop()
    await machine.start()
    expect(machine.ran).toHaveLength(2)
  })

  test('by a job that gave up when the server ended is run again at the next start', async () => {
    const machine = new Machine()
    machine.act = (_name, signal) =>
      new Promise((_done, reject) => signal.addEventListener('abort', () => reject(signal.reason)))
    await machine.start()
    await machine.clock.advance(17 * MINUTE)
    await machine.stop()
    expect(machine.told).toEqual([])
    expect(machine.job('prune').last).not.toHaveProperty('outcome')
    machine.act = async () => 'done'
    await machine.start()
    expect(machine.ran).toHaveLength(2)
  })
})

test('a server that ends waits for the job that runs, and records its outcome', async () => {
  const machine = new Machine()
  let finish = (_text: string) => {}
  machine.act = () => new Promise((done) => (finish = done))
  await machine.start()
  await machine.clock.advance(17 * MINUTE)
  let ended = false
  const stopped = machine.stop().then(() => (ended = true))
  await settle()
  expect(ended).toBe(false)
  finish('just in time')
  await stopped
  expect(JSON.parse(machine.store.text ?? '').jobs[0].last.outcome).toMatchObject({ text: 'just in time' })
})

describe('a clock that is set back', () => {
  test('makes nothing run twice', async () => {
    const machine = await started({ prune: '*/5 * * * *' })
    await machine.clock.advance(HOUR)
    const before = [...machine.ran]
    expect(before).toHaveLength(12)
    machine.clock.jump(-30 * MINUTE)
    await machine.clock.advance(30 * MINUTE)
    expect(machine.ran).toEqual(before)
    await machine.clock.advance(5 * MINUTE)
    expect(machine.ran.slice(12)).toEqual(['prune 2030-01-01T01:05:00'])
  })

  test('after a restart, too', async () => {
    const machine = await started({ prune: '*/5 * * * *' })
    await machine.clock.advance(HOUR)
    await machine.stop()
    machine.clock.jump(-30 * MINUTE)
    await machine.start()
    await machine.clock.advance(29 * MINUTE)
    expect(machine.ran).toHaveLength(12)
  })

  test('to the right year, after it was a year ahead, silences nothing for a year, and makes nothing up twice', async () => {
    const machine = await started({ prune: '*/5 * * * *', rotateRoot: '0 3 1 1 *' })
    await machine.clock.advance(4 * HOUR)
    machine.clock.jump(365 * DAY)
    await machine.clock.advance(13 * MINUTE)
    machine.clock.jump(-365 * DAY)
    machine.ran.length = 0
    await machine.clock.advance(18 * MINUTE)
    expect(machine.ran).toEqual([
      'prune 2030-01-01T04:15:00',
      'prune 2030-01-01T04:20:00',
      'prune 2030-01-01T04:25:00',
      'prune 2030-01-01T04:30:00',
    ])
    expect(machine.job('prune').next).toBe('2030-01-01T04:35:00.000Z')
  })

  test('to the right year, after it was a year ahead at the first start, lets jobs run at their times', async () => {
    const machine = await started({ prune: '*/5 * * * *', rotateRoot: '0 3 1 1 *' }, '2031-06-01T00:02:00Z')
    machine.clock.jump(-365 * DAY)
    await machine.clock.advance(5 * MINUTE)
    expect(machine.ran).toEqual(['prune 2030-06-01T00:05:00'])
  })
})

describe('the record', () => {
  test('says that a run has begun before it begins', async () => {
    const machine = new Machine()
    let atRun: string | undefined
    machine.act = async () => {
      atRun = machine.store.text
      return 'done'
    }
    await machine.start()
    await machine.clock.advance(HOUR)
    const records = JSON.parse(atRun ?? expect.fail('it did not run')).jobs
    expect(records).toMatchObject([
      {
        settled: '2030-01-01T00:00:00.000Z',
        last: { due: '2030-01-01T00:17:00.000Z', begunAt: '2030-01-01T00:17:00.000Z' },
      },
    ])
    expect(records[0].last).not.toHaveProperty('outcome')
  })

  test('that can’t be written holds the run back until it can, and is told', async () => {
    const machine = await started()
    machine.store.full = true
    await machine.clock.advance(20 * MINUTE)
    expect(machine.ran).toEqual([])
    expect(machine.told[0]).toMatchObject({
      event: 'scheduleUnrecorded',
      args: [{ code: 'dependency_unavailable', message: 'the schedule can’t be written' }],
    })
    expect(machine.job('prune').last).toBeUndefined()
    machine.store.full = false
    await machine.clock.advance(MINUTE)
    expect(machine.ran).toEqual(['prune 2030-01-01T00:21:00'])
  })

  test('that can’t be written after a run is told, and this process does not run it again', async () => {
    const machine = new Machine()
    machine.act = async () => {
      machine.store.full = true
      return 'done'
    }
    await machine.start()
    await machine.clock.advance(30 * MINUTE)
    expect(machine.ran).toHaveLength(1)
    expect(machine.told).toMatchObject([{ event: 'scheduleUnrecorded' }])
    expect(machine.job('prune').last?.outcome).toMatchObject({ kind: 'done' })
  })

  test('that is damaged is told, and begun anew: nothing is made up, and what is next due runs', async () => {
    const machine = await started()
    await machine.clock.advance(HOUR)
    await machine.stop()
    machine.store.text = '{"version":1,'
    await machine.clock.advance(DAY)
    await machine.start()
    expect(machine.ran).toHaveLength(1)
    expect(machine.told).toMatchObject([
      { event: 'scheduleLost', args: [{ code: 'invalid_argument', message: 'not JSON' }] },
    ])
    await machine.clock.advance(HOUR)
    expect(machine.ran).toHaveLength(2)
    expect(JSON.parse(machine.store.text ?? '')).toMatchObject({ version: 1 })
  })

  test('stays small, however often something was missed', async () => {
    const machine = await started()
    for (let round = 0; round < 20; round++) {
      machine.clock.jump((round + 2) * HOUR)
      await machine.clock.advance(MINUTE)
    }
    const [{ skipped }] = JSON.parse(machine.store.text ?? '').jobs
    expect(machine.ran).toHaveLength(20)
    expect(skipped).toHaveLength(8)
    expect(skipped[0]).toMatchObject({ after: '1970-01-01T00:00:00.000Z' })
  })

  test('of two jobs that end at once has both', async () => {
    const machine = await started({ prune: '* * * * *', checkAuthorities: '* * * * *' })
    await machine.clock.advance(MINUTE)
    const { jobs } = JSON.parse(machine.store.text ?? '')
    expect(jobs.map((job: { last: { outcome: { kind: string } } }) => job.last.outcome.kind)).toEqual(['done', 'done'])
  })
})

test('the status shows each job, its last run and its next', async () => {
  const machine = await started({ prune: '17 * * * *' })
  await machine.clock.advance(20 * MINUTE + 30 * SECOND)
  expect(machine.schedule?.status).toEqual({
    timeZone: 'UTC',
    now: '2030-01-01T00:20:30.000Z',
    jobs: [
      { name: 'checkAuthorities', what: 'the job checkAuthorities', running: false },
      { name: 'rotateRoot', what: 'the job rotateRoot', running: false },
      {
        name: 'prune',
        what: 'the job prune',
        expression: '17 * * * *',
        running: false,
        last: {
          due: '2030-01-01T00:17:00.000Z',
          begunAt: '2030-01-01T00:17:00.000Z',
          outcome: { kind: 'done', text: 'done', tookMs: 0 },
        },
        next: '2030-01-01T01:17:00.000Z',
      },
    ],
  })
})
