import type { Command } from 'commander'
import type { Config } from '../config/schema.ts'
import type { Clock } from '../core/clock.ts'
import type { RandomBytes } from '../core/random.ts'
import { harmless, harmlessJson } from '../core/terminal-text.ts'
import type { Status } from '../service/status.ts'
import type { Bounds } from '../storage/bounded-file.ts'
import type { Log } from '../telemetry/log.ts'

/** Where a verb writes: results to `out`, talk to `err`. */
export type Output = {
  readonly write: (text: string) => void
  readonly isTerminal: boolean
  /** How many characters fit in a line of the terminal now. */
  readonly columns: () => number
}

/** What a running server looks like to the verb that started it. */
export type ServerHandle = {
  readonly ca: { host: string; port: number }
  readonly health: { host: string; port: number }
  readonly adminSocket: string
  readonly status: () => Promise<Status>
  readonly close: () => Promise<void>
}

/** All that a verb may touch of the world. */
export type CliEnv = {
  readonly out: Output
  readonly err: Output
  /** @throws CaError `invalid_argument`: there is more */
  readonly readStdin: (bounds: Bounds) => Promise<Uint8Array>
  /** Asks a person and gives what was typed, without the end of the line; nothing where stdin is no terminal. */
  readonly ask: ((question: string) => Promise<string>) | undefined
  readonly environment: NodeJS.ProcessEnv
  readonly clock: Clock
  readonly random: RandomBytes
  readonly version: string
  readonly startServer: (config: Config, log: Log) => Promise<ServerHandle>
  /** Resolves when the process was asked to end. A second request ends it at once. */
  readonly untilAskedToEnd: () => Promise<void>
  /** Runs an action, which must be synchronous, when the process ends, however it does. */
  readonly atExit: (action: () => void) => void
}

/** One verb: its place in the command line, and what it does. */
export type Verb = {
  readonly name: string
  readonly summary: string
  /** Arguments and flags. */
  readonly define: (command: Command) => void
  readonly run: (env: CliEnv, args: readonly string[], options: Readonly<Record<string, unknown>>) => Promise<void>
}

/** The same data for people and programs. What is in the lines may come from anybody. */
export function print(
  env: CliEnv,
  options: Readonly<Record<string, unknown>>,
  data: object,
  lines: () => readonly string[],
): void {
  env.out.write(options.output === 'json' ? `${harmlessJson(JSON.stringify(data, null, 2))}\n` : asText(lines()))
}

export const asText = (lines: readonly string[]): string => lines.map((line) => `${harmless(line)}\n`).join('')
