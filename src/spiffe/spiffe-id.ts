import { CaError } from '../core/errors.ts'
import { REFUSALS } from './refusals.ts'
import { TrustDomain } from './trust-domain.ts'

const SCHEME = 'spiffe://'

/** A SPIFFE ID (SPIFFE-ID §2) of a workload: a trust domain and a path that is not empty. It exists only if it is right. */
export class SpiffeId {
  readonly trustDomain: TrustDomain
  /** Begins with a slash. */
  readonly path: string
  readonly uri: string

  private constructor(trustDomain: TrustDomain, path: string) {
    this.trustDomain = trustDomain
    this.path = path
    this.uri = trustDomain.uri + path
    Object.freeze(this)
  }

  /**
   * Reads a URI to the letter: no normalising, no percent decoding; what is not exactly right is refused.
   * @throws CaError `invalid_argument`
   */
  static parse(uri: string): SpiffeId {
    if (!uri.startsWith(SCHEME)) throw refuse(REFUSALS.scheme)
    if (uri.length > 2048) throw refuse(REFUSALS.idTooLong)
    const slash = uri.indexOf('/', SCHEME.length)
    const trustDomain = TrustDomain.parse(slash < 0 ? uri.slice(SCHEME.length) : uri.slice(SCHEME.length, slash))
    if (slash < 0) throw refuse(REFUSALS.noPath)
    return SpiffeId.of(trustDomain, uri.slice(slash + 1).split('/'))
  }

  /**
   * @param segments the path between its slashes, for example `['ns', 'shop', 'sa', 'cart']`
   * @throws CaError `invalid_argument`
   */
  static of(trustDomain: TrustDomain, segments: readonly string[]): SpiffeId {
    if (segments.length === 0 || (segments.length === 1 && segments[0] === '')) throw refuse(REFUSALS.noPath)
    segments.forEach((segment, index) => {
      checkSegment(segment, index === segments.length - 1)
    })
    const id = new SpiffeId(trustDomain, `/${segments.join('/')}`)
    if (id.uri.length > 2048) throw refuse(REFUSALS.idTooLong)
    return id
  }

  toString(): string {
    return this.uri
  }
}

/** A Kubernetes service account, as istio writes it into a SPIFFE ID. */
export type ServiceAccount = { readonly namespace: string; readonly name: string }

export function serviceAccountId(trustDomain: TrustDomain, account: ServiceAccount): SpiffeId {
  return SpiffeId.of(trustDomain, ['ns', account.namespace, 'sa', account.name])
}

/**
 * The other way: exactly `/ns/<namespace>/sa/<name>`.
 * @throws CaError `invalid_argument`
 */
export function serviceAccountOf(id: SpiffeId): ServiceAccount {
  const [empty, ns, namespace, sa, name, ...more] = id.path.split('/')
  if (empty !== '' || ns !== 'ns' || sa !== 'sa' || !namespace || !name || more.length > 0)
    throw refuse(REFUSALS.notServiceAccount)
  return { namespace, name }
}

function checkSegment(segment: string, last: boolean): void {
  if (segment === '') throw refuse(last ? REFUSALS.trailingSlash : REFUSALS.emptySegment)
  if (segment === '.' || segment === '..') throw refuse(REFUSALS.dotSegment)
  for (let at = 0; at < segment.length; at++)
    if (!isSegmentCharacter(segment.charCodeAt(at))) throw refuse(REFUSALS.pathCharacter)
}

function isSegmentCharacter(c: number): boolean {
  return (c >= 97 && c <= 122) || (c >= 65 && c <= 90) || (c >= 48 && c <= 57) || c === 46 || c === 45 || c === 95
}

function refuse(why: string): CaError {
  return new CaError('invalid_argument', why)
}
