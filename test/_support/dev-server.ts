import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { loadConfig } from '../../src/config/load.ts'
import { systemClock } from '../../src/core/clock.ts'
import { systemRandom } from '../../src/core/random.ts'
import { type RunningServer, startServer } from '../../src/server.ts'
import { createLog } from '../../src/telemetry/log.ts'

/** A dev server in this process, on ports of its own, with its state in a temporary directory. */
export async function aDevServer(
  settings: Record<string, unknown> = {},
): Promise<
  RunningServer & AsyncDisposable & { readonly directory: string; readonly state: string; readonly log: string[] }
> {
  const directory = mkdtempSync(join(tmpdir(), 'alcazar-dev-'))
  const state = join(directory, 'state')
  const flags = new Map<string, unknown>(
    Object.entries({
      dev: true,
      stateDirectory: state,
      listen: '127.0.0.1:0',
      healthListen: '127.0.0.1:0',
      ...settings,
    }),
  )
  const { config } = loadConfig({ flags, environment: {}, file: undefined })
  const lines: string[] = []
  const log = createLog({ level: 'debug', format: 'json', write: (line) => lines.push(line), clock: systemClock })
  const server = await startServer({ config, version: '0.0.0-test', clock: systemClock, random: systemRandom, log })
  return {
    ...server,
    directory,
    state,
    log: lines,
    [Symbol.asyncDispose]: async () => {
      await server.close()
      rmSync(directory, { recursive: true, force: true })
    },
  }
}
