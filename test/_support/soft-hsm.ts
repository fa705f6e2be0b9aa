import { execFileSync } from 'node:child_process'
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { join } from 'node:path'
import { onTestFinished } from 'vitest'
import { Pkcs11Token } from '../../src/keys/pkcs11.ts'
import { scratch } from './scratch.ts'

/** Where distributions have SoftHSM 2's module: Debian, Fedora, Homebrew, built by hand. */
const MODULES = [
  '/usr/lib/softhsm/libsofthsm2.so',
  '/usr/lib64/pkcs11/libsofthsm2.so',
  '/opt/homebrew/lib/softhsm/libsofthsm2.so',
  '/usr/local/lib/softhsm/libsofthsm2.so',
]
const MODULE = MODULES.find((path) => existsSync(path)) ?? ''

/** What of SoftHSM 2 (softhsm2-util and its module) and pkcs11js, built, is not there. */
export function missingForTokens(): string[] {
  const missing: string[] = []
  try {
    execFileSync('softhsm2-util', ['--version'], { stdio: 'ignore' })
    if (MODULE === '') throw new Error('no module')
  } catch {
    missing.push('SoftHSM 2 (Debian: apt-get install softhsm2)')
  }
  try {
    createRequire(import.meta.url)('pkcs11js')
  } catch {
    missing.push('pkcs11js (npm run build-pkcs11)')
  }
  return missing
}

export const PIN = '314159'

/** CKF_USER_PIN_… (PKCS#11 §3.2) */
export const PIN_FLAGS = { fewLeft: 0x10000, lastTry: 0x20000, locked: 0x40000 } as const

/** A place of this test's own for tokens of SoftHSM 2. One at a time: the module reads an environment variable of the process. */
export class SoftHsm {
  readonly module = MODULE
  readonly #directory = scratch()
  readonly #tokens = join(this.#directory, 'tokens')
  readonly #away = join(this.#directory, 'away')

  constructor() {
    mkdirSync(this.#tokens)
    mkdirSync(this.#away)
    const configuration = join(this.#directory, 'softhsm2.conf')
    writeFileSync(
      configuration,
      `directories.tokendir = ${this.#tokens}\nobjectstore.backend = file\nlog.level = ERROR\n`,
    )
    const before = process.env.SOFTHSM2_CONF
    process.env.SOFTHSM2_CONF = configuration
    onTestFinished(() => {
      if (before === undefined) delete process.env.SOFTHSM2_CONF
      else process.env.SOFTHSM2_CONF = before
    })
  }

  /** A new token, and the name of its folder. */
  add(label: string): string {
    const before = readdirSync(this.#tokens)
    execFileSync('softhsm2-util', [
      ...['--init-token', '--free', '--label', label],
      ...['--so-pin', '27182818', '--pin', PIN],
    ])
    return readdirSync(this.#tokens).find((name) => !before.includes(name)) as string
  }

  /** Takes a token out, as if its plug were pulled. */
  remove(token: string): void {
    renameSync(join(this.#tokens, token), join(this.#away, token))
  }

  putBack(token: string): void {
    renameSync(join(this.#away, token), join(this.#tokens, token))
  }

  /** Sets flags on a token, which SoftHSM honours but never sets by itself. */
  flag(token: string, flags: number): void {
    const path = join(this.#tokens, token, 'token.object')
    const content = readFileSync(path)
    // An attribute is its type, its kind (2: a number) and its value, eight bytes each; CKA_OS_TOKENFLAGS is 0x8000534b.
    const start = Buffer.from('000000008000534b0000000000000002', 'hex')
    const at = content.indexOf(start)
    if (at === -1) throw new Error('token.object has no flags where they were expected')
    content.writeUInt32BE((content.readUInt32BE(at + start.length + 4) | flags) >>> 0, at + start.length + 4)
    writeFileSync(path, content)
  }

  /** A token as production uses it, closed when the test is over. */
  open(tokenLabel: string, pin: () => Promise<string> = async () => PIN): Pkcs11Token {
    const token = new Pkcs11Token({ module: this.module, tokenLabel, pin })
    onTestFinished(() => token[Symbol.asyncDispose]())
    return token
  }
}
