import {
  type Authority,
  type AuthoritySet,
  activeRoot,
  authorityOf,
  bundledRoots,
  emptySet,
  idOf,
  type KeyHome,
  type OnlineCa,
  signingUnder,
} from '../authority/authority.ts'
import type { PluggedCa } from '../authority/plugged-ca.ts'
import { checkRoot, checkTrustDomain, isWeaklySigned } from '../authority/root-certificate.ts'
import { equalBytes, shortId } from '../core/bytes.ts'
import { earlier } from '../core/clock.ts'
import { DAY, durationInWords } from '../core/duration.ts'
import { CaError } from '../core/errors.ts'
import type { PrivateKey } from '../keys/private-key.ts'
import type { TrustDomain } from '../spiffe/trust-domain.ts'
import type { Certificate } from '../x509/certificate.ts'
import type { AuthorityStore } from './ports.ts'
import { settledByRepeating } from './turns.ts'

export type ImportPlan = {
  /** What the journal will hold. */
  readonly set: AuthoritySet
  /** The revision that it replaces; nothing where a trust domain begins. */
  readonly replaces: number | undefined
  readonly root: Authority
  /** What signs for the root, where that is not the root itself. */
  readonly online: OnlineCa | undefined
  /** What is not as it should be, and yet taken. */
  readonly remarks: readonly string[]
}

type Found = { readonly revision: number; readonly set: AuthoritySet }

const SOON_MS = 90 * DAY

/**
 * How a CA that was made elsewhere becomes the root here: as a trust domain begins, or where it was plugged in, with all that was kept of that.
 * @param found what the journal holds now
 * @param othersUntil until when may live what the CA issued that no ledger here knows
 * @throws CaError `wrong_state`: there is another root, kind of state or trust domain · `invalid_argument`: the CA can't be the root here
 */
export function planImport(
  found: Found | undefined,
  ca: PluggedCa,
  trustDomain: TrustDomain,
  { home, othersUntil, now }: { readonly home: KeyHome; readonly othersUntil: Date; readonly now: Date },
): ImportPlan {
  const roots = oneForEachKey(ca.roots)
  const isActive = (certificate: Certificate) => idOf(certificate) === idOf(ca.root)
  const root = roots.find(isActive) as Certificate
  checkRoot(root, 'the certificate in root-cert.pem that the CA leads to')
  checkTrustDomain([ca.certificate, ...ca.intermediates, root], trustDomain)
  const isRoot = idOf(ca.certificate) === idOf(ca.root)
  const online = isRoot ? undefined : { certificate: ca.certificate, intermediates: ca.intermediates, key: home }
  const taken = { key: isRoot ? home : ('elsewhere' as const), online, wasInTheClear: true }
  const make = (state: 'active' | 'old', certificate: Certificate): Authority =>
    authorityOf(
      certificate,
      { role: 'root', state, bundledSince: 1, ...(state === 'active' ? taken : { key: 'elsewhere' as const }) },
      now,
    )
  const begun = (): AuthoritySet => ({
    ...emptySet(trustDomain, 'own'),
    authorities: roots.map((one) => make(isActive(one) ? 'active' : 'old', one)),
    othersUntil,
  })
  const set = found ? withOneForEachKey(converted(found.set, ca, taken, home, trustDomain), roots) : begun()
  const active = activeRoot(set) as Authority
  const remarks = [...remarksOn(ca, active, now), ...leftOut(ca, roots)]
  return { set, replaces: found?.revision, root: active, online, remarks }
}

/** The state of a server whose CA was plugged in, as one that keeps the CA's key itself. */
function converted(
  set: AuthoritySet,
  ca: PluggedCa,
  taken: Pick<Authority, 'key' | 'online' | 'wasInTheClear'>,
  home: KeyHome,
  trustDomain: TrustDomain,
): AuthoritySet {
  const active = activeRoot(set)
  const same = active !== undefined && active.id === idOf(ca.root)
  if (set.origin === 'own' && same && active.wasInTheClear)
    throw new CaError(
      'wrong_state',
      `root ${shortId(active.id)} was taken over already; start the server with the same key settings, without pluggedCa`,
    )
  if (set.origin !== 'plugged-in')
    throw new CaError(
      'wrong_state',
      `this state directory has a root of ${set.origin === 'dev' ? 'dev mode' : 'its own'}; import into an empty one, named by --state-directory`,
    )
  if (!set.trustDomain.equals(trustDomain))
    throw new CaError(
      'wrong_state',
      `this state directory belongs to the trust domain ${set.trustDomain.name}, not ${trustDomain.name}; name that by --trust-domain`,
    )
  if (!same)
    throw new CaError(
      'wrong_state',
      `this state directory has another CA plugged in, under root ${active ? shortId(active.id) : 'none'}; import that one, or import into an empty directory, named by --state-directory`,
    )
  const bundle = bundledRoots(set)
  const isBundle =
    ca.roots.every((root) => bundle.some(({ id }) => id === idOf(root))) &&
    bundle.every((root) => ca.roots.some(({ der }) => equalBytes(der, root.certificate.der)))
  if (!isBundle)
    throw new CaError(
      'wrong_state',
      'root-cert.pem is not the bundle that this server published last; start it once more with this CA plugged in, so that the change is published first',
    )
  return {
    ...set,
    origin: 'own',
    authorities: set.authorities.map((one) => {
      if (one === active) return { ...one, ...taken }
      // What signed leaves itself goes on from the key that is sealed now; another plugged-in CA’s key was never ours.
      if (one.key !== 'plugged-in') return one
      return { ...one, key: equalBytes(one.certificate.der, ca.certificate.der) ? home : ('elsewhere' as const) }
    }),
  }
}

/**
 * The roots of a bundle without a second certificate over a key that has one, as a root has that was renewed with its key kept: authorities are told
 * apart by their keys. The one that ends last stays: what one verifies the other does, so whoever holds either takes what was signed before and since.
 * @throws CaError `invalid_argument`: one could not stand in for the other
 */
function oneForEachKey(roots: readonly Certificate[]): readonly Certificate[] {
  return [...Map.groupBy(roots, idOf)].map(([id, alike]) => {
    const kept = alike.reduce((a, b) => (a.tbs.notAfter < b.tbs.notAfter ? b : a))
    if (alike.every((one) => verifiesAlike(one, kept))) return kept
    throw new CaError(
      'invalid_argument',
      `root-cert.pem holds ${alike.length} certificates over the key of root ${shortId(id)} that differ in their name, key identifier or pathLen, so none can stand in for another; leave only the one that it should go on with`,
    )
  })
}

function verifiesAlike(a: Certificate, b: Certificate): boolean {
  const nothing = new Uint8Array()
  return (
    equalBytes(a.tbs.subject, b.tbs.subject) &&
    equalBytes(a.tbs.subjectKeyId ?? nothing, b.tbs.subjectKeyId ?? nothing) &&
    a.tbs.basicConstraints?.pathLength === b.tbs.basicConstraints?.pathLength
  )
}

/** The same of a bundle that was published with all of them. */
function withOneForEachKey(set: AuthoritySet, roots: readonly Certificate[]): AuthoritySet {
  const bundle = bundledRoots(set)
  if (bundle.length === roots.length) return set
  const kept = [...Map.groupBy(bundle, ({ id }) => id).values()].map(
    (alike) => alike.find(({ state }) => state === 'active') ?? alike[0],
  )
  const authorities = set.authorities
    .filter((one) => !bundle.includes(one) || kept.includes(one))
    .map((one) => {
      const certificate = bundle.includes(one) ? roots.find((root) => idOf(root) === one.id) : undefined
      return certificate ? { ...one, certificate } : one
    })
  return { ...set, bundleSequence: set.bundleSequence + 1, authorities }
}

function leftOut(ca: PluggedCa, kept: readonly Certificate[]): string[] {
  return kept
    .filter((one) => ca.roots.some((other) => other !== one && idOf(other) === idOf(one)))
    .map(
      (one) =>
        `root-cert.pem holds several certificates over the key of root ${shortId(idOf(one))}, and what one verifies the others do: the bundle has the one that ends at ${one.tbs.notAfter.toISOString()}.`,
    )
}

/**
 * Keeps the key, then writes the journal: a crash before that leaves a key that signs for nobody, and doing it again finishes it. In the end the
 * key is opened from where it is kept: whoever wipes the copies in the clear relies on that.
 * @throws CaError `not_ready`: nobody knows whether it was done; again, it finishes · as the store
 */
export async function importCa(
  store: AuthorityStore,
  key: PrivateKey,
  { set, replaces, root }: ImportPlan,
): Promise<void> {
  await store.takeRootKey(key)
  await settledByRepeating(() => (replaces === undefined ? store.begin(set) : store.write(replaces, set)))
  const { certificate, key: home } = signingUnder(root)
  await store.rootKey(idOf(certificate), home)
}

/** CAs below a root in a chain with a cross-certificate that it signed: that one, and an issuing authority. */
const BELOW_WITH_CROSS = 2

function remarksOn(ca: PluggedCa, root: Authority, now: Date): string[] {
  const remarks: string[] = []
  if (!ca.maySignCas)
    remarks.push(
      'It may sign no CA (pathLen 0), so it signs certificates itself, by its sealed key, instead of issuing authorities in memory.',
    )
  const { pathLength } = ca.root.tbs.basicConstraints ?? {}
  if (root.online || (pathLength !== undefined && pathLength < BELOW_WITH_CROSS))
    remarks.push(
      `${root.online ? 'The root’s own key is not here' : `The root allows too few CAs below it (pathLen ${pathLength})`}, so no cross-certificate can help the next root: that signs only once every live workload has it.`,
    )
  const end = [ca.certificate, ...ca.intermediates, ca.root].map(({ tbs }) => tbs.notAfter).reduce(earlier)
  if (end.getTime() - now.getTime() < SOON_MS)
    remarks.push(
      `It ends at ${end.toISOString()}, in ${durationInWords(end.getTime() - now.getTime())}: replace it soon.`,
    )
  if (isWeaklySigned(ca.root))
    remarks.push(
      'The root signed itself with SHA-1 or another kind of signature that is not taken here; verifiers pass over it.',
    )
  if (ca.signer.publicKey.algorithm.name === 'rsa-2048')
    remarks.push('Its key is RSA with few bits (below 3072), good for some years; a new root gets another kind of key.')
  return remarks
}
