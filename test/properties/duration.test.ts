import fc from 'fast-check'
import { expect, test } from 'vitest'
import { durationInWords, parseDuration, relativeInWords, YEAR } from '../../src/core/duration.ts'
import { unlessRefused } from '../_support/refusals.ts'

const UNITS: Readonly<Record<string, number>> = { ms: 1, s: 1000, m: 60e3, h: 3600e3, d: 86_400e3, y: 31_536_000e3 }

test('what is read is the sum of its parts', () => {
  const part = fc.tuple(fc.integer({ min: 0, max: 99 }), fc.constantFrom(...Object.keys(UNITS)))
  fc.assert(
    fc.property(fc.array(part, { minLength: 1, maxLength: 6 }), (parts) => {
      const text = parts.map(([count, unit]) => `${count}${unit}`).join('')
      const sum = parts.reduce((total, [count, unit]) => total + count * (UNITS[unit] as number), 0)
      expect(unlessRefused(() => parseDuration(text))).toBe(sum <= 1000 * YEAR ? sum : undefined)
    }),
  )
})

test('any text is a duration or refused, and what is read is a whole number of milliseconds up to 1,000 years', () => {
  const text = fc.oneof(fc.string(), fc.stringMatching(/^[0-9smhdy]{0,66}$/))
  fc.assert(
    fc.property(text, (any) => {
      const ms = unlessRefused(() => parseDuration(any)) ?? 0
      expect(Number.isSafeInteger(ms) && ms >= 0 && ms <= 1000 * YEAR).toBe(true)
    }),
  )
})

test('in words, a duration is never more than it is by a fiftieth, nor less than half of it', () => {
  const sizes: Readonly<Record<string, number>> = { year: YEAR, day: 86_400e3, h: 3600e3, min: 60e3, s: 1000 }
  fc.assert(
    fc.property(fc.integer({ min: 2000, max: 1000 * YEAR }), (ms) => {
      const [count = '', unit = ''] = durationInWords(ms).split(' ')
      const said = Number(count.replaceAll(',', '')) * (sizes[unit.replace(/s$/, '') || unit] as number)
      expect(said).toBeLessThanOrEqual(ms * 1.02)
      expect(said).toBeGreaterThan(ms / 2)
    }),
  )
})

test('before and after are said alike', () => {
  const now = new Date('2030-01-01T00:00:00Z')
  fc.assert(
    fc.property(fc.integer({ min: 1000, max: 100 * YEAR }), (ms) => {
      const [later, sooner] = [new Date(now.getTime() + ms), new Date(now.getTime() - ms)]
      expect(relativeInWords(later, now).replace(/^in /, '')).toBe(relativeInWords(sooner, now).replace(/ ago$/, ''))
    }),
  )
})
