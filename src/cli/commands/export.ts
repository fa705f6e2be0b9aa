import { type Authority, type AuthoritySet, activeRoot, signingUnder } from '../../authority/authority.ts'
import { authorityByPrefix } from '../../authority/transitions.ts'
import { shortId } from '../../core/bytes.ts'
import { CaError } from '../../core/errors.ts'
import { disableExport, noteExport, openForExport } from '../../service/export-ca.ts'
import { checkEmpty, writeCertificates, writeKey } from '../../storage/exported-ca.ts'
import { type CliEnv, print, type Verb } from '../env.ts'
import { addStateFlags, openStoppedState, requireSealing, type StoppedState } from '../offline-state.ts'
import { outputOption } from '../output-option.ts'

type Options = Readonly<Record<string, unknown>>
type Found = { readonly revision: number; readonly set: AuthoritySet }

export const exportVerb: Verb = {
  name: 'export',
  summary: 'Write a root’s CA with its key in the clear, as istio’s cacerts (the server is stopped)',
  define(command) {
    addStateFlags(
      command
        .option('--root <id>', 'the root, by the beginning of its id')
        .option('--out <dir>', 'a new directory for ca-cert.pem, ca-key.pem (0400), cert-chain.pem and root-cert.pem')
        .option('--yes-export <id>', 'do it without asking, if this is the short id of that root'),
    )
      .option('--disable-for-good', 'let no key leave this state directory from now on; nothing takes that back')
      .option('--yes-disable <trust-domain>', 'do that without asking, if this is the trust domain')
      .addOption(outputOption())
      .addHelpText(
        'after',
        '\nThe ledger says so before the key is written, and status says “was in the clear” of that root until it is replaced. A key in a PKCS#11 token can’t be exported.\nA server with --plugged-ca on the result needs a state directory of its own.\n\nExample:\n  alcazar export --root 3f9a21c4 --out ./cacerts --state-directory /var/lib/alcazar --passphrase-file pass',
      )
  },
  async run(env, _args, options) {
    const disable = options.disableForGood === true
    if (disable && (options.root !== undefined || options.out !== undefined))
      throw new CaError('invalid_argument', '--disable-for-good exports nothing; leave out --root and --out')
    if (!disable && (typeof options.root !== 'string' || typeof options.out !== 'string'))
      throw new CaError('invalid_argument', 'say what and where to: --root ID --out DIR')
    await using state = await openStoppedState(env, options)
    const found = await state.store.read()
    if (!found)
      throw new CaError(
        'not_found',
        `there is no root in ${options.stateDirectory as string}; name the server’s directory by --state-directory`,
      )
    if (found.set.origin === 'plugged-in')
      throw new CaError('wrong_state', 'the CA is plugged in: its key is in its own files, and none is kept here')
    await (disable ? disabling(env, options, state, found) : exporting(env, options, state, found))
  },
}

async function exporting(env: CliEnv, options: Options, state: StoppedState, found: Found): Promise<void> {
  const out = options.out as string
  const root = authorityByPrefix(found.set, options.root as string, 'root')
  // Only that needs a secret; a key that never leaves is refused without one.
  if (signingUnder(root).key === 'sealed') requireSealing(options)
  const ca = await openForExport(found.set, root, state.store)
  await checkEmpty(out)
  await confirm(env, {
    given: options.yesExport as string | undefined,
    flag: '--yes-export',
    expected: shortId(root.id),
    what: 'the short id of the root, in two groups',
    question: `The key of root ${shortId(root.id)} will lie in the clear in ${out}: whoever reads it is the CA. To export it, type the short id of the root: `,
  })
  // Whatever keeps the key from being written is found out before it is said that it was.
  const takeBack = await writeCertificates(out, ca)
  try {
    await noteExport(found, root, out, { ...state, clock: env.clock })
  } catch (error) {
    await takeBack()
    throw error
  }
  await writeKey(out, ca)
  print(env, options, { root: root.id, out, state: root.state }, () => [
    `Wrote the CA of root ${shortId(root.id)} to ${out}: ca-cert.pem, ca-key.pem (in the clear, mode 400), cert-chain.pem, root-cert.pem.`,
    ...(ca.roots.length > 1
      ? [
          `root-cert.pem has all ${ca.roots.length} roots of the bundle, not this one alone: workloads may stand on any of them.`,
        ]
      : []),
    'Status says “was in the clear” of this root from now on, until alcazar root rotate has replaced it.',
    `To serve from it: alcazar serve --plugged-ca ${out}, with a state directory of its own.`,
  ])
}

async function disabling(env: CliEnv, options: Options, state: StoppedState, found: Found): Promise<void> {
  const { set } = found
  if (set.exportDisabled) throw new CaError('wrong_state', 'exporting keys was disabled for good already')
  await confirm(env, {
    given: options.yesDisable as string | undefined,
    flag: '--yes-disable',
    expected: set.trustDomain.name,
    what: 'the trust domain',
    question: `No key will ever leave ${options.stateDirectory as string} again, and nothing takes that back. To disable it, type the trust domain (${set.trustDomain.name}): `,
  })
  await disableExport(found, activeRoot(set) as Authority, { ...state, clock: env.clock })
  print(env, options, { exportDisabled: true }, () => [
    'Exporting keys from this state directory is disabled for good.',
  ])
}

type Confirmation = {
  readonly given: string | undefined
  readonly flag: string
  readonly expected: string
  /** What that is. */
  readonly what: string
  readonly question: string
}

/** @throws CaError `invalid_argument`: not confirmed; nothing was done */
async function confirm(env: CliEnv, { given, flag, expected, what, question }: Confirmation): Promise<void> {
  if (given === undefined && !env.ask)
    throw new CaError(
      'invalid_argument',
      `stdin is no terminal on which to confirm this; without one write ${flag} ${JSON.stringify(expected)}`,
    )
  const typed = given ?? (await env.ask?.(question)) ?? ''
  const plain = (text: string) => text.replaceAll(/[\s:]/g, '').toLowerCase()
  if (plain(typed) !== plain(expected))
    throw new CaError('invalid_argument', `that is not ${expected}, ${what}; nothing was done`)
}
