import assert from 'node:assert/strict'
import { compromiseUnderKills } from './compromise-run.ts'
import { Mesh } from './mesh.ts'
import { rotateUnderKills } from './rotation-run.ts'
import { aSoftHsmToken } from './soft-hsm-token.ts'
import type { World } from './world.ts'

/** A mesh whose root's key is in a token. */
export async function startInAToken({ stage }: World): Promise<Mesh> {
  const { keys, environment } = await aSoftHsmToken(stage)
  const shape = { name: 'pkcs11', workloads: 200, ttl: 60, requestsPerSecond: 40 }
  const mesh = await Mesh.start(stage, { ...shape, settings: { keys }, environment })
  assert.equal((await mesh.activeRoot()).key, 'pkcs11')
  mesh.live()
  return mesh
}

/** A rotation and a compromise, the server killed eight times. */
export async function inAToken({ stage, seed }: World, mesh: Mesh): Promise<void> {
  await rotateUnderKills({ stage, mesh, seed: seed + 2, kills: 5 })
  await compromiseUnderKills({ stage, mesh, seed: seed + 3, kills: 3 })
  // The keys of roots that left were destroyed in the token.
  for (const { id, state, key } of await mesh.roots()) assert.equal(key, state === 'revoked' ? 'gone' : 'pkcs11', id)
  await mesh.end()
  await mesh.alcazar.end()
}
