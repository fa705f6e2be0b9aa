import { expect, test } from 'vitest'
import { HOUR } from '../../src/core/duration.ts'
import { forgetWorkload } from '../../src/service/forget-workload.ts'
import { inventoryEvidence } from '../../src/service/inventory-evidence.ts'
import { prune } from '../../src/service/scheduled-jobs.ts'
import { aCa } from '../_support/a-ca.ts'
import { NEVER, withCertificate, withToken } from '../_support/attested.ts'
import { aRequest } from '../_support/requests.ts'

const ADMIN = { by: 'admin', because: 'stolen' } as const

test('what was forgotten renews nothing until all that it had has ended, replaced or not', async () => {
  const ca = await aCa()
  const evidence = () => inventoryEvidence(ca.inventory, ca.cluster.cluster.watch, ca.keeper.set, ca.clock.now())
  const stolen = (await ca.issueSvid(await aRequest(withToken(ca.podToken())), NEVER)).svid.der
  const renewed = async () => ca.issueSvid(await aRequest(withCertificate(stolen)), NEVER)
  // The thief renews it for a minute, and uses the result: the inventory takes the stolen one for replaced.
  const short = await ca.issueSvid(await aRequest(withCertificate(stolen), { ttlSeconds: 60 }), NEVER)
  await ca.issueSvid(await aRequest(withCertificate(short.svid.der), { ttlSeconds: 60 }), NEVER)
  await forgetWorkload(ca.keeper.roots, evidence(), 'shop/cart-0', ADMIN)
  await expect(renewed()).rejects.toMatchObject({ code: 'unauthenticated' })
  await ca.clock.advance(HOUR)
  await prune(ca.keeper)
  await expect(renewed()).rejects.toMatchObject({ code: 'unauthenticated' })
  expect(ca.ledger.records.at(-1)).toMatchObject({ reason: 'forgotten' })
})

test('only what is alive can be forgotten', async () => {
  const ca = await aCa()
  const none = { incomplete: 'the ledger is being read', workloads: () => [] }
  await expect(forgetWorkload(ca.keeper.roots, none, 'shop/cart-0', ADMIN)).rejects.toMatchObject({
    code: 'not_found',
    message:
      'no live workload has the name shop/cart-0 as far as is known (the ledger is being read); alcazar workloads lists them, and marks what is cut off already',
  })
  expect(ca.keeper.set.forgotten).toEqual([])
})
