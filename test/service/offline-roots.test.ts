import { describe, expect, test } from 'vitest'
import { type Authority, activeIssuing, activeRoot, idOf } from '../../src/authority/authority.ts'
import { shortId } from '../../src/core/bytes.ts'
import { DAY } from '../../src/core/duration.ts'
import { keyAlgorithm } from '../../src/keys/algorithms.ts'
import type { PrivateKey } from '../../src/keys/private-key.ts'
import { isSignedBy } from '../../src/keys/public-key.ts'
import { rotationView } from '../../src/service/rotation-view.ts'
import type { Certificate } from '../../src/x509/certificate.ts'
import { readCsrPem } from '../../src/x509/csr.ts'
import { readOnePem } from '../../src/x509/pem.ts'
import { readCsrAgain } from '../../src/x509/second-reader.ts'
import { World } from '../_support/a-world.ts'
import { NOW } from '../_support/authority-sets.ts'
import { nameConstraints, type Oddity, odd } from '../_support/odd-certificates.ts'
import { opensslBytes, testWithOpenssl } from '../_support/openssl-command.ts'
import type { TestCa } from '../_support/plugged-ca.ts'
import { aPluggedCa } from '../_support/plugged-sets.ts'

const WISH = { by: 'admin', because: 'a test' } as const
const LATE = new Date('2040-01-01T00:00:00Z')

/** A server with a root of its own, a request of it, and a company's PKI that signs it. */
async function company(online: Oddity = {}, root: Oddity = {}) {
  const world = new World()
  const keeper = await world.start()
  const { id, csrPem } = await keeper.offline.signRequest()
  const key = world.store.keys.get(id) as PrivateKey
  const companyRoot = await odd('company root', 'itself', { notAfter: LATE, ...root })
  const between = await odd('company between', companyRoot, { notAfter: LATE })
  const signed = await odd('online', between, { key, notAfter: new Date('2031-01-01T00:00:00Z'), ...online })
  return { world, keeper, id, csrPem, key, companyRoot, between, signed, chain: chainOf(signed, between, companyRoot) }
}

const chainOf = (...cas: TestCa[]): Certificate[] => cas.map(({ certificate }) => certificate)
const rootsOf = (world: World): readonly Authority[] =>
  world.journal.set.authorities.filter(({ role, state }) => role === 'root' && state !== 'revoked')

describe('a request', () => {
  test('is signed by a key that is kept, and asks to be a CA of this trust domain', async () => {
    const { csrPem, key, world } = await company()
    const csr = readCsrPem(csrPem)
    expect(Buffer.from(csr.publicKey)).toEqual(Buffer.from(key.publicKey.spki))
    const tbs = { bytes: csr.signed, signatureAlgorithm: csr.signatureAlgorithm }
    expect(isSignedBy({ ...csr, tbs }, key.publicKey)).toBe(true)
    const asks = readCsrAgain(readOnePem(csrPem, ['CERTIFICATE REQUEST'], 10_000))
    expect(asks).toMatchObject({ ca: true, names: ['url:spiffe://cluster.local'] })
    expect(asks.subject).toMatch(/^O=cluster\.local, CN=online CA [0-9a-f]{4} [0-9a-f]{4}$/)
    expect(rootsOf(world), 'nobody hears of it before it is signed').toHaveLength(1)
  })

  testWithOpenssl('is one that OpenSSL takes', async () => {
    const { csrPem } = await company()
    const text = opensslBytes(['req', '-verify', '-noout', '-text'], csrPem).toString()
    expect(text).toMatch(/CA:TRUE, pathlen:1/)
    expect(text).toMatch(/Certificate Sign, CRL Sign/)
  })

  test('is neither made nor answered with a plugged-in CA', async () => {
    const { a } = await aPluggedCa()
    const world = new World({ kind: 'plugged-in', ca: a })
    const keeper = await world.start()
    await expect(keeper.offline.signRequest()).rejects.toMatchObject({
      code: 'wrong_state',
      message: expect.stringContaining('take it over with alcazar import'),
    })
    await expect(keeper.offline.prepare([a.root], WISH)).rejects.toMatchObject({
      code: 'wrong_state',
      message: expect.stringContaining('take it over with alcazar import'),
    })
    expect(world.store.keys.size).toBe(0)
  })
})

describe('a request that nobody answered', () => {
  const asked = async () => {
    const world = new World()
    const keeper = await world.start()
    const { id } = await keeper.offline.signRequest()
    // The root's own, and this one.
    expect(world.store.keys.size).toBe(2)
    return { world, keeper, id }
  }

  test('is for the same key again, also after a restart: not one more is left behind', async () => {
    const { world, keeper, id } = await asked()
    expect((await keeper.offline.signRequest()).id).toBe(id)
    const again = await world.start()
    const { csrPem } = await again.offline.signRequest()
    expect(Buffer.from(readCsrPem(csrPem).publicKey)).toEqual(
      Buffer.from(world.store.keys.get(id)?.publicKey.spki ?? []),
    )
    expect(world.store.keys.size).toBe(2)
    expect(world.journal.set.request).toEqual({ id, key: 'file' })
    await world.check()
  })

  test('is over when it is answered: the next is for another key', async () => {
    const { world, keeper, id, chain } = await company()
    await keeper.offline.prepare(chain, WISH)
    expect(world.journal.set.request).toBeUndefined()
    expect((await keeper.offline.signRequest()).id).not.toBe(id)
  })

  test('is over, too, when the answer replaces an online CA', async () => {
    const { world, keeper, chain, companyRoot, between } = await company()
    await keeper.offline.prepare(chain, WISH)
    const { id } = await keeper.offline.signRequest()
    const key = world.store.keys.get(id) as PrivateKey
    const next = await odd('online again', between, { key, notAfter: new Date('2031-01-01T00:00:00Z') })
    await keeper.offline.prepare(chainOf(next, between, companyRoot), WISH)
    expect(world.journal.set.request).toBeUndefined()
  })

  test('stays when another is answered', async () => {
    const { world, keeper, chain } = await company()
    const set = { ...keeper.set, request: { id: '0'.repeat(40), key: 'file' as const } }
    await keeper.change(({ commit }) => commit(set))
    await keeper.offline.prepare(chain, WISH)
    expect(world.journal.set.request).toEqual(set.request)
  })

  test('is for another key where its own is lost, or of another kind than is set now', async () => {
    const { world, keeper, id } = await asked()
    world.store.keys.delete(id)
    const { id: second } = await keeper.offline.signRequest()
    expect(second).not.toBe(id)
    const other = await world.start({
      source: { kind: 'dev', root: { algorithm: keyAlgorithm('ecdsa-p384'), lifetimeMs: 3650 * DAY } },
    })
    expect((await other.offline.signRequest()).id).not.toBe(second)
  })

  test('is for the key that was made where the journal could not be told of it', async () => {
    const world = new World()
    const keeper = await world.start()
    for (let n = 0; n < 3; n++) {
      world.store.faults.set(world.store.writes + 1, 'refused')
      await expect(keeper.offline.signRequest()).rejects.toMatchObject({ code: 'dependency_unavailable' })
    }
    const { id } = await keeper.offline.signRequest()
    expect([...world.store.keys.keys()].slice(1)).toEqual([id])
  })

  test('fails where nobody knows whether its key is there, and makes no other', async () => {
    const { world, keeper } = await asked()
    world.store.keyFaults.set(world.store.keyUses + 1, 'refused')
    await expect(keeper.offline.signRequest()).rejects.toMatchObject({
      code: 'dependency_unavailable',
      message: 'the root’s key can’t be reached; try again later',
    })
    expect(world.store.keys.size).toBe(2)
  })
})

describe('a root whose key is elsewhere', () => {
  test('joins the bundle, prepared, with what will sign for it, and without a cross-certificate', async () => {
    const { world, keeper, chain, companyRoot, signed, between } = await company()
    const root = await keeper.offline.prepare(chain, WISH)
    expect(root).toMatchObject({
      state: 'prepared',
      bundledSince: 2,
      key: 'elsewhere',
      cross: [],
      wasInTheClear: false,
    })
    expect(rootsOf(world).map(({ certificate }) => certificate.der)).toContainEqual(
      Buffer.from(companyRoot.certificate.der),
    )
    const record = rootsOf(world)[1]
    expect(record).toMatchObject({ state: 'prepared', bundledSince: 2, online: { key: 'file' } })
    expect(record?.online?.certificate.der).toEqual(Buffer.from(signed.certificate.der))
    expect(record?.online?.intermediates.map(({ der }) => der)).toEqual([Buffer.from(between.certificate.der)])
    expect(world.ledger.of('authority').at(-1)).toMatchObject({
      what: 'root prepared',
      detail: expect.stringMatching(/^bundle 2, its key is elsewhere, online CA .* by the admin: a test$/),
    })
    await world.check()
  })

  test('signs by its online CA once it is active, and across a restart; the old root can leave', async () => {
    const { world, keeper, chain } = await company()
    await world.issue(DAY)
    await keeper.offline.prepare(chain, WISH)
    await expect(keeper.roots.activate(undefined, WISH), 'without a cross-certificate').rejects.toMatchObject({
      code: 'wrong_state',
      message: expect.stringContaining('holds bundle 1, not 2 yet'),
    })
    await world.clock.advance(DAY + 1000)
    await keeper.roots.activate(undefined, WISH)
    expect(world.active.authority.intermediates).toHaveLength(2)
    expect(world.active.chainPem).toHaveLength(3)
    await world.check()
    await world.issue(DAY)
    const again = await world.start()
    expect(activeRoot(again.set)).toMatchObject({ key: 'elsewhere' })
    await world.check()
    expect(world.stranded()).toEqual([])
    await again.roots.revoke(undefined, WISH)
    await world.check()
    expect(world.stranded()).toEqual([])
  })

  test('leaves no key behind when it leaves: its online CA’s is destroyed, at once or by the next start', async () => {
    const { world, keeper, chain, id, companyRoot } = await company()
    await keeper.offline.prepare(chain, WISH)
    await keeper.roots.activate(undefined, WISH)
    await keeper.roots.revoke(undefined, WISH)
    expect(world.store.keys.has(id)).toBe(true)
    await keeper.roots.prepare(WISH)
    await keeper.roots.activate(undefined, WISH)
    world.store.keyFaults.set(world.store.keyUses + 1, 'refused')
    await keeper.roots.revoke(undefined, WISH)
    expect(world.store.keys.has(id)).toBe(true)
    await world.start()
    expect(world.store.keys.has(id)).toBe(false)
    expect(world.ledger.of('authority').findLast(({ what }) => what === 'root key destroyed')).toMatchObject({
      authority: idOf(companyRoot.certificate),
      detail: `of its online CA ${shortId(id)}: the root has left the bundle`,
    })
    await world.check()
  })

  test.each([
    ['its own', { pathLength: 0 }, {}],
    ['the root’s', {}, { pathLength: 2 }],
  ])(
    'signs leaves itself where %s pathLen allows no CA, as one authority however often it starts',
    async (_whose, online, root) => {
      const { world, keeper, chain, signed } = await company(online, root)
      await keeper.offline.prepare(chain, WISH)
      await keeper.roots.activate(undefined, WISH)
      expect(world.active.authority).toMatchObject({ key: 'file', state: 'active' })
      expect(world.active.authority.certificate.der).toEqual(signed.certificate.der)
      expect(world.active.authority.intermediates).toHaveLength(1)
      const { leaf } = await world.issue(DAY)
      await world.check()
      for (const _ of [1, 2]) {
        await world.start()
        await world.check()
      }
      const issuing = world.journal.set.authorities.filter(
        ({ role, certificate }) => role === 'issuing' && Buffer.compare(certificate.der, signed.certificate.der) === 0,
      )
      expect(issuing).toMatchObject([{ state: 'active', key: 'file' }])
      expect(world.keeper?.mayVouch(leaf.tbs.issuer, world.clock.now())).toHaveLength(1)
    },
  )

  test('that signs leaves itself is not renewed for ever', async () => {
    const { world, keeper, chain } = await company({ pathLength: 0, notAfter: new Date('2030-03-01T00:00:00Z') })
    await keeper.offline.prepare(chain, WISH)
    await keeper.roots.activate(undefined, WISH)
    const activated = () => world.ledger.of('authority').filter(({ what }) => what === 'issuing authority activated')
    const before = activated()
    for (const days of [40, 10, 8, 2]) {
      await world.clock.advance(days * DAY)
      await keeper.tick()
    }
    expect(activated()).toEqual(before)
    expect(world.events.told.filter(({ event }) => event === 'rotationFailed')).toEqual([])
  })

  test('gives nobody a certificate over its online CA’s key, not even before it signs', async () => {
    const { keeper, chain, key, between } = await company()
    await keeper.offline.prepare(chain, WISH)
    expect(keeper.isOurs(key.publicKey)).toBe(true)
    expect(keeper.isOurs(between.key.publicKey)).toBe(false)
  })

  test('is taken back by a rollback', async () => {
    const { world, keeper, chain } = await company()
    const before = activeRoot(keeper.set)?.id
    await keeper.offline.prepare(chain, WISH)
    await keeper.roots.rollback(WISH)
    expect(rootsOf(world).map(({ id }) => id)).toEqual([before])
    await world.check()
  })

  test('does not start where its online CA’s key is missing', async () => {
    const { world, keeper, chain, id } = await company()
    await keeper.offline.prepare(chain, WISH)
    await keeper.roots.activate(undefined, WISH)
    world.store.keys.delete(id)
    await expect(world.start()).rejects.toMatchObject({ code: 'wrong_state', message: 'the root’s key is missing' })
  })

  test('does not start with another key in the place of its online CA’s', async () => {
    const { world, keeper, chain, id, between } = await company()
    await keeper.offline.prepare(chain, WISH)
    await keeper.roots.activate(undefined, WISH)
    world.store.keys.set(id, between.key)
    await expect(world.start()).rejects.toMatchObject({
      code: 'wrong_state',
      message: expect.stringContaining('is another root’s'),
    })
  })

  test('is not replaced by the clock with a root that its company does not know', async () => {
    const { world, keeper, chain } = await company({}, { notAfter: new Date('2031-06-01T00:00:00Z') })
    await keeper.offline.prepare(chain, WISH)
    await keeper.roots.activate(undefined, WISH)
    await keeper.roots.revoke(undefined, WISH)
    await world.clock.advance(320 * DAY)
    await keeper.tick()
    expect(rootsOf(world)).toMatchObject([{ state: 'active', key: 'elsewhere' }])
    expect(keeper.set.rotation).toBeUndefined()
    const view = rotationView(keeper.seen())
    expect(view.dueAt).toBeUndefined()
    expect(view.next).toMatchObject({
      what: expect.stringMatching(/^nothing: the key of root [0-9a-f ]{9} is elsewhere, so its keeper replaces it$/),
      byItself: false,
    })
  })
})

describe('an online CA that ends', () => {
  test('is replaced under the same root: what signs next stands on the new one, and nothing is stranded', async () => {
    const { world, keeper, chain, between, companyRoot } = await company()
    await keeper.offline.prepare(chain, WISH)
    await keeper.roots.activate(undefined, WISH)
    await world.issue(10 * DAY)
    const { bundleSequence } = keeper.set
    const { id } = await keeper.offline.signRequest()
    const next = await odd('online again', between, { key: world.store.keys.get(id) as PrivateKey })
    await keeper.offline.prepare(chainOf(next, between, companyRoot), WISH)
    expect(world.active.authority.intermediates[0]?.der).toEqual(next.certificate.der)
    expect(keeper.set.bundleSequence, 'the bundle is the same').toBe(bundleSequence)
    expect(world.stranded()).toEqual([])
    expect(world.ledger.of('authority').at(-1)?.what).toBe('online CA replaced')
    await world.check()
    await world.start()
    await world.check()
  })

  test('that signs leaves itself may get another certificate for the same key', async () => {
    const { world, keeper, chain, key, between, companyRoot } = await company({ pathLength: 0 })
    await keeper.offline.prepare(chain, WISH)
    await keeper.roots.activate(undefined, WISH)
    const { leaf } = await world.issue(10 * DAY)
    const longer = await odd('online', between, { key, pathLength: 0, notAfter: new Date('2032-01-01T00:00:00Z') })
    await keeper.offline.prepare(chainOf(longer, between, companyRoot), WISH)
    expect(world.active.authority.certificate.der).toEqual(longer.certificate.der)
    await world.start()
    expect(world.keeper?.mayVouch(leaf.tbs.issuer, world.clock.now()).length).toBeGreaterThan(0)
    expect(world.stranded()).toEqual([])
    await world.check()
  })

  test('is replaced also while its root is only prepared', async () => {
    const { world, keeper, chain, between, companyRoot } = await company()
    await keeper.offline.prepare(chain, WISH)
    const signing = activeIssuing(keeper.set)?.id
    const { id } = await keeper.offline.signRequest()
    const next = await odd('online again', between, { key: world.store.keys.get(id) as PrivateKey })
    const root = await keeper.offline.prepare(chainOf(next, between, companyRoot), WISH)
    expect(root).toMatchObject({ state: 'prepared', bundledSince: 2 })
    expect(activeIssuing(keeper.set)?.id).toBe(signing)
    await world.check()
  })
})

describe('refuses, and changes nothing:', () => {
  type Company = Awaited<ReturnType<typeof company>>
  type Refusal = [
    what: string,
    chain: (at: Company) => Promise<Certificate[]> | Certificate[],
    code: string,
    message: string,
  ]
  const refusals: Refusal[] = [
    ['nothing', () => [], 'invalid_argument', 'there are 0 certificates; expected the signed one'],
    ['the signed certificate alone', ({ signed }) => chainOf(signed), 'invalid_argument', 'there is 1 certificate'],
    [
      'a chain without its root',
      ({ signed, between }) => chainOf(signed, between),
      'invalid_argument',
      'the last certificate, which should be the root, is no root: it was issued by another name',
    ],
    [
      'a chain with a gap',
      ({ signed, companyRoot }) => chainOf(signed, companyRoot),
      'invalid_argument',
      'was issued by another name',
    ],
    [
      'the root first',
      ({ signed, between, companyRoot }) => chainOf(companyRoot, between, signed),
      'invalid_argument',
      'is no root',
    ],
    [
      'another root of the same name',
      async ({ signed, between }) => chainOf(signed, between, await odd('company root', 'itself', { notAfter: LATE })),
      'invalid_argument',
      'another key of the same name',
    ],
    [
      'a certificate for a key that is not ours',
      async ({ between, companyRoot }) => chainOf(await odd('other', between), between, companyRoot),
      'invalid_argument',
      'this server can’t use one like that: the root’s key is missing; the first is the one signed for the request',
    ],
    [
      'a leaf',
      async ({ key, between, companyRoot }) =>
        chainOf(await odd('leaf', between, { key, ca: false }), between, companyRoot),
      'invalid_argument',
      'the first certificate is not a CA',
    ],
    [
      'a CA that may not sign certificates',
      async ({ key, between, companyRoot }) =>
        chainOf(await odd('mute', between, { key, keyUsage: [6] }), between, companyRoot),
      'invalid_argument',
      'may not sign certificates (key usage keyCertSign)',
    ],
    [
      'one that has ended',
      async ({ key, between, companyRoot }) =>
        chainOf(await odd('ended', between, { key, notAfter: new Date(NOW.getTime() - 1000) }), between, companyRoot),
      'invalid_argument',
      'ended at 2029-12-31T23:59:59',
    ],
    [
      'one whose time has not come',
      async ({ key, between, companyRoot }) =>
        chainOf(
          await odd('early', between, { key, notBefore: new Date('2030-02-01T00:00:00Z') }),
          between,
          companyRoot,
        ),
      'invalid_argument',
      'is not valid before 2030-02-01',
    ],
    [
      'one with a signature that is broken',
      async ({ key, between, companyRoot }) =>
        chainOf(await odd('broken', between, { key, breakSignature: true }), between, companyRoot),
      'invalid_argument',
      'was not signed by the key it should be',
    ],
    [
      'one with limits that are not understood here',
      async ({ key, between, companyRoot }) =>
        chainOf(await odd('limited', between, { key, extensions: [nameConstraints] }), between, companyRoot),
      'invalid_argument',
      'critical extension 2.5.29.30',
    ],
    [
      'a root that broke its own signature',
      async ({ key }) => {
        const root = await odd('company root', 'itself', { breakSignature: true, notAfter: LATE })
        return chainOf(await odd('online', root, { key }), root)
      },
      'invalid_argument',
      'was not signed by the key it should be',
    ],
    [
      'a certificate for the key of the root that signs now',
      async ({ world, keeper, between, companyRoot }) =>
        chainOf(
          await odd('captured', between, { key: world.store.keys.get(activeRoot(keeper.set)?.id ?? '') as PrivateKey }),
          between,
          companyRoot,
        ),
      'conflict',
      'is for the key of an authority that is in use',
    ],
  ]
  test.each(refusals)('%s', async (_what, chain, code, message) => {
    const at = await company()
    const { text } = at.world.store
    await expect(at.keeper.offline.prepare(await chain(at), WISH)).rejects.toMatchObject({
      code,
      message: expect.stringContaining(message),
    })
    expect(at.world.store.text).toBe(text)
    await at.world.check()
  })

  test('the CA of another trust domain', async () => {
    const { contextTag, octetString, oid, sequence, tlv } = await import('../../src/x509/der.ts')
    const uri = tlv(contextTag(6, 'primitive'), Buffer.from('spiffe://other.example'))
    const at = await company()
    const foreign = await odd('foreign', at.between, {
      key: at.key,
      extensions: [sequence(oid('2.5.29.17'), octetString(sequence(uri)))],
    })
    await expect(at.keeper.offline.prepare(chainOf(foreign, at.between, at.companyRoot), WISH)).rejects.toMatchObject({
      code: 'invalid_argument',
      message: 'a CA certificate is for "spiffe://other.example", and the trust domain here is cluster.local',
    })
  })

  test('a second root on its way', async () => {
    const { keeper, chain } = await company()
    await keeper.roots.prepare(WISH)
    await expect(keeper.offline.prepare(chain, WISH)).rejects.toMatchObject({
      code: 'wrong_state',
      message: expect.stringContaining('one rotation at a time'),
    })
  })

  test('the same twice: its online CA’s key is in use only once it signs, so it is replaced by itself', async () => {
    const { world, keeper, chain } = await company()
    await keeper.offline.prepare(chain, WISH)
    await keeper.offline.prepare(chain, WISH)
    expect(rootsOf(world)).toHaveLength(2)
    await world.check()
  })
})

test('a root that is prepared by hand is what a begun rotation ends on', async () => {
  const { world, keeper, chain } = await company()
  await keeper.roots.rotate(WISH)
  const root = await keeper.offline.prepare(chain, WISH)
  expect(keeper.set.rotation?.to).toBe(root.id)
  for (let look = 0; look < 4; look++) await keeper.tick()
  expect(activeRoot(keeper.set)?.id).toBe(root.id)
  expect(rootsOf(world)).toHaveLength(1)
  await world.check()
})

test('a crash at any write of it leaves a state that the next start and the same verb go on from', async () => {
  for (const active of [false, true])
    for (const fault of ['refused', 'in doubt, written', 'in doubt, not written'] as const) {
      const { world, keeper, chain, between, companyRoot } = await company()
      let next = chain
      if (active) {
        await keeper.offline.prepare(chain, WISH)
        await keeper.roots.activate(undefined, WISH)
        await world.issue(DAY)
        const { id } = await keeper.offline.signRequest()
        const again = await odd('online again', between, { key: world.store.keys.get(id) as PrivateKey })
        next = chainOf(again, between, companyRoot)
      }
      world.store.faults.set(world.store.writes + 1, fault)
      await expect(keeper.offline.prepare(next, WISH)).rejects.toThrow()
      await world.check()
      world.store.faults.clear()
      const restarted = await world.start()
      await world.check()
      await restarted.offline.prepare(next, WISH)
      await world.check()
      expect(world.stranded()).toEqual([])
    }
})
