import assert from 'node:assert/strict'
import type { IntentRecord, IssuedRecord } from '../../../src/ledger/ledger.ts'
import type { World } from './world.ts'

export const title = 'it renews by itself with a new key, and the ledger shows both certificates'

export default async function (world: World): Promise<void> {
  const { alcazar, namespace } = world
  const cart = world.agent('cart')
  const first = cart.held()
  const second = await cart.renewed(first)
  assert.equal(first.leaf.publicKey.equals(second.leaf.publicKey), false)

  const filter = ['--issued', '--namespace', namespace, '--service-account', 'cart']
  const issued = (await alcazar.cli('ledger', 'list', ...filter)) as IssuedRecord[]
  const both = [first.serial, second.serial]
  assert.deepEqual(
    issued.map((record) => record.serial).filter((serial) => both.includes(serial)),
    both,
  )
  const [intent] = (await alcazar.cli('ledger', 'show', second.serial)) as IntentRecord[]
  assert.equal(intent?.caller.method, 'service-account-token')
  assert.equal(intent?.caller.podUid, world.workload('cart').uid)
}
