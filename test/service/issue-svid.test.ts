import { describe, expect, test } from 'vitest'
import type { ActiveAuthority } from '../../src/authority/active-authority.ts'
import { vouches } from '../../src/authority/authority.ts'
import { verifyPath } from '../../src/authority/path.ts'
import { sha256Hex } from '../../src/core/bytes.ts'
import { plus } from '../../src/core/clock.ts'
import { DAY, HOUR, SECOND } from '../../src/core/duration.ts'
import { CaError } from '../../src/core/errors.ts'
import { Latest } from '../../src/core/latest.ts'
import type { PrivateKey } from '../../src/keys/private-key.ts'
import { IssuancesUnderWay } from '../../src/service/issuances-under-way.ts'
import { issuingSvids } from '../../src/service/issue-svid.ts'
import { readCertificate } from '../../src/x509/certificate.ts'
import { readLineage } from '../../src/x509/lineage.ts'
import { OID } from '../../src/x509/oids.ts'
import { readPem } from '../../src/x509/pem.ts'
import { aCa } from '../_support/a-ca.ts'
import { NEVER, withCertificate, withToken } from '../_support/attested.ts'
import { aCsr } from '../_support/csr.ts'
import { factsOf, inventoryOf } from '../_support/live-svids.ts'
import { NO_EVIDENCE } from '../_support/no-evidence.ts'
import { greedyCsr } from '../_support/openssl-csr.ts'
import { aRequest, csrOf } from '../_support/requests.ts'

type Ca = Awaited<ReturnType<typeof aCa>>

/** The use case over the parts of a CA, with some of them replaced. */
const issuing = (ca: Ca, parts: Partial<Parameters<typeof issuingSvids>[0]>) =>
  issuingSvids({
    attest: ca.attest,
    policy: ca.policy,
    active: ca.keeper.active,
    isOurs: (key) => ca.keeper.isOurs(key),
    vouches: () => true,
    takenBackSince: () => undefined,
    suggestRenewal: ca.suggest,
    underWay: new IssuancesUnderWay(),
    ledger: ca.ledger,
    inventory: ca.inventory,
    events: ca.events,
    clock: ca.clock,
    random: ca.random,
    ...parts,
  })

const certificateOf = (pem: string | undefined) => {
  const [block] = readPem(pem ?? '', 100_000, 'nothing else')
  return readCertificate(block?.der ?? new Uint8Array())
}

/** The active authority, with its signer watched and perhaps tampered with. */
function watched(ca: Ca, onSign: () => void): Latest<ActiveAuthority> {
  const active = ca.keeper.active.get() as ActiveAuthority
  const latest = new Latest<ActiveAuthority>()
  latest.set({
    ...active,
    signer: {
      publicKey: active.signer.publicKey,
      sign: async (tbs) => {
        onSign()
        return active.signer.sign(tbs)
      },
    },
  })
  return latest
}

describe('a certificate', () => {
  test('comes leaf first, with what stands above it, and the roots in one text', async () => {
    const ca = await aCa()
    const { chainPem, rootsPem, bundleSequence } = await ca.issueSvid(await aRequest(withToken(ca.podToken())), NEVER)
    const chain = chainPem.map(certificateOf)
    const roots = readPem(rootsPem, 100_000, 'nothing else').map(({ der }) => readCertificate(der))
    expect(chain).toHaveLength(2)
    expect(verifyPath(chain, roots, ca.clock.now())).toBe(roots[0])
    expect(bundleSequence).toBe(ca.keeper.set.bundleSequence)
  })

  test('comes with the moment to renew it: at half of its life, whatever it is dated back', async () => {
    const ca = await aCa()
    for (const [ttlSeconds, half] of [
      [0, 12 * HOUR],
      [60, 30 * SECOND],
    ] as const) {
      const { renewAt } = await ca.issueSvid(await aRequest(withToken(ca.podToken()), { ttlSeconds }), NEVER)
      const after = renewAt.getTime() - ca.clock.now().getTime()
      expect(after).toBeGreaterThanOrEqual(half * 0.9)
      expect(after).toBeLessThanOrEqual(half * 1.1)
    }
  })

  test('takes nothing but the public key from a CSR that asks for everything', async () => {
    const ca = await aCa()
    const { pem } = greedyCsr()
    const { svid } = await ca.issueSvid(await aRequest(withToken(ca.podToken()), { csrPem: pem }), NEVER)
    const { tbs } = readCertificate(svid.der)
    expect(tbs.subject).toEqual(Buffer.from('3000', 'hex'))
    expect(tbs.alternativeNames).toEqual([{ kind: 'uri', value: 'spiffe://cluster.local/ns/shop/sa/cart' }])
    expect(tbs.basicConstraints).toEqual({ ca: false, pathLength: undefined })
    expect([...(tbs.keyUsage ?? [])]).toEqual([0])
    expect(tbs.extendedKeyUsage).toEqual([OID.serverAuth, OID.clientAuth])
    expect([...tbs.extensions.keys()].sort()).toEqual(
      [
        OID.keyUsage,
        OID.extendedKeyUsage,
        OID.basicConstraints,
        OID.authorityKeyIdentifier,
        OID.subjectAltName,
        OID.lineage,
      ].sort(),
    )
    expect(readLineage(tbs.extensions.get(OID.lineage)?.value ?? new Uint8Array()).podName).toBe('cart-0')
    const wishes = ['somebody-else', 'root.cluster.local', 'evil.example', 'kube-system', 'forged-lineage', 'greedy']
    const bytes = Buffer.from(svid.der).toString('latin1')
    expect(wishes.filter((wish) => bytes.includes(wish))).toEqual([])
  })

  test.each([
    [0, 24 * HOUR],
    [-1, 24 * HOUR],
    [3600, HOUR],
    [30 * 24 * 3600, 30 * DAY],
    [90 * 24 * 3600, 30 * DAY],
  ])(
    'asked for %i seconds lives %i ms: 0 is the default, and nothing outlives its issuer',
    async (ttlSeconds, lifeMs) => {
      const ca = await aCa()
      const { svid } = await ca.issueSvid(await aRequest(withToken(ca.podToken()), { ttlSeconds }), NEVER)
      expect(readCertificate(svid.der).tbs.notAfter).toEqual(plus(ca.clock.now(), lifeMs))
    },
  )

  test('renews by the certificate alone, with the lineage copied unchanged', async () => {
    const ca = await aCa()
    const first = await ca.issueSvid(await aRequest(withToken(ca.podToken())), NEVER)
    await ca.clock.advance(12 * HOUR)
    const second = await ca.issueSvid(await aRequest(withCertificate(first.svid.der)), NEVER)
    const lineageOf = (der: Uint8Array) => readCertificate(der).tbs.extensions.get(OID.lineage)?.value
    expect(lineageOf(second.svid.der)).toEqual(lineageOf(first.svid.der))
    expect(ca.ledger.of('intent').map(({ caller }) => caller.method)).toEqual([
      'service-account-token',
      'client-certificate',
    ])
  })

  test('for a token bound to no pod carries no lineage, so mTLS does not renew it', async () => {
    const ca = await aCa()
    const token = ca.podToken('shop', 'cart', {
      'kubernetes.io': { namespace: 'shop', serviceaccount: { name: 'cart', uid: 'uid-of-cart' } },
    })
    const { svid } = await ca.issueSvid(await aRequest(withToken(token)), NEVER)
    expect(readCertificate(svid.der).tbs.extensions.has(OID.lineage)).toBe(false)
    await expect(ca.issueSvid(await aRequest(withCertificate(svid.der)), NEVER)).rejects.toMatchObject({
      code: 'unauthenticated',
    })
    expect(ca.ledger.of('refused')).toMatchObject([{ reason: 'no_lineage' }])
  })

  test('that a node’s proxy asked for carries no lineage, and the ledger says who asked', async () => {
    const ca = await aCa({ trustedNodeAccounts: [{ namespace: 'istio-system', name: 'ztunnel' }] })
    const token = ca.podToken('istio-system', 'ztunnel')
    ca.cluster.add({ namespace: 'shop', serviceAccount: 'cart', name: 'cart-0' })
    const { svid } = await ca.issueSvid(
      await aRequest(withToken(token, 'spiffe://cluster.local/ns/shop/sa/cart')),
      NEVER,
    )
    const { tbs } = readCertificate(svid.der)
    expect(tbs.alternativeNames).toEqual([{ kind: 'uri', value: 'spiffe://cluster.local/ns/shop/sa/cart' }])
    expect(tbs.extensions.has(OID.lineage)).toBe(false)
    expect(ca.ledger.of('intent')[0]?.caller).toMatchObject({
      method: 'impersonation',
      onBehalfBy: 'istio-system/ztunnel',
    })
  })
})

describe('in the ledger', () => {
  test('an intent and its outcome tell of the same certificate', async () => {
    const ca = await aCa()
    const request = await aRequest(withToken(ca.podToken()))
    const { svid } = await ca.issueSvid(request, NEVER)
    const { tbs } = readCertificate(svid.der)
    const common = {
      requestId: request.context.requestId,
      peer: '127.0.0.1:40000',
      at: '2030-01-01T00:00:00.000Z',
      id: 'spiffe://cluster.local/ns/shop/sa/cart',
      serial: tbs.serial,
      issuer: ca.keeper.active.get()?.authority.id,
      notAfter: tbs.notAfter.toISOString(),
    }
    expect(ca.ledger.of('intent')).toEqual([
      {
        kind: 'intent',
        ...common,
        notBefore: tbs.notBefore.toISOString(),
        key: 'ecdsa-p256',
        tbsSha256: sha256Hex(tbs.bytes),
        caller: {
          namespace: 'shop',
          serviceAccount: 'cart',
          method: 'service-account-token',
          pod: 'cart-0',
          podUid: 'uid-of-cart-0',
        },
      },
    ])
    expect(ca.ledger.of('issued')).toEqual([
      {
        kind: 'issued',
        ...common,
        bundleSequence: 1,
        sha256: sha256Hex(svid.der),
        method: 'service-account-token',
        pod: 'cart-0',
        podUid: 'uid-of-cart-0',
      },
    ])
  })

  test('when it is full, nothing is signed', async () => {
    const ca = await aCa()
    let signed = 0
    const issue = issuing(ca, { active: watched(ca, () => signed++) })
    ca.ledger.full = true
    await expect(issue(await aRequest(withToken(ca.podToken())), NEVER)).rejects.toMatchObject({
      code: 'dependency_unavailable',
      message: 'the ledger can’t be written, so nothing is issued; try again later',
    })
    expect(signed).toBe(0)
  })

  test('when it is full, log and metrics hear of it all the same', async () => {
    const ca = await aCa()
    ca.ledger.full = true
    await expect(ca.issueSvid(await aRequest(withToken(ca.podToken())), NEVER)).rejects.toThrow(CaError)
    expect(ca.events.told.filter(({ event }) => event === 'svidRefused')).toHaveLength(1)
  })

  test('when it fills up after the intent, no certificate is handed out', async () => {
    const ca = await aCa()
    const issue = issuing(ca, {
      active: watched(ca, () => {
        ca.ledger.full = true
      }),
    })
    await expect(issue(await aRequest(withToken(ca.podToken())), NEVER)).rejects.toMatchObject({
      code: 'dependency_unavailable',
    })
    expect([ca.ledger.of('intent').length, ca.ledger.of('issued').length]).toEqual([1, 0])
    expect(ca.events.told.some(({ event }) => event === 'svidIssued')).toBe(false)
  })

  test('when signing fails, the intent has an outcome: refused', async () => {
    const ca = await aCa()
    const issue = issuing(ca, {
      active: watched(ca, () => {
        throw new Error('the token was pulled out')
      }),
    })
    const request = await aRequest(withToken(ca.podToken()))
    await expect(issue(request, NEVER)).rejects.toMatchObject({
      code: 'internal',
      message: 'internal error; the server log has the details',
    })
    expect(ca.ledger.records.slice(-2)).toMatchObject([
      { kind: 'intent', requestId: request.context.requestId },
      {
        kind: 'refused',
        requestId: request.context.requestId,
        code: 'internal',
        detail: expect.stringContaining('the token was pulled out'),
      },
    ])
  })
})

describe('the order of effects', () => {
  test('is attest, intent, sign, outcome, event, answer: each waited for before the next begins', async () => {
    const ca = await aCa()
    const happened: string[] = []
    const slowly = async (what: string): Promise<void> => {
      happened.push(`${what} begins`)
      for (let turn = 0; turn < 3; turn++) await new Promise((done) => setImmediate(done))
      happened.push(`${what} done`)
    }
    const issue = issuing(ca, {
      attest: async (credentials, signal) => {
        const caller = await ca.attest(credentials, signal)
        happened.push('attested')
        return caller
      },
      active: watched(ca, () => happened.push('signed')),
      ledger: { intend: () => slowly('intent'), record: ({ kind }) => slowly(kind) },
      events: Object.assign(Object.create(ca.events), {
        svidRequested: () => happened.push('requested'),
        svidIssued: () => happened.push('told'),
      }),
    })
    await issue(await aRequest(withToken(ca.podToken())), NEVER)
    happened.push('answered')
    expect(happened).toEqual([
      'requested',
      'attested',
      'intent begins',
      'intent done',
      'signed',
      'issued begins',
      'issued done',
      'told',
      'answered',
    ])
  })

  test('a refusal is in the ledger before it is answered', async () => {
    const ca = await aCa()
    const happened: string[] = []
    const issue = issuing(ca, {
      ledger: {
        intend: async () => undefined,
        record: async () => {
          for (let turn = 0; turn < 3; turn++) await new Promise((done) => setImmediate(done))
          happened.push('recorded')
        },
      },
    })
    await issue(await aRequest(withToken('no-token')), NEVER).catch(() => happened.push('answered'))
    expect(happened).toEqual(['recorded', 'answered'])
  })

  test('a rotation in the middle of a request changes neither its signer nor its chain', async () => {
    const ca = await aCa()
    const before = ca.keeper.active.get() as ActiveAuthority
    await ca.clock.advance(25 * DAY)
    const token = ca.podToken()
    const issue = issuing(ca, {
      ledger: { intend: () => ca.keeper.tick(), record: async () => undefined },
    })
    const { chainPem, svid } = await issue(await aRequest(withToken(token)), NEVER)
    expect(ca.keeper.active.get()).not.toBe(before)
    expect(chainPem.slice(1)).toEqual(before.chainPem)
    expect(svid.prepared.authority).toBe(before)
  })
})

describe('a caller who gave up', () => {
  test('before signing gets nothing signed, and no intent is written', async () => {
    const ca = await aCa()
    let signed = 0
    const gone = new AbortController()
    const issue = issuing(ca, {
      active: watched(ca, () => signed++),
      attest: async (credentials, signal) => {
        const caller = await ca.attest(credentials, signal)
        gone.abort()
        return caller
      },
    })
    await expect(issue(await aRequest(withToken(ca.podToken())), gone.signal)).rejects.toMatchObject({
      code: 'dependency_unavailable',
      message: 'the caller gave up',
    })
    expect(signed).toBe(0)
    expect(ca.ledger.records.filter(({ kind }) => kind !== 'authority')).toEqual([])
  })

  test('while the intent was written leaves an outcome beside it', async () => {
    const ca = await aCa()
    const gone = new AbortController()
    const issue = issuing(ca, {
      ledger: {
        intend: async (record) => {
          await ca.ledger.intend(record)
          gone.abort()
        },
        record: (record) => ca.ledger.record(record),
      },
    })
    await issue(await aRequest(withToken(ca.podToken())), gone.signal).catch(() => undefined)
    expect(ca.ledger.records.slice(1).map(({ kind }) => kind)).toContain('intent')
    expect(ca.ledger.of('issued').length + ca.ledger.of('refused').length).toBe(1)
  })

  test('leaves an outcome beside the intent also where signing failed', async () => {
    const ca = await aCa()
    const gone = new AbortController()
    const issue = issuing(ca, {
      active: watched(ca, () => {
        gone.abort()
        throw new Error('the token was pulled out')
      }),
    })
    await expect(issue(await aRequest(withToken(ca.podToken())), gone.signal)).rejects.toThrow(CaError)
    // ledger.ts: an intent without an outcome means that the process died.
    expect([ca.ledger.of('intent').length, ca.ledger.of('refused').length]).toEqual([1, 1])
  })
})

describe('refuses, on the record,', () => {
  type Bad = {
    what: string
    bad: (ca: Ca) => Promise<Parameters<Ca['issueSvid']>[0]>
    code: string
    message: string
    reason?: string
    detail: string
    /** Before anybody is known by a good signature there is nobody to record. */
    unknown?: true
  }
  const opaque = 'request authenticate failure'
  const cases: Bad[] = [
    {
      what: 'no credential',
      bad: () => aRequest({ authorization: [], clientCertificate: undefined, impersonatedIdentity: undefined }),
      code: 'unauthenticated',
      message: opaque,
      reason: 'no_credential',
      detail: 'neither a token nor a client certificate',
      unknown: true,
    },
    {
      what: 'a token whose signature is bad',
      bad: (ca) => aRequest(withToken(ca.podToken().replace(/[^.]+$/, 'A'.repeat(342)))),
      code: 'unauthenticated',
      message: opaque,
      reason: 'bad_signature',
      detail: 'signature does not verify',
      unknown: true,
    },
    {
      what: 'a token for another audience',
      bad: (ca) => aRequest(withToken(ca.podToken('shop', 'cart', { aud: ['vault'] }))),
      code: 'unauthenticated',
      message: opaque,
      reason: 'wrong_audience',
      detail: 'audience ["vault"]; taken: istio-ca',
    },
    {
      what: 'a token that expired',
      bad: (ca) => aRequest(withToken(ca.podToken('shop', 'cart', { exp: 1 }))),
      code: 'unauthenticated',
      message: opaque,
      reason: 'expired',
      detail: 'expired at 1970-01-01',
    },
    {
      what: 'a proxy that is not trusted with others’ identities',
      bad: (ca) => aRequest(withToken(ca.podToken(), 'spiffe://cluster.local/ns/shop/sa/other')),
      code: 'unauthenticated',
      message: 'request impersonation authentication failure',
      reason: 'impersonation',
      detail: 'shop/cart is not a trusted node account',
    },
    {
      what: 'an empty CSR',
      bad: (ca) => aRequest(withToken(ca.podToken()), { csrPem: '' }),
      code: 'bad_csr',
      message: 'the CSR is empty; expected PEM “CERTIFICATE REQUEST”',
      detail: 'the CSR is empty',
    },
    {
      what: 'a key of a kind that is an experiment',
      bad: async (ca) => aRequest(withToken(ca.podToken()), { csrPem: (await aCsr('ml-dsa-44')).pem }),
      code: 'bad_csr',
      message: 'ML-DSA-44 keys are certified only where the server runs with --experimental',
      detail: 'ML-DSA-44',
    },
    {
      what: 'a lifetime beyond the maximum',
      bad: (ca) => aRequest(withToken(ca.podToken()), { ttlSeconds: 90 * 24 * 3600 + 1 }),
      code: 'invalid_argument',
      message: 'at most 90 days',
      detail: 'at most 90 days',
    },
    {
      what: 'what nobody can know while the API server is away',
      bad: async (ca) => {
        const token = ca.podToken()
        ca.cluster.pods.clear()
        ca.cluster.down = true
        return aRequest(withToken(token))
      },
      code: 'dependency_unavailable',
      message: 'the cluster can’t be asked now',
      detail: 'the cluster can’t be asked now',
    },
  ]

  test.each(cases)('$what', async ({ bad, code, message, reason, detail, unknown }) => {
    const ca = await aCa()
    const request = await bad(ca)
    await expect(ca.issueSvid(request, NEVER)).rejects.toMatchObject({
      code,
      message: expect.stringContaining(message),
    })
    const [record, ...more] = ca.ledger.of('refused')
    expect(more).toEqual([])
    expect(record).toMatchObject({
      requestId: request.context.requestId,
      peer: '127.0.0.1:40000',
      code,
      detail: expect.stringContaining(detail),
    })
    expect(record?.reason).toBe(reason)
    expect(record?.caller).toEqual(
      unknown ? undefined : expect.objectContaining({ namespace: 'shop', serviceAccount: 'cart' }),
    )
    expect(ca.ledger.of('intent')).toEqual([])
    expect(ca.events.told.filter(({ event }) => event === 'svidRefused')).toMatchObject([
      { args: [request.context, { error: { code }, reason, account: unknown ? undefined : { name: 'cart' } }] },
    ])
  })

  test('any request while no authority can sign', async () => {
    const ca = await aCa()
    const issue = issuing(ca, { active: new Latest() })
    await expect(issue(await aRequest(withToken(ca.podToken())), NEVER)).rejects.toMatchObject({
      code: 'not_ready',
      message: 'no authority can sign yet; try again later',
    })
    expect(ca.ledger.of('refused')).toMatchObject([{ code: 'not_ready' }])
  })

  test('any request when the issuing authority has ended', async () => {
    const ca = await aCa()
    await ca.clock.advance(31 * DAY)
    await expect(ca.issueSvid(await aRequest(withToken(ca.podToken())), NEVER)).rejects.toMatchObject({
      code: 'not_ready',
      message: 'no issuing authority is valid now',
    })
  })

  test('what fails for a reason of ours, without showing it', async () => {
    const ca = await aCa()
    const issue = issuing(ca, { attest: () => Promise.reject(new TypeError('undefined is not a function')) })
    await expect(issue(await aRequest(withToken(ca.podToken())), NEVER)).rejects.toMatchObject({
      code: 'internal',
      message: 'internal error; the server log has the details',
    })
    expect(ca.ledger.of('refused')).toMatchObject([
      { code: 'internal', detail: expect.stringContaining('undefined is not a function') },
    ])
  })

  test('with at most a thousand characters of detail', async () => {
    const ca = await aCa()
    const issue = issuing(ca, { attest: () => Promise.reject(new Error('x'.repeat(5000))) })
    await expect(issue(await aRequest(withToken(ca.podToken())), NEVER)).rejects.toThrow(CaError)
    expect(ca.ledger.of('refused')[0]?.detail).toHaveLength(1000)
  })
})

describe('the inventory of what is alive', () => {
  const alive = (ca: Ca) => [...ca.inventory.live(ca.clock.now(), () => true)]
  const renewed = async (ca: Ca, der: Uint8Array) => {
    await ca.clock.advance(HOUR)
    return (await ca.issueSvid(await aRequest(withCertificate(der)), NEVER)).svid
  }

  test('has what was issued, as the ledger says it', async () => {
    const ca = await aCa()
    const { svid, bundleSequence } = await ca.issueSvid(await aRequest(withToken(ca.podToken())), NEVER)
    const { tbs } = readCertificate(svid.der)
    expect(alive(ca)).toMatchObject([
      {
        serial: tbs.serial,
        id: 'spiffe://cluster.local/ns/shop/sa/cart',
        namespace: 'shop',
        serviceAccount: 'cart',
        pod: { name: 'cart-0', uid: 'uid-of-cart-0' },
        issuer: ca.keeper.active.get()?.authority.id,
        issuedAt: ca.clock.now(),
        notAfter: tbs.notAfter,
        bundle: bundleSequence,
        method: 'service-account-token',
        proven: false,
      },
    ])
  })

  test('hears once that an SVID made a call, and drops the one that this was asked for with', async () => {
    const ca = await aCa()
    const serialOf = (der: Uint8Array) => readCertificate(der).tbs.serial
    const { svid: first } = await ca.issueSvid(await aRequest(withToken(ca.podToken())), NEVER)
    const second = await renewed(ca, first.der)
    const retried = await renewed(ca, first.der)
    expect(alive(ca).map(({ serial, proven }) => [serial, proven])).toEqual([
      [serialOf(retried.der), false],
      [serialOf(second.der), false],
      [serialOf(first.der), true],
    ])
    const third = await renewed(ca, second.der)
    expect(alive(ca).map(({ serial, proven }) => [serial, proven])).toEqual([
      [serialOf(third.der), false],
      [serialOf(retried.der), false],
      [serialOf(second.der), true],
    ])
    expect(ca.ledger.of('shown').map(({ serial }) => serial)).toEqual([serialOf(first.der), serialOf(second.der)])
    expect(ca.ledger.of('issued').map(({ predecessor }) => predecessor)).toEqual([
      undefined,
      serialOf(first.der),
      serialOf(first.der),
      serialOf(second.der),
    ])
    const rebuilt = await inventoryOf(ca.ledger.records, ca.clock)
    expect(factsOf(rebuilt, ca.clock.now())).toEqual(factsOf(ca.inventory, ca.clock.now()))
  })

  test('hears of it even when what was asked for is refused', async () => {
    const ca = await aCa()
    const { svid } = await ca.issueSvid(await aRequest(withToken(ca.podToken())), NEVER)
    const request = await aRequest(withCertificate(svid.der), { csrPem: 'none' })
    await expect(ca.issueSvid(request, NEVER)).rejects.toMatchObject({ code: 'bad_csr' })
    expect(alive(ca)).toMatchObject([{ proven: true }])
    expect(ca.ledger.records.map(({ kind }) => kind).slice(-2)).toEqual(['shown', 'refused'])
  })

  test('does not count what the ledger could not be told', async () => {
    const ca = await aCa()
    const { svid } = await ca.issueSvid(await aRequest(withToken(ca.podToken())), NEVER)
    ca.ledger.full = true
    for (const credentials of [withCertificate(svid.der), withToken(ca.podToken())])
      await expect(ca.issueSvid(await aRequest(credentials), NEVER)).rejects.toMatchObject({
        code: 'dependency_unavailable',
      })
    expect(alive(ca)).toMatchObject([{ proven: false }])
  })

  test('does not count an SVID as shown that was refused, or that came beside a token', async () => {
    const ca = await aCa()
    const { svid } = await ca.issueSvid(await aRequest(withToken(ca.podToken())), NEVER)
    await ca.issueSvid(await aRequest({ ...withToken(ca.podToken()), clientCertificate: svid.der }), NEVER)
    ca.cluster.pods.clear()
    await expect(ca.issueSvid(await aRequest(withCertificate(svid.der)), NEVER)).rejects.toThrow(CaError)
    expect(alive(ca).map(({ proven }) => proven)).toEqual([false, false])
    expect(ca.ledger.of('shown')).toEqual([])
  })

  test('does not count what was never signed', async () => {
    const ca = await aCa()
    const issue = issuing(ca, {
      active: watched(ca, () => {
        throw new Error('the token was pulled out')
      }),
    })
    await expect(issue(await aRequest(withToken(ca.podToken())), NEVER)).rejects.toMatchObject({ code: 'internal' })
    expect(alive(ca)).toEqual([])
  })
})

describe('a CSR over a key of the CA itself is refused', () => {
  const refusesKey = async (ca: Ca, key: PrivateKey) => {
    const request = await aRequest(withToken(ca.podToken()), { csrPem: await csrOf(key) })
    await expect(ca.issueSvid(request, NEVER)).rejects.toMatchObject({
      code: 'bad_csr',
      message: 'the CSR asks for a certificate over a key of the CA itself',
    })
    expect(ca.ledger.of('intent')).toEqual([])
  }

  test('the root’s', async () => {
    const ca = await aCa()
    await refusesKey(ca, ca.store.key as PrivateKey)
  })

  test('the issuing authority’s', async () => {
    const ca = await aCa()
    await refusesKey(ca, ca.keeper.active.get()?.signer as PrivateKey)
  })

  test('an old issuing authority’s', async () => {
    const ca = await aCa()
    const old = ca.keeper.active.get()?.signer as PrivateKey
    await ca.clock.advance(25 * DAY)
    await ca.keeper.tick()
    expect(ca.keeper.active.get()?.signer).not.toBe(old)
    await refusesKey(ca, old)
  })
})

describe('what is being issued', () => {
  test('counts from the moment on at which what signs it was chosen, until it is recorded', async () => {
    const ca = await aCa()
    const underWay = new IssuancesUnderWay()
    const seen: unknown[] = []
    const look = () => seen.push([...underWay.among(NO_EVIDENCE).workloads()])
    const issue = issuing(ca, {
      underWay,
      ledger: {
        intend: async (record) => {
          look()
          await ca.ledger.intend(record)
        },
        record: async (record) => {
          await ca.ledger.record(record)
          look()
        },
      },
    })
    const { svid } = await issue(await aRequest(withToken(ca.podToken())), NEVER)
    const { tbs, authority } = svid.prepared
    const expected = {
      name: 'shop/cart-0',
      namespace: 'shop',
      svids: [{ issuer: authority.authority.id, bundle: 1, endsAt: tbs.notAfter.getTime() }],
    }
    expect(seen).toEqual([[expected], [expected]])
    expect([...underWay.among(NO_EVIDENCE).workloads()]).toEqual([])
  })

  test('counts no more once it was refused', async () => {
    const ca = await aCa()
    const underWay = new IssuancesUnderWay()
    ca.ledger.full = true
    await expect(issuing(ca, { underWay })(await aRequest(withToken(ca.podToken())), NEVER)).rejects.toMatchObject({
      code: 'dependency_unavailable',
    })
    expect([...underWay.among(NO_EVIDENCE).workloads()]).toEqual([])
  })

  test.each(['intent', 'outcome'])(
    'is not answered where the SVID that asked for it was revoked meanwhile, or its workload cut off (while the %s was recorded)',
    async (meanwhile) => {
      for (const [reason, takeBack] of [
        [
          'revoked',
          (ca: Ca, { serial, notAfter }: { serial: string; notAfter: Date }) => {
            const issuer = ca.keeper.active.get()?.authority.id ?? ''
            return ca.keeper.revocations.revoke(
              { serial, notAfter, issuer, id: 'cart' },
              { by: 'admin', because: 'why' },
            )
          },
        ],
        ['forgotten', (ca: Ca) => ca.keeper.roots.forget('shop/cart-0', { by: 'admin', because: 'why' })],
      ] as const) {
        const ca = await aCa()
        const { svid } = await ca.issueSvid(await aRequest(withToken(ca.podToken())), NEVER)
        const renewal = await aRequest(withCertificate(svid.der))
        const issue = issuing(ca, {
          takenBackSince: (caller, since) => ca.keeper.revocations.takenBackSince(caller, since),
          ledger: {
            intend: async (record) => {
              await ca.ledger.intend(record)
              if (meanwhile === 'intent') await takeBack(ca, svid.prepared.tbs)
            },
            record: async (record) => {
              if (meanwhile === 'outcome' && record.kind === 'issued') await takeBack(ca, svid.prepared.tbs)
              await ca.ledger.record(record)
            },
          },
        })
        await expect(issue(renewal, NEVER)).rejects.toMatchObject({
          code: 'unauthenticated',
          message: 'request authenticate failure',
        })
        expect(ca.ledger.records.at(-1)).toMatchObject({
          kind: 'refused',
          reason,
          detail: 'it was taken back while it was renewed',
        })
        expect(ca.ledger.of('issued')).toHaveLength(meanwhile === 'intent' ? 1 : 2)
        expect(ca.inventory.size, 'as the ledger has it').toBe(ca.ledger.of('issued').length)
      }
    },
  )

  test('is not answered where what signed it was declared compromised meanwhile', async () => {
    const ca = await aCa()
    const request = await aRequest(withToken(ca.podToken()))
    const issue = issuing(ca, {
      vouches: (issuer) => ca.keeper.trusted.every((set) => vouches(set, issuer, ca.clock.now())),
      takenBackSince: () => undefined,
      ledger: {
        intend: async (record) => {
          await ca.ledger.intend(record)
          const root = ca.keeper.set.authorities.find(({ role }) => role === 'root')
          await ca.keeper.roots.taint(root?.id ?? '', { by: 'admin', because: 'laptop stolen' }, HOUR)
        },
        record: (record) => ca.ledger.record(record),
      },
    })
    await expect(issue(request, NEVER)).rejects.toMatchObject({
      code: 'not_ready',
      message: 'the authority that signed was taken back meanwhile; ask again',
    })
    expect(ca.ledger.of('issued')).toEqual([])
    expect(ca.ledger.of('refused')).toMatchObject([{ code: 'not_ready' }])
  })

  test('is one workload with what is known of it', () => {
    const underWay = new IssuancesUnderWay()
    const svid = (bundle: number) => ({ issuer: 'a', bundle, endsAt: 0 })
    const known = {
      incomplete: 'being read',
      workloads: () => [
        { name: 'shop/cart-0', namespace: 'shop', svids: [svid(1)] },
        { name: 'shop/till-0', namespace: 'shop', svids: [svid(1)] },
      ],
    }
    const end = underWay.begin({ name: 'shop/cart-0', namespace: 'shop', svid: svid(2) })
    underWay.begin({ name: 'tax/tax-0', namespace: 'tax', svid: svid(3) })
    underWay.begin({ name: 'tax/tax-0', namespace: 'tax', svid: svid(4) })
    const unknownUntil = new Date('2030-01-02T01:52:00Z')
    const { workloads, ...rest } = underWay.among({ ...known, unknownUntil })
    expect(rest).toEqual({ incomplete: 'being read', unknownUntil })
    expect([...workloads()]).toEqual([
      { name: 'shop/cart-0', namespace: 'shop', svids: [svid(1), svid(2)] },
      { name: 'shop/till-0', namespace: 'shop', svids: [svid(1)] },
      { name: 'tax/tax-0', namespace: 'tax', svids: [svid(3), svid(4)] },
    ])
    end()
    expect([...workloads()]).toHaveLength(3)
    expect([...workloads()][0]?.svids).toEqual([svid(1)])
  })
})
