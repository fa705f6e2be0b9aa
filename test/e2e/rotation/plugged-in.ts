import assert from 'node:assert/strict'
import { join } from 'node:path'
import { aRoot, writeCacerts } from '../../_support/plugged-ca.ts'
import type { Stage } from '../_support/stage.ts'
import { command } from './command.ts'
import { compromiseUnderKills } from './compromise-run.ts'
import { Mesh } from './mesh.ts'
import { rotateUnderKills } from './rotation-run.ts'
import type { World } from './world.ts'

const TTL = 60
const cacertsOf = (stage: Stage): string => stage.folder('plugged-cacerts')

/** A mesh with a CA that an admin plugged in. */
export async function startPluggedIn({ stage }: World): Promise<Mesh> {
  const root = await aRoot()
  await writeCacerts(cacertsOf(stage), root, [root], [root])
  const shape = { name: 'plugged-in', workloads: 200, ttl: TTL, requestsPerSecond: 40 }
  const mesh = await Mesh.start(stage, { ...shape, settings: { pluggedCa: cacertsOf(stage) } })
  mesh.live()
  return mesh
}

/** It is taken over as a root of Alcazar’s own while workloads talk; then its key is stolen from its file, and the root after it replaced. */
export async function pluggedIn({ stage, seed, passphraseFile }: World, mesh: Mesh): Promise<void> {
  const cacerts = cacertsOf(stage)
  const plugged = [...(await mesh.bundle()).keys()]
  // By alcazar alone its root is not replaced.
  const refused = await command(mesh.alcazar, ['root', 'rotate'])
  assert.equal(refused.code, 6, refused.err)
  assert.match(refused.err, /alcazar import/)

  await mesh.alcazar.end()
  const from = ['import', '--from', 'directory', cacerts, '--passphrase-file', passphraseFile]
  const taken = await command(mesh.alcazar, [...from, '--longest-svid', `${TTL}s`])
  assert.equal(taken.code, 0, taken.err)
  mesh.configure({ keys: { passphraseFile } })
  await mesh.alcazar.start()
  const imported = await mesh.activeRoot()
  assert.equal(imported.key, 'sealed')
  assert.deepEqual([imported.id.slice(0, 8)], plugged)

  const keyFile = join(cacerts, 'ca-key.pem')
  await compromiseUnderKills({ stage, mesh, seed: seed + 4, kills: 3 }, { keyFile })
  await rotateUnderKills({ stage, mesh, seed: seed + 5, kills: 5 })
  await mesh.end()
  await mesh.alcazar.end()
}
