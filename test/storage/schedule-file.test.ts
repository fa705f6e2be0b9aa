import { mkdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { ScheduleFile } from '../../src/storage/schedule-file.ts'
import { eachStep, LEFTOVERS } from '../_support/faulty-disk.ts'
import { MemorySchedule } from '../_support/memory-schedule.ts'
import { scheduleStoreContract, someRecords } from '../_support/schedule-store-contract.ts'
import { scratch } from '../_support/scratch.ts'

const pathIn = (directory: string) => join(directory, 'schedule.json')

describe('the one in memory that other tests use', () => scheduleStoreContract(() => new MemorySchedule()))

describe('the file', () => scheduleStoreContract(() => new ScheduleFile(pathIn(scratch()))))

test('is its owner’s alone', async () => {
  const directory = scratch()
  await new ScheduleFile(pathIn(directory)).write(someRecords)
  expect(statSync(pathIn(directory)).mode & 0o777).toBe(0o600)
})

test.each(LEFTOVERS)('a crash at any step leaves the old runs or the new ones (%s)', async (leftover) => {
  const begin = async () => {
    const directory = scratch()
    await new ScheduleFile(pathIn(directory)).write([])
    return directory
  }
  const seen = new Set<number>()
  await eachStep(
    'dies',
    begin,
    (directory) => new ScheduleFile(pathIn(directory)).write(someRecords),
    async ({ disk, root, at }) => {
      disk.restart(leftover)
      const found = (await new ScheduleFile(pathIn(root)).read()) ?? expect.fail(at)
      expect([[], someRecords], at).toContainEqual(found)
      seen.add(found.length)
    },
  )
  expect(seen.size).toBeGreaterThan(0)
})

describe('a damaged file is told by its path and what is wrong:', () => {
  const sound = async () => {
    const directory = scratch()
    await new ScheduleFile(pathIn(directory)).write(someRecords)
    return readFileSync(pathIn(directory), 'utf8')
  }

  test.each<[string, (text: string) => string, string]>([
    ['empty', () => '', 'not JSON'],
    ['cut off', (text) => text.slice(0, 100), 'not JSON'],
    ['a list', () => '[]', 'the file is no object'],
    ['a newer version', (text) => text.replace('"version": 1', '"version": 2'), 'version 2; this Alcazar reads 1'],
    ['no jobs', () => '{"version":1}', 'jobs is no list'],
    ['a job without a name', (text) => text.replace('"job": "prune"', '"job": 7'), 'job is no text'],
    ['no moment', (text) => text.replace(/"settled": "[^"]+"/, '"settled": "yesterday"'), 'settled is no moment'],
    [
      'a strange outcome',
      (text) => text.replace('"kind": "done"', '"kind": "maybe"'),
      'kind is neither done nor failed',
    ],
    ['no duration', (text) => text.replace('"tookMs": 3', '"tookMs": "3"'), 'tookMs is no number'],
  ])('%s', async (_what, damage, says) => {
    const path = pathIn(scratch())
    writeFileSync(path, damage(await sound()))
    await expect(new ScheduleFile(path).read()).rejects.toMatchObject({
      code: 'wrong_state',
      message: `${path} is damaged: ${says}`,
    })
  })
})

test('what can’t be read or written is told by its path, and a write that failed keeps what was there', async () => {
  const path = pathIn(scratch())
  mkdirSync(path)
  await expect(new ScheduleFile(path).read()).rejects.toMatchObject({
    code: 'dependency_unavailable',
    message: expect.stringMatching(/schedule\.json can’t be read: EISDIR/),
  })
  await expect(new ScheduleFile(path).write([])).rejects.toMatchObject({
    code: 'dependency_unavailable',
    message: expect.stringMatching(/schedule\.json can’t be written: /),
  })
})
