import assert from 'node:assert/strict'
import { join } from 'node:path'
import { run } from '../_support/run.ts'
import type { World } from './world.ts'

export const title = 'Go verifies both kinds, for client and server, and talks mutual TLS with them'

export default async function (world: World): Promise<void> {
  const program = join(world.stage.directory, 'verify')
  // Built first: a certificate would end while `go run` compiles the standard library on an empty cache.
  await run('go', ['build', '-o', program, '.'], {
    cwd: join(import.meta.dirname, 'verify'),
    env: { ...process.env, CGO_ENABLED: '0', GOFLAGS: '-buildvcs=false', GOTOOLCHAIN: 'local', GOWORK: 'off' },
    seconds: 240,
  })
  for (const name of ['cart', 'invoice']) {
    const held = world.agent(name).held()
    const files = held.copyTo(world.stage.folder(`go-${name}`))
    const said = await run(program, [files, world.workload(name).spiffeId])
    assert.equal(said, `OK ${held.serial}: verified for client and server, mutual TLS 1.2 and 1.3\n`)
  }
}
