import assert from 'node:assert/strict'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { BUNDLES, CHAINS, eachPair, unexpected } from '../../_support/crossed-chains.ts'
import { freePort } from '../_support/ports.ts'
import { until } from '../_support/until.ts'
import { envoyThatVerifies, JUDGES } from './envoy-bootstrap.ts'
import type { World } from './world.ts'

export const title = 'Envoy takes what it should, as client and as server'

export default async function (world: World): Promise<void> {
  const { stage, folder } = world
  const [front, admin] = [await freePort(), await freePort()]
  const config = join(folder, 'envoy.json')
  const bootstrap = envoyThatVerifies({
    folder,
    front,
    admin,
    chains: Object.keys(CHAINS),
    bundles: BUNDLES,
    pairs: eachPair(),
  })
  writeFileSync(config, JSON.stringify(bootstrap, null, 2))
  const envoy = await stage.processes.start('envoy', {
    program: await stage.testbed.client('envoy'),
    args: ['-c', config, '--base-id', String(front), '--concurrency', '1', '--log-level', 'warning'],
    cwd: folder,
    env: { PATH: process.env.PATH },
  })
  await until('Envoy is live', 30, async () => (await fetch(`http://127.0.0.1:${admin}/ready`)).ok)
  for (const judge of JUDGES) {
    const said = await Promise.all(
      eachPair().map(async ({ chain, bundle }) => {
        const response = await fetch(`http://127.0.0.1:${front}/${judge}/${chain}/${bundle}/`)
        const body = await response.text()
        if (response.status === 200) return `${chain} ${bundle} accepts`
        // Any other failure would prove nothing about the chain.
        assert.match(body, /CERTIFICATE_VERIFY_FAILED|TLSV1_ALERT_UNKNOWN_CA/, `${judge} ${chain} ${bundle}`)
        return `${chain} ${bundle} refuses: ${body}`
      }),
    )
    assert.deepEqual([judge, unexpected(said.join('\n'))], [judge, []])
  }
  await envoy.end()
}
