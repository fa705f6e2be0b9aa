import { expect, test } from 'vitest'
import { AlcazarProcess } from '../_support/a-process.ts'

test('a reader that leaves early ends it without a word', async () => {
  await using ran = new AlcazarProcess(['help', 'issue'])
  ran.child.stdout?.destroy()
  expect(await ran.ended).toBe(0)
  expect(ran.err).toBe('')
})
