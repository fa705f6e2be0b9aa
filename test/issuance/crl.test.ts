import { execFileSync, spawnSync } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { hex } from '../../src/core/bytes.ts'
import { plus } from '../../src/core/clock.ts'
import { DAY, MINUTE } from '../../src/core/duration.ts'
import { CaError } from '../../src/core/errors.ts'
import { makeRoot } from '../../src/issuance/ca-certificates.ts'
import { type CrlContent, makeCrl } from '../../src/issuance/crl.ts'
import { issueSvid, prepareSvid } from '../../src/issuance/svid.ts'
import { KEY_ALGORITHMS, type KeyAlgorithm, keyAlgorithm } from '../../src/keys/algorithms.ts'
import { PrivateKey, type Signer } from '../../src/keys/private-key.ts'
import { isSignedBy } from '../../src/keys/public-key.ts'
import { readCertificate } from '../../src/x509/certificate.ts'
import { type CrlEntry, readCrl, writeCrl } from '../../src/x509/crl.ts'
import { KEY_USAGE } from '../../src/x509/oids.ts'
import { certificatePem, crlPem } from '../../src/x509/pem.ts'
import { aCaller, anEntitlement, anIssuer } from '../_support/an-issuer.ts'
import { NOW } from '../_support/authority-sets.ts'
import { FakeClock } from '../_support/fake-clock.ts'
import { buildGo, testWithGo } from '../_support/go-command.ts'
import { odd } from '../_support/odd-certificates.ts'
import { openssl, testWithOpenssl } from '../_support/openssl-command.ts'
import { opensslVerify } from '../_support/openssl-verify.ts'
import type { TestCa } from '../_support/plugged-ca.ts'
import { scratch } from '../_support/scratch.ts'

const parentOf = ({ certificate, key }: TestCa) => ({ certificate, signer: key })
const revoked = (serial: string, reason?: CrlEntry['reason']): CrlEntry => ({ serial, revokedAt: NOW, reason })
const content = (change: Partial<CrlContent> = {}): CrlContent => ({
  entries: [],
  number: 1n,
  nextUpdate: 'with its authority',
  ...change,
})

describe('a CRL', async () => {
  const { issuing, root, making, clock } = await anIssuer()
  const make = (change: Partial<CrlContent> = {}) => makeCrl(parentOf(issuing), content(change), making)

  test('says what it was given, under its authority’s name and key', async () => {
    const entries = [revoked('4a'), revoked('00ff', 'keyCompromise')]
    const { der } = await make({ entries, number: 7n })
    const crl = readCrl(der)
    expect(crl.tbs).toMatchObject({ entries, number: 7n })
    expect(hex(crl.tbs.issuer)).toBe(hex(issuing.certificate.tbs.subject))
    expect(hex(crl.tbs.authorityKeyId)).toBe(hex(issuing.certificate.tbs.subjectKeyId as Uint8Array))
    expect(isSignedBy(crl, issuing.key.publicKey)).toBe(true)
    expect(isSignedBy(crl, root.key.publicKey)).toBe(false)
  })

  test('is read back as it was made', async () => {
    const crl = await make({ entries: [revoked('4a')] })
    expect(readCrl(crl.der)).toEqual({ ...crl, der: crl.der })
  })

  test('begins two minutes ago, though no sooner than its authority', async () => {
    const young = await odd('young', root, { notBefore: plus(NOW, -MINUTE) })
    expect((await makeCrl(parentOf(young), content(), making)).tbs.thisUpdate).toEqual(plus(NOW, -MINUTE))
    await clock.advance(MINUTE + 500)
    expect((await make()).tbs.thisUpdate).toEqual(plus(NOW, -MINUTE))
  })

  test.each([
    ['with its authority, when told so', 'with its authority' as const, plus(NOW, 30 * DAY)],
    ['never after its authority', plus(NOW, 31 * DAY), plus(NOW, 30 * DAY)],
    ['sooner when told so, on a whole second', plus(NOW, DAY + 999), plus(NOW, DAY)],
  ])('ends %s', async (_, nextUpdate, end) => {
    expect((await make({ nextUpdate })).tbs.nextUpdate).toEqual(end)
  })

  test('in which any byte is another is refused or not signed by its authority', async () => {
    const { der } = await make({ entries: [revoked('4a'), revoked('00ff', 'keyCompromise')], number: 300n })
    const accepted: number[] = []
    let read = 0
    for (let at = 0; at < der.length; at++)
      for (const flip of [0x01, 0x02, 0x20, 0x80, 0xff]) {
        const mutated = Uint8Array.from(der)
        mutated[at] = (mutated[at] as number) ^ flip
        try {
          if (isSignedBy(readCrl(mutated), issuing.key.publicKey)) accepted.push(at)
          read++
        } catch (error) {
          expect(error).toMatchObject({ code: 'invalid_argument' })
          expect(error).toBeInstanceOf(CaError)
        }
      }
    expect(accepted).toEqual([])
    // The signature did its part, not the reader alone.
    expect(read).toBeGreaterThan(100)
  })
})

describe('is not made', async () => {
  const { issuing, root, making } = await anIssuer()
  const make = (parent: Parameters<typeof makeCrl>[0], change: Partial<CrlContent> = {}, clock = making.clock) =>
    makeCrl(parent, content(change), { clock })
  const parent = parentOf(issuing)

  test('by a CA that may not sign CRLs, as many that are plugged in', async () => {
    const ca = await odd('plugged', root, { keyUsage: [KEY_USAGE.keyCertSign] })
    await expect(make(parentOf(ca))).rejects.toMatchObject({
      code: 'wrong_state',
      message:
        'the CA’s certificate does not let it sign CRLs; plug in one whose key usage has cRLSign, or taint it instead of revoking serials',
    })
    await expect(make(parentOf(await odd('plugged', root, { keyUsage: 'none' })))).rejects.toMatchObject({
      code: 'wrong_state',
    })
  })

  test.each(['2030-01-31T00:00:00Z', '2029-12-31T23:57:59Z'])('at %s, when its authority is not valid', async (at) => {
    await expect(make(parent, {}, new FakeClock(at))).rejects.toMatchObject({
      code: 'not_ready',
      message: 'the authority whose CRL this would be is not valid now',
    })
  })

  test.each([
    ['a serial twice', [revoked('4a'), revoked('4a')], 'a CRL with the serial number 4a twice'],
    ['a serial of 21 octets', [revoked(`01${'00'.repeat(20)}`)], 'a CRL with a serial number of more than 20 octets'],
  ])('with %s', async (_, entries, message) => {
    await expect(make(parent, { entries })).rejects.toMatchObject({ code: 'invalid_argument', message })
  })

  test.each([
    [
      'a serial that comes out as another',
      { entries: [revoked('zz')] },
      'it revokes other certificates than it was given',
    ],
    ['a serial in another form', { entries: [revoked('0001')] }, 'it revokes other certificates than it was given'],
    ['the serial zero', { entries: [revoked('00')] }, 'serial numbers are above zero (RFC 5280 §4.1.2.2)'],
    ['a number below zero', { number: -7n }, 'it has another number than it was given'],
    ['an end in the past', { nextUpdate: plus(NOW, -DAY) }, 'thisUpdate is before nextUpdate (RFC 5280 §5.1.2.5)'],
  ])('with %s; the rule is for our log', async (_, change, rule) => {
    await expect(make(parent, change)).rejects.toMatchObject({
      code: 'internal',
      message: 'the CRL that was built breaks a rule, so it was not signed',
      cause: { message: expect.stringContaining(rule) },
    })
  })

  test('when its signature does not verify, or another algorithm than its key’s comes out', async () => {
    const { key } = issuing
    const lying: Signer = { publicKey: key.publicKey, sign: () => key.sign(Buffer.from('something else')) }
    await expect(make({ ...parent, signer: lying })).rejects.toMatchObject({
      code: 'internal',
      message: 'a signature of ours does not verify',
    })
    const p384 = await PrivateKey.generate(keyAlgorithm('ecdsa-p384'))
    let asked = 0
    const changing: Signer = {
      get publicKey() {
        return asked++ === 0 ? key.publicKey : p384.publicKey
      },
      sign: (tbs) => key.sign(tbs),
    }
    await expect(make({ ...parent, signer: changing })).rejects.toMatchObject({
      code: 'internal',
      message: 'a CRL came out other than it was prepared',
    })
  })
})

/** `openssl verify` with a CRL asked for at every link of the chain. */
function verifyWithCrls(
  leaves: readonly Uint8Array[],
  untrusted: readonly Uint8Array[],
  root: Uint8Array,
  crls: readonly Uint8Array[],
  at = NOW,
): string[] {
  const directory = scratch()
  const file = join(directory, 'crls.pem')
  writeFileSync(file, crls.map(crlPem).join(''))
  return opensslVerify(leaves, untrusted, [root], at, ['-crl_check_all', '-CRLfile', file])
}

describe('other verifiers', async () => {
  const { issuing, root, making, clock, random, active, trustDomain } = await anIssuer()
  const workload = await PrivateKey.generate(keyAlgorithm('ecdsa-p256'))
  const leaf = async () =>
    (await issueSvid(prepareSvid(aCaller(), anEntitlement(), workload.publicKey, active, clock, random))).der
  const serialOf = (der: Uint8Array) => readCertificate(der).tbs.serial
  const [good, bad] = [await leaf(), await leaf()]
  const crlOf = async (ca: TestCa, ...serials: string[]) =>
    (await makeCrl(parentOf(ca), content({ entries: serials.map((serial) => revoked(serial)) }), making)).der
  const verify = (...crls: Uint8Array[]) =>
    verifyWithCrls([good, bad], [issuing.certificate.der], root.certificate.der, crls)

  testWithOpenssl('OpenSSL takes a leaf and refuses a revoked one, with the CRLs of the whole chain', async () => {
    const crls = [await crlOf(issuing, serialOf(bad)), await crlOf(root)]
    expect(verify(...crls)).toEqual(['OK', 'certificate revoked'])
  })

  testWithOpenssl('OpenSSL takes a chain by way of a cross-certificate with the CRLs of both roots', async () => {
    const old = await odd('old root', 'itself')
    const young = await odd('new root', 'itself')
    const cross = await odd('new root', old, { key: young.key, pathLength: 1 })
    const under = await odd('issuing', young, { pathLength: 0 })
    const svid = await odd('leaf', under, { ca: false, keyUsage: [KEY_USAGE.digitalSignature] })
    const crls = [await crlOf(under), await crlOf(young), await crlOf(old)]
    const said = (...given: Uint8Array[]) =>
      verifyWithCrls([svid.certificate.der], [under.certificate.der, cross.certificate.der], old.certificate.der, given)
    expect(said(...crls)).toEqual(['OK'])
    expect(said(...crls.slice(0, 2))).toEqual(['unable to get certificate CRL'])
    expect(said(...crls.slice(1))).toEqual(['unable to get certificate CRL'])
    const crossRevoked = await crlOf(old, cross.certificate.tbs.serial)
    expect(said(...crls.slice(0, 2), crossRevoked)).toEqual(['certificate revoked'])
  })

  testWithOpenssl('OpenSSL refuses all that a revoked issuing authority signed', async () => {
    const crls = [await crlOf(issuing), await crlOf(root, issuing.certificate.tbs.serial)]
    expect(verify(...crls)).toEqual(['certificate revoked', 'certificate revoked'])
  })

  testWithOpenssl('OpenSSL refuses everything when one CRL of the set is missing', async () => {
    const missing = ['unable to get certificate CRL', 'unable to get certificate CRL']
    expect(verify(await crlOf(issuing))).toEqual(missing)
    expect(verify(await crlOf(root))).toEqual(missing)
  })

  testWithOpenssl('OpenSSL takes a CRL to its end and not after', async () => {
    const { der } = await makeCrl(parentOf(root), content({ nextUpdate: plus(NOW, DAY) }), making)
    const at = (moment: Date) => verifyWithCrls([issuing.certificate.der], [], root.certificate.der, [der], moment)
    expect(at(plus(NOW, DAY - MINUTE))).toEqual(['OK'])
    expect(at(plus(NOW, DAY + MINUTE))).toEqual(['CRL has expired'])
  })

  testWithOpenssl('OpenSSL reads of a CRL what it says', async () => {
    const entries = [revoked('00ff'), revoked(serialOf(bad), 'keyCompromise')]
    const crl = await makeCrl(parentOf(issuing), content({ entries, number: 2n ** 100n }), making)
    const said = openssl(['crl', '-noout', '-text'], crlPem(crl.der))
    for (const expected of [
      'Version 2 (0x1)',
      'Issuer: O = cluster.local, CN = issuing',
      'Last Update: Dec 31 23:58:00 2029 GMT',
      'Next Update: Jan 31 00:00:00 2030 GMT',
      'Serial Number: FF',
      `Serial Number: ${serialOf(bad).toUpperCase()}`,
      'Key Compromise',
    ])
      expect(said).toContain(expected)
    expect(said).toMatch(/X509v3 CRL Number: \n\s+(0x10000000000000000000000000|1267650600228229401496703205376)\n/)
  })

  testWithGo(
    'Go reads of a CRL what it says, and that its authority signed it',
    async () => {
      const directory = scratch()
      const program = join(directory, 'crl')
      buildGo('go-crl', program)
      const said = async (entries: readonly CrlEntry[], issuer: TestCa) => {
        const crl = await makeCrl(parentOf(issuing), content({ entries, number: 300n }), making)
        writeFileSync(join(directory, 'crl.der'), crl.der)
        writeFileSync(join(directory, 'issuer.der'), issuer.certificate.der)
        return execFileSync(program, [join(directory, 'crl.der'), join(directory, 'issuer.der')], {
          encoding: 'utf8',
          stdio: 'pipe',
        })
      }
      const keyId = hex(issuing.certificate.tbs.subjectKeyId as Uint8Array)
      const head = new RegExp(
        `^number 300 of CN=issuing [0-9a-f ]{9},O=cluster.local, key ${keyId}, 2029-12-31T23:58:00Z to 2030-01-31T00:00:00Z\n`,
      )
      const full = await said([revoked('00ff'), revoked(serialOf(bad), 'keyCompromise')], issuing)
      expect(full).toMatch(head)
      expect(full.replace(head, '')).toBe(
        `ff at 2030-01-01T00:00:00Z for 0\n${serialOf(bad)} at 2030-01-01T00:00:00Z for 1\n`,
      )
      expect((await said([], issuing)).replace(head, '')).toBe('')
      await expect(said([], root)).rejects.toThrow(/verification (failure|error)/)
    },
    300_000,
  )

  testWithOpenssl('OpenSSL finds of every kind of key that it signed its CRL, and that no other did', async () => {
    const knowsMlDsa = /ML-DSA/i.test(openssl(['list', '-signature-algorithms']))
    const rows = KEY_ALGORITHMS.filter(({ name }) => knowsMlDsa || !name.startsWith('ml-dsa'))
    const directory = scratch()
    const file = join(directory, 'ca.pem')
    const said = async (algorithm: KeyAlgorithm, spoil: boolean) => {
      const key = await PrivateKey.generate(algorithm)
      const certificate = await makeRoot(trustDomain, key, DAY, making)
      writeFileSync(file, certificatePem(certificate.der))
      const make = (number: bigint) => makeCrl({ certificate, signer: key }, content({ number }), making)
      const [one, other] = [await make(1n), await make(2n)]
      const der = writeCrl((spoil ? other : one).tbs.bytes, one.signatureAlgorithm, one.signature)
      return spawnSync('openssl', ['crl', '-verify', '-noout', '-CAfile', file], {
        input: crlPem(der),
        encoding: 'utf8',
      }).stderr
    }
    for (const row of rows) expect(await said(row, false), row.name).toMatch(/^verify OK$/m)
    expect(await said(keyAlgorithm('ecdsa-p256'), true)).toMatch(/^verify failure$/m)
  })
})
