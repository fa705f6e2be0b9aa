import { access } from 'node:fs/promises'
import { isAbsolute } from 'node:path'
import type * as pkcs11js from 'pkcs11js'
import { CaError } from '../core/errors.ts'
import { type PinState, returnValueOf, unreachable } from './pkcs11-faults.ts'

type Library = typeof pkcs11js
type Slot = pkcs11js.Handle

/** A PKCS#11 module, which is native code in this process, by way of the npm library for such. One of these a module and process. */
export class Pkcs11Module {
  readonly constants: Library
  readonly calls: pkcs11js.PKCS11
  readonly #path: string
  /** C_Initialize succeeded, so that C_Finalize is due. */
  #initialised = false

  private constructor(constants: Library, calls: pkcs11js.PKCS11, path: string) {
    this.constants = constants
    this.calls = calls
    this.#path = path
  }

  /** @throws CaError `wrong_state`: the library isn't there · `invalid_argument`: the module isn't, or isn't one */
  static async load(path: string): Promise<Pkcs11Module> {
    const constants = await library()
    if (!isAbsolute(path))
      throw new CaError(
        'invalid_argument',
        `the path of the PKCS#11 module is not absolute: ${JSON.stringify(path)}; write for example /usr/lib/softhsm/libsofthsm2.so`,
      )
    await access(path).catch((cause: Error) => {
      throw new CaError(
        'invalid_argument',
        `the PKCS#11 module ${path} can’t be read: ${cause.message}; install what the token’s maker provides, or correct the path`,
        { cause },
      )
    })
    const calls = new constants.PKCS11()
    try {
      calls.load(path)
    } catch (cause) {
      throw new CaError(
        'invalid_argument',
        `${path} is no PKCS#11 module for this machine: ${(cause as Error).message}`,
        { cause },
      )
    }
    return new Pkcs11Module(constants, calls, path)
  }

  /** @throws CaError `wrong_state`: something else in this process uses it · `dependency_unavailable` */
  begin(): void {
    try {
      // Calls come from several threads, though never two at once.
      this.calls.C_Initialize({ flags: this.constants.CKF_OS_LOCKING_OK })
      this.#initialised = true
    } catch (cause) {
      const value = returnValueOf(cause)
      if (value === undefined) throw cause
      if (value === 'CKR_CRYPTOKI_ALREADY_INITIALIZED')
        throw new CaError(
          'wrong_state',
          `the PKCS#11 module ${this.#path} is in use already in this process, which can’t begin it twice`,
        )
      throw unreachable(
        `the PKCS#11 module ${this.#path}`,
        `it does not begin (${value}; its own configuration may say why)`,
        cause,
      )
    }
  }

  /** Ends every session and all that the module remembers: some notice only so that a token was changed. */
  end(): void {
    if (!this.#initialised) return
    this.#initialised = false
    try {
      this.calls.C_Finalize()
    } catch (error) {
      // What is gone needs no end.
      if (returnValueOf(error) === undefined) throw error
    }
  }

  /** @throws CaError `dependency_unavailable`: not there · `invalid_argument`: there twice */
  slotOf(tokenLabel: string, name: string): Slot {
    const { CKF_TOKEN_INITIALIZED } = this.constants
    const tokens = this.calls
      .C_GetSlotList(true)
      .map((slot) => ({ slot, info: this.calls.C_GetTokenInfo(slot) }))
      .filter(({ info }) => (info.flags & CKF_TOKEN_INITIALIZED) !== 0)
      // Padded with blanks to 32 bytes.
      .map(({ slot, info }) => ({ slot, label: info.label.trimEnd() }))
    const found = tokens.filter(({ label }) => label === tokenLabel)
    if (found.length > 1)
      throw new CaError(
        'invalid_argument',
        `${found.length} PKCS#11 tokens have the label ${JSON.stringify(tokenLabel)}; remove the others, or give each a label of its own`,
      )
    if (found[0]) return found[0].slot
    const others = tokens.map(({ label }) => JSON.stringify(label)).join(', ')
    throw unreachable(name, others === '' ? 'it is not there, nor is any other' : `it is not there; there is ${others}`)
  }

  pinState(slot: Slot): PinState {
    const { flags } = this.calls.C_GetTokenInfo(slot)
    const has = (flag: number) => (flags & flag) !== 0
    return {
      initialised: has(this.constants.CKF_USER_PIN_INITIALIZED),
      fewLeft: has(this.constants.CKF_USER_PIN_COUNT_LOW),
      lastTry: has(this.constants.CKF_USER_PIN_FINAL_TRY),
      locked: has(this.constants.CKF_USER_PIN_LOCKED),
    }
  }
}

/** Only who has a token needs the library. */
async function library(): Promise<Library> {
  try {
    return (await import('pkcs11js')).default
  } catch (cause) {
    throw new CaError(
      'wrong_state',
      'a PKCS#11 token needs the npm package pkcs11js with its native part, and that can’t be loaded here; in a clone, “npm run build-pkcs11” builds it; beside an installed Alcazar, “npm install pkcs11js” does',
      { cause },
    )
  }
}
