import { CaError } from './errors.ts'

/** What `parseStrictJson` gives: JSON of RFC 8259, objects with null prototypes so that no key is special. */
export type Json = null | boolean | number | string | Json[] | { [key: string]: Json }

const MAX_DEPTH = 16

/**
 * JSON in which no object names a key twice (RFC 8259 §4 leaves the meaning of that open, so two readers may disagree about a
 * token), no key holds a backslash, and nothing is nested more than 16 deep. The caller bounds the size first.
 * @throws CaError `invalid_argument`
 */
export function parseStrictJson(text: string): Json {
  let value: Json
  try {
    value = JSON.parse(text) as Json
  } catch (cause) {
    throw new CaError('invalid_argument', 'not JSON', { cause })
  }
  // Well-formed JSON has one colon for each member; of members with the same key only the last is in the value.
  if (colonsOutsideStrings(text) !== membersOf(value, 1))
    throw new CaError('invalid_argument', 'JSON with a key twice in one object')
  return value
}

function membersOf(value: Json, depth: number): number {
  if (typeof value !== 'object' || value === null) return 0
  if (depth > MAX_DEPTH) throw new CaError('invalid_argument', `JSON nested deeper than ${MAX_DEPTH}`)
  let count = 0
  if (Array.isArray(value)) for (const item of value) count += membersOf(item, depth + 1)
  else
    for (const key of Object.keys(value)) {
      // V8 gives some escaped keys as their first raw characters, so that two of the same come out as two (nodejs/node#63785).
      if (key.includes('\\')) throw new CaError('invalid_argument', 'JSON with a backslash in a key')
      count += 1 + membersOf(value[key] as Json, depth + 1)
    }
  return count
}

function colonsOutsideStrings(text: string): number {
  let count = 0
  for (let at = 0; at < text.length; ) {
    const open = text.indexOf('"', at)
    const end = open < 0 ? text.length : open
    for (; at < end; at++) if (text.charCodeAt(at) === 58) count++
    if (open < 0) break
    let close = text.indexOf('"', open + 1)
    // A quote after an odd number of backslashes belongs to the string.
    while (isEscaped(text, close)) close = text.indexOf('"', close + 1)
    at = close + 1
  }
  return count
}

function isEscaped(text: string, at: number): boolean {
  let backslashes = 0
  while (text.charCodeAt(at - 1 - backslashes) === 92) backslashes++
  return backslashes % 2 === 1
}

/** The value as an object, or nothing. Own keys only: what JSON calls `__proto__` is a key like any other. */
export function asObject(value: Json | undefined): { readonly [key: string]: Json | undefined } | undefined {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return undefined
  return Object.assign(Object.create(null) as { [key: string]: Json }, value)
}
