import { execFile } from 'node:child_process'
import { promisify } from 'node:util'

const executed = promisify(execFile)

export type RunOptions = { readonly cwd?: string; readonly env?: NodeJS.ProcessEnv; readonly seconds?: number }

/** Runs a program to its end and gives what it wrote to stdout. A failure says the command and what the program said. */
export async function run(
  command: string,
  args: readonly string[],
  { cwd, env, seconds = 60 }: RunOptions = {},
): Promise<string> {
  try {
    const { stdout } = await executed(command, args, {
      encoding: 'utf8',
      maxBuffer: 64 * 1024 * 1024,
      timeout: seconds * 1000,
      ...(cwd !== undefined && { cwd }),
      ...(env !== undefined && { env }),
    })
    return stdout
  } catch (cause) {
    const { code, stdout = '', stderr = '' } = cause as { code?: unknown; stdout?: string; stderr?: string }
    const why = code === 'ENOENT' ? 'there is no such program' : `${stderr}${stdout}`.trim() || String(cause)
    throw new Error(`${command} ${args.join(' ')}: ${why}`, { cause })
  }
}
