import { join } from 'node:path'
import { type Authority, bundledRoots, signingUnder } from '../../authority/authority.ts'
import { type FoundFiles, inCacertsLayout, readPluggedCa } from '../../authority/plugged-ca-files.ts'
import { equalBytes, shortId } from '../../core/bytes.ts'
import { plus } from '../../core/clock.ts'
import { parseDuration } from '../../core/duration.ts'
import { CaError } from '../../core/errors.ts'
import { authorityIdOf } from '../../keys/public-key.ts'
import { connectKubeconfig } from '../../kubernetes/connect.ts'
import { readSecret } from '../../kubernetes/secrets.ts'
import type { Ledger } from '../../ledger/ledger.ts'
import { type ImportPlan, importCa, planImport } from '../../service/import-ca.ts'
import { TrustDomain } from '../../spiffe/trust-domain.ts'
import { caFilesIn } from '../../storage/plugged-ca-directory.ts'
import { type CliEnv, print, type Verb } from '../env.ts'
import { endInWords, momentInWords } from '../moments.ts'
import { addStateFlags, openStoppedState, requireSealing, storeIn } from '../offline-state.ts'
import { outputOption } from '../output-option.ts'

type Options = Readonly<Record<string, unknown>>

/** Where a CA lies in the clear. */
type Source = {
  readonly found: FoundFiles
  /** For messages, and for the ledger. */
  readonly where: string
  readonly pathOf: (name: string) => string
  /** Each copy of the key that we know of, and what takes it away. */
  readonly copies: readonly { readonly copy: string; readonly remove: string }[]
}

export const importVerb: Verb = {
  name: 'import',
  summary: 'Take over the CA of istio or of a cacerts directory as the active root, unnoticed (the server is stopped)',
  define(command) {
    addStateFlags(
      command
        .requiredOption(
          '--from <source...>',
          'directory DIR (ca-cert.pem and the rest, or tls.crt, tls.key and ca.crt), or istio (its Secret cacerts or istio-ca-secret)',
        )
        .option('--kubeconfig <file>', 'leads to the cluster of istio (default: $KUBECONFIG or ~/.kube/config)')
        .option('--istio-namespace <namespace>', 'where istio’s Secret is', 'istio-system'),
    )
      .option('--trust-domain <name>', 'of the identities that the CA signs', 'cluster.local')
      .option(
        '--longest-svid <duration>',
        'how long certificates live that the CA issued before and no ledger here knows; istio’s proxies ask for 24h',
        '24h',
      )
      .option('--dry-run', 'say what would be taken over and what is not as it should be; change nothing')
      .addOption(outputOption())
      .addHelpText(
        'after',
        '\nInto an empty state directory, or into that of a server that has this very CA plugged in. Interrupted, the same command again finishes it.\n\nExamples:\n  alcazar import --from istio --state-directory /var/lib/alcazar --passphrase-file pass --dry-run\n  alcazar import --from directory ./cacerts --state-directory ./state --passphrase-file pass',
      )
  },
  async run(env, _args, options) {
    const trustDomain = TrustDomain.parse(options.trustDomain as string)
    const unknownFor = parseDuration(options.longestSvid as string)
    const dryRun = options.dryRun === true
    requireSealing(options)
    const source = await sourceOf(env, options)
    const now = env.clock.now()
    const { files, as } = naming(source.where, () => inCacertsLayout(source.found))
    const ca = await readPluggedCa(files, { where: `${source.where} (${as})`, pathOf: source.pathOf }, now)
    const target = { home: 'sealed' as const, othersUntil: plus(now, unknownFor), now }
    const seen = await storeIn(options.stateDirectory as string).read()
    // What is refused makes no directory, and is refused in a dry run alike.
    const foreseen = planImport(seen, ca, trustDomain, target)
    if (dryRun) return report(env, options, foreseen, source)
    await using state = await openStoppedState(env, options)
    const plan = planImport(await state.store.read(), ca, trustDomain, target)
    await importCa(state.store, ca.signer, plan)
    await record(state.ledger, plan.root, source.where, now)
    report(env, options, plan, source)
  },
}

/** Only now: a ledger without a journal would be a state that was damaged. @throws CaError as the ledger, saying that it is done all the same */
async function record(ledger: Ledger, { id }: Authority, where: string, now: Date): Promise<void> {
  const detail = `from ${where}, where its key was in the clear`
  try {
    await ledger.record({ kind: 'authority', at: now.toISOString(), what: 'CA taken over', authority: id, detail })
  } catch (error) {
    if (!(error instanceof CaError)) throw error
    throw new CaError(error.code, `root ${shortId(id)} is taken over, but ${error.message}: no record of it is there`, {
      cause: error,
    })
  }
}

async function sourceOf(env: CliEnv, options: Options): Promise<Source> {
  const [kind, path, ...more] = options.from as readonly string[]
  if (kind === 'directory' && path !== undefined && more.length === 0) return fromDirectory(path)
  if (kind === 'istio' && path === undefined) return fromIstio(env, options)
  throw new CaError('invalid_argument', '--from takes “directory DIR” or “istio”')
}

async function fromDirectory(path: string): Promise<Source> {
  const found = await caFilesIn(path)
  const keys = ['ca-key.pem', 'tls.key'].filter((name) => found.has(name)).map((name) => join(path, name))
  return {
    found,
    where: path,
    pathOf: (name) => join(path, name),
    copies: keys.map((copy) => ({ copy, remove: `shred -u ${copy}` })),
  }
}

/** As istiod chooses: the CA that was plugged in before the one that it made. */
const ISTIO_SECRETS = ['cacerts', 'istio-ca-secret'] as const

async function fromIstio(env: CliEnv, options: Options): Promise<Source> {
  const { KUBECONFIG, HOME = '' } = env.environment
  const kubeconfig = (options.kubeconfig as string | undefined) ?? (KUBECONFIG || join(HOME, '.kube/config'))
  const namespace = options.istioNamespace as string
  const api = await connectKubeconfig(kubeconfig, env.clock)
  const { signal } = new AbortController()
  const secrets: { name: string; found: FoundFiles }[] = []
  for (const name of ISTIO_SECRETS) {
    const found = await readSecret(api, { namespace, name }, signal)
    if (found) secrets.push({ name, found })
  }
  const [first] = secrets
  if (!first)
    throw new CaError(
      'not_found',
      `there is neither a Secret ${ISTIO_SECRETS.join(' nor ')} in ${namespace}; name istio’s namespace by --istio-namespace, or its cluster by --kubeconfig`,
    )
  const keyIn = (found: FoundFiles) => found.get('ca-key.pem') ?? found.get('tls.key')
  const key = keyIn(first.found)
  const holders = secrets.filter(({ found }) => equalBytes(keyIn(found) ?? new Uint8Array(), key ?? new Uint8Array()))
  return {
    found: first.found,
    where: `Secret ${namespace}/${first.name}`,
    pathOf: (name) => `${name} of Secret ${namespace}/${first.name}`,
    copies: holders.map(({ name }) => ({
      copy: `Secret ${namespace}/${name}`,
      remove: `kubectl delete secret -n ${namespace} ${name}, once istiod signs no more`,
    })),
  }
}

function report(env: CliEnv, options: Options, plan: ImportPlan, { where, copies }: Source): void {
  const { set, root, online, remarks, replaces } = plan
  const dryRun = options.dryRun === true
  const now = env.clock.now()
  const roots = bundledRoots(set)
  const data = {
    dryRun,
    from: where,
    root: { id: root.id, notAfter: root.certificate.tbs.notAfter.toISOString() },
    ...(online && {
      onlineCa: {
        id: authorityIdOf(online.certificate.tbs.publicKey),
        notAfter: online.certificate.tbs.notAfter.toISOString(),
      },
    }),
    bundleSequence: set.bundleSequence,
    bundle: roots.map(({ id }) => id),
    continues: replaces !== undefined,
    ...(set.othersUntil && { othersUntil: set.othersUntil.toISOString() }),
    remarks,
    clearCopies: copies.map(({ copy }) => copy),
  }
  const signer = signingUnder(root)
  const state = options.stateDirectory as string
  print(env, options, data, () => [
    `${dryRun ? 'Would take over' : 'Taken over'} from ${where}: root ${shortId(root.id)}, ${root.publicKey.algorithm.label}, ${endInWords(root.certificate.tbs.notAfter, now)}.`,
    ...(online
      ? [
          `  It signs by the CA ${shortId(authorityIdOf(signer.certificate.tbs.publicKey))} below it, which ${endInWords(signer.certificate.tbs.notAfter, now)}; the root’s own key stays elsewhere.`,
        ]
      : []),
    `  Its key ${dryRun ? 'would be' : 'is'} sealed in ${state}${replaces === undefined ? '' : ', and all that this server knew goes on: bundle, issuing authorities, ledger'}.`,
    `  Nothing alive ${dryRun ? 'would notice' : 'notices'}: same root, same bundle (${roots.length} ${roots.length === 1 ? 'root' : 'roots'}, number ${set.bundleSequence}).`,
    ...(set.othersUntil && replaces === undefined
      ? [
          `  What it issued before may be alive until ${momentInWords(set.othersUntil, now)}: no step that needs to know who is alive is taken earlier.`,
        ]
      : []),
    ...remarks.map((remark) => `  ! ${remark}`),
    dryRun ? 'The key would still lie in the clear here:' : 'The key still lies in the clear here:',
    ...copies.flatMap(({ copy, remove }) => [`  ${copy}`, `    remove it: ${remove}`]),
    '  and wherever that came from: etcd and its backups, Git, the disk of whoever made it.',
    ...(dryRun
      ? ['Nothing was changed.']
      : [
          'Copies can be read even when they are gone: status says “was in the clear” of this root until alcazar root rotate has replaced it.',
          `Next: alcazar serve --state-directory ${state}, with the same key setting and without pluggedCa.`,
        ]),
  ])
}

function naming<T>(where: string, read: () => T): T {
  try {
    return read()
  } catch (error) {
    if (error instanceof CaError) throw new CaError(error.code, `${where}: ${error.message}`, { cause: error })
    throw error
  }
}
