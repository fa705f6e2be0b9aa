import { describe, expect, test } from 'vitest'
import { asObject, parseStrictJson } from '../../src/core/json.ts'

const refusedAs = (text: string, message: string) =>
  expect(() => parseStrictJson(text)).toThrow(expect.objectContaining({ code: 'invalid_argument', message }))

describe('a key twice in one object', () => {
  test.each([
    ['side by side', '{"a":1,"a":1}'],
    ['with other values', '{"a":1,"b":2,"a":{"x":1}}'],
    ['within an object', '{"o":{"a":1,"a":2}}'],
    ['within a list', '[{"a":1},{"a":1,"a":2}]'],
    ['far down', '{"a":{"a":{"a":[{"a":{"a":1,"a":2}}]}}}'],
    ['in what a later one replaces', '{"a":{"b":1,"b":2},"c":1}'],
    ['with a colon in it', '{":":1,":":2}'],
    ['the empty one', '{"":1,"":2}'],
    ['__proto__', '{"__proto__":1,"__proto__":2}'],
    ['with white space between', '{ "a" : 1 ,\r\n\t"a"\n:\n2 }'],
  ])('is refused %s', (_, text) => {
    refusedAs(text, 'JSON with a key twice in one object')
  })

  test.each([
    ['an escape', '{"a":1,"\\u0061":2}'],
    ['an escaped quote', '{"\\"":1,"\\u0022":2}'],
  ])('is refused written with %s, by what V8 makes of it in this process (nodejs/node#63785)', (_, text) => {
    expect(() => parseStrictJson(text)).toThrow(
      expect.objectContaining({
        code: 'invalid_argument',
        message: expect.stringMatching(/^JSON with a (key twice in one object|backslash in a key)$/),
      }),
    )
  })

  test.each([
    ['in two objects of a list', '[{"a":1},{"a":1}]'],
    ['in an object and in the one around it', '{"a":{"a":{"a":1}}}'],
    ['that differ in case', '{"a":1,"A":1}'],
    ['that differ in normal form', '{"\u00e9":1,"e\u0301":1}'],
  ])('is taken %s', (_, text) => {
    expect(parseStrictJson(text)).toEqual(JSON.parse(text))
  })
})

describe('a key with a backslash', () => {
  test.each([['{"\\\\":1}'], ['{"\\u005c":1}'], ['[{"a":{"b\\\\c":1}}]']])('is refused: %s', (text) => {
    refusedAs(text, 'JSON with a backslash in a key')
  })

  test.each([
    ['{"sub":1,"\\\\u0":2}', '{"sub":1,"\\u0073ub":2}'],
    ['{":":1,"\\\\":2}', '{":":1,"\\u003a":2}'],
    ['{"h":1,"\\\\":2}', '{"h":1,"\\"":2,"\\"":3}'],
  ])('that was read before, %s, hides no key twice in %s (nodejs/node#63785)', (before, text) => {
    JSON.parse(before)
    expect(() => parseStrictJson(text)).toThrow(expect.objectContaining({ code: 'invalid_argument' }))
  })
})

describe('strings', () => {
  test.each([
    ['a colon', '{"a":"x:y"}'],
    ['many colons', '{"a":"::::","b":[":",":"]}'],
    ['an escaped quote before a colon', '{"a":"\\":\\""}'],
    ['an escaped backslash at the end', '{"a":"\\\\"}'],
    ['an escaped backslash and an escaped quote', '{"a":"\\\\\\":","b":"\\\\"}'],
    ['nothing but backslashes', `{"a":"${'\\\\'.repeat(1000)}"}`],
    ['braces', '{"a":"{\\"b\\":1,\\"b\\":2}"}'],
  ])('may hold %s', (_, text) => {
    expect(parseStrictJson(text)).toEqual(JSON.parse(text))
  })
})

describe('nesting', () => {
  const lists = (depth: number) => '['.repeat(depth) + ']'.repeat(depth)
  const objects = (depth: number) => `${'{"a":'.repeat(depth)}1${'}'.repeat(depth)}`

  test('is taken 16 deep', () => {
    expect(parseStrictJson(lists(16))).toEqual(JSON.parse(lists(16)))
    expect(parseStrictJson(objects(16))).toEqual(JSON.parse(objects(16)))
  })

  test('is refused 17 deep', () => {
    refusedAs(lists(17), 'JSON nested deeper than 16')
    refusedAs(`[${objects(16)}]`, 'JSON nested deeper than 16')
  })

  test('is refused at any depth without running out of stack', () => {
    expect(() => parseStrictJson(lists(100_000))).toThrow(expect.objectContaining({ code: 'invalid_argument' }))
  })
})

describe('what is not JSON', () => {
  test.each([
    '',
    ' ',
    '{',
    '{"a":1,}',
    "{'a':1}",
    '{a:1}',
    '[1,]',
    'NaN',
    'undefined',
    '01',
    '1.',
    '.5',
    '"\n"',
    '"\\x41"',
    '\ufeff{}',
    '{} {}',
    '/* */{}',
    'nul',
  ])('%j is refused', (text) => {
    refusedAs(text, 'not JSON')
  })
})

describe('values', () => {
  test.each(['null', 'true', 'false', '0', '-1.5e3', '""', '"\\u00e9"', '[]', '{}', ' {"a" : [ 1 , {} ] } '])(
    '%s is what JSON.parse says',
    (text) => {
      expect(parseStrictJson(text)).toEqual(JSON.parse(text))
    },
  )
})

describe('asObject', () => {
  test('gives an object that inherits nothing, so that no key is special', () => {
    const object = asObject(parseStrictJson('{"a":1}'))
    expect(Object.getPrototypeOf(object)).toBe(null)
    expect(object?.constructor).toBeUndefined()
    expect(object?.toString).toBeUndefined()
  })

  test('keeps __proto__ as a key like any other', () => {
    const object = asObject(parseStrictJson('{"__proto__":{"admin":true},"a":1}'))
    expect(Object.keys(object ?? {})).toEqual(['__proto__', 'a'])
    expect(object?.admin).toBeUndefined()
  })

  test.each(['null', '1', '"text"', '[1]', 'true'])('gives nothing for %s', (text) => {
    expect(asObject(parseStrictJson(text))).toBeUndefined()
  })

  test('gives nothing for nothing', () => {
    expect(asObject(undefined)).toBeUndefined()
  })
})
