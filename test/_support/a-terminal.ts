import { Readable } from 'node:stream'
import type { CliEnv } from '../../src/cli/env.ts'
import { runCli } from '../../src/cli/program.ts'
import { systemClock } from '../../src/core/clock.ts'
import { systemRandom } from '../../src/core/random.ts'
import { startServer } from '../../src/server.ts'
import { readBoundedStream } from '../../src/storage/bounded-file.ts'

export type Ran = { readonly exit: number; readonly out: string; readonly err: string }

/** Runs one command line of alcazar as a shell would, and gives what it printed. */
export async function alcazar(
  args: readonly string[],
  options: {
    environment?: NodeJS.ProcessEnv
    stdin?: string | Uint8Array
    clock?: CliEnv['clock']
    startServer?: CliEnv['startServer']
    untilAskedToEnd?: () => Promise<void>
    /** Lines of so many characters that are drawn anew; without it, no terminal. */
    columns?: number
    /** What a person types at a question. Without it stdin is no terminal. */
    types?: (question: string) => string
  } = {},
): Promise<Ran> {
  const { types } = options
  const out: string[] = []
  const err: string[] = []
  const env: CliEnv = {
    out: {
      write: (text) => void out.push(text),
      isTerminal: options.columns !== undefined,
      columns: () => options.columns ?? 80,
    },
    err: { write: (text) => void err.push(text), isTerminal: options.columns !== undefined, columns: () => 80 },
    readStdin: (bounds) => readBoundedStream(Readable.from([Buffer.from(options.stdin ?? '')]), bounds),
    ask: types && (async (question) => types(question)),
    environment: options.environment ?? {},
    clock: options.clock ?? systemClock,
    random: systemRandom,
    version: '0.0.0-test',
    startServer:
      options.startServer ??
      ((config, log) => startServer({ config, version: '0.0.0-test', clock: systemClock, random: systemRandom, log })),
    untilAskedToEnd: options.untilAskedToEnd ?? (async () => undefined),
    atExit: () => undefined,
  }
  const exit = await runCli(env, args)
  return { exit, out: out.join(''), err: err.join('') }
}
