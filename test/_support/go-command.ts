import { execFileSync, spawnSync } from 'node:child_process'
import { resolve } from 'node:path'
import { test } from 'vitest'

/** Go's crypto/x509, as a second opinion. Not everyone has it; where CI is set, its absence fails the tests. */
const here = spawnSync('go', ['version']).status === 0

export const testWithGo = test.skipIf(!here && !process.env.CI)

/** Builds a program of test/_support from the standard library alone. The first time on a machine, that is compiled, too. */
export function buildGo(name: string, program: string): void {
  execFileSync('go', ['build', '-o', program, '.'], {
    cwd: resolve(import.meta.dirname, name),
    env: {
      ...process.env,
      CGO_ENABLED: '0',
      GOFLAGS: '-buildvcs=false',
      GOPROXY: 'off',
      GOTOOLCHAIN: 'local',
      GOWORK: 'off',
    },
    stdio: ['ignore', 'ignore', 'pipe'],
    timeout: 240_000,
  })
}
