import assert from 'node:assert/strict'
import { until } from '../_support/until.ts'
import { command } from './command.ts'
import type { World } from './world.ts'

export const title = 'control: with the gates forced open, handshakes do fail'

const WORKLOADS = 60

export default async function (world: World): Promise<void> {
  const mesh = await world.startSealed({ name: 'forced', workloads: WORKLOADS, ttl: 30, requestsPerSecond: 60 })
  const before = await mesh.activeRoot()
  const force = async (...args: string[]) => {
    const { code, err } = await command(mesh.alcazar, ['root', ...args])
    assert.equal(code, 0, err)
  }
  await force('prepare')
  const other = await command(mesh.alcazar, ['root', 'activate', '--yes-break', `${WORKLOADS - 1}`])
  assert.equal(other.code, 6)
  assert.match(other.err, new RegExp(`${WORKLOADS} live workloads would break, not ${WORKLOADS - 1}; nothing was done`))
  assert.equal((await mesh.activeRoot()).id, before.id)
  await force('activate', '--yes-break', `${WORKLOADS}`)
  await force('revoke', '--yes-break', `${WORKLOADS}`)
  mesh.live()
  await until('handshakes fail', 25, () => mesh.failed.length >= 20)
  process.stdout.write(
    `    ${mesh.failed.length} of ${mesh.requests} handshakes failed, the first: ${mesh.failed[0]?.why}\n`,
  )
  for (const { why } of mesh.failed)
    assert.match(why, /CERT|certificate|unknown ca|UNABLE_TO|closed without|ECONNRESET/i)
  await mesh.end()
  await mesh.alcazar.end()
}
