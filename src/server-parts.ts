import { stat } from 'node:fs/promises'
import type { Cluster } from './attestation/cluster.ts'
import type { TokenPolicy } from './attestation/service-account-token.ts'
import type { FetchTokenIssuer } from './attestation/token-keys.ts'
import type { Config } from './config/schema.ts'
import type { Clock } from './core/clock.ts'
import { CaError } from './core/errors.ts'
import type { RandomBytes } from './core/random.ts'
import { MAX_JWKS_BYTES } from './jwt/jwks.ts'
import { Pkcs11KeyEncryption } from './keys/pkcs11-key-encryption.ts'
import { Pkcs11Keys } from './keys/pkcs11-keys.ts'
import { PlainKeys } from './keys/plain-keys.ts'
import { SealedKeys } from './keys/sealed-keys.ts'
import type { KeyVaults } from './keys/vaults.ts'
import type { KubernetesApi } from './kubernetes/api.ts'
import { discoverTokenIssuer, KubernetesCluster } from './kubernetes/cluster.ts'
import { connectKubeconfig, connectMounted } from './kubernetes/connect.ts'
import { handingCrls } from './service/crl-set.ts'
import type { Events } from './service/events.ts'
import type { Keeper } from './service/keeper.ts'
import { readBounded } from './storage/bounded-file.ts'
import { replaceCrlFile } from './storage/crl-file.ts'
import { exists } from './storage/durable-file.ts'
import { makeDirectory } from './storage/make-directory.ts'
import { encryptionFrom, tokenFrom } from './storage/secret-file.ts'
import type { Log } from './telemetry/log.ts'

/**
 * Keys in the clear are dev mode's alone. A token that has root keys makes new ones, and files that are sealed otherwise are still opened; where
 * it has the wrapping key it is the other way round.
 */
export function keyVaults({ dev, keys }: Config, random: RandomBytes, opened: AsyncDisposableStack): KeyVaults {
  if (dev) return [new PlainKeys()]
  const token = tokenFrom(keys)
  const inToken = token ? [new Pkcs11Keys(opened.use(token))] : []
  if (token && keys.pkcs11Holds === 'wrapping-key')
    return [new SealedKeys(new Pkcs11KeyEncryption(token, random)), ...inToken]
  const encryption = encryptionFrom(keys)
  return [...inToken, ...(encryption ? [new SealedKeys(encryption)] : [])]
}

/** What seals the keys in files, for status. */
export const sealedWith = (vaults: KeyVaults): string | undefined =>
  vaults.find((vault) => vault instanceof SealedKeys)?.sealedWith

/**
 * Makes the state directory where it is missing. One that everybody may write is taken, with a warning: volumes are often made so (emptyDir, local-path), and a
 * pod has nobody else in it. Its group is the admin's choice, as a pod's fsGroup is.
 * @throws CaError `invalid_argument`: it can’t be made
 */
export async function openState(path: string, log: Log): Promise<void> {
  try {
    await makeDirectory(path, 0o700)
    const { mode } = await stat(path)
    if (mode & 0o002)
      log.warn(
        { detail: `${path} has mode ${(mode & 0o7777).toString(8)}; make it 700, or 2770 for a group` },
        'everybody on this machine may write the state directory, and so decide who is trusted',
      )
  } catch (cause) {
    throw new CaError(
      'invalid_argument',
      `the state directory ${path} can’t be made: ${(cause as Error).message}; choose another with --state-directory`,
      { cause },
    )
  }
}

/** What checks tokens: the cluster they are from, and its keys. */
export type Tokens = {
  readonly cluster: Cluster
  readonly fetch: FetchTokenIssuer
  readonly run: (signal: AbortSignal) => Promise<unknown>
}

/**
 * The API server that the settings lead to; nobody asks it yet.
 * @throws CaError `invalid_argument`: they lead nowhere
 */
export async function apiServerOf({ attestation }: Config, clock: Clock): Promise<KubernetesApi> {
  const { kubeconfig, apiServer: server = '', apiServerCa: caFile, apiServerToken: tokenFile } = attestation
  return kubeconfig === undefined
    ? connectMounted({ server, caFile, tokenFile }, clock)
    : await connectKubeconfig(kubeconfig, clock)
}

export function kubernetesTokens(
  api: KubernetesApi,
  { attestation }: Config,
  clock: Clock,
  random: RandomBytes,
  events: Events,
): Tokens {
  const { jwksFile, issuer } = attestation
  const cluster = new KubernetesCluster({ api, clock, random, events })
  const discover = discoverTokenIssuer(api)
  const fetch: FetchTokenIssuer = async (signal) => {
    if (jwksFile !== undefined && issuer !== undefined) return { issuer, jwks: await textIn(jwksFile) }
    const found = await discover(signal)
    return { issuer: issuer ?? found.issuer, jwks: found.jwks }
  }
  return { cluster: cluster.cluster, fetch, run: (signal) => cluster.run(signal) }
}

const textIn = async (jwksFile: string): Promise<string> =>
  (await readBounded(jwksFile, { what: jwksFile, atMost: MAX_JWKS_BYTES })).toString('utf8')

export function tokenPolicy({ attestation }: Config): TokenPolicy {
  const { audiences, authentication, unboundTokens, lineage, maxStaleness } = attestation
  return { audiences, authentication, unboundTokens, lineageMs: lineage, maxStalenessMs: maxStaleness }
}

/** Where this machine reaches a server that listens on every address. */
export function loopbackOf(host: string): string {
  if (host === '0.0.0.0') return '127.0.0.1'
  if (host === '::') return '[::1]'
  return host.includes(':') ? `[${host}]` : host
}

/** Keeps the whole set of CRLs in the file that is set, if one is. */
export async function crlsIntoFile(
  { crlFile }: Config,
  keeper: Keeper,
  { events, clock }: { readonly events: Events; readonly clock: Clock },
): ReturnType<typeof handingCrls> {
  if (crlFile === undefined) return { run: async () => undefined }
  const write = (pem: string) => replaceCrlFile(crlFile, pem)
  const isThere = () => exists(crlFile)
  return handingCrls({ crls: () => keeper.revocations.crls(), write, isThere, events, clock })
}
