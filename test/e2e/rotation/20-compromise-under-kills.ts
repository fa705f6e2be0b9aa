import { compromiseUnderKills } from './compromise-run.ts'
import { checkLedger } from './rotation-run.ts'
import type { World } from './world.ts'

export const title =
  'a compromise, the server killed eight times: no handshake fails, and what the thief signs renews nothing anywhere'

export default async function ({ stage, sealed, seed, passphraseFile }: World): Promise<void> {
  await compromiseUnderKills({ stage, mesh: sealed, seed: seed + 1, kills: 8 }, { passphraseFile })
  await sealed.end()
  await checkLedger(sealed)
  await sealed.alcazar.end()
}
