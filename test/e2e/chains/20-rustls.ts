import assert from 'node:assert/strict'
import { join } from 'node:path'
import { unexpected } from '../../_support/crossed-chains.ts'
import { run } from '../_support/run.ts'
import type { World } from './world.ts'

export const title = 'rustls-webpki, which ztunnel and linkerd verify by, takes what it should'

export default async function (world: World): Promise<void> {
  const target = world.stage.folder('cargo')
  await run('cargo', ['build', '--release', '--locked', '--quiet', '--target-dir', target], {
    cwd: join(import.meta.dirname, 'webpki'),
    seconds: 240,
  })
  assert.deepEqual(unexpected(await run(join(target, 'release/verify-chains'), [world.folder])), [])
}
