import { verify } from 'node:crypto'
import { shortId } from '../core/bytes.ts'
import { CaError } from '../core/errors.ts'
import type { KeyAlgorithm } from './algorithms.ts'
import type { Pkcs11Token } from './pkcs11.ts'
import { readPublicHalf, signInToken, tokenKind } from './pkcs11-kinds.ts'
import type { Attributes, OpenPair, TokenObject, TokenSession } from './pkcs11-session.ts'
import type { Signer } from './private-key.ts'
import { authorityIdOf, type PublicKey } from './public-key.ts'
import type { KeyVault } from './vault.ts'

/** What every key made here is for as long as it exists. */
export const KEPT_INSIDE: Attributes = { TOKEN: true, PRIVATE: true, SENSITIVE: true, EXTRACTABLE: false }

/** Says, on an object in the token, that a crash came before the key had a name. It signed no certificate and may be removed. */
const UNFINISHED = 'alcazar root (unfinished)'

/**
 * Root keys that are made in a PKCS#11 token and never leave it. Private and public half carry the authority's id as CKA_ID; nothing about
 * them is in a file.
 */
export class Pkcs11Keys implements KeyVault {
  readonly home = 'pkcs11'
  readonly #token: Pkcs11Token

  constructor(token: Pkcs11Token) {
    this.#token = token
  }

  /**
   * A crash before it resolves leaves an object that is labelled as unfinished or with an id that no journal knows.
   * @throws CaError `invalid_argument`: the token can't make that kind · `wrong_state`: it refuses, or would give the key away
   */
  make(algorithm: KeyAlgorithm): Promise<Signer> {
    return this.#token.use(async (session) => {
      const kind = tokenKind(session, algorithm, this.#token.name)
      const pair = await session.generateKeyPair(
        kind.generation,
        { TOKEN: true, VERIFY: true, ENCRYPT: false, WRAP: false, LABEL: UNFINISHED, ...kind.wish },
        { ...KEPT_INSIDE, SIGN: true, DECRYPT: false, UNWRAP: false, LABEL: UNFINISHED },
      )
      try {
        const publicKey = readPublicHalf(session, pair.publicKey)
        const id = authorityIdOf(publicKey.spki)
        const name: Attributes = { ID: Buffer.from(id, 'hex'), LABEL: `alcazar root ${shortId(id)}` }
        for (const half of [pair.privateKey, pair.publicKey]) session.write(half, name)
        await this.#openPair(session, id)
        return new TokenSigner(this.#token, publicKey, (later) => this.#openPair(later, id))
      } catch (error) {
        for (const half of [pair.privateKey, pair.publicKey]) destroyed(session, half)
        throw error
      }
    })
  }

  async take(): Promise<Signer> {
    throw new CaError(
      'wrong_state',
      'a key made elsewhere is not taken into a PKCS#11 token, for it has been outside; rotate to a root made there',
    )
  }

  open(id: string): Promise<Signer> {
    return this.#token.use(async (session) => {
      const { publicKey } = await this.#openPair(session, id)
      return new TokenSigner(this.#token, publicKey, (later) => this.#openPair(later, id))
    })
  }

  destroy(id: string): Promise<boolean> {
    return this.#token.use(async (session) => {
      session.proved.delete(id)
      const { CKO_PRIVATE_KEY, CKO_PUBLIC_KEY } = session.constants
      let any = false
      for (const CLASS of [CKO_PRIVATE_KEY, CKO_PUBLIC_KEY])
        for (const half of session.find({ CLASS, TOKEN: true, ID: Buffer.from(id, 'hex') })) {
          session.destroy(half)
          any = true
        }
      return any
    })
  }

  /** Finds a key and proves it, once a session: after a while without the token, another one may be in its place. */
  async #openPair(session: TokenSession, id: string): Promise<OpenPair> {
    const proved = session.proved.get(id)
    if (proved) return proved
    const what = `the key of the root ${shortId(id)} in ${this.#token.name}`
    const { CKO_PRIVATE_KEY, CKO_PUBLIC_KEY } = session.constants
    const only = (CLASS: number, half: string): TokenObject => {
      const [object, second] = session.find({ CLASS, TOKEN: true, ID: Buffer.from(id, 'hex') })
      if (!object)
        throw new CaError(
          'wrong_state',
          `${what} is missing (its ${half} half); put it back, or connect the token that has it: Alcazar makes no new root while the old one may be alive`,
        )
      if (second)
        throw new CaError(
          'wrong_state',
          `${what} is there more than once (its ${half} half); remove what is no copy of ours`,
        )
      return object
    }
    const privateKey = only(CKO_PRIVATE_KEY, 'private')
    checkKeptInside(session, privateKey, what)
    const publicKey = publicHalf(session, only(CKO_PUBLIC_KEY, 'public'), what)
    const proof = Buffer.from('alcazar: this key signs')
    if (
      authorityIdOf(publicKey.spki) !== id ||
      !verify(
        publicKey.algorithm.digest,
        proof,
        publicKey.handle,
        await signInToken(session, privateKey, publicKey, proof),
      )
    )
      throw new CaError('wrong_state', `${what} has a public half that does not fit; put back the right pair`)
    const pair = { privateKey, publicKey }
    session.proved.set(id, pair)
    return pair
  }
}

/** Judged as everybody's is, but there is no CSR here that could be bad. */
function publicHalf(session: TokenSession, object: TokenObject, what: string): PublicKey {
  try {
    return readPublicHalf(session, object)
  } catch (error) {
    if (error instanceof CaError && error.code === 'bad_csr')
      throw new CaError('wrong_state', `${what}: ${error.message}`, { cause: error })
    throw error
  }
}

/**
 * Tokens may ignore what they were asked for, and people import keys: a key that anybody can or could take out is no key in a token.
 * @throws CaError `wrong_state`
 */
export function checkKeptInside(session: TokenSession, object: TokenObject, what: string): void {
  const is = session.read(
    object,
    'TOKEN',
    'PRIVATE',
    'SENSITIVE',
    'ALWAYS_SENSITIVE',
    'EXTRACTABLE',
    'NEVER_EXTRACTABLE',
  )
  const fault =
    !isTrue(is.TOKEN) || !isTrue(is.PRIVATE)
      ? 'is there for whoever has no PIN, or for one session'
      : !isTrue(is.SENSITIVE) || !isFalse(is.EXTRACTABLE)
        ? 'can be taken out of the token'
        : !isTrue(is.ALWAYS_SENSITIVE) || !isTrue(is.NEVER_EXTRACTABLE)
          ? 'was not made in the token, or could once be taken out of it'
          : undefined
  if (fault) throw new CaError('wrong_state', `${what} ${fault}; Alcazar uses only keys that never left their token`)
}

const isTrue = (value: Buffer): boolean => value.length === 1 && value[0] === 1
const isFalse = (value: Buffer): boolean => value.length === 1 && value[0] === 0

/** A key that can't be used is not left behind; what can't be removed, either, stays labelled as unfinished or with an id that nobody knows. */
function destroyed(session: TokenSession, object: TokenObject): void {
  try {
    session.destroy(object)
  } catch {
    // Why the key can't be used is thrown; the same reason may keep it from being removed.
  }
}

/** Signs in the token. Whatever signs later finds the key anew where the session is a new one. */
class TokenSigner implements Signer {
  readonly publicKey: PublicKey
  readonly #token: Pkcs11Token
  readonly #pair: (session: TokenSession) => Promise<OpenPair>

  constructor(token: Pkcs11Token, publicKey: PublicKey, pair: (session: TokenSession) => Promise<OpenPair>) {
    this.#token = token
    this.publicKey = publicKey
    this.#pair = pair
  }

  sign(tbs: Uint8Array): Promise<Uint8Array> {
    return this.#token.use(async (session) => {
      const { privateKey, publicKey } = await this.#pair(session)
      return await signInToken(session, privateKey, publicKey, tbs)
    })
  }
}
