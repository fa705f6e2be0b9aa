import { CaError } from './errors.ts'

/** What `parseStrictJson` gives: JSON of RFC 8259, objects with null prototypes so that no key is special. */
export type Json = null | boolean | number | string | Json[] | { [key: string]: Json }

const MAX_DEPTH = 16

/**
 * JSON in which no object names a key twice (RFC 8259 §4 leaves the meaning of that open, so two readers may disagree about a
 * token) and nothing is nested more than 16 deep. The caller bounds the size first.
 * @throws CaError `invalid_argument`
 */
export function parseStrictJson(text: string): Json {
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch (cause) {
    throw new CaError('invalid_argument', 'not JSON', { cause })
  }
  // JSON.parse has said that this is well-formed; what is left is to count each object's keys, in one pass over the text.
  const open: (Set<string> | undefined)[] = []
  for (let at = 0; at < text.length; at++) {
    switch (text[at]) {
      case '{':
      case '[':
        open.push(text[at] === '{' ? new Set() : undefined)
        if (open.length > MAX_DEPTH) throw new CaError('invalid_argument', `JSON nested deeper than ${MAX_DEPTH}`)
        break
      case '}':
      case ']':
        open.pop()
        break
      case '"': {
        const start = at
        for (at++; text[at] !== '"'; at++) if (text[at] === '\\') at++
        let next = at + 1
        while (/\s/.test(text[next] ?? '')) next++
        const keys = open.at(-1)
        if (text[next] === ':' && keys) {
          const key = JSON.parse(text.slice(start, at + 1)) as string
          if (keys.has(key))
            throw new CaError(
              'invalid_argument',
              `JSON with the key ${JSON.stringify(key.slice(0, 64))} twice in one object`,
            )
          keys.add(key)
        }
      }
    }
  }
  return value as Json
}

/** The value as an object, or nothing. Own keys only: what JSON calls `__proto__` is a key like any other. */
export function asObject(value: Json | undefined): { readonly [key: string]: Json | undefined } | undefined {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return undefined
  return Object.assign(Object.create(null) as { [key: string]: Json }, value)
}
