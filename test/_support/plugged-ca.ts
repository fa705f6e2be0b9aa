import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { type Clock, systemClock } from '../../src/core/clock.ts'
import { DAY } from '../../src/core/duration.ts'
import { type RandomBytes, systemRandom } from '../../src/core/random.ts'
import { makeIssuing, makeRoot } from '../../src/issuance/ca-certificates.ts'
import { keyAlgorithm } from '../../src/keys/algorithms.ts'
import { PrivateKey } from '../../src/keys/private-key.ts'
import { TrustDomain } from '../../src/spiffe/trust-domain.ts'
import type { Certificate } from '../../src/x509/certificate.ts'
import { certificatePem } from '../../src/x509/pem.ts'

export type TestCa = { readonly key: PrivateKey; readonly certificate: Certificate }
type Options = { clock?: Clock; random?: RandomBytes; algorithm?: string; trustDomain?: string; lifetimeMs?: number }

/** A root of a test's own. It may sign CAs. */
export async function aRoot({
  clock = systemClock,
  random = systemRandom,
  algorithm = 'ecdsa-p256',
  trustDomain = 'cluster.local',
  lifetimeMs = 3650 * DAY,
}: Options = {}): Promise<TestCa> {
  const key = await PrivateKey.generate(keyAlgorithm(algorithm))
  return { key, certificate: await makeRoot(TrustDomain.parse(trustDomain), key, lifetimeMs, { clock, random }) }
}

/** An intermediate with pathLen 0, as most `cacerts` have: it signs leaves itself. */
export async function anIntermediate(
  root: TestCa,
  {
    clock = systemClock,
    random = systemRandom,
    algorithm = 'ecdsa-p256',
    trustDomain = 'cluster.local',
    lifetimeMs = 365 * DAY,
  }: Options = {},
): Promise<TestCa> {
  const key = await PrivateKey.generate(keyAlgorithm(algorithm))
  return {
    key,
    certificate: await makeIssuing(
      TrustDomain.parse(trustDomain),
      key.publicKey,
      { certificate: root.certificate, signer: root.key },
      lifetimeMs,
      { clock, random },
    ),
  }
}

/** Writes istio's `cacerts` layout. */
export async function writeCacerts(
  directory: string,
  ca: TestCa,
  chain: readonly TestCa[],
  roots: readonly TestCa[],
): Promise<void> {
  const pem = (all: readonly TestCa[]) => all.map((one) => certificatePem(one.certificate.der)).join('')
  writeFileSync(join(directory, 'root-cert.pem'), pem(roots))
  writeFileSync(join(directory, 'cert-chain.pem'), pem(chain))
  writeFileSync(join(directory, 'ca-cert.pem'), pem([ca]))
  await ca.key.store(async (key) => writeFileSync(join(directory, 'ca-key.pem'), key, { mode: 0o600 }))
}
