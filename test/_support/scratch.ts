import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { onTestFinished } from 'vitest'

/** An empty directory of this test's own, gone when the test is. */
export function scratch(): string {
  const path = mkdtempSync(join(tmpdir(), 'alcazar-test-'))
  onTestFinished(() => rmSync(path, { recursive: true, force: true }))
  return path
}
