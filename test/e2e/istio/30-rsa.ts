import assert from 'node:assert/strict'
import { verifyWithOpenssl } from '../_support/held-certificate.ts'
import type { World } from './world.ts'

export const title = 'the same with RSA-2048: a first certificate, and its renewal'

export default async function (world: World): Promise<void> {
  const workload = await world.addWorkload('invoice')
  const agent = await world.startAgent({ name: 'invoice', workload, key: 'RSA' })
  const first = await agent.certificate('a first certificate')
  for (const [name, held] of Object.entries({ first, second: await agent.renewed(first) })) {
    assert.equal(held.leaf.publicKey.asymmetricKeyType, 'rsa')
    assert.equal(held.leaf.publicKey.asymmetricKeyDetails?.modulusLength, 2048)
    assert.equal(held.leaf.subjectAltName, `URI:${workload.spiffeId}`)
    // The first may have ended by now; only its successor must be good.
    if (name === 'second') await verifyWithOpenssl(held.copyTo(world.stage.folder('rsa')))
  }
}
