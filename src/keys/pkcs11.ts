import type { CaError } from '../core/errors.ts'
import { pinObstacle, refusalOf, returnValueOf, unreachable, wrongPin } from './pkcs11-faults.ts'
import { Pkcs11Module } from './pkcs11-module.ts'
import { TokenSession } from './pkcs11-session.ts'

export type Pkcs11Config = {
  /** Absolute path of the module, a shared library that the token's maker provides. */
  readonly module: string
  readonly tokenLabel: string
  /** Asked whenever a session begins; the answer is not kept. */
  readonly pin: () => Promise<string>
}

/**
 * A PKCS#11 token, with one session that begins at first use. The failure that shows that a token was removed ends the session, and the next
 * use begins another. A session knows one operation at a time, so uses wait for each other. One of these a module and process.
 */
export class Pkcs11Token implements AsyncDisposable {
  /** How messages call it. */
  readonly name: string
  readonly #config: Pkcs11Config
  #module: Pkcs11Module | undefined
  #session: TokenSession | undefined
  #refusedPin: CaError | undefined
  #queue: Promise<unknown> = Promise.resolve()

  constructor(config: Pkcs11Config) {
    this.#config = config
    this.name = `the PKCS#11 token ${JSON.stringify(config.tokenLabel)}`
  }

  /**
   * Gives `action` the session, when all earlier uses are done.
   * @throws CaError `invalid_argument`: the module or the label names nothing that can be used, or several tokens · `wrong_state`: the
   * library isn't there, the PIN is wrong or locked, the token refuses · `dependency_unavailable`: the token isn't there, or went away
   */
  use<T>(action: (session: TokenSession) => Promise<T>): Promise<T> {
    const turn = this.#queue.then(async () => {
      try {
        this.#session ??= await this.#begin()
        return await action(this.#session)
      } catch (error) {
        throw this.#fault(error)
      }
    })
    this.#queue = turn.catch(() => undefined)
    return turn
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#queue
    this.#end()
  }

  async #begin(): Promise<TokenSession> {
    // Each try with a wrong PIN brings the token nearer to locking itself.
    if (this.#refusedPin) throw this.#refusedPin
    this.#module ??= await Pkcs11Module.load(this.#config.module)
    try {
      this.#module.begin()
      return await this.#logIn(this.#module)
    } catch (error) {
      this.#end()
      throw error
    }
  }

  async #logIn(module: Pkcs11Module): Promise<TokenSession> {
    const { calls, constants } = module
    const slot = module.slotOf(this.#config.tokenLabel, this.name)
    const obstacle = pinObstacle(this.name, module.pinState(slot))
    if (obstacle) throw obstacle
    const pin = await this.#config.pin()
    const handle = calls.C_OpenSession(slot, constants.CKF_SERIAL_SESSION | constants.CKF_RW_SESSION)
    try {
      calls.C_Login(handle, constants.CKU_USER, pin)
    } catch (error) {
      this.#refusedPin = wrongPin(error, this.name, () => module.pinState(slot))
      throw this.#refusedPin ?? error
    }
    return new TokenSession(constants, calls, slot, handle)
  }

  /** What the module said, in words; everything else as it is. What is no refusal ends the session, for it may be gone. */
  #fault(error: unknown): unknown {
    const value = returnValueOf(error)
    if (value === undefined) return error
    const refusal = refusalOf(error, this.name)
    if (refusal) return refusal
    this.#end()
    return unreachable(this.name, value, error)
  }

  #end(): void {
    this.#session = undefined
    this.#module?.end()
  }
}
