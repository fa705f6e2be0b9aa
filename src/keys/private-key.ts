import { createPrivateKey, createPublicKey, type KeyObject, sign, verify } from 'node:crypto'
import { createSecureContext, type SecureContext, type SecureContextOptions, type Server } from 'node:tls'
import { inspect, promisify } from 'node:util'
import { CaError } from '../core/errors.ts'
import type { KeyAlgorithm } from './algorithms.ts'
import { type PublicKey, readPublicKey } from './public-key.ts'

const signOffThread = promisify(sign)

/** What signs: a key in memory here, later one in a sealed file or a PKCS#11 token. Never gives the key away. */
export interface Signer {
  readonly publicKey: PublicKey
  /** The signature over `tbs` under `publicKey.algorithm.signatureAlgorithm`. */
  sign(tbs: Uint8Array): Promise<Uint8Array>
}

/** A private key in this process. It can sign and can be stored; it can't be printed, serialised or read out by accident. */
export class PrivateKey implements Signer {
  readonly publicKey: PublicKey
  readonly #handle: KeyObject

  private constructor(handle: KeyObject, publicKey: PublicKey) {
    this.#handle = handle
    this.publicKey = publicKey
  }

  /** A fresh key, from the platform's own generator. */
  static async generate(algorithm: KeyAlgorithm): Promise<PrivateKey> {
    const { privateKey, publicKey } = await algorithm.generate()
    return new PrivateKey(privateKey, readPublicKey(publicKey.export({ format: 'der', type: 'spki' })))
  }

  /**
   * A stored key: PKCS#8, SEC 1 or PKCS#1, unencrypted PEM. The pair is proved by a signature before it is used.
   * @throws CaError `invalid_argument`
   */
  static fromPem(pem: Uint8Array): PrivateKey {
    let handle: KeyObject
    try {
      handle = createPrivateKey({ key: Buffer.from(pem), format: 'pem' })
    } catch {
      // OpenSSL's reason may quote its input: it is not kept, even as a cause.
      throw new CaError('invalid_argument', 'not an unencrypted private key in PEM')
    }
    return PrivateKey.#proved(handle)
  }

  /**
   * A stored key: PKCS#8, DER. The pair is proved by a signature before it is used.
   * @throws CaError `invalid_argument`
   */
  static fromDer(pkcs8: Uint8Array): PrivateKey {
    let handle: KeyObject
    try {
      // A view of those bytes: a copy would have to be wiped, too.
      const key = Buffer.from(pkcs8.buffer, pkcs8.byteOffset, pkcs8.byteLength)
      handle = createPrivateKey({ key, format: 'der', type: 'pkcs8' })
    } catch {
      throw new CaError('invalid_argument', 'not an unencrypted private key in PKCS#8')
    }
    return PrivateKey.#proved(handle)
  }

  static #proved(handle: KeyObject): PrivateKey {
    const key = new PrivateKey(handle, publicKeyOf(handle))
    const proof = Buffer.from('alcazar: this key signs')
    const { digest } = key.publicKey.algorithm
    if (!verify(digest, proof, key.publicKey.handle, sign(digest, proof, handle)))
      throw new CaError('invalid_argument', 'a private key whose signatures do not verify')
    return key
  }

  async sign(tbs: Uint8Array): Promise<Uint8Array> {
    const { digest, slow } = this.publicKey.algorithm
    return slow ? await signOffThread(digest, tbs, this.#handle) : sign(digest, tbs, this.#handle)
  }

  /**
   * Hands the key as PKCS#8 PEM to `write`, for the files that hold one by design, and wipes those bytes afterwards. Besides this and `storeDer`, only TLS
   * gets to see the key, and both these ways a text of it stays in memory until it is collected.
   */
  async store(write: (pem: Uint8Array) => Promise<void>): Promise<void> {
    const pem = Buffer.from(this.#handle.export({ format: 'pem', type: 'pkcs8' }) as string)
    try {
      await write(pem)
    } finally {
      pem.fill(0)
    }
  }

  /** Hands the key as PKCS#8 DER to `write`, which seals it, and wipes those bytes afterwards. No text of it comes to be. */
  async storeDer<T>(write: (pkcs8: Uint8Array) => Promise<T>): Promise<T> {
    const pkcs8 = this.#handle.export({ format: 'der', type: 'pkcs8' })
    try {
      return await write(pkcs8)
    } finally {
      pkcs8.fill(0)
    }
  }

  /** A TLS context in which this key answers for `chainPem`, for a client. */
  secureContext(chainPem: string, options: Omit<SecureContextOptions, 'key' | 'cert'>): SecureContext {
    return createSecureContext({ ...options, ...this.#tls(chainPem) })
  }

  /** Makes this key and `chainPem` what a TLS server answers with from the next handshake on. */
  answerOn(
    server: Pick<Server, 'setSecureContext'>,
    chainPem: string,
    options: Omit<SecureContextOptions, 'key' | 'cert'>,
  ): void {
    server.setSecureContext({ ...options, ...this.#tls(chainPem) })
  }

  #tls(chainPem: string): SecureContextOptions {
    return { cert: chainPem, key: this.#handle.export({ format: 'pem', type: 'pkcs8' }) as string }
  }

  toJSON(): string {
    return '[private key]'
  }

  [inspect.custom](): string {
    return '[private key]'
  }
}

/** Judged as everybody's is, but there is no CSR here that could be bad. */
function publicKeyOf(handle: KeyObject): PublicKey {
  try {
    return readPublicKey(createPublicKey(handle).export({ format: 'der', type: 'spki' }))
  } catch (error) {
    if (error instanceof CaError && error.code === 'bad_csr')
      throw new CaError('invalid_argument', error.message, { cause: error.cause })
    throw error
  }
}
