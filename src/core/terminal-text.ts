const STEERS = /\p{Cc}|\p{Bidi_C}|\p{Zl}|\p{Zp}/gu

const escaped = (one: string): string => `\\u${one.charCodeAt(0).toString(16).padStart(4, '0')}`

/** A line whose words others chose, for a terminal: they can neither begin a line of their own nor steer anything. */
export function harmless(line: string): string {
  return line.replaceAll(STEERS, escaped)
}

/** The same for words that may have several lines: all but the first are indented by at least `indent`, so none is taken for a line of ours. */
export function harmlessLines(text: string, indent: string): string {
  return text
    .split('\n')
    .map((line, index) => (index === 0 || line.startsWith(indent) ? '' : indent) + harmless(line))
    .join('\n')
}

/**
 * JSON that says the same and steers no terminal. JSON.stringify escapes what RFC 8259 §7 asks for, and leaves DEL, C1, what turns the direction of writing, and
 * U+2028 and U+2029, at which many a reader of lines ends one. They stand in strings alone.
 */
export function harmlessJson(json: string): string {
  return json.replaceAll(STEERS_IN_JSON, escaped)
}

/** Control characters below U+0020 are between the tokens, line feeds among them. */
const STEERS_IN_JSON = /[\u007f-\u009f]|\p{Bidi_C}|\p{Zl}|\p{Zp}/gu
