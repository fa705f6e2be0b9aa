import cron from 'node-cron'
import { describe, expect, test } from 'vitest'
import { DAY, HOUR, MINUTE } from '../../src/core/duration.ts'
import { CronExpression, parseTimeZone } from '../../src/service/cron-expression.ts'

/** The first moments after `from`. */
function dueAfter(text: string, timeZone: string, from: string, count: number): string[] {
  const expression = CronExpression.parse(text)
  const found: string[] = []
  for (let at = new Date(from); found.length < count; found.push(at.toISOString().slice(0, 16)))
    at = expression.next(at, timeZone)
  return found
}

describe('is due', () => {
  test.each<[string, string, string, string[]]>([
    ['*/5 * * * *', 'UTC', '2030-01-01T00:00:00Z', ['2030-01-01T00:05', '2030-01-01T00:10']],
    ['17 * * * *', 'UTC', '2030-01-01T00:17:00Z', ['2030-01-01T01:17', '2030-01-01T02:17']],
    ['0 3 1 1 *', 'UTC', '2030-01-01T02:59:59.999Z', ['2030-01-01T03:00', '2031-01-01T03:00']],
    ['0 3 1 1 *', 'Europe/Berlin', '2030-01-01T02:00:00Z', ['2031-01-01T02:00']],
    ['0 0 * * 1', 'UTC', '2030-01-01T00:00:00Z', ['2030-01-07T00:00', '2030-01-14T00:00']],
    ['0 0 * * mon', 'Asia/Kolkata', '2030-01-01T00:00:00Z', ['2030-01-06T18:30']],
    ['0 0 l * *', 'UTC', '2030-02-01T00:00:00Z', ['2030-02-28T00:00', '2030-03-31T00:00']],
    ['@daily', 'America/New_York', '2030-01-01T00:00:00Z', ['2030-01-01T05:00']],
    ['0 0 29 2 *', 'UTC', '2030-01-01T00:00:00Z', ['2032-02-29T00:00', '2036-02-29T00:00']],
    ['0 0 29 2 1', 'UTC', '2073-01-01T00:00:00Z', ['2112-02-29T00:00']],
  ])('%s in %s, after %s', (text, timeZone, from, due) => {
    expect(dueAfter(text, timeZone, from, due.length)).toEqual(due)
  })

  test('where day of month and day of week are both limited, only when both hold', () => {
    expect(dueAfter('0 0 13 * 5', 'UTC', '2030-01-01T00:00:00Z', 2)).toEqual(['2030-09-13T00:00', '2030-12-13T00:00'])
  })

  test('on the minutes that node-cron itself matches, where no clock is changed', () => {
    for (const text of ['*/7 3-5 * * *', '0,30 */6 1-10 * 5', '@hourly', '59 23 31 * *']) {
      const expression = CronExpression.parse(text)
      const task = cron.createTask(text, () => undefined, { timezone: 'UTC' })
      const begin = new Date('2030-01-28T00:00:00Z').getTime()
      const matching: number[] = []
      for (let at = begin; at < begin + 7 * DAY; at += MINUTE) if (task.match(new Date(at))) matching.push(at)
      const found: number[] = []
      for (let at = expression.next(new Date(begin - 1), 'UTC'); at.getTime() < begin + 7 * DAY; ) {
        found.push(at.getTime())
        at = expression.next(at, 'UTC')
      }
      expect(found, text).toEqual(matching)
      expect(found.length, text).toBeGreaterThan(0)
      void task.destroy()
    }
  })
})

test.each([
  ['0 22-2 * * *', ['22:00', '23:00', '00:00', '01:00', '02:00', '22:00']],
  ['0 22-2/2 * * *', ['22:00', '00:00', '02:00', '22:00']],
])('a range that ends before it begins goes on over the end of its field: %s', (text, hours) => {
  expect(dueAfter(text, 'UTC', '2030-01-01T12:00:00Z', hours.length).map((moment) => moment.slice(11, 16))).toEqual(
    hours,
  )
})

test('and so from Friday to Monday', () => {
  // 1 January 2030 is a Tuesday.
  const days = dueAfter('0 0 * * fri-mon', 'UTC', '2030-01-01T12:00:00Z', 5).map((moment) => moment.slice(0, 10))
  expect(days).toEqual(['2030-01-04', '2030-01-05', '2030-01-06', '2030-01-07', '2030-01-11'])
})

describe('in Berlin, on the night in March that has no 02:30,', () => {
  const EVENING = '2030-03-30T12:00:00Z'

  test('what is due at 02:30 comes once, an hour later by the wall', () => {
    expect(dueAfter('30 2 * * *', 'Europe/Berlin', EVENING, 2)).toEqual(['2030-03-31T01:30', '2030-04-01T00:30'])
  })

  test('what is due within that hour and after it keeps its order', () => {
    expect(dueAfter('45,15 2,3 * * *', 'Europe/Berlin', EVENING, 3)).toEqual([
      '2030-03-31T01:15',
      '2030-03-31T01:45',
      '2030-04-01T00:15',
    ])
  })

  test('what is due every half hour goes on every half hour', () => {
    expect(dueAfter('*/30 * * * *', 'Europe/Berlin', '2030-03-31T00:00:00Z', 4)).toEqual([
      '2030-03-31T00:30',
      '2030-03-31T01:00',
      '2030-03-31T01:30',
      '2030-03-31T02:00',
    ])
  })
})

describe('in Berlin, on the night in October that has 02:30 twice,', () => {
  test('what is due at 02:30 comes once, the first time', () => {
    expect(dueAfter('30 2 * * *', 'Europe/Berlin', '2030-10-26T12:00:00Z', 2)).toEqual([
      '2030-10-27T00:30',
      '2030-10-28T01:30',
    ])
  })

  test('what is due every half hour goes on every half hour', () => {
    expect(dueAfter('*/30 * * * *', 'Europe/Berlin', '2030-10-27T00:00:00Z', 4)).toEqual([
      '2030-10-27T00:30',
      '2030-10-27T01:00',
      '2030-10-27T01:30',
      '2030-10-27T02:00',
    ])
  })
})

test('where the wall has no midnight, what is due then comes with the first minute of the day', () => {
  // Beirut puts its clocks forward at midnight.
  expect(dueAfter('0 0 * * *', 'Asia/Beirut', '2030-03-30T12:00:00Z', 2)).toEqual([
    '2030-03-30T22:00',
    '2030-03-31T21:00',
  ])
})

test('what is due on a day that a country left out comes with the next', () => {
  // Samoa had no 30 December 2011.
  expect(dueAfter('15 0 30 12 *', 'Pacific/Apia', '2011-12-30T10:10:00Z', 2)).toEqual([
    '2011-12-30T10:15',
    '2012-12-29T10:15',
  ])
})

test('where clocks go back over midnight, a midnight that was is not forgotten', () => {
  // Newfoundland went from 00:01 on 7 November 2010 to 23:01 on the 6th.
  const midnight = CronExpression.parse('0 0 * * *')
  expect(midnight.previous(new Date('2010-11-07T02:45:00Z'), 'America/St_Johns')).toEqual(
    new Date('2010-11-07T02:30:00Z'),
  )
  expect(dueAfter('0 0 * * *', 'America/St_Johns', '2010-11-07T02:45:00Z', 1)).toEqual(['2010-11-08T03:30'])
})

describe('the last moment', () => {
  test.each<[string, string, string, string]>([
    ['*/5 * * * *', 'UTC', '2030-01-01T00:05:00Z', '2030-01-01T00:05'],
    ['*/5 * * * *', 'UTC', '2030-01-01T00:04:59.999Z', '2030-01-01T00:00'],
    ['0 3 1 1 *', 'UTC', '2030-01-01T02:59:59Z', '2029-01-01T03:00'],
    ['30 2 * * *', 'Europe/Berlin', '2030-03-31T01:29:00Z', '2030-03-30T01:30'],
    ['30 2 * * *', 'Europe/Berlin', '2030-03-31T12:00:00Z', '2030-03-31T01:30'],
    ['30 2 * * *', 'Europe/Berlin', '2030-10-27T01:45:00Z', '2030-10-27T00:30'],
  ])('of %s in %s up to %s', (text, timeZone, until, due) => {
    expect(CronExpression.parse(text).previous(new Date(until), timeZone).toISOString().slice(0, 16)).toBe(due)
  })

  // What is due twice a year is half a year of days away from most moments.
  test.each([
    ['*/5 * * * *', 17 * HOUR],
    ['30 2 * * *', 17 * HOUR],
    ['0 0 * * 0', 2 * DAY],
    ['15 3 1 3,9 *', 8 * DAY],
    ['*/20 1-3 * * *', 17 * HOUR],
  ])('of %s is the next of the moment before it, through a year with both changes', (text, apart) => {
    const expression = CronExpression.parse(text)
    for (const timeZone of ['UTC', 'Europe/Berlin', 'Australia/Lord_Howe', 'America/Havana'])
      for (let at = Date.UTC(2030, 0, 1); at < Date.UTC(2031, 0, 1); at += apart + 7 * MINUTE) {
        const next = expression.next(new Date(at), timeZone)
        expect(next.getTime()).toBeGreaterThan(at)
        expect(expression.previous(next, timeZone)).toEqual(next)
        const before = expression.previous(new Date(next.getTime() - 1), timeZone)
        expect(before.getTime(), `${timeZone} ${new Date(at).toISOString()}`).toBeLessThanOrEqual(at)
        expect(expression.next(before, timeZone)).toEqual(next)
      }
  })
})

describe('what can’t be read is refused with what is allowed, and an example:', () => {
  test.each([
    ['', 'it has 1 field'],
    ['often', 'it has 1 field'],
    ['* * * *', 'it has 4 fields'],
    ['0 */5 * * * *', 'it has 6 fields'],
    ['60 * * * *', '60 is an invalid expression for minute'],
    ['0 24 * * *', '24 is an invalid expression for hour'],
    ['0 0 30 2 *', '30 2 is an impossible day of month for the given month'],
    ['0 0 l-30 2 *', 'no day ever matches'],
    ['0-99999999 * * * *', 'a field is out of its bounds'],
    [`${'1,'.repeat(200)}1 * * * *`, 'a field is out of its bounds'],
    ['@fortnightly', 'pattern includes illegal characters'],
  ])('%s', (text, because) => {
    expect(() => CronExpression.parse(text)).toThrow(
      expect.objectContaining({
        code: 'invalid_argument',
        message: `not a cron expression: ${JSON.stringify(text.slice(0, 100))} (${because}); write five fields: minute (0-59), hour (0-23), day of month (1-31), month (1-12), day of week (0-7), each a number, a range, a list, a step or *; or @hourly, @daily, @weekly, @monthly, @yearly; for example "*/5 * * * *" for every five minutes, "0 3 1 1 *" for 1 January at 03:00`,
      }),
    )
  })
})

test('leaves nothing with node-cron that could ever run', () => {
  const before = cron.getTasks().size
  CronExpression.parse('*/5 * * * *')
  expect(cron.getTasks().size).toBe(before)
})

describe('a time zone', () => {
  test.each([
    ['UTC', 'UTC'],
    ['Europe/Berlin', 'Europe/Berlin'],
    ['europe/berlin', 'Europe/Berlin'],
  ])('%s is %s', (text, name) => expect(parseTimeZone(text)).toBe(name))

  test.each(['', 'Berlin', '+01:00', 'Europe/Nowhere'])('%j is refused with an example', (text) => {
    expect(() => parseTimeZone(text)).toThrow(
      expect.objectContaining({
        code: 'invalid_argument',
        message: `not a time zone: ${JSON.stringify(text)}; write an IANA name, for example UTC or Europe/Berlin`,
      }),
    )
  })
})
