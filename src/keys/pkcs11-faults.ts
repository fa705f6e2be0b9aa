import { CaError } from '../core/errors.ts'

/** The name of the return value, other than CKR_OK, that the library throws (PKCS#11 §5.1); nothing for what isn’t one. */
export function returnValueOf(error: unknown): string | undefined {
  // Most of its methods throw a Pkcs11Error whose message is the name; C_FindObjects throws an Error that begins with it.
  return error instanceof Error ? /^CKR_\w+/.exec(error.message)?.[0] : undefined
}

const LOCKED = 'has locked its PIN after too many wrong ones; its security officer can unlock it'

/** What the token says no to while the session lives on. */
const REFUSALS: ReadonlyMap<string, string> = new Map([
  ['CKR_PIN_EXPIRED', 'wants its PIN changed before it can be used'],
  ['CKR_PIN_LOCKED', LOCKED],
  ['CKR_TOKEN_WRITE_PROTECTED', 'is write-protected: no key can be made in it'],
  ['CKR_DEVICE_MEMORY', 'is full: no key can be made in it until something else is removed'],
  ...[
    'CKR_ACTION_PROHIBITED',
    'CKR_ATTRIBUTE_READ_ONLY',
    'CKR_ATTRIBUTE_SENSITIVE',
    'CKR_ATTRIBUTE_TYPE_INVALID',
    'CKR_ATTRIBUTE_VALUE_INVALID',
    'CKR_CURVE_NOT_SUPPORTED',
    'CKR_DOMAIN_PARAMS_INVALID',
    'CKR_FUNCTION_NOT_SUPPORTED',
    'CKR_KEY_FUNCTION_NOT_PERMITTED',
    'CKR_KEY_SIZE_RANGE',
    'CKR_KEY_TYPE_INCONSISTENT',
    'CKR_MECHANISM_INVALID',
    'CKR_MECHANISM_PARAM_INVALID',
    'CKR_TEMPLATE_INCOMPLETE',
    'CKR_TEMPLATE_INCONSISTENT',
  ].map((name): [string, string] => [name, `can’t do what a root key needs (${name})`]),
])

/** A refusal the token gave, in words; nothing where the session may be gone, which is what any other return value is taken for. */
export function refusalOf(error: unknown, token: string): CaError | undefined {
  const says = REFUSALS.get(returnValueOf(error) ?? '')
  return says === undefined ? undefined : new CaError('wrong_state', `${token} ${says}`, { cause: error })
}

export function unreachable(token: string, why: string, cause?: unknown): CaError {
  return new CaError(
    'dependency_unavailable',
    `${token} can’t be used: ${why}; a running server tries again when it next needs it`,
    { cause },
  )
}

/** The state of a token's PIN, from its flags (CKF_USER_PIN_…, PKCS#11 §3.2). */
export type PinState = {
  readonly initialised: boolean
  readonly fewLeft: boolean
  readonly lastTry: boolean
  readonly locked: boolean
}

/** Why no PIN is tried at all. The last try is left to people: a program that is started again and again would lock the token with it. */
export function pinObstacle(token: string, { initialised, lastTry, locked }: PinState): CaError | undefined {
  if (!initialised)
    return new CaError('wrong_state', `${token} has no user PIN yet; set one, and put it into the PIN file`)
  if (locked) return new CaError('wrong_state', `${token} ${LOCKED}`)
  if (lastTry)
    return new CaError(
      'wrong_state',
      `${token} locks itself at the next wrong PIN, so Alcazar does not try; log in once with the token’s own tool and the right PIN, and start again`,
    )
  return undefined
}

const WRONG_PINS: ReadonlySet<string> = new Set(['CKR_PIN_INCORRECT', 'CKR_PIN_INVALID', 'CKR_PIN_LEN_RANGE'])

/** That the token refused the PIN, and how near it is to locking itself; nothing where it failed otherwise. */
export function wrongPin(error: unknown, token: string, stateAfter: () => PinState): CaError | undefined {
  if (!WRONG_PINS.has(returnValueOf(error) ?? '')) return undefined
  return new CaError(
    'wrong_state',
    `${token} refused the PIN, and ${triesLeft(stateAfter)}; Alcazar does not try this PIN again: put the right one into the PIN file, and start again`,
    { cause: error },
  )
}

function triesLeft(stateAfter: () => PinState): string {
  const unknown = 'it does not say how many tries are left before it locks itself'
  try {
    const { locked, lastTry, fewLeft } = stateAfter()
    if (locked) return 'it is locked now: its security officer can unlock it'
    if (lastTry) return 'it locks itself at the next wrong one'
    return fewLeft ? 'few tries are left before it locks itself' : unknown
  } catch {
    // The PIN was refused, whatever became of the token since.
    return unknown
  }
}
