import { readFileSync, unlinkSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { MINUTE } from '../../src/core/duration.ts'
import { aDevServer } from '../_support/a-server.ts'
import { SteeredClock } from '../_support/steered-clock.ts'
import { until } from '../_support/until.ts'

test('a server whose lock file was removed is not ready any more, and the second one in its directory is', async () => {
  const clock = new SteeredClock()
  await using server = await aDevServer({ clock })
  unlinkSync(join(server.state, 'lock'))
  await using second = await aDevServer({ state: server.state })
  const journal = readFileSync(join(server.state, 'authority/journal.json'), 'utf8')
  await until('the first one finds out', async () => {
    await clock.leap(MINUTE)
    return (await server.running.status()).ready === false
  })
  const stopped = server.log.filter((line) => line.includes('lock was replaced, so another server may be using'))
  expect(stopped.length).toBeGreaterThan(0)
  expect((await second.running.status()).ready).toBe(true)
  expect(readFileSync(join(server.state, 'authority/journal.json'), 'utf8')).toBe(journal)
})
