import { CaError } from '../core/errors.ts'
import type { RandomBytes } from '../core/random.ts'
import type { Pkcs11Token } from './pkcs11.ts'
import { returnValueOf } from './pkcs11-faults.ts'
import { checkKeptInside, KEPT_INSIDE } from './pkcs11-keys.ts'
import type { TokenObject, TokenSession } from './pkcs11-session.ts'
import type { KeyEncryption } from './vault.ts'

const LABEL = 'alcazar key encryption'
const PURPOSE = Buffer.from('alcazar data key')
const DATA_KEY_BYTES = 32
const KEY_ID_BYTES = 16
const IV_BYTES = 12
const TAG_BYTES = 16
const WRAPPED_BYTES = KEY_ID_BYTES + IV_BYTES + DATA_KEY_BYTES + TAG_BYTES

/**
 * Wraps data keys by AES-256-GCM with a key that never leaves its token; `wrap` makes that where there is none. What is wrapped has 76
 * bytes: the CKA_ID of the token's key, the initialisation vector, ciphertext, tag.
 */
export class Pkcs11KeyEncryption implements KeyEncryption {
  readonly kind = 'pkcs11'
  readonly #token: Pkcs11Token
  readonly #random: RandomBytes

  constructor(token: Pkcs11Token, random: RandomBytes) {
    this.#token = token
    this.#random = random
  }

  wrap(dataKey: Uint8Array): Promise<Uint8Array> {
    return this.#token.use(async (session) => {
      if (dataKey.length !== DATA_KEY_BYTES)
        throw new CaError('invalid_argument', `a data key has ${DATA_KEY_BYTES} bytes, not ${dataKey.length}`)
      const key = this.#find(session) ?? this.#make(session)
      this.#check(session, key)
      const { ID } = session.read(key, 'ID')
      const iv = Buffer.from(this.#random(IV_BYTES))
      const sealed = session.encrypt(key, gcm(session, iv), dataKey, DATA_KEY_BYTES + TAG_BYTES)
      return Buffer.concat([ID, iv, sealed])
    })
  }

  /** @throws CaError `wrong_state`: damaged, or wrapped by a key that this token doesn't have */
  unwrap(wrapped: Uint8Array): Promise<Uint8Array> {
    return this.#token.use(async (session) => {
      if (wrapped.length !== WRAPPED_BYTES)
        throw new CaError(
          'wrong_state',
          `a data key wrapped by a PKCS#11 token has ${WRAPPED_BYTES} bytes, not ${wrapped.length}`,
        )
      const key = this.#find(session, wrapped.subarray(0, KEY_ID_BYTES))
      if (!key)
        throw new CaError(
          'wrong_state',
          `${this.#token.name} does not have the key by which this was sealed; connect the token that has it`,
        )
      this.#check(session, key)
      const iv = Buffer.from(wrapped.subarray(KEY_ID_BYTES, KEY_ID_BYTES + IV_BYTES))
      try {
        return session.decrypt(
          key,
          gcm(session, iv),
          wrapped.subarray(KEY_ID_BYTES + IV_BYTES),
          DATA_KEY_BYTES + TAG_BYTES,
        )
      } catch (cause) {
        const value = returnValueOf(cause)
        if (!DAMAGED.has(value ?? '')) throw cause
        throw new CaError(
          'wrong_state',
          `${this.#token.name} can’t unwrap this (${value}): it was altered; put back a copy`,
          { cause },
        )
      }
    })
  }

  #find(session: TokenSession, id?: Uint8Array): TokenObject | undefined {
    const CLASS = session.constants.CKO_SECRET_KEY
    const [key, second] = session.find({ CLASS, TOKEN: true, LABEL, ...(id ? { ID: id } : {}) })
    if (second)
      throw new CaError(
        'wrong_state',
        `${this.#token.name} has several keys labelled “${LABEL}”; remove what seals nothing`,
      )
    return key
  }

  #make(session: TokenSession): TokenObject {
    return session.generateKey('AES_KEY_GEN', {
      ...KEPT_INSIDE,
      VALUE_LEN: 32,
      ENCRYPT: true,
      DECRYPT: true,
      SIGN: false,
      WRAP: false,
      UNWRAP: false,
      ID: this.#random(KEY_ID_BYTES),
      LABEL,
    })
  }

  #check(session: TokenSession, key: TokenObject): void {
    checkKeptInside(session, key, `the key labelled “${LABEL}” in ${this.#token.name}`)
  }
}

/** What tokens say where the tag doesn't fit; SoftHSM the last. */
const DAMAGED: ReadonlySet<string> = new Set([
  'CKR_ENCRYPTED_DATA_INVALID',
  'CKR_ENCRYPTED_DATA_LEN_RANGE',
  'CKR_GENERAL_ERROR',
])

const gcm = ({ constants }: TokenSession, iv: Buffer) => ({
  type: constants.CK_PARAMS_AES_GCM,
  iv,
  ivBits: IV_BYTES * 8,
  aad: PURPOSE,
  tagBits: TAG_BYTES * 8,
})
