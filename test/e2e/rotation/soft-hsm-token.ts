import { existsSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { run } from '../_support/run.ts'
import type { Stage } from '../_support/stage.ts'

/** Where Debian, Fedora and Homebrew have SoftHSM 2's module, and where it is when it was built by hand. */
const MODULES = [
  '/usr/lib/softhsm/libsofthsm2.so',
  '/usr/lib64/pkcs11/libsofthsm2.so',
  '/opt/homebrew/lib/softhsm/libsofthsm2.so',
  '/usr/local/lib/softhsm/libsofthsm2.so',
]
const [LABEL, PIN] = ['alcazar', '314159']

export type SoftHsmToken = {
  readonly keys: Readonly<Record<`pkcs11${'Module' | 'Token' | 'PinFile'}`, string>>
  /** By which the module finds its tokens. */
  readonly environment: { readonly SOFTHSM2_CONF: string }
}

/** A new token of SoftHSM 2. @throws where it is not there */
export async function aSoftHsmToken(stage: Stage): Promise<SoftHsmToken> {
  const pkcs11Module = MODULES.find((path) => existsSync(path))
  if (pkcs11Module === undefined) throw new Error('SoftHSM 2 is missing (Debian: apt-get install softhsm2)')
  const folder = stage.folder('softhsm')
  const environment = { SOFTHSM2_CONF: join(folder, 'softhsm2.conf') }
  const tokens = stage.folder('softhsm', 'tokens')
  writeFileSync(
    environment.SOFTHSM2_CONF,
    `directories.tokendir = ${tokens}\nobjectstore.backend = file\nlog.level = ERROR\n`,
  )
  const pkcs11PinFile = join(folder, 'pin')
  writeFileSync(pkcs11PinFile, PIN, { mode: 0o600 })
  const args = ['--init-token', '--free', '--label', LABEL, '--so-pin', '27182818', '--pin', PIN]
  await run('softhsm2-util', args, { env: { PATH: process.env.PATH, ...environment } })
  return { keys: { pkcs11Module, pkcs11Token: LABEL, pkcs11PinFile }, environment }
}
