/** A line whose words others chose, for a terminal: they can neither begin a line of their own nor steer anything. */
export function harmless(line: string): string {
  return line.replaceAll(
    /\p{Cc}|\p{Bidi_C}|\p{Zl}|\p{Zp}/gu,
    (one) => `\\u${one.charCodeAt(0).toString(16).padStart(4, '0')}`,
  )
}

/** The same for words that may have several lines: all but the first are indented by at least `indent`, so none is taken for a line of ours. */
export function harmlessLines(text: string, indent: string): string {
  return text
    .split('\n')
    .map((line, index) => (index === 0 || line.startsWith(indent) ? '' : indent) + harmless(line))
    .join('\n')
}
