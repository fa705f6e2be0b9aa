import { describe, expect, test } from 'vitest'
import {
  DAY,
  durationInWords,
  HOUR,
  MINUTE,
  momentInUtc,
  parseDuration,
  relativeInWords,
  SECOND,
  YEAR,
} from '../../src/core/duration.ts'

describe('parseDuration', () => {
  test.each([
    ['0s', 0],
    ['250ms', 250],
    ['90s', 90 * SECOND],
    ['15m', 15 * MINUTE],
    ['24h', DAY],
    ['1h30m', 90 * MINUTE],
    ['30d', 30 * DAY],
    ['10y', 10 * YEAR],
    ['1y1d1h1m1s1ms', YEAR + DAY + HOUR + MINUTE + SECOND + 1],
    ['1m1ms', MINUTE + 1],
    ['007s', 7 * SECOND],
    ['999999999ms', 999_999_999],
  ])('reads %s', (text, ms) => {
    expect(parseDuration(text)).toBe(ms)
  })

  test.each([
    '',
    ' ',
    '1',
    'h',
    '1.5h',
    '1,5h',
    '-1h',
    '+1h',
    '1h 30m',
    ' 1h',
    '1h\n',
    '1H',
    '1M',
    '1w',
    '1µs',
    '1us',
    '1e3s',
    '0x1s',
    '١s',
    '1h30',
    'PT1H',
    'h1',
    'infinity',
  ])('refuses %j and says how to write one', (text) => {
    expect(() => parseDuration(text)).toThrow(
      expect.objectContaining({
        code: 'invalid_argument',
        message: `not a duration: ${JSON.stringify(text)}; write for example 90s, 15m, 24h, 1h30m, 30d`,
      }),
    )
  })

  test('takes 1,000 years and not a millisecond more', () => {
    expect(parseDuration('1000y')).toBe(1000 * YEAR)
    expect(() => parseDuration('1000y1ms')).toThrow('not a duration')
  })

  test('takes 64 characters and not 65', () => {
    expect(parseDuration('1s'.repeat(32))).toBe(32 * SECOND)
    expect(() => parseDuration(`${'1s'.repeat(31)}01s`)).toThrow('not a duration')
  })

  test('quotes no more than 64 characters of what it refuses', () => {
    expect(() => parseDuration('x'.repeat(1000))).toThrow(
      expect.objectContaining({ message: expect.stringContaining(`${JSON.stringify('x'.repeat(64))};`) }),
    )
  })
})

describe('durationInWords', () => {
  test.each([
    [0, '0 s'],
    [999, '1 s'],
    [989, '0 s'],
    [SECOND, '1 s'],
    [70 * SECOND, '70 s'],
    [119 * SECOND, '119 s'],
    [2 * MINUTE, '2 min'],
    [119 * MINUTE, '119 min'],
    [2 * HOUR, '2 h'],
    [24 * HOUR, '24 h'],
    [47 * HOUR, '47 h'],
    [2 * DAY, '2 days'],
    [25 * DAY, '25 days'],
    [365 * DAY, '365 days'],
    [2 * YEAR, '2 years'],
    [10 * YEAR - MINUTE, '10 years'],
    [10 * YEAR - 10 * DAY, '9 years'],
    [1000 * YEAR, '1,000 years'],
    [-70 * SECOND, '70 s'],
  ])('says %d ms as %s', (ms, words) => {
    expect(durationInWords(ms)).toBe(words)
  })
})

describe('relativeInWords', () => {
  const now = new Date('2030-01-01T00:00:00Z')
  test.each([
    [24 * HOUR, 'in 24 h'],
    [-3 * DAY, '3 days ago'],
    [0, 'now'],
    [999, 'now'],
    [-999, 'now'],
    [SECOND, 'in 1 s'],
    [-SECOND, '1 s ago'],
  ])('says %d ms from now as %s', (ms, words) => {
    expect(relativeInWords(new Date(now.getTime() + ms), now)).toBe(words)
  })
})

test('a moment in UTC is told by the second', () => {
  expect(momentInUtc(new Date('2027-01-31T14:02:11.987Z'))).toBe('2027-01-31 14:02:11 UTC')
})
