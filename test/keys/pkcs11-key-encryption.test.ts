import { describe, expect, test } from 'vitest'
import { keyAlgorithm } from '../../src/keys/algorithms.ts'
import { Pkcs11KeyEncryption } from '../../src/keys/pkcs11-key-encryption.ts'
import { Pkcs11Keys } from '../../src/keys/pkcs11-keys.ts'
import { seededRandom } from '../_support/seeded-random.ts'
import { missingForTokens, SoftHsm } from '../_support/soft-hsm.ts'

// That nothing is missing in CI is asserted in pkcs11.test.ts.
const missing = missingForTokens()
const DATA_KEY = Uint8Array.from({ length: 32 }, (_, n) => n)

function aToken(seed = 1) {
  const hsm = new SoftHsm()
  const folder = hsm.add('seal')
  const token = hsm.open('seal')
  return { hsm, folder, token, encryption: new Pkcs11KeyEncryption(token, seededRandom(seed)) }
}

describe.skipIf(missing.length > 0)(
  `a data key wrapped by a token${missing.map((one) => `; missing: ${one}`).join('')}`,
  () => {
    test('comes back, also in another session, and its bytes don’t show', async () => {
      const { hsm, token, encryption } = aToken()
      const wrapped = await encryption.wrap(DATA_KEY)
      expect(wrapped).toHaveLength(76)
      expect(Buffer.from(wrapped).includes(Buffer.from(DATA_KEY.subarray(0, 8)))).toBe(false)
      await token[Symbol.asyncDispose]()
      const again = new Pkcs11KeyEncryption(hsm.open('seal'), seededRandom(2))
      expect(Uint8Array.from(await again.unwrap(wrapped))).toEqual(DATA_KEY)
    })

    test('is wrapped by the one key that the token keeps for it, and never twice alike', async () => {
      const { token, encryption } = aToken()
      const [one, other] = [await encryption.wrap(DATA_KEY), await encryption.wrap(DATA_KEY)]
      expect(one.subarray(0, 16)).toEqual(other.subarray(0, 16))
      expect(one.subarray(16)).not.toEqual(other.subarray(16))
      const found = await token.use(async (session) => session.find({ CLASS: session.constants.CKO_SECRET_KEY }))
      expect(found).toHaveLength(1)
    })

    test('is refused with any byte changed', async () => {
      const { encryption } = aToken()
      const wrapped = await encryption.wrap(DATA_KEY)
      for (const at of wrapped.keys()) {
        const altered = Uint8Array.from(wrapped)
        altered[at] = (altered[at] as number) ^ 1
        await expect(encryption.unwrap(altered)).rejects.toMatchObject({
          code: 'wrong_state',
          message:
            at < 16
              ? 'the PKCS#11 token "seal" does not have the key by which this was sealed; connect the token that has it'
              : 'the PKCS#11 token "seal" can’t unwrap this (CKR_GENERAL_ERROR): it was altered; put back a copy',
        })
      }
      expect(Uint8Array.from(await encryption.unwrap(wrapped))).toEqual(DATA_KEY)
    })

    test('has its lengths', async () => {
      const { encryption } = aToken()
      await expect(encryption.wrap(new Uint8Array(31))).rejects.toMatchObject({
        code: 'invalid_argument',
        message: 'a data key has 32 bytes, not 31',
      })
      for (const length of [0, 75, 77])
        await expect(encryption.unwrap(new Uint8Array(length))).rejects.toMatchObject({
          code: 'wrong_state',
          message: `a data key wrapped by a PKCS#11 token has 76 bytes, not ${length}`,
        })
    })

    test('does not come back from a token without the key, and none is made for it', async () => {
      const wrapped = await (async () => {
        const { token, encryption } = aToken()
        const wrapped = await encryption.wrap(DATA_KEY)
        await token[Symbol.asyncDispose]()
        return wrapped
      })()
      const { token, encryption } = aToken()
      await expect(encryption.unwrap(wrapped)).rejects.toMatchObject({
        code: 'wrong_state',
        message:
          'the PKCS#11 token "seal" does not have the key by which this was sealed; connect the token that has it',
      })
      expect(await token.use(async (session) => session.find({ CLASS: session.constants.CKO_SECRET_KEY }))).toEqual([])
    })

    test('is not said to be altered when the token went away', async () => {
      const { hsm, folder, encryption } = aToken()
      const wrapped = await encryption.wrap(DATA_KEY)
      hsm.remove(folder)
      await expect(encryption.unwrap(wrapped)).rejects.toMatchObject({ code: 'dependency_unavailable' })
      hsm.putBack(folder)
      expect(Uint8Array.from(await encryption.unwrap(wrapped))).toEqual(DATA_KEY)
    })

    test.each([
      [{ EXTRACTABLE: true }, 'can be taken out of the token'],
      [{ SENSITIVE: false }, 'can be taken out of the token'],
    ])('is wrapped by no key that could leave the token: %j', async (asked, why) => {
      const { token, encryption } = aToken()
      await token.use(async (session) => {
        const kept = { TOKEN: true, PRIVATE: true, SENSITIVE: true, EXTRACTABLE: false }
        session.generateKey('AES_KEY_GEN', { ...kept, VALUE_LEN: 32, LABEL: 'alcazar key encryption', ...asked })
      })
      await expect(encryption.wrap(DATA_KEY)).rejects.toMatchObject({
        code: 'wrong_state',
        message: `the key labelled “alcazar key encryption” in the PKCS#11 token "seal" ${why}; Alcazar uses only keys that never left their token`,
      })
    })

    test('is wrapped by none of two keys of that name', async () => {
      const { token, encryption } = aToken()
      await encryption.wrap(DATA_KEY)
      await token.use(async (session) => {
        session.generateKey('AES_KEY_GEN', { TOKEN: true, VALUE_LEN: 32, LABEL: 'alcazar key encryption' })
      })
      await expect(encryption.wrap(DATA_KEY)).rejects.toMatchObject({
        code: 'wrong_state',
        message:
          'the PKCS#11 token "seal" has several keys labelled “alcazar key encryption”; remove what seals nothing',
      })
    })

    test('shares its token with root keys', async () => {
      const { token, encryption } = aToken()
      const signer = await new Pkcs11Keys(token).make(keyAlgorithm('ecdsa-p256'))
      const [wrapped, signature] = await Promise.all([encryption.wrap(DATA_KEY), signer.sign(DATA_KEY)])
      expect(Uint8Array.from(await encryption.unwrap(wrapped))).toEqual(DATA_KEY)
      expect(signature.length).toBeGreaterThan(60)
    })
  },
)
