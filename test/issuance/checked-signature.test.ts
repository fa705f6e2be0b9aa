import { describe, expect, test } from 'vitest'
import { hex } from '../../src/core/bytes.ts'
import { plus } from '../../src/core/clock.ts'
import { DAY } from '../../src/core/duration.ts'
import { CaError } from '../../src/core/errors.ts'
import { checkedTbs, serialNumber, signChecked, signVerified } from '../../src/issuance/checked-signature.ts'
import { keyAlgorithm } from '../../src/keys/algorithms.ts'
import { PrivateKey, type Signer } from '../../src/keys/private-key.ts'
import { splitSigned, type TbsFields } from '../../src/x509/certificate.ts'
import { EMPTY_NAME } from '../../src/x509/name.ts'
import { svidExtensions } from '../../src/x509/profiles.ts'
import { anIssuer } from '../_support/an-issuer.ts'
import { NOW } from '../_support/authority-sets.ts'
import { seededRandom } from '../_support/seeded-random.ts'

async function fields(change: Partial<TbsFields> = {}): Promise<{ fields: TbsFields; signer: PrivateKey }> {
  const { issuing } = await anIssuer()
  const key = await PrivateKey.generate(keyAlgorithm('ecdsa-p256'))
  return {
    signer: issuing.key,
    fields: {
      serial: serialNumber(seededRandom(1)),
      signatureAlgorithm: issuing.key.publicKey.algorithm.signatureAlgorithm,
      issuer: issuing.certificate.tbs.subject,
      notBefore: NOW,
      notAfter: plus(NOW, DAY),
      subject: EMPTY_NAME,
      publicKey: key.publicKey.spki,
      extensions: svidExtensions({
        uri: 'spiffe://cluster.local/ns/shop/sa/cart',
        authorityKeyId: issuing.certificate.tbs.subjectKeyId as Uint8Array,
        rsa: false,
        lineage: undefined,
      }),
      ...change,
    },
  }
}

describe('before it is signed', () => {
  test('what breaks a rule is refused; the rules are for our log, not for the caller', async () => {
    const { fields: broken } = await fields({ serial: Uint8Array.of(1), notAfter: plus(NOW, -DAY) })
    try {
      checkedTbs(broken, 'svid')
    } catch (error) {
      expect(error).toMatchObject({
        code: 'internal',
        message: 'what was built breaks a rule, so it was not signed',
        cause: {
          message:
            'the serial number is positive and has 8 to 20 bytes (RFC 5280 §4.1.2.2); notBefore is not after notAfter (RFC 5280 §4.1.2.5)',
        },
      })
      return
    }
    expect.fail('it was let through')
  })

  test('the rules of another profile are no excuse', async () => {
    const { fields: leaf } = await fields()
    expect(() => checkedTbs(leaf, 'svid')).not.toThrow()
    for (const profile of ['serving', 'issuing', 'root'] as const)
      expect(() => checkedTbs(leaf, profile)).toThrow(CaError)
  })
})

describe('when it is signed', () => {
  test('holds exactly the bytes that were checked', async () => {
    const { fields: leaf, signer } = await fields()
    const tbs = checkedTbs(leaf, 'svid')
    const { der } = await signChecked(tbs, signer)
    expect(hex(splitSigned(der, 'certificate').tbs)).toBe(hex(tbs.bytes))
  })

  test('names the algorithm of the key that signs, twice the same', async () => {
    const { fields: leaf } = await fields()
    const p384 = await PrivateKey.generate(keyAlgorithm('ecdsa-p384'))
    // Prepared for one key and signed by another: RFC 5280 §4.1.1.2 wants both algorithm fields to be the same.
    await expect(signChecked(checkedTbs(leaf, 'svid'), p384)).rejects.toMatchObject({
      code: 'internal',
      message: 'a certificate came out other than it was prepared',
    })
  })

  test('a signature too long for a certificate is refused', async () => {
    const { fields: leaf, signer } = await fields()
    const endless: Signer = { publicKey: signer.publicKey, sign: async () => new Uint8Array(70_000) }
    await expect(signChecked(checkedTbs(leaf, 'svid'), endless)).rejects.toMatchObject({ code: 'internal' })
  })

  test('where it matters most, the signature is verified, too', async () => {
    const { fields: leaf, signer } = await fields()
    const lying: Signer = { publicKey: signer.publicKey, sign: () => signer.sign(Buffer.from('something else')) }
    const tbs = checkedTbs(leaf, 'svid')
    await expect(signVerified(tbs, lying)).rejects.toMatchObject({
      code: 'internal',
      message: 'a signature of ours does not verify',
    })
    await expect(signVerified(tbs, signer)).resolves.toMatchObject({ tbs })
  })
})

test('a serial number is never short and never negative, whatever chance gives', () => {
  const sample = [0x00, 0x3f, 0x40, 0x7f, 0x80, 0xbf, 0xc0, 0xff].map((byte) =>
    hex(serialNumber((length) => new Uint8Array(length).fill(byte))),
  )
  expect(sample.every((serial) => /^[4-7][0-9a-f]{31}$/.test(serial))).toBe(true)
})
