import assert from 'node:assert/strict'
import type { World } from './world.ts'

export const title =
  'Alcazar ends in order when asked, with exit code 0, and does not wait where nobody waits for an answer'

export default async function ({ alcazar }: World): Promise<void> {
  const began = performance.now()
  assert.deepEqual(await alcazar.end('SIGTERM'), { code: 0, signal: null })
  const seconds = (performance.now() - began) / 1000
  assert.ok(seconds < 4, `it took ${seconds.toFixed(1)} s`)
}
