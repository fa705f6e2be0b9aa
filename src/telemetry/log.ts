import { type DestinationStream, type Logger, pino } from 'pino'
import type { Cancel, Clock } from '../core/clock.ts'
import { harmlessJson, harmlessLines } from '../core/terminal-text.ts'

export const LOG_LEVELS = ['debug', 'info', 'warn', 'error'] as const
export type LogLevel = (typeof LOG_LEVELS)[number]
export type Log = Logger

export type LogOptions = {
  readonly level: LogLevel
  /** `text` is for a person at a terminal. */
  readonly format: 'json' | 'text'
  readonly write: (line: string) => void
  readonly clock: Clock
}

/** One JSON object a line, or for a person one readable line. Field names are API: docs/telemetry.md lists them. */
export function createLog({ level, format, write, clock }: LogOptions): Log {
  const destination: DestinationStream = {
    write: format === 'json' ? (line) => write(harmlessJson(line)) : (line) => write(readable(line)),
  }
  return pino(
    {
      level,
      base: null,
      timestamp: () => `,"time":"${clock.now().toISOString()}"`,
      formatters: { level: (label) => ({ level: label }) },
      messageKey: 'message',
    },
    destination,
  )
}

/** Written together within this time, or as soon as this much has gathered. */
const GATHER_MS = 20
const GATHER_CHARACTERS = 16 * 1024

/** Lines gathered for a moment: a system call for each of a thousand lines a second is a tenth of the work. */
export function gathered(
  write: (text: string) => void,
  clock: Clock,
): { readonly write: (line: string) => void; readonly flush: () => void } {
  let text = ''
  let due: Cancel | undefined
  const flush = () => {
    due?.()
    due = undefined
    const all = text
    text = ''
    if (all !== '') write(all)
  }
  return {
    write: (line) => {
      text += line
      if (text.length >= GATHER_CHARACTERS) flush()
      else due ??= clock.after(GATHER_MS, flush)
    },
    flush,
  }
}

/** `14:02:11 info  issued …  key=value key=value`. */
function readable(line: string): string {
  const { level, time, message, ...fields } = JSON.parse(line) as Record<string, unknown>
  const rest = Object.entries(fields).map(
    ([name, value]) => `${name}=${harmlessLines(typeof value === 'string' ? value : JSON.stringify(value), '    ')}`,
  )
  return `${String(time).slice(11, 19)} ${String(level).padEnd(5)} ${String(message)}${rest.length > 0 ? `  ${rest.join(' ')}` : ''}\n`
}
