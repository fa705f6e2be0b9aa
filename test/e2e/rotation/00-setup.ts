import assert from 'node:assert/strict'
import type { World } from './world.ts'

export const title =
  '200 workloads get certificates under a root of Alcazar’s own, sealed by a passphrase, and talk mTLS'

export default async function (world: World): Promise<void> {
  process.stdout.write(`    the seed is ${world.seed}; ALCAZAR_SEED=${world.seed} repeats it\n`)
  world.sealed = await world.startSealed({ name: 'sealed', workloads: 200, ttl: 60, requestsPerSecond: 80 })
  world.sealed.live()
  assert.equal((await world.sealed.activeRoot()).key, 'sealed')
}
