#!/usr/bin/env node
import { readFileSync } from 'node:fs'
import { createInterface } from 'node:readline'
import type { CliEnv, Output } from './cli/env.ts'
import { runCli } from './cli/program.ts'
import { systemClock } from './core/clock.ts'
import { systemRandom } from './core/random.ts'

const output = (stream: NodeJS.WriteStream): Output => ({
  write: (text) => void stream.write(text),
  isTerminal: stream.isTTY === true,
  columns: () => stream.columns || 80,
})

/** Ctrl-C and Ctrl-D at the question are an empty answer, which is never the right one. */
async function ask(question: string): Promise<string> {
  const terminal = createInterface({ input: process.stdin, output: process.stderr })
  try {
    return await new Promise((resolve) => {
      terminal.once('close', () => resolve(''))
      terminal.question(question, resolve)
    })
  } finally {
    terminal.close()
  }
}

// Who reads may leave early, as head does.
for (const stream of [process.stdout, process.stderr])
  stream.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code !== 'EPIPE') throw error
  })

const version = (JSON.parse(readFileSync(new URL('../package.json', import.meta.url), 'utf8')) as { version: string })
  .version

const env: CliEnv = {
  out: output(process.stdout),
  err: output(process.stderr),
  readStdin: async (bounds) => {
    const { readBoundedStream } = await import('./storage/bounded-file.ts')
    return readBoundedStream(process.stdin, bounds)
  },
  ask: process.stdin.isTTY === true ? ask : undefined,
  environment: process.env,
  clock: systemClock,
  random: systemRandom,
  version,
  startServer: async (config, log) => {
    const { startServer } = await import('./server.ts')
    return startServer({ config, version, clock: systemClock, random: systemRandom, log })
  },
  atExit: (action) => process.on('exit', action),
  untilAskedToEnd: () =>
    new Promise((resolve) => {
      let asked = false
      const ask = () => {
        // Who asks twice does not want to wait.
        if (asked) process.exit(1)
        asked = true
        resolve()
      }
      process.on('SIGTERM', ask)
      process.on('SIGINT', ask)
    }),
}

process.exitCode = await runCli(env, process.argv.slice(2))
