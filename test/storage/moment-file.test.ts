import { statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { MomentFile } from '../../src/storage/moment-file.ts'
import { MemoryMoment } from '../_support/memory-moment.ts'
import { momentContract } from '../_support/moment-contract.ts'
import { scratch } from '../_support/scratch.ts'

describe('in a file', () => momentContract(() => new MomentFile(join(scratch(), 'clock'))))
describe('in memory', () => momentContract(() => new MemoryMoment()))

test('is for the owner’s eyes only', async () => {
  const path = join(scratch(), 'clock')
  await new MomentFile(path).write(new Date('2030-01-01T00:00:00Z'))
  expect(statSync(path).mode & 0o777).toBe(0o600)
})

test.each(['', 'soon', '2030-13-01T00:00:00Z'])('a file with “%s” has none', async (text) => {
  const path = join(scratch(), 'clock')
  writeFileSync(path, text)
  expect(await new MomentFile(path).read()).toBeUndefined()
})
