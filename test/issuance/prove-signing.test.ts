import { expect, test } from 'vitest'
import { DAY } from '../../src/core/duration.ts'
import { proveSigning } from '../../src/issuance/prove-signing.ts'
import type { Signer } from '../../src/keys/private-key.ts'
import { KEY_USAGE } from '../../src/x509/oids.ts'
import { anIssuer } from '../_support/an-issuer.ts'
import { odd } from '../_support/odd-certificates.ts'

test('says nothing where a signature made now leads to the published roots', async () => {
  const { root, issuing, making } = await anIssuer()
  await expect(
    proveSigning({ certificate: issuing.certificate, signer: issuing.key }, [], [root.certificate], making),
  ).resolves.toBeUndefined()
})

test('goes the whole way, over intermediates', async () => {
  const { root, making } = await anIssuer()
  const between = await odd('between', root)
  const issuing = await odd('issuing', between, { pathLength: 0 })
  const parent = { certificate: issuing.certificate, signer: issuing.key }
  await expect(proveSigning(parent, [between.certificate], [root.certificate], making)).resolves.toBeUndefined()
  await expect(proveSigning(parent, [], [root.certificate], making)).rejects.toMatchObject({
    code: 'invalid_argument',
    message: expect.stringContaining('none of the 1 roots'),
  })
})

test('notices roots that the issuing authority does not lead to', async () => {
  const { issuing, making } = await anIssuer()
  const other = await odd('other', 'itself')
  await expect(
    proveSigning({ certificate: issuing.certificate, signer: issuing.key }, [], [other.certificate], making),
  ).rejects.toMatchObject({ code: 'invalid_argument' })
})

test('notices a key that is not the certificate’s', async () => {
  const { root, issuing, making } = await anIssuer()
  const other = await odd('other', root)
  await expect(
    proveSigning({ certificate: issuing.certificate, signer: other.key }, [], [root.certificate], making),
  ).rejects.toMatchObject({ message: expect.stringContaining('was not signed by the key it should be') })
})

test('notices a signer that lies', async () => {
  const { root, issuing, making } = await anIssuer()
  const signer: Signer = { publicKey: issuing.key.publicKey, sign: async () => Buffer.alloc(70, 1) }
  await expect(
    proveSigning({ certificate: issuing.certificate, signer }, [], [root.certificate], making),
  ).rejects.toMatchObject({ code: 'internal', message: 'a signature of ours does not verify' })
})

test('notices an issuing authority that may not sign certificates', async () => {
  const { root, making } = await anIssuer()
  const mute = await odd('mute', root, { keyUsage: [KEY_USAGE.digitalSignature] })
  await expect(
    proveSigning({ certificate: mute.certificate, signer: mute.key }, [], [root.certificate], making),
  ).rejects.toMatchObject({ message: expect.stringContaining('may not sign certificates') })
})

test('notices an issuing authority that has ended', async () => {
  const { root, issuing, making } = await anIssuer()
  making.clock.jump(31 * DAY)
  await expect(
    proveSigning({ certificate: issuing.certificate, signer: issuing.key }, [], [root.certificate], making),
  ).rejects.toMatchObject({ code: 'internal' })
})

test('notices a root that has ended', async () => {
  const { root, issuing, making } = await anIssuer({ rootLifetimeMs: DAY })
  const immortal = await odd('immortal', root, { key: issuing.key })
  making.clock.jump(2 * DAY)
  await expect(
    proveSigning({ certificate: immortal.certificate, signer: issuing.key }, [], [root.certificate], making),
  ).rejects.toMatchObject({ message: expect.stringContaining('the root ended at') })
})
