import { describe, expect, test } from 'vitest'
import { harmless, harmlessJson, harmlessLines } from '../../src/core/terminal-text.ts'

describe('a line', () => {
  test.each([
    ['\u001b[2J', '\\u001b[2J'],
    ['\n', '\\u000a'],
    ['\r', '\\u000d'],
    ['\0', '\\u0000'],
    ['\u007f', '\\u007f'],
    ['\u0085', '\\u0085'],
    ['\u009b31m', '\\u009b31m'],
    ['\u061c', '\\u061c'],
    ['\u202e', '\\u202e'],
    ['\u2066', '\\u2066'],
    ['\u2028', '\\u2028'],
    ['\u2029', '\\u2029'],
  ])('shows what would steer a terminal as an escape (%j)', (steering, shown) => {
    expect(harmless(`before${steering}after`)).toBe(`before${shown}after`)
  })

  test('keeps the letters of every language', () => {
    expect(harmless('ключ – “क” 鍵 🔑')).toBe('ключ – “क” 鍵 🔑')
  })
})

describe('lines', () => {
  test('all but the first are indented', () => {
    expect(harmlessLines('one\ntwo\n  three\n   four\n five', '  ')).toBe('one\n  two\n  three\n   four\n   five')
  })

  test('each is harmless', () => {
    expect(harmlessLines('\u001bone\ntwo\u202e\rthree', '  ')).toBe('\\u001bone\n  two\\u202e\\u000dthree')
  })
})

describe('JSON', () => {
  test('says the same with escapes', () => {
    const value = { 'a\u202eb': ['\u007f\u0080\u009b31m\u061c\u2028\u2029\u2066', '\u001b\n\\u009b', 'ключ 鍵 🔑'] }
    const json = harmlessJson(JSON.stringify(value, null, 2))
    expect(json).not.toMatch(/[^\P{Cc}\n]|\p{Bidi_C}|\p{Zl}|\p{Zp}/u)
    expect(json).toContain('ключ 鍵 🔑')
    expect(JSON.parse(json)).toEqual(value)
  })

  test('keeps its own lines', () => {
    expect(harmlessJson(JSON.stringify({ a: 1 }, null, 2))).toBe('{\n  "a": 1\n}')
  })
})
