import assert from 'node:assert/strict'
import { join } from 'node:path'
import { verifyWithOpenssl } from '../_support/held-certificate.ts'
import { run } from '../_support/run.ts'
import type { World } from './world.ts'

export const title = 'pilot-agent gets its first certificate by a token bound to its pod, and OpenSSL accepts it'

export default async function (world: World): Promise<void> {
  const workload = await world.addWorkload('cart')
  const agent = await world.startAgent({ name: 'cart', workload, key: 'ECDSA' })
  const held = await agent.certificate('a first certificate')
  assert.equal(held.leaf.publicKey.asymmetricKeyDetails?.namedCurve, 'prime256v1')
  const files = held.copyTo(world.stage.folder('first'))
  await verifyWithOpenssl(files)
  const names = ['x509', '-noout', '-ext', 'subjectAltName', '-in', join(files, 'cert-chain.pem')]
  assert.equal(
    (await run('openssl', names)).trim(),
    `X509v3 Subject Alternative Name: critical\n    URI:${workload.spiffeId}`,
  )
}
