import { expect, test } from 'vitest'
import { shortId } from '../../src/core/bytes.ts'
import { DAY, HOUR } from '../../src/core/duration.ts'
import { EndWarnings } from '../../src/service/end-warnings.ts'
import { JOB_NAMES, type JobName } from '../../src/service/events.ts'
import { scheduledJobs } from '../../src/service/scheduled-jobs.ts'
import { World } from '../_support/a-world.ts'
import { NEVER } from '../_support/attested.ts'

async function jobs() {
  const world = new World()
  const keeper = await world.start()
  const warnings = new EndWarnings({ set: () => keeper.set, events: world.events, clock: world.clock })
  const all = scheduledJobs({ keeper, warnings })
  const run = (name: JobName) => all.find((job) => job.name === name)?.run(NEVER) ?? expect.fail(`no ${name}`)
  return { world, keeper, all, run }
}

test('each is one of the names there are, and says what it does', async () => {
  const { all } = await jobs()
  for (const { name, what } of all) {
    expect(JOB_NAMES).toContain(name)
    expect(what).toMatch(/^[a-z].{15,}[^.]$/)
  }
})

test('checkAuthorities warns, and says what ends first', async () => {
  const { world, keeper, run } = await jobs()
  const root = shortId(keeper.set.authorities[0]?.id ?? '')
  expect(await run('checkAuthorities')).toBe(`of the roots, root ${root} ends first, in 10 years`)
  world.clock.jump(3640 * DAY)
  expect(await run('checkAuthorities')).toBe(`of the roots, root ${root} ends first, in 10 days`)
  expect(world.events.told.at(-1)).toMatchObject({ event: 'authorityEndsSoon', args: [{ role: 'root' }, {}] })
})

test('renewIssuing renews when it is due, and says who signs', async () => {
  const { world, run } = await jobs()
  const before = world.active.authority.id
  expect(await run('renewIssuing')).toBe('it is not due yet')
  expect(world.active.authority.id).toBe(before)
  world.clock.jump(26 * DAY)
  expect(await run('renewIssuing')).toBe(`${shortId(world.active.authority.id)} signs now`)
  expect(world.active.authority.id).not.toBe(before)
})

test('renewIssuing takes no other change for a renewal', async () => {
  const { world, keeper, run } = await jobs()
  const before = world.active
  const renewing = run('renewIssuing')
  await keeper.change(({ set, commit }) => commit({ ...set }))
  expect(await renewing).toBe('it is not due yet')
  expect(world.active).not.toBe(before)
})

test('prune forgets what has ended, and says how much', async () => {
  const { world, run } = await jobs()
  expect(await run('prune')).toBe('nothing had ended')
  await world.clock.advance(26 * DAY)
  await run('renewIssuing')
  await world.clock.advance(5 * DAY)
  expect(await run('prune')).toBe('1 had ended')
})

test('prune forgets nothing while the clock is in doubt', async () => {
  const { world, keeper, run } = await jobs()
  await world.clock.advance(26 * DAY)
  await run('renewIssuing')
  const { set } = keeper
  world.clock.jump(5 * DAY)
  expect(await run('prune')).toBe('nothing, for an hour: the clock jumped')
  expect(keeper.set).toBe(set)
  await world.clock.advance(HOUR)
  expect(await run('prune')).toBe('1 had ended')
})
