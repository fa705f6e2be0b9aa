import { describe, expect, test } from 'vitest'
import { attestedCaller, type Caller } from '../../src/attestation/caller.ts'
import type { AuthoritySet, Revocation } from '../../src/authority/authority.ts'
import { printJournal } from '../../src/authority/journal.ts'
import { MAX_REVOCATIONS } from '../../src/authority/revocations.ts'
import { hex } from '../../src/core/bytes.ts'
import { plus } from '../../src/core/clock.ts'
import { DAY, HOUR, MINUTE, SECOND } from '../../src/core/duration.ts'
import { CaError } from '../../src/core/errors.ts'
import { keyAlgorithm } from '../../src/keys/algorithms.ts'
import type { Keeper } from '../../src/service/keeper.ts'
import { prune } from '../../src/service/scheduled-jobs.ts'
import { CrlSigner } from '../../src/service/signed-crls.ts'
import { commonNameOf } from '../../src/x509/name.ts'
import { BACKDATE_MS } from '../../src/x509/profiles.ts'
import { World } from '../_support/a-world.ts'
import { odd } from '../_support/odd-certificates.ts'
import { aPluggedCa, plugged } from '../_support/plugged-sets.ts'

const ADMIN = { by: 'admin', because: 'INC-17' } as const
type Issued = World['issued'][number]

const revoke = (keeper: Keeper, { leaf, issuer }: Issued, wish: { by: 'admin'; because: string } = ADMIN) => {
  const { serial, notAfter } = leaf.tbs
  return keeper.revocations.revoke({ serial, id: 'spiffe://cluster.local/ns/shop/sa/cart', issuer, notAfter }, wish)
}
const entriesOf = (set: AuthoritySet, id: string | undefined) =>
  set.crls.find((one) => one.id === id)?.crl.tbs.entries.map(({ serial }) => serial)
const crlOf = (set: AuthoritySet, id: string | undefined) => set.crls.find((one) => one.id === id)?.crl.tbs
const idOf = (set: AuthoritySet, role: 'root' | 'issuing', state = 'active') =>
  set.authorities.find((one) => one.role === role && one.state === state)?.id
const unsigned = (world: World) => world.events.told.filter(({ event }) => event === 'crlUnsigned')

async function running() {
  const world = new World()
  const keeper = await world.start()
  return { world, keeper, svid: await world.issue(20 * DAY) }
}

describe('CRLs', () => {
  test('of root and issuing authority are in the journal from birth, the issuing authority’s to its own end', async () => {
    const { world } = await running()
    const { set } = world.journal
    expect(set.crls.map(({ id }) => id)).toEqual([idOf(set, 'root'), idOf(set, 'issuing')])
    expect(crlOf(set, idOf(set, 'root'))).toMatchObject({ entries: [], nextUpdate: new Date('2030-04-01T00:00:00Z') })
    expect(crlOf(set, idOf(set, 'issuing'))).toMatchObject({
      entries: [],
      nextUpdate: world.active.authority.certificate.tbs.notAfter,
    })
    expect(world.store.writes, 'no write more than before').toBe(2)
  })

  test('of the first root are in the very first journal', async () => {
    const world = new World()
    world.store.faults.set(2, 'refused')
    await expect(world.start()).rejects.toMatchObject({ code: 'not_ready' })
    const { set } = world.journal
    expect(set.crls.map(({ id }) => id)).toEqual([idOf(set, 'root')])
  })

  test('are signed by a key for as long as its authority is in the journal', async () => {
    const { keeper, svid, world } = await running()
    const crls = new CrlSigner(world, async () => expect.fail('no root is opened'))
    crls.hold(world.active.signer)
    crls.release(keeper.set)
    expect(crls.holds(keeper.set, svid.issuer)).toBe(true)
    const gone = { ...keeper.set, authorities: keeper.set.authorities.filter(({ id }) => id !== svid.issuer) }
    crls.release(gone)
    expect(crls.holds(keeper.set, svid.issuer)).toBe(false)
  })

  test('of a prepared root are there as soon as it is in the bundle', async () => {
    const { world, keeper } = await running()
    await keeper.roots.prepare(ADMIN)
    const { set } = world.journal
    expect(entriesOf(set, idOf(set, 'root', 'prepared'))).toEqual([])
    expect(keeper.revocations.crls().missing).toEqual([])
  })

  test('outlive the process whose key signed them, and go with their authority', async () => {
    const { world, svid } = await running()
    const before = world.journal.set.crls.find(({ id }) => id === svid.issuer)
    const keeper = await world.start()
    expect(svid.issuer).not.toBe(idOf(keeper.set, 'issuing'))
    expect(keeper.set.crls.find(({ id }) => id === svid.issuer)?.crl.der).toEqual(before?.crl.der)
    expect(keeper.revocations.crls().missing).toEqual([])
    await world.clock.advance(26 * DAY)
    await keeper.tick()
    await world.clock.advance(5 * DAY)
    await prune(keeper)
    expect(keeper.set.crls.some(({ id }) => id === svid.issuer)).toBe(false)
  })

  test('of a root are signed again at half of 90 days, with a greater number, by a write of their own', async () => {
    const { world, keeper } = await running()
    const root = idOf(keeper.set, 'root')
    const first = crlOf(keeper.set, root)
    // The issuing authority is renewed meanwhile, which is no reason.
    await world.clock.advance(26 * DAY)
    await keeper.tick()
    await world.clock.advance(19 * DAY - MINUTE)
    await keeper.tick()
    expect(crlOf(keeper.set, root)).toBe(first)
    const { writes } = world.store
    await world.clock.advance(MINUTE)
    await keeper.tick()
    const second = crlOf(keeper.set, root)
    expect(second?.nextUpdate).toEqual(plus(world.clock.now(), 90 * DAY))
    expect((second?.number ?? 0n) > (first?.number ?? 0n)).toBe(true)
    expect(world.store.writes).toBe(writes + 1)
    await keeper.tick()
    expect(world.store.writes).toBe(writes + 1)
  })

  test('have greater numbers each time, by the clock, also within a second and after one that was set back', async () => {
    const { world, keeper, svid } = await running()
    const numbers = [crlOf(keeper.set, svid.issuer)?.number]
    await world.clock.advance(HOUR)
    for (let n = 0; n < 3; n++) {
      await revoke(keeper, n === 0 ? svid : await world.issue())
      numbers.push(crlOf(keeper.set, svid.issuer)?.number)
    }
    await world.clock.advance(-HOUR)
    await revoke(keeper, await world.issue())
    numbers.push(crlOf(keeper.set, svid.issuer)?.number)
    const first = BigInt(Date.parse('2030-01-01T00:00:00Z') / 1000)
    expect(numbers).toEqual([first, first + 3600n, first + 3601n, first + 3602n, first + 3603n])
  })

  test('that can’t be signed hold up nothing, are told once a minute, and are signed when they can', async () => {
    const { world, keeper } = await running()
    const { store } = world
    const rootKey = store.rootKey.bind(store)
    store.rootKey = async () => {
      throw new CaError('dependency_unavailable', 'the token is away')
    }
    await keeper.roots.prepare(ADMIN)
    const prepared = idOf(keeper.set, 'root', 'prepared') as string
    expect(unsigned(world)).toEqual([
      { event: 'crlUnsigned', args: [prepared, expect.objectContaining({ message: 'the token is away' })] },
    ])
    expect(keeper.revocations.crls()).toMatchObject({ missing: [prepared] })
    expect(keeper.revocations.view().missingCrls).toEqual([prepared])
    const { writes } = store
    for (let look = 0; look < 30; look++) {
      await keeper.tick()
      await world.clock.advance(2000)
    }
    expect(unsigned(world)).toHaveLength(1)
    await keeper.tick()
    expect(unsigned(world)).toHaveLength(2)
    expect(store.writes, 'and nothing is written for it').toBe(writes)
    store.rootKey = rootKey
    await world.clock.advance(MINUTE)
    await keeper.tick()
    expect(keeper.revocations.crls().missing).toEqual([])
    await world.check()
  })

  test('of a plugged-in CA are signed by its key and by those of its issuing authorities; a CA above whose key is not here is missing', async () => {
    const { ab } = await aPluggedCa()
    const world = new World({ kind: 'plugged-in', ca: ab })
    const keeper = await world.start()
    const { crls, missing } = keeper.revocations.crls()
    const own = hex(ab.certificate.tbs.subjectKeyId as Uint8Array)
    expect(crls.map(({ id }) => id)).toContain(own)
    expect(crls.map(({ id }) => id)).toContain(idOf(keeper.set, 'issuing'))
    expect(crlOf(keeper.set, own)?.nextUpdate).toEqual(ab.certificate.tbs.notAfter)
    expect(missing.toSorted()).toEqual(
      ab.roots
        .map(({ tbs }) => hex(tbs.subjectKeyId as Uint8Array))
        .filter((id) => id !== own)
        .toSorted(),
    )
  })

  test('of a key that stands under two names are one for each, and are signed once', async () => {
    const root = await odd('company root', 'itself', { notAfter: new Date('2040-01-01T00:00:00Z') })
    const ca = await odd('company ca', root, { key: root.key, notAfter: new Date('2035-01-01T00:00:00Z') })
    const world = new World({ kind: 'plugged-in', ca: plugged(ca, [ca], [root]) })
    const keeper = await world.start()
    expect(keeper.revocations.crls().missing).toEqual([])
    const own = hex(root.certificate.tbs.subjectKeyId as Uint8Array)
    const names = keeper.set.crls.flatMap(({ id, crl }) => (id === own ? [commonNameOf(crl.tbs.issuer)] : []))
    expect(names.toSorted()).toEqual(['company ca', 'company root'])
    const { writes } = world.store
    await keeper.tick()
    expect(world.store.writes).toBe(writes)
  })
})

describe('revoking a certificate', () => {
  test('is one journal write with its CRL, told and recorded; a second time changes nothing, and the first reason stays', async () => {
    const { world, keeper, svid } = await running()
    const { writes } = world.store
    await revoke(keeper, svid)
    await revoke(keeper, svid, { by: 'admin', because: 'another' })
    expect(world.store.writes).toBe(writes + 1)
    const revocation = {
      serial: svid.leaf.tbs.serial,
      issuer: svid.issuer,
      at: world.clock.now(),
      until: svid.leaf.tbs.notAfter,
      because: 'INC-17',
    }
    expect(world.journal.set.revocations).toEqual([revocation])
    expect(entriesOf(world.journal.set, svid.issuer)).toEqual([svid.leaf.tbs.serial])
    expect(world.events.told.filter(({ event }) => event === 'certificateRevoked')).toEqual([
      { event: 'certificateRevoked', args: [revocation, 'spiffe://cluster.local/ns/shop/sa/cart'] },
    ])
    expect(world.ledger.of('authority').at(-1)).toMatchObject({
      what: 'certificate revoked',
      authority: svid.issuer,
      detail: `${svid.leaf.tbs.serial} of spiffe://cluster.local/ns/shop/sa/cart, by the admin: INC-17`,
    })
  })

  test('of an authority that signs no more, by the process that made it, goes on its own CRL', async () => {
    const { world, keeper, svid } = await running()
    const long = await world.issue(30 * DAY)
    await world.clock.advance(26 * DAY)
    await keeper.tick()
    expect(idOf(keeper.set, 'issuing')).not.toBe(svid.issuer)
    await revoke(keeper, long)
    expect(entriesOf(keeper.set, long.issuer)).toEqual([long.leaf.tbs.serial])
    expect(keeper.revocations.view().revocations).toMatchObject([{ reached: 'crl' }])
  })

  test('that has ended is refused', async () => {
    const { world, keeper, svid } = await running()
    await world.clock.advance(20 * DAY + 1000)
    await expect(revoke(keeper, svid)).rejects.toMatchObject({
      code: 'wrong_state',
      message: `${svid.leaf.tbs.serial} ended at 2030-01-21T00:00:00.000Z; there is nothing to revoke`,
    })
    expect(keeper.set.revocations).toEqual([])
  })

  test('takes the place of one that has ended where the list is full, and is refused where none has', async () => {
    const { world, keeper, svid } = await running()
    const ends = (n: number) => plus(world.clock.now(), HOUR + n)
    const full = Array.from(
      { length: MAX_REVOCATIONS },
      (_, n): Revocation => ({
        serial: (0x100000 + n).toString(16),
        issuer: svid.issuer,
        at: world.clock.now(),
        until: ends(n),
        because: 'a test',
      }),
    )
    await keeper.change(({ set, commit }) => commit({ ...set, revocations: full }))
    await expect(revoke(keeper, svid)).rejects.toMatchObject({
      code: 'wrong_state',
      message: `2000 certificates are revoked already, as many as the journal holds; the first of them ends at ${ends(0).toISOString()} and makes room; replace what signed so many that are not trusted, with alcazar root taint`,
    })
    await world.clock.advance(2 * HOUR)
    // The clock's look, every minute.
    await keeper.tick()
    await revoke(keeper, svid)
    expect(keeper.set.revocations.map(({ serial }) => serial)).toEqual([svid.leaf.tbs.serial])
  })

  test('leaves the list with the prune job once it has ended and was on one more CRL, and that CRL too', async () => {
    const { world, keeper } = await running()
    const short = await world.issue(HOUR)
    await revoke(keeper, short)
    const { tbs } = short.leaf
    await world.clock.advance(HOUR + MINUTE)
    await keeper.tick()
    await prune(keeper)
    expect(keeper.set.revocations, 'clocks may be behind').toHaveLength(1)
    expect(crlOf(keeper.set, short.issuer)?.thisUpdate.getTime()).toBeLessThan(tbs.notAfter.getTime())
    await world.clock.advance(2 * MINUTE)
    await prune(keeper)
    expect(entriesOf(keeper.set, short.issuer), 'RFC 5280 §3.3').toEqual([tbs.serial])
    await keeper.tick()
    expect(entriesOf(keeper.set, short.issuer)).toEqual([tbs.serial])
    expect(crlOf(keeper.set, short.issuer)?.thisUpdate.getTime()).toBeGreaterThan(tbs.notAfter.getTime())
    const { writes } = world.store
    await keeper.tick()
    expect(world.store.writes, 'one more is enough').toBe(writes)
    await prune(keeper)
    expect(keeper.set.revocations).toEqual([])
    expect(entriesOf(keeper.set, short.issuer)).toEqual([])
  })

  test('stays on the list where its last CRL is of the very second of its end: that is none after it', async () => {
    const { world, keeper, svid } = await running()
    const short = await world.issue(HOUR)
    await revoke(keeper, short)
    const { notAfter } = short.leaf.tbs
    await world.clock.advance(notAfter.getTime() + BACKDATE_MS - world.clock.now().getTime())
    await revoke(keeper, svid)
    expect(crlOf(keeper.set, short.issuer)?.thisUpdate).toEqual(notAfter)
    await world.clock.advance(SECOND)
    await prune(keeper)
    expect(keeper.set.revocations.map(({ serial }) => serial)).toContain(short.leaf.tbs.serial)
    await keeper.tick()
    await prune(keeper)
    expect(keeper.set.revocations.map(({ serial }) => serial)).not.toContain(short.leaf.tbs.serial)
  })

  test('leaves the list without another CRL where nobody can sign one any more', async () => {
    const { world } = await running()
    const short = await world.issue(HOUR)
    const keeper = await world.start()
    await revoke(keeper, short)
    await world.clock.advance(HOUR + 3 * MINUTE)
    await prune(keeper)
    expect(keeper.set.revocations.filter(({ issuer }) => issuer === short.issuer)).toEqual([])
  })

  test('stays on the list while the clock is in doubt', async () => {
    const { world, keeper } = await running()
    const short = await world.issue(HOUR)
    await revoke(keeper, short)
    world.clock.jump(20 * DAY)
    await keeper.tick()
    await prune(keeper)
    await revoke(keeper, await world.issue(HOUR))
    world.clock.jump(-20 * DAY)
    expect(keeper.set.revocations.map(({ serial }) => serial)).toContain(short.leaf.tbs.serial)
    expect(keeper.takenBack(short.leaf.tbs, world.active.signer.publicKey, 'shop/cart-0')).toBe('revoked')
  })
})

describe('revoking a certificate whose issuing authority’s key is gone', () => {
  async function restarted() {
    const { world, svid } = await running()
    const other = await world.issue(10 * DAY)
    return { world, svid, other, keeper: await world.start() }
  }

  test('denies it at once, and its issuing authority once nobody else stands on it', async () => {
    const { world, svid, other, keeper } = await restarted()
    await revoke(keeper, svid)
    await keeper.tick()
    expect(keeper.revocations.denials.isRevoked(svid.issuer, svid.leaf.tbs.serial)).toBe(true)
    expect(keeper.revocations.denials.isRevoked(svid.issuer, other.leaf.tbs.serial)).toBe(false)
    expect(keeper.revocations.view().revocations).toMatchObject([{ reached: 'later' }])

    await world.clock.advance(10 * DAY + 1000)
    await keeper.tick()
    const { set } = world.journal
    const issuing = set.authorities.find(({ id }) => id === svid.issuer)
    const root = idOf(set, 'root')
    expect(entriesOf(set, root)).toEqual([issuing?.certificate.tbs.serial])
    expect(set.revocations).toMatchObject([
      { serial: svid.leaf.tbs.serial },
      {
        serial: issuing?.certificate.tbs.serial,
        issuer: root,
        at: world.clock.now(),
        because: `its key is gone, and ${svid.leaf.tbs.serial}, which it signed, was revoked`,
      },
    ])
    expect(keeper.revocations.denials.isRevoked(svid.issuer, other.leaf.tbs.serial)).toBe(true)
    expect(keeper.revocations.view().revocations).toMatchObject([{ reached: 'authority' }, { reached: 'crl' }])
    expect(world.ledger.of('authority').at(-1)).toMatchObject({ what: 'certificate revoked', authority: root })
    const { writes } = world.store
    await keeper.tick()
    expect(world.store.writes, 'once').toBe(writes)
    await (await world.start()).tick()
    expect(entriesOf(world.journal.set, root)).toHaveLength(1)
  })

  test('waits while nobody knows who else stands on it', async () => {
    const { world, svid } = await restarted()
    await world.clock.advance(11 * DAY)
    const keeper = await world.start({
      evidence: () => ({ incomplete: 'the ledger is still being read', workloads: () => [] }),
    })
    await revoke(keeper, svid)
    await keeper.tick()
    expect(entriesOf(keeper.set, idOf(keeper.set, 'root'))).toEqual([])
  })

  test('stays at refused renewal where a plugged-in CA of another name replaced the one above', async () => {
    const sets = await aPluggedCa()
    const world = new World({ kind: 'plugged-in', ca: sets.a })
    await world.start()
    const svid = await world.issue(10 * DAY)
    await world.keeper?.takePluggedCa(sets.ab)
    await world.keeper?.takePluggedCa(sets.abSignedByB)
    world.source = { kind: 'plugged-in', ca: sets.abSignedByB }
    const keeper = await world.start()
    await revoke(keeper, svid)
    expect(keeper.revocations.view().revocations).toMatchObject([
      { reached: 'renewal', says: 'on no CRL: what signed its issuing authority can’t sign a CRL here' },
    ])
    expect(keeper.revocations.denials.isRevoked(svid.issuer, svid.leaf.tbs.serial)).toBe(true)
  })
})

describe('what was taken back while it was renewed', () => {
  const caller = (svid: string | undefined, method: Caller['method'] = 'client-certificate') =>
    attestedCaller({
      account: { namespace: 'shop', name: 'cart' },
      method,
      pod: { name: 'cart-0', uid: 'uid-of-cart-0' },
      lineage: undefined,
      onBehalfBy: undefined,
      svid,
    })

  test('is told by its serial number, or by its workload if that was cut off since', async () => {
    const { world, keeper, svid } = await running()
    const { serial } = svid.leaf.tbs
    const since = world.clock.now()
    const say = (one: Caller, from = since) => keeper.revocations.takenBackSince(one, from)
    expect(say(caller(serial))).toBeUndefined()
    await revoke(keeper, svid)
    expect([say(caller(serial)), say(caller('4a')), say(caller(undefined, 'service-account-token'))]).toEqual([
      'revoked',
      undefined,
      undefined,
    ])
    await world.clock.advance(1000)
    await keeper.roots.forget('shop/cart-0', ADMIN)
    // In the very moment it was cut off counts.
    expect([since, plus(since, 1000), plus(since, 1001)].map((from) => say(caller('4a'), from))).toEqual([
      'forgotten',
      'forgotten',
      undefined,
    ])
    expect(say(caller(undefined))).toBeUndefined()
  })
})

test('a journal with as many revocations as there may be, CRLs included, and as many workloads cut off, fits in a Secret of Kubernetes', async () => {
  const world = new World({ kind: 'dev', root: { algorithm: keyAlgorithm('rsa-4096'), lifetimeMs: 3650 * DAY } })
  const keeper = await world.start()
  for (let restart = 0; restart < 5; restart++) await world.start()
  const issuer = idOf(world.journal.set, 'issuing') as string
  const revocations = Array.from({ length: MAX_REVOCATIONS }, (_, n) => ({
    serial: `7f${n.toString(16).padStart(38, '0')}`,
    issuer,
    at: world.clock.now(),
    until: plus(world.clock.now(), 90 * DAY),
    because: '\u0001'.repeat(26) + 'x'.repeat(4),
  }))
  const name = `${'n'.repeat(63)}/${'p'.repeat(253)}`
  const forgotten = Array.from({ length: 200 }, () => ({
    workload: name,
    at: world.clock.now(),
    until: world.clock.now(),
  }))
  await world.keeper?.change(({ set, commit }) => commit({ ...set, revocations, forgotten }))
  expect(entriesOf(world.journal.set, issuer)).toHaveLength(MAX_REVOCATIONS)
  expect(keeper).toBeDefined()
  const { revision, set } = world.journal
  const bytes = Buffer.byteLength(printJournal(revision, set))
  expect(bytes).toBeGreaterThan(700_000)
  expect(bytes).toBeLessThan(1024 * 1024)
})
