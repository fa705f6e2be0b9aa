import { globSync, readFileSync } from 'node:fs'
import { defineConfig } from 'vitest/config'

/** Something else under Node’s file calls, a library that reads the environment once, flags of V8: such a test is alone in its process. */
const CHANGES_ITS_PROCESS = /_support\/(ledger-disk|soft-hsm)\.ts'|setFlagsFromString/

const files = globSync('test/**/*.test.ts', { cwd: import.meta.dirname, exclude: ['test/e2e/**'] })
const [alone = [], together = []] = [true, false].map((changes) =>
  files.filter((path) => CHANGES_ITS_PROCESS.test(readFileSync(path, 'utf8')) === changes),
)

export default defineConfig({
  test: {
    testTimeout: 20_000,
    hookTimeout: 60_000,
    reporters: ['default'],
    // Vitest leaves one core out, which on two is half of all.
    maxWorkers: '100%',
    projects: [
      // Loading the sources anew for each file takes as long as most files' tests. No module holds anything that changes, so they share.
      { extends: true, test: { name: 'together', include: together, isolate: false } },
      { extends: true, test: { name: 'alone', include: alone } },
    ],
  },
})
