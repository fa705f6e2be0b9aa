import type { Cluster, Pod, TokenReview } from '../attestation/cluster.ts'
import type { TokenIssuer } from '../attestation/token-keys.ts'
import { sha256Hex } from '../core/bytes.ts'
import type { Clock } from '../core/clock.ts'
import { HOUR, SECOND } from '../core/duration.ts'
import { CaError } from '../core/errors.ts'
import { Jwks } from '../jwt/jwks.ts'
import { readClaims, readToken, verifyToken } from '../jwt/jws.ts'
import { keyAlgorithm } from '../keys/algorithms.ts'
import { PrivateKey } from '../keys/private-key.ts'
import { type ServiceAccount, serviceAccountId } from '../spiffe/spiffe-id.ts'
import type { TrustDomain } from '../spiffe/trust-domain.ts'

/** The `iss` of tokens that dev mode makes: no cluster has it. */
const DEV_ISSUER = 'https://alcazar-dev.invalid'

const TOKEN_LIFETIME_MS = HOUR

/**
 * What stands in for a cluster on a laptop: it makes service-account tokens of Kubernetes' own shape, each for a pod that exists as long as
 * anybody asks. Its key lives in this process only, so a token ends with the server that made it.
 */
export class DevCluster {
  readonly cluster: Cluster
  readonly #key: PrivateKey
  readonly #trustDomain: TrustDomain
  readonly #audience: string
  readonly #clock: Clock

  private constructor(key: PrivateKey, trustDomain: TrustDomain, audience: string, clock: Clock) {
    this.#key = key
    this.#trustDomain = trustDomain
    this.#audience = audience
    this.#clock = clock
    this.cluster = {
      // It sees nothing, so every question goes to the reader, as behind an API server whose watch has just begun.
      watch: {
        pod: () => undefined,
        isGone: () => false,
        serviceAccountUid: () => undefined,
        runsOn: () => false,
        silence: () => Number.POSITIVE_INFINITY,
      },
      reader: {
        reviewToken: (token) => this.#review(token),
        readPod: async (namespace, name) => devPod(namespace, name),
        readServiceAccountUid: async (account) => accountUid(account),
        podsOn: async () => [],
      },
    }
  }

  static async start(trustDomain: TrustDomain, audience: string, clock: Clock): Promise<DevCluster> {
    return new DevCluster(await PrivateKey.generate(keyAlgorithm('ed25519')), trustDomain, audience, clock)
  }

  tokenIssuer = async (): Promise<TokenIssuer> => ({ issuer: DEV_ISSUER, jwks: this.#jwks() })

  /**
   * A token as the kubelet would project it into a pod of that account, good for an hour.
   * @throws CaError `invalid_argument`: names that Kubernetes would not take
   */
  async issueToken(account: ServiceAccount): Promise<string> {
    serviceAccountId(this.#trustDomain, account)
    for (const name of [account.namespace, account.name])
      if (name.length > 253 || !/^[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*$/.test(name))
        throw new CaError(
          'invalid_argument',
          `${JSON.stringify(name.slice(0, 80))} is no name of Kubernetes: lower-case letters, digits and dashes, with dots between labels`,
        )
    if (account.namespace.includes('.') || account.namespace.length > 63)
      throw new CaError('invalid_argument', 'the name of a namespace has no dots and at most 63 characters')
    // The token names a pod of its own, which must have a name too.
    if (account.name.length > 253 - POD_SUFFIX.length)
      throw new CaError(
        'invalid_argument',
        `dev mode makes tokens for accounts of at most ${253 - POD_SUFFIX.length} characters`,
      )
    const now = Math.floor(this.#clock.now().getTime() / SECOND)
    const pod = `${account.name}${POD_SUFFIX}`
    return this.#sign({
      aud: [this.#audience],
      exp: now + TOKEN_LIFETIME_MS / SECOND,
      iat: now,
      nbf: now,
      iss: DEV_ISSUER,
      sub: `system:serviceaccount:${account.namespace}:${account.name}`,
      'kubernetes.io': {
        namespace: account.namespace,
        serviceaccount: { name: account.name, uid: accountUid(account) },
        pod: { name: pod, uid: podUid(account.namespace, pod) },
      },
    })
  }

  async #review(text: string): Promise<TokenReview> {
    const token = readToken(text)
    const key = (await Jwks.parse(this.#jwks())).find(token.kid, token.algorithm)
    if (typeof key === 'string' || !verifyToken(token, key))
      return { authenticated: false, error: 'dev mode did not make this token' }
    const { sub } = readClaims(token)
    return { authenticated: true, username: String(sub), audiences: [this.#audience] }
  }

  #jwks(): string {
    const jwk = this.#key.publicKey.handle.export({ format: 'jwk' })
    return JSON.stringify({ keys: [{ ...jwk, kid: 'dev', alg: 'EdDSA', use: 'sig' }] })
  }

  async #sign(claims: object): Promise<string> {
    const encode = (value: object) => Buffer.from(JSON.stringify(value)).toString('base64url')
    const signed = `${encode({ alg: 'EdDSA', kid: 'dev', typ: 'JWT' })}.${encode(claims)}`
    return `${signed}.${Buffer.from(await this.#key.sign(Buffer.from(signed))).toString('base64url')}`
  }
}

const POD_SUFFIX = '-dev'

const accountUid = ({ namespace, name }: ServiceAccount): string => uid(`account ${namespace}/${name}`)
const podUid = (namespace: string, name: string): string => uid(`pod ${namespace}/${name}`)
const uid = (what: string): string => `dev-${sha256Hex(what).slice(0, 32)}`

function devPod(namespace: string, name: string): Pod | undefined {
  if (!name.endsWith(POD_SUFFIX)) return undefined
  return {
    uid: podUid(namespace, name),
    namespace,
    name,
    serviceAccount: name.slice(0, -POD_SUFFIX.length),
    node: 'dev',
    deletion: undefined,
    ended: false,
  }
}
