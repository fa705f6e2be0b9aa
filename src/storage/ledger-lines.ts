import type { FileHandle } from 'node:fs/promises'
import { crc32 } from 'node:zlib'
import { harmlessJson } from '../core/terminal-text.ts'
import { LEDGER_KINDS, type LedgerRecord } from '../ledger/ledger.ts'

/** The first line of a file: the one before it, and how long that was then, so that what is lost is missed. */
export type FileHead = { readonly kind: 'file'; readonly at: string; readonly before?: string; readonly bytes?: number }
/** After a line that a crash or a full disk cut off: whoever wrote on says that it found it so. */
export type TornMark = { readonly kind: 'torn'; readonly at: string }

const BEGINNING = '{"kind":"'

/**
 * The line of a record: JSON that ends in a check value over all before it (CRC-32 as zlib has it, eight hex digits). It is there against damage; who
 * has the disk can make another.
 */
export function lineOf(record: LedgerRecord | FileHead | TornMark): string {
  const text = harmlessJson(JSON.stringify(record)).slice(0, -1)
  return `${text}${CHECK}${hexOf(crc32(text))}"}\n`
}

const CHECK = ',"crc":"'
const CHECK_BYTES = Buffer.from(CHECK)
/** With the digits, and what closes it. */
const CHECK_LENGTH = CHECK.length + 10

/** What a line says; `passed over` where it begins as one of the kind to pass over. Nothing: it is damaged. */
export function readLine(
  line: Buffer | undefined,
  passedOver: Uint8Array | undefined,
): LedgerRecord | FileHead | TornMark | 'passed over' | undefined {
  if (!line) return undefined
  if (passedOver && has(line, passedOver, 0)) return 'passed over'
  const end = line.length - CHECK_LENGTH
  // Lines of before the check values have none.
  const isChecked = has(line, CHECK_BYTES, end)
  if (isChecked && !has(line, Buffer.from(`${hexOf(crc32(line.subarray(0, end)))}"}`), end + CHECK.length))
    return undefined
  return parse(isChecked ? `${line.toString('utf8', 0, end)}}` : line.toString('utf8'))
}

/** In a line of a few hundred bytes, of which there may be millions, this is faster than to cut it. */
function has(line: Uint8Array, part: Uint8Array, from: number): boolean {
  for (let at = 0; at < part.length; at++) if (line[from + at] !== part[at]) return false
  return true
}

const hexOf = (check: number): string => check.toString(16).padStart(8, '0')

/** How the lines of a kind begin. */
export const beginningOf = (kind: LedgerRecord['kind']): Uint8Array => Buffer.from(`${BEGINNING}${kind}"`)

function parse(text: string): LedgerRecord | FileHead | TornMark | undefined {
  try {
    const value = JSON.parse(text) as LedgerRecord | FileHead | TornMark | null
    if (typeof value !== 'object' || value === null || typeof value.at !== 'string') return undefined
    return KINDS.has(value.kind) ? value : undefined
  } catch {
    return undefined // the caller names the line
  }
}

/** A kind that nobody knows may have been an SVID. */
const KINDS: ReadonlySet<string> = new Set([...LEDGER_KINDS, 'file', 'torn'])

/** Whether a line is a record’s beginning without its end. What ends as a record does may have been whole once. */
export function looksTorn(line: Buffer | undefined): boolean {
  if (line === undefined) return false
  const text = line.toString('utf8')
  if (text.includes('\0') || text.endsWith('}')) return false
  return text.startsWith(BEGINNING) || BEGINNING.startsWith(text)
}

/** The beginning of a mark, or of any line if it is as short as that. */
export function couldBecomeMark(line: Buffer | undefined): boolean {
  return line !== undefined && MARK.startsWith(line.toString('latin1', 0, MARK.length))
}

const MARK = `${BEGINNING}torn"`

/** No record is nearly as long. */
const MAX_LINE_BYTES = 1024 * 1024

const READ_BYTES = 256 * 1024

/**
 * What stands between line feeds, and nothing else ends a line, good until the next is asked for; `undefined` for a line that is too long.
 * @param end is told whether the last line had no line feed
 */
export async function* linesOf(handle: FileHandle, end: { open: boolean }): AsyncGenerator<Buffer | undefined> {
  const chunk = Buffer.allocUnsafe(READ_BYTES)
  /** The beginning of a line whose end was not read yet. */
  let parts: Buffer[] = []
  let size = 0
  const lineWith = (rest: Buffer): Buffer | undefined => {
    const long = size + rest.length > MAX_LINE_BYTES
    const bytes = parts.length === 0 ? rest : Buffer.concat([...parts, rest])
    parts = []
    size = 0
    return long ? undefined : bytes
  }
  for (;;) {
    const { bytesRead } = await handle.read(chunk, 0, READ_BYTES, null)
    if (bytesRead === 0) break
    const read = chunk.subarray(0, bytesRead)
    let begin = 0
    for (let feed = read.indexOf(0x0a); feed >= 0; feed = read.indexOf(0x0a, begin)) {
      yield lineWith(read.subarray(begin, feed))
      begin = feed + 1
    }
    size += bytesRead - begin
    if (size > MAX_LINE_BYTES) parts = []
    // Copied: the next read takes its place.
    else if (begin < bytesRead) parts.push(Buffer.from(read.subarray(begin)))
  }
  end.open = size > 0
  if (size > 0) yield lineWith(Buffer.alloc(0))
}
