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
  const inTheWay = async (verb: 'activate' | 'revoke') => {
    const steps = (await mesh.roots()).flatMap(({ steps }) => steps.filter((step) => step.verb === verb))
    return Math.max(...steps.map(({ inTheWay }) => inTheWay))
  }
  const quick = mesh.workloads.slice(0, WORKLOADS / 2)
  const renewed = async () => {
    for (const one of quick) assert.equal(await one.renew(), 'by SVID')
  }
  await force('prepare')
  await renewed()
  const late = WORKLOADS - quick.length
  assert.equal(await inTheWay('activate'), late)
  const other = await command(mesh.alcazar, ['root', 'activate', '--yes-break', `${late - 1}`])
  assert.equal(other.code, 6)
  assert.match(other.err, new RegExp(`${late} live workloads would break, not ${late - 1}; nothing was done`))
  assert.equal((await mesh.activeRoot()).id, before.id)
  await force('activate', '--yes-break', `${late}`)
  await renewed()
  await force('revoke', '--yes-break', `${await inTheWay('revoke')}`)
  await renewed()
  mesh.live()
  await until('handshakes fail', 20, () => mesh.failed.length >= 20)
  process.stdout.write(
    `    ${mesh.failed.length} of ${mesh.requests} handshakes failed, the first: ${mesh.failed[0]?.why}\n`,
  )
  for (const { why } of mesh.failed)
    assert.match(why, /CERT|certificate|unknown ca|UNABLE_TO|closed without|ECONNRESET/i)
  await mesh.end()
  await mesh.alcazar.end()
}
