import { existsSync, readFileSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { MINUTE, SECOND, YEAR } from '../../src/core/duration.ts'
import { aDevServer, type TestServer } from '../_support/a-server.ts'
import { scratch } from '../_support/scratch.ts'
import { SteeredClock } from '../_support/steered-clock.ts'
import { until } from '../_support/until.ts'

const JUMPED = 'the clock was set, or nothing ran for so long'
const saysIt = (server: TestServer) => server.log.filter((line) => line.includes(JUMPED))

test('a server that starts with a clock a year ahead of the last one says so, and the next with the right one does not', async () => {
  const state = scratch()
  const moment = join(state, 'clock')
  {
    const clock = new SteeredClock()
    await using server = await aDevServer({ state, clock })
    expect(saysIt(server)).toEqual([])
    await clock.leap(2 * SECOND)
    await until('the moment is noted', () => existsSync(moment))
  }
  const noted = readFileSync(moment, 'utf8')
  {
    const clock = new SteeredClock({ aheadMs: YEAR })
    await using server = await aDevServer({ state, clock })
    await clock.leap(10 * MINUTE)
    await until('it is told', () => saysIt(server).length > 0)
    expect(JSON.parse(saysIt(server)[0] as string)).toMatchObject({ level: 'error', by: '365 days ahead' })
    expect(readFileSync(moment, 'utf8')).toBe(noted)
  }
  {
    await using server = await aDevServer({ state })
    expect(saysIt(server)).toEqual([])
  }
  rmSync(moment)
  await using server = await aDevServer({ state })
  expect(saysIt(server), 'what the year ahead wrote is all that is known').toHaveLength(1)
})
