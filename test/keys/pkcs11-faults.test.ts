import { describe, expect, test } from 'vitest'
import { type PinState, pinObstacle, refusalOf, wrongPin } from '../../src/keys/pkcs11-faults.ts'

const TOKEN = 'the PKCS#11 token "root"'
const thrown = (value: string) => new Error(`${value}:1`)
const FINE: PinState = { initialised: true, fewLeft: false, lastTry: false, locked: false }

/** What SoftHSM can't be brought to say stands here; the rest in pkcs11.test.ts. */
describe('a refused PIN', () => {
  test.each([
    [{ locked: true, lastTry: true }, 'it is locked now: its security officer can unlock it'],
    [{ lastTry: true, fewLeft: true }, 'it locks itself at the next wrong one'],
    [{ fewLeft: true }, 'few tries are left before it locks itself'],
    [{}, 'it does not say how many tries are left before it locks itself'],
  ])('says how near the token is to locking itself: %j', (after, says) => {
    expect(wrongPin(thrown('CKR_PIN_INCORRECT'), TOKEN, () => ({ ...FINE, ...after }))).toMatchObject({
      code: 'wrong_state',
      message: `${TOKEN} refused the PIN, and ${says}; Alcazar does not try this PIN again: put the right one into the PIN file, and start again`,
    })
  })

  test('is a refused PIN even where the token says nothing more', () => {
    const gone = () => {
      throw thrown('CKR_DEVICE_REMOVED')
    }
    expect(wrongPin(thrown('CKR_PIN_LEN_RANGE'), TOKEN, gone)).toMatchObject({
      code: 'wrong_state',
      message: expect.stringContaining('it does not say how many tries are left'),
    })
  })

  test('is nothing else', () => {
    for (const value of ['CKR_DEVICE_REMOVED', 'CKR_PIN_LOCKED', 'CKR_PIN_EXPIRED'])
      expect(wrongPin(thrown(value), TOKEN, () => expect.fail('nobody asks'))).toBeUndefined()
    expect(wrongPin(new Error('of ours'), TOKEN, () => expect.fail('nobody asks'))).toBeUndefined()
  })
})

describe('before the PIN is tried', () => {
  test('a token without one says so', () => {
    expect(pinObstacle(TOKEN, { ...FINE, initialised: false })).toMatchObject({
      code: 'wrong_state',
      message: `${TOKEN} has no user PIN yet; set one, and put it into the PIN file`,
    })
  })

  test('few tries left are no reason to leave it: the right one brings them back', () => {
    expect(pinObstacle(TOKEN, { ...FINE, fewLeft: true })).toBeUndefined()
  })
})

describe('a refusal of the token', () => {
  test.each([
    ['CKR_PIN_LOCKED', 'has locked its PIN after too many wrong ones; its security officer can unlock it'],
    ['CKR_PIN_EXPIRED', 'wants its PIN changed before it can be used'],
    ['CKR_TOKEN_WRITE_PROTECTED', 'is write-protected: no key can be made in it'],
    ['CKR_DEVICE_MEMORY', 'is full: no key can be made in it until something else is removed'],
    ['CKR_MECHANISM_INVALID', 'can’t do what a root key needs (CKR_MECHANISM_INVALID)'],
  ])('%s is said in words', (value, says) => {
    expect(refusalOf(thrown(value), TOKEN)).toMatchObject({ code: 'wrong_state', message: `${TOKEN} ${says}` })
  })

  test('is no sign that the token is gone, nor an error of ours', () => {
    expect(refusalOf(thrown('CKR_DEVICE_REMOVED'), TOKEN)).toBeUndefined()
    expect(refusalOf(new Error('about CKR_PIN_LOCKED'), TOKEN)).toBeUndefined()
    expect(refusalOf('CKR_PIN_LOCKED', TOKEN)).toBeUndefined()
  })
})
