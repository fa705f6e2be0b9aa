import fc from 'fast-check'

/** Any character of Unicode. (fast-check's unit `binary` is the same, and keeps a table of all 1,112,064 from its first use on.) */
export const anyCharacter = fc
  .oneof(fc.integer({ min: 0, max: 0xd7ff }), fc.integer({ min: 0xe000, max: 0x10ffff }))
  .map((codePoint) => String.fromCodePoint(codePoint))
