import assert from 'node:assert/strict'
import type { LedgerRecord } from '../../../src/ledger/ledger.ts'
import { pause, until } from '../_support/until.ts'
import { Burst } from './burst.ts'
import type { World } from './world.ts'

export const title = 'Alcazar is killed (-9) under load and started again: agents renew, and the ledger is whole'

const AT_A_TIME = 16

export default async function (world: World): Promise<void> {
  const { alcazar } = world
  const cart = world.agent('cart')
  const workload = await world.addWorkload('burst')
  const burst = new Burst(alcazar, { roots: String(world.b), token: await workload.token(), atATime: AT_A_TIME })
  await until('enough certificates were answered', 20, () => burst.serials.length > 300)
  await alcazar.end('SIGKILL')
  await burst.ended
  const killed = cart.held()
  // Long enough for agents to find nobody there.
  await pause(2000)
  await alcazar.start()
  const next = await cart.renewed(killed)
  assert.ok(next.trusts(world.b) && next.isUnder(world.b))

  const ledger = await alcazar.ledger()
  assert.deepEqual(
    ledger.filter((entry) => entry.kind === 'damaged'),
    [],
  )
  const intended = serialsOf(ledger, 'intent')
  const issued = serialsOf(ledger, 'issued')
  // Whoever got a certificate finds it in the ledger (invariant 12), and nothing was signed that was not recorded before.
  assert.deepEqual(
    [...burst.serials, next.serial].filter((serial) => !issued.has(serial)),
    [],
  )
  assert.deepEqual(
    [...issued].filter((serial) => !intended.has(serial)),
    [],
  )
  // What is without an outcome was under way when it was killed.
  const lost = intended.size - issued.size
  assert.ok(lost <= AT_A_TIME, `${lost} intents have no outcome`)
}

function serialsOf(ledger: readonly { kind: string }[], kind: 'intent' | 'issued'): ReadonlySet<string> {
  const records = ledger.filter((entry) => entry.kind === kind) as Extract<LedgerRecord, { serial: string }>[]
  const serials = new Set(records.map((record) => record.serial))
  assert.equal(serials.size, records.length, `a serial is there twice (${kind})`)
  return serials
}
