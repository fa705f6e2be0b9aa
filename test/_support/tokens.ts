import { createPrivateKey, generateKeyPairSync, type KeyObject, sign } from 'node:crypto'

/** A cluster's signing key for service-account tokens, as kube-apiserver uses one. */
export class TokenSigner {
  readonly issuer: string
  readonly kid: string
  readonly #key: KeyObject
  readonly #alg: 'RS256' | 'ES256'

  constructor({
    issuer = 'https://kubernetes.default.svc.cluster.local',
    kid = 'test-key',
    alg = 'ES256' as 'RS256' | 'ES256',
  } = {}) {
    this.issuer = issuer
    this.kid = kid
    this.#alg = alg
    this.#key =
      alg === 'RS256'
        ? generateKeyPairSync('rsa', { modulusLength: 2048 }).privateKey
        : generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey
  }

  /** The key set the cluster publishes. */
  get jwks(): { keys: object[] } {
    const { kty, crv, x, y, n, e } = createPrivateKey(this.#key.export({ format: 'pem', type: 'pkcs8' })).export({
      format: 'jwk',
    })
    return {
      keys: [{ use: 'sig', kid: this.kid, alg: this.#alg, ...JSON.parse(JSON.stringify({ kty, crv, x, y, n, e })) }],
    }
  }

  /** A compact JWS of anything; `header` replaces fields, `undefined` removes them. */
  signed(claims: unknown, header: Record<string, unknown> = {}): string {
    const head = JSON.stringify({ alg: this.#alg, kid: this.kid, ...header })
    return this.signedText(head, typeof claims === 'string' ? claims : JSON.stringify(claims))
  }

  /** The same from the texts of header and claims, for what no JSON printer would write. */
  signedText(header: string, claims: string): string {
    const text = `${Buffer.from(header).toString('base64url')}.${Buffer.from(claims).toString('base64url')}`
    const signature = sign(
      'sha256',
      Buffer.from(text),
      this.#alg === 'ES256' ? { key: this.#key, dsaEncoding: 'ieee-p1363' } : this.#key,
    )
    return `${text}.${signature.toString('base64url')}`
  }
}

export type TestPod = { readonly name: string; readonly uid: string; readonly node?: string }

/** Claims as a kube-apiserver writes them into a projected token. Change one thing by `with`. */
export function podClaims(of: {
  issuer: string
  namespace: string
  serviceAccount: string
  accountUid: string
  pod?: TestPod
  now: Date
  audience?: string | string[]
  lifetimeSeconds?: number
}): Record<string, unknown> {
  const now = Math.floor(of.now.getTime() / 1000)
  return {
    aud: of.audience ?? ['istio-ca'],
    exp: now + (of.lifetimeSeconds ?? 3600),
    iat: now,
    iss: of.issuer,
    jti: 'd5b1a7a0-0000-4000-8000-000000000000',
    nbf: now,
    sub: `system:serviceaccount:${of.namespace}:${of.serviceAccount}`,
    'kubernetes.io': {
      namespace: of.namespace,
      serviceaccount: { name: of.serviceAccount, uid: of.accountUid },
      ...(of.pod && { pod: { name: of.pod.name, uid: of.pod.uid } }),
      ...(of.pod?.node && { node: { name: of.pod.node, uid: `node-${of.pod.node}` } }),
    },
  }
}
