import { execFileSync } from 'node:child_process'
import { X509Certificate } from 'node:crypto'
import { beforeAll, expect, test } from 'vitest'
import { activeAuthority } from '../../src/authority/active-authority.ts'
import { DAY } from '../../src/core/duration.ts'
import { makeIssuing, makeRoot } from '../../src/issuance/ca-certificates.ts'
import { issueSvid, prepareSvid } from '../../src/issuance/svid.ts'
import { KEY_ALGORITHMS, type KeyAlgorithmName } from '../../src/keys/algorithms.ts'
import { PrivateKey } from '../../src/keys/private-key.ts'
import { TrustDomain } from '../../src/spiffe/trust-domain.ts'
import type { Certificate } from '../../src/x509/certificate.ts'
import { aCaller, anEntitlement } from '../_support/an-issuer.ts'
import { aSet, issuingOf, NOW, rootOf } from '../_support/authority-sets.ts'
import { FakeClock } from '../_support/fake-clock.ts'
import { opensslVerify } from '../_support/openssl-verify.ts'
import { seededRandom } from '../_support/seeded-random.ts'

const ALL = KEY_ALGORITHMS.map(({ name }) => name)
const trustDomain = TrustDomain.parse('cluster.local')
const making = { clock: new FakeClock(), random: seededRandom(11) }
/** OpenSSL before 3.5 knows no ML-DSA; Node brings its own library, which does. */
const knowsMlDsa = /ML-DSA/i.test(execFileSync('openssl', ['list', '-signature-algorithms'], { encoding: 'utf8' }))
const knownToOpenssl = (name: KeyAlgorithmName) => knowsMlDsa || !name.startsWith('ml-dsa')

type Branch = { root: Certificate; issuing: Certificate; leaves: Map<KeyAlgorithmName, Uint8Array> }
const branches = new Map<KeyAlgorithmName, Branch>()

beforeAll(async () => {
  const keys = new Map(
    await Promise.all(KEY_ALGORITHMS.map(async (row) => [row.name, await PrivateKey.generate(row)] as const)),
  )
  const keyOf = (name: KeyAlgorithmName) => keys.get(name) as PrivateKey
  for (const name of ALL) {
    const key = keyOf(name)
    const root = { key, certificate: await makeRoot(trustDomain, key, 3650 * DAY, making) }
    const parent = { certificate: root.certificate, signer: key }
    const issuing = { key, certificate: await makeIssuing(trustDomain, key.publicKey, parent, 30 * DAY, making) }
    const authority = issuingOf(issuing)
    const active = activeAuthority(aSet([rootOf(root), authority]), authority, key)
    const leaves = new Map<KeyAlgorithmName, Uint8Array>()
    for (const leaf of ALL) {
      const { publicKey } = keyOf(leaf)
      const prepared = prepareSvid(aCaller(), anEntitlement(), publicKey, active, making.clock, making.random)
      leaves.set(leaf, (await issueSvid(prepared)).der)
    }
    branches.set(name, { root: root.certificate, issuing: issuing.certificate, leaves })
  }
})

test.each(ALL)('Node’s own verifier takes leaves of every kind under an authority of %s', (name) => {
  const { root, issuing, leaves } = branches.get(name) as Branch
  const [top, signer] = [new X509Certificate(Buffer.from(root.der)), new X509Certificate(Buffer.from(issuing.der))]
  expect([signer.checkIssued(top), signer.verify(top.publicKey)]).toEqual([true, true])
  const refused = [...leaves].filter(([, der]) => {
    const leaf = new X509Certificate(Buffer.from(der))
    return !leaf.checkIssued(signer) || !leaf.verify(signer.publicKey) || leaf.ca
  })
  expect(refused.map(([leaf]) => leaf)).toEqual([])
})

test.each(ALL.filter(knownToOpenssl))('OpenSSL takes leaves of every kind under an authority of %s', (name) => {
  const { root, issuing, leaves } = branches.get(name) as Branch
  const known = [...leaves].filter(([leaf]) => knownToOpenssl(leaf))
  const said = opensslVerify(
    known.map(([, der]) => der),
    [issuing.der],
    [root.der],
    NOW,
  )
  expect(said.map((words, index) => `${known[index]?.[0]}: ${words}`)).toEqual(known.map(([leaf]) => `${leaf}: OK`))
})
