import { expect, test } from 'vitest'
import { momentInWords } from '../../src/cli/moments.ts'

const now = new Date('2030-01-01T13:59:30Z')

test.each([
  ['2030-01-01T14:01:29Z', 'today 14:01:29 UTC'],
  ['2030-01-01T13:57:31Z', 'today 13:57:31 UTC'],
  ['2030-01-01T14:01:30Z', 'today 14:01 UTC'],
  ['2030-01-02T14:02:11Z', 'tomorrow 14:02 UTC'],
  ['2030-01-03T14:02:11Z', '2030-01-03 14:02 UTC'],
  ['2029-12-31T14:02:11Z', '2029-12-31 14:02 UTC'],
])('%s is %s: a moment within two minutes is told by the second', (moment, words) => {
  expect(momentInWords(new Date(moment), now)).toBe(words)
})
