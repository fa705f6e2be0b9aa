import { spawn } from 'node:child_process'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import type { Alcazar } from '../_support/alcazar.ts'
import { REPOSITORY } from '../_support/stage.ts'

const MAIN = join(REPOSITORY, 'src/main.ts')

export type CommandEnd = {
  readonly code: number | null
  /** What it wrote to stdout, an object a line. */
  readonly lines: readonly Record<string, unknown>[]
  readonly out: string
  readonly err: string
}

/** One verb of the admin's, run to its end as a shell does. @param json its stdout is an object a line */
export async function command(
  { stateDirectory }: Alcazar,
  args: readonly string[],
  { json = true, environment = {} }: { json?: boolean; environment?: NodeJS.ProcessEnv } = {},
): Promise<CommandEnd> {
  const all = [MAIN, ...args, '--state-directory', stateDirectory, ...(json ? ['--output', 'json'] : [])]
  const child = spawn(process.execPath, all, {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { PATH: process.env.PATH, ...environment },
  })
  let err = ''
  const out: string[] = []
  child.stderr.on('data', (part: Buffer) => {
    err += part.toString()
  })
  createInterface({ input: child.stdout }).on('line', (line) => out.push(line))
  const code = await new Promise<number | null>((done) => child.once('close', done))
  const lines = json ? parsed(out) : []
  return { code, lines, out: out.join('\n'), err }
}

/** Lines, each an object, or one object over several. */
function parsed(lines: readonly string[]): Record<string, unknown>[] {
  if (lines[0] === '{') return [JSON.parse(lines.join('\n')) as Record<string, unknown>]
  return lines.map((line) => JSON.parse(line) as Record<string, unknown>)
}
