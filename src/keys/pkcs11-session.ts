import type * as pkcs11js from 'pkcs11js'
import type { PublicKey } from './public-key.ts'

/** An object in the token, for as long as the session lives. */
export type TokenObject = pkcs11js.Handle

/** A root's key, for as long as the session lives. */
export type OpenPair = { readonly privateKey: TokenObject; readonly publicKey: PublicKey }

/** Attributes of an object by their names in PKCS#11 §4, without CKA_. A kind is a number of the library's. */
type AttributeName =
  | 'ALWAYS_SENSITIVE'
  | 'CLASS'
  | 'DECRYPT'
  | 'DERIVE'
  | 'EC_PARAMS'
  | 'EC_POINT'
  | 'ENCRYPT'
  | 'EXTRACTABLE'
  | 'ID'
  | 'KEY_TYPE'
  | 'LABEL'
  | 'MODULUS'
  | 'MODULUS_BITS'
  | 'NEVER_EXTRACTABLE'
  | 'PRIVATE'
  | 'PUBLIC_EXPONENT'
  | 'SENSITIVE'
  | 'SIGN'
  | 'TOKEN'
  | 'UNWRAP'
  | 'VALUE_LEN'
  | 'VERIFY'
  | 'WRAP'
export type Attributes = Readonly<Partial<Record<AttributeName, boolean | number | string | Uint8Array>>>

/** Mechanisms (PKCS#11 §6) without CKM_. */
export type MechanismName =
  | 'AES_GCM'
  | 'AES_KEY_GEN'
  | 'ECDSA'
  | 'EC_KEY_PAIR_GEN'
  | 'RSA_PKCS_KEY_PAIR_GEN'
  | 'SHA256_RSA_PKCS'

/** More than two objects that fit say no more than two. */
const MOST_FOUND = 2

/**
 * A session of a token in which the user is logged in. Key making and signing leave the main thread; all else is short (SoftHSM: below a
 * millisecond) and does not. Throws what the library throws; `Pkcs11Token` turns it into words.
 */
export class TokenSession {
  readonly constants: typeof pkcs11js
  /** Pairs that were found, judged and proved in this session, by the authority's id. */
  readonly proved = new Map<string, OpenPair>()
  readonly #module: pkcs11js.PKCS11
  readonly #slot: pkcs11js.Handle
  readonly #handle: pkcs11js.Handle

  constructor(constants: typeof pkcs11js, module: pkcs11js.PKCS11, slot: pkcs11js.Handle, handle: pkcs11js.Handle) {
    this.constants = constants
    this.#module = module
    this.#slot = slot
    this.#handle = handle
  }

  /** Objects with these attributes; two where there are more. */
  find(attributes: Attributes): TokenObject[] {
    this.#module.C_FindObjectsInit(this.#handle, this.#template(attributes))
    const found = this.#module.C_FindObjects(this.#handle, MOST_FOUND)
    this.#module.C_FindObjectsFinal(this.#handle)
    // SoftHSM finds nothing in a token that is gone; asked about the token itself, it throws.
    if (found.length === 0) this.#module.C_GetTokenInfo(this.#slot)
    return found
  }

  /** Attributes as the token holds them: numbers little-endian, booleans one byte. */
  read<Name extends AttributeName>(object: TokenObject, ...names: Name[]): Record<Name, Buffer> {
    const values = this.#module.C_GetAttributeValue(
      this.#handle,
      object,
      names.map((name) => ({ type: this.constants[`CKA_${name}`] })),
    )
    return Object.fromEntries(names.map((name, at) => [name, values[at]?.value])) as Record<Name, Buffer>
  }

  write(object: TokenObject, attributes: Attributes): void {
    this.#module.C_SetAttributeValue(this.#handle, object, this.#template(attributes))
  }

  destroy(object: TokenObject): void {
    this.#module.C_DestroyObject(this.#handle, object)
  }

  /** The sizes of keys, in bits, that the token takes for a mechanism; nothing where it lacks that. */
  sizes(name: MechanismName): { least: number; most: number } | undefined {
    const mechanism = this.constants[`CKM_${name}`]
    if (!this.#module.C_GetMechanismList(this.#slot).includes(mechanism)) return undefined
    const { minKeySize, maxKeySize } = this.#module.C_GetMechanismInfo(this.#slot, mechanism)
    return { least: minKeySize, most: maxKeySize }
  }

  async generateKeyPair(
    mechanism: MechanismName,
    publicHalf: Attributes,
    privateHalf: Attributes,
  ): Promise<pkcs11js.KeyPair> {
    return await this.#module.C_GenerateKeyPairAsync(
      this.#handle,
      this.#mechanism(mechanism),
      this.#template(publicHalf),
      this.#template(privateHalf),
    )
  }

  generateKey(mechanism: MechanismName, attributes: Attributes): TokenObject {
    return this.#module.C_GenerateKey(this.#handle, this.#mechanism(mechanism), this.#template(attributes))
  }

  /** @param most how many bytes the signature may have */
  async sign(mechanism: MechanismName, key: TokenObject, data: Uint8Array, most: number): Promise<Uint8Array> {
    this.#module.C_SignInit(this.#handle, this.#mechanism(mechanism), key)
    // The library hands another thread the address of these bytes, and does not keep them alive: they are needed until after it.
    const input = Buffer.from(data)
    const signature = await this.#module.C_SignAsync(this.#handle, input, Buffer.alloc(most))
    input.fill(0)
    return signature
  }

  encrypt(key: TokenObject, parameter: pkcs11js.AesGCM, data: Uint8Array, most: number): Uint8Array {
    this.#module.C_EncryptInit(this.#handle, { mechanism: this.constants.CKM_AES_GCM, parameter }, key)
    return this.#module.C_Encrypt(this.#handle, bufferOf(data), Buffer.alloc(most))
  }

  decrypt(key: TokenObject, parameter: pkcs11js.AesGCM, data: Uint8Array, most: number): Uint8Array {
    this.#module.C_DecryptInit(this.#handle, { mechanism: this.constants.CKM_AES_GCM, parameter }, key)
    return this.#module.C_Decrypt(this.#handle, bufferOf(data), Buffer.alloc(most))
  }

  #mechanism(name: MechanismName): pkcs11js.Mechanism {
    return { mechanism: this.constants[`CKM_${name}`] }
  }

  #template(attributes: Attributes): pkcs11js.Template {
    return Object.entries(attributes).map(([name, value]) => ({
      type: this.constants[`CKA_${name as AttributeName}`],
      value: value instanceof Uint8Array ? Buffer.from(value) : value,
    }))
  }
}

/** The same bytes: a copy would have to be wiped, too. */
const bufferOf = (bytes: Uint8Array): Buffer => Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
