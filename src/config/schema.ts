import { z } from 'zod'
import { parseDuration } from '../core/duration.ts'
import { CaError } from '../core/errors.ts'
import { KEY_ALGORITHM_NAMES, type KeyAlgorithmName } from '../keys/algorithms.ts'
import { CronExpression, parseTimeZone } from '../service/cron-expression.ts'
import type { Timetable } from '../service/schedule.ts'
import type { ServiceAccount } from '../spiffe/spiffe-id.ts'
import { TrustDomain } from '../spiffe/trust-domain.ts'
import { LOG_LEVELS, type LogLevel } from '../telemetry/log.ts'
import { DEV_STATE_DIRECTORY, STATE_DIRECTORY } from './state-directories.ts'
import { type Address, parseListen, parseServerName, parseServiceAccount } from './texts.ts'

/** Parses a text, and turns a refusal into a fault of the key it stands at. */
function parsed<T>(parse: (text: string) => T) {
  return z.string().transform((text, context) => {
    try {
      return parse(text)
    } catch (error) {
      if (!(error instanceof CaError)) throw error
      context.addIssue({ code: 'custom', message: error.message })
      return z.NEVER
    }
  })
}

const duration = () => parsed(parseDuration)
const cron = () => parsed(CronExpression.parse)
const algorithm = () => z.enum(KEY_ALGORITHM_NAMES)
const text = () => z.string().min(1)

/**
 * Every setting: its meaning, unit, default and what it interacts with. docs/config.md, the flags of `alcazar serve` and the names of
 * environment variables are made from this. Where a default depends on another setting, `otherwise` says how, and `complete` in load.ts does it.
 */
export const SCHEMA = z.strictObject({
  dev: z.boolean().meta({
    description:
      'Dev mode: a root made and kept here in the clear, and tokens issued here. Only on loopback, never in a cluster.',
    default: false,
  }),
  trustDomain: parsed(TrustDomain.parse).meta({
    description: 'The trust domain of every identity issued here.',
    default: 'cluster.local',
  }),
  stateDirectory: text().meta({
    description: 'Where journal, keys and ledger are. One server at a time uses it.',
    default: undefined,
    otherwise: `${DEV_STATE_DIRECTORY} in dev mode, else ${STATE_DIRECTORY}`,
  }),
  listen: parsed(parseListen).meta({
    description: 'host:port of the TLS port: istio’s CSR API by gRPC, and the HTTPS API. Citadel had 8060.',
    default: undefined,
    otherwise: '127.0.0.1:15012 in dev mode, else 0.0.0.0:15012',
  }),
  healthListen: parsed(parseListen).meta({
    description: 'host:port of /healthz, /readyz, /metrics and /version, in plain HTTP.',
    default: undefined,
    otherwise: '127.0.0.1:15014 in dev mode, else 0.0.0.0:15014',
  }),
  serverNames: z
    .array(parsed(parseServerName))
    .min(1)
    .meta({
      description: 'DNS names and IP addresses by which clients reach the TLS port; its certificate carries them.',
      default: [
        'localhost',
        '127.0.0.1',
        '::1',
        'alcazar.alcazar-system.svc',
        'alcazar.alcazar-system.svc.cluster.local',
      ],
    }),
  pluggedCa: text().optional().meta({
    description:
      'A directory with a CA in istio’s cacerts layout: ca-cert.pem, ca-key.pem, cert-chain.pem, root-cert.pem. It is watched. Outside dev mode either this or one of keys.*.',
    default: undefined,
    otherwise: 'none',
  }),
  crlFile: text().optional().meta({
    description:
      'A file for the whole set of CRLs, PEM, which is replaced whenever one changes: for Envoy’s validation context (crl), or as ca-crl.pem for istio. It always has all of them, or what it had before.',
    default: undefined,
    otherwise: 'none is written, and nobody need check revocation',
  }),
  keys: z.strictObject({
    passphraseFile: text().optional().meta({
      description:
        'Path of a file with a passphrase (8 characters or more, mode 600) that seals the key of a root made here. Not with pluggedCa or dev.',
      default: undefined,
      otherwise: 'none',
    }),
    wrappingKeyFile: text().optional().meta({
      description:
        'Path of a file with a key of 32 bytes (raw, hex or base64, mode 600) that seals the key of a root made here, instead of a passphrase.',
      default: undefined,
      otherwise: 'none',
    }),
    pkcs11Module: text().optional().meta({
      description:
        'Absolute path of a PKCS#11 module, whose token has roots’ keys or the key that wraps them (docs/pkcs11.md). Together with the next two. Not with pluggedCa or dev.',
      default: undefined,
      otherwise: 'none',
    }),
    pkcs11Token: text().optional().meta({ description: 'Label of the token.', default: undefined, otherwise: 'none' }),
    pkcs11PinFile: text().optional().meta({
      description: 'Path of a file with the token’s user PIN (mode 600). A wrong one is tried once a start.',
      default: undefined,
      otherwise: 'none',
    }),
    pkcs11Holds: z.enum(['root-keys', 'wrapping-key']).meta({
      description:
        'root-keys: roots’ keys are made in the token and never leave it. wrapping-key: they are sealed in files here, which a key in the token wraps, instead of a passphrase or keys.wrappingKeyFile.',
      default: 'root-keys',
    }),
  }),
  experimental: z
    .boolean()
    .meta({ description: 'Certify keys of kinds that few verifiers know yet: ML-DSA.', default: false }),
  root: z.strictObject({
    algorithm: algorithm().meta({ description: 'Kind of key of a root made here.', default: 'ecdsa-p256' }),
    lifetime: duration().meta({ description: 'How long a root made here lives.', default: '10y' }),
    rotateBefore: duration().meta({
      description:
        'How long before its end a root made here is replaced by itself, step by step and each only when it is safe; at most a sixth of its life.',
      default: '180d',
    }),
    renewalWindow: duration().meta({
      description:
        'While a root is replaced: over how long the renewals are spread that a step waits for, of clients that ask when to renew (GET /v1/renewal). Nobody renews later for it.',
      default: '1h',
    }),
  }),
  issuing: z.strictObject({
    algorithm: algorithm().meta({
      description: 'Kind of key of the issuing authority, which is made at start and held in memory.',
      default: 'ecdsa-p256',
    }),
    lifetime: duration().meta({
      description: 'How long an issuing authority lives; its successor is made before a sixth of that is left.',
      default: '30d',
    }),
  }),
  svid: z.strictObject({
    defaultTtl: duration().meta({
      description: 'Lifetime of an SVID when none is asked for. At most svid.maxTtl and a sixth of issuing.lifetime.',
      default: '24h',
    }),
    maxTtl: duration().meta({
      description:
        'Longest lifetime that may be asked for; longer is refused. Every SVID also ends with its issuing authority.',
      default: '90d',
    }),
  }),
  attestation: z.strictObject({
    apiServer: text().optional().meta({
      description: 'https:// URL of the Kubernetes API server.',
      default: undefined,
      otherwise: 'in a cluster its own, from KUBERNETES_SERVICE_HOST and KUBERNETES_SERVICE_PORT',
    }),
    apiServerCa: text().meta({
      description: 'Path of the CA certificates (PEM) by which attestation.apiServer is trusted.',
      default: '/var/run/secrets/kubernetes.io/serviceaccount/ca.crt',
    }),
    apiServerToken: text().meta({
      description: 'Path of the token that is shown to attestation.apiServer; it is read again as it rotates.',
      default: '/var/run/secrets/kubernetes.io/serviceaccount/token',
    }),
    kubeconfig: text().optional().meta({
      description: 'Path of a kubeconfig that leads to the API server, instead of the three settings above.',
      default: undefined,
      otherwise: 'none',
    }),
    jwksFile: text().optional().meta({
      description:
        'Path of a JSON Web Key Set that checks tokens, instead of OIDC discovery at the API server. Needs attestation.issuer.',
      default: undefined,
      otherwise: 'discovery',
    }),
    issuer: text().optional().meta({
      description: 'The iss of service-account tokens.',
      default: undefined,
      otherwise: 'what discovery names',
    }),
    audiences: z
      .array(text())
      .min(1)
      .meta({ description: 'A token must be for one of these audiences.', default: ['istio-ca'] }),
    authentication: z.enum(['local', 'token-review']).meta({
      description:
        'local: tokens are checked here, and the API server is asked only where a watch can’t say yes. token-review: it is asked about every token, too.',
      default: 'local',
    }),
    unboundTokens: z.enum(['allow', 'deny']).meta({
      description: 'Whether tokens bound to no object (kubectl create token) are taken. They never renew by mTLS.',
      default: 'allow',
    }),
    lineage: duration().meta({
      description: 'How long after a token its SVID may renew itself by mTLS.',
      default: '48h',
    }),
    maxStaleness: duration().meta({
      description:
        'How old the view of pods and accounts may be while the API server can’t be asked; then requests fail as UNAVAILABLE.',
      default: '10m',
    }),
    trustedNodeAccounts: z.array(parsed(parseServiceAccount)).meta({
      description:
        'Service accounts (namespace/name) of node proxies such as ztunnel, which may ask on behalf of pods on their node.',
      default: [],
    }),
  }),
  schedule: z.strictObject({
    checkAuthorities: cron().meta({
      description:
        'When to look how much is left of every authority, and to warn: a cron expression of five fields (docs/schedule.md).',
      default: '*/5 * * * *',
    }),
    rotateRoot: cron().optional().meta({
      description: 'When to replace the root, for example 0 3 1 1 * for every 1 January at 03:00.',
      default: undefined,
      otherwise: 'none: an admin does, or root.rotateBefore',
    }),
    renewIssuing: cron().meta({
      description:
        'When to look whether the issuing authority is due to be replaced. That is also looked at every minute.',
      default: '*/5 * * * *',
    }),
    prune: cron().meta({ description: 'When to forget what has ended.', default: '17 * * * *' }),
    timeZone: parsed(parseTimeZone).meta({
      description: 'The IANA time zone of these expressions, for example Europe/Berlin.',
      default: 'UTC',
    }),
  }),
  limits: z.strictObject({
    connections: z
      .int()
      .min(1)
      .max(1_000_000)
      .meta({ description: 'TLS connections at a time; more are closed at once.', default: 10_000 }),
    requests: z.int().min(1).max(100_000).meta({
      description: 'Certificate requests in flight; more are told to try again (RESOURCE_EXHAUSTED).',
      default: 512,
    }),
  }),
  log: z.strictObject({
    level: z.enum(LOG_LEVELS).meta({ description: 'Least severity that is logged.', default: 'info' }),
    format: z.enum(['auto', 'json', 'text']).meta({
      description: 'auto: text at a terminal and in dev mode, else JSON, one object a line on stderr.',
      default: 'auto',
    }),
  }),
})

/** The settings a server runs with: complete, checked against each other, frozen. Durations are milliseconds. */
export type Config = {
  readonly dev: boolean
  readonly trustDomain: TrustDomain
  readonly stateDirectory: string
  readonly listen: Address
  readonly healthListen: Address
  readonly serverNames: readonly string[]
  readonly pluggedCa: string | undefined
  readonly crlFile: string | undefined
  readonly keys: Readonly<
    Record<'passphraseFile' | 'wrappingKeyFile' | `pkcs11${'Module' | 'Token' | 'PinFile'}`, string | undefined>
  > & { readonly pkcs11Holds: 'root-keys' | 'wrapping-key' }
  readonly experimental: boolean
  readonly root: {
    readonly algorithm: KeyAlgorithmName
    readonly lifetime: number
    readonly rotateBefore: number
    readonly renewalWindow: number
  }
  readonly issuing: { readonly algorithm: KeyAlgorithmName; readonly lifetime: number }
  readonly svid: { readonly defaultTtl: number; readonly maxTtl: number }
  readonly attestation: {
    readonly apiServer: string | undefined
    readonly apiServerCa: string
    readonly apiServerToken: string
    readonly kubeconfig: string | undefined
    readonly jwksFile: string | undefined
    readonly issuer: string | undefined
    readonly audiences: readonly string[]
    readonly authentication: 'local' | 'token-review'
    readonly unboundTokens: 'allow' | 'deny'
    readonly lineage: number
    readonly maxStaleness: number
    readonly trustedNodeAccounts: readonly ServiceAccount[]
  }
  readonly schedule: Timetable
  readonly limits: { readonly connections: number; readonly requests: number }
  readonly log: { readonly level: LogLevel; readonly format: 'auto' | 'json' | 'text' }
}

/** One setting by its path in the schema. */
export type Setting = {
  /** As the file nests it, for example `svid.defaultTtl`. */
  readonly key: string
  /** `--svid-default-ttl`. */
  readonly flag: string
  /** `ALCAZAR_SVID_DEFAULT_TTL`. */
  readonly variable: string
  readonly kind: 'text' | 'number' | 'boolean' | 'list'
  readonly description: string
  readonly default: unknown
  /** What holds where the default depends on something. */
  readonly otherwise: string | undefined
  /** The values there are, where they are few. */
  readonly values: readonly string[] | undefined
}

export const SETTINGS: readonly Setting[] = settingsOf(SCHEMA, [])

function settingsOf(schema: z.ZodObject, path: readonly string[]): Setting[] {
  return Object.entries(schema.shape).flatMap(([name, type]) => {
    const here = [...path, name]
    if (type instanceof z.ZodObject) return settingsOf(type, here)
    const meta = (type as z.ZodType).meta() as { description: string; default: unknown; otherwise?: string }
    const words = here.map((part) => part.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)).join('-')
    return {
      key: here.join('.'),
      flag: `--${words}`,
      variable: `ALCAZAR_${words.replaceAll('-', '_').toUpperCase()}`,
      kind:
        type instanceof z.ZodBoolean
          ? 'boolean'
          : type instanceof z.ZodArray
            ? 'list'
            : type instanceof z.ZodNumber
              ? 'number'
              : 'text',
      description: meta.description,
      default: meta.default,
      otherwise: meta.otherwise,
      values: type instanceof z.ZodEnum ? (type.options as string[]) : undefined,
    } satisfies Setting
  })
}
