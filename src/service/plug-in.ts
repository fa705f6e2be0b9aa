import { bundleOf } from '../authority/active-authority.ts'
import { type Authority, authorityOf, bundledRoots, withPluggedRoots } from '../authority/authority.ts'
import { leadsTo } from '../authority/path.ts'
import type { PluggedCa } from '../authority/plugged-ca.ts'
import { withActive } from '../authority/transitions.ts'
import { equalBytes, shortId } from '../core/bytes.ts'
import { later } from '../core/clock.ts'
import { CaError } from '../core/errors.ts'
import type { Certificate } from '../x509/certificate.ts'
import type { Change, OpenParent, Successor } from './change.ts'
import type { KeeperParts } from './keeper.ts'

/**
 * Takes the CA an admin plugged in, in one journal write: there is no moment at which what signs doesn't lead to what is published.
 * @throws CaError `invalid_argument`: it shares no root with the bundle published before
 */
export async function takePluggedCa(
  change: Change,
  ca: PluggedCa,
  { clock, events }: Pick<KeeperParts, 'clock' | 'events'>,
): Promise<void> {
  const { set } = change
  const before = bundledRoots(set)
  if (
    before.length > 0 &&
    !ca.roots.some((root) => before.some((known) => equalBytes(known.certificate.der, root.der)))
  )
    throw new CaError(
      'invalid_argument',
      `root-cert.pem shares no certificate with the bundle published so far (${before.map((root) => shortId(root.id)).join(', ')}): whoever trusts that bundle would refuse every new certificate; put the old roots beside the new ones first, and take them out when nothing stands on them`,
    )
  const roots = ca.roots.map((certificate) => {
    const key = equalBytes(certificate.der, ca.certificate.der) ? 'plugged-in' : 'elsewhere'
    return authorityOf(certificate, { role: 'root', state: 'prepared', key }, clock.now())
  })
  const root = roots.find((one) => equalBytes(one.certificate.der, ca.root.der)) as Authority
  // A clock that was set back takes no root away from what was made before.
  const next = withPluggedRoots(set, roots, root, ({ certificate, intermediates }) =>
    leadsTo([certificate, ...intermediates], ca.roots, later(clock.now(), certificate.tbs.notBefore)),
  )
  const successor = ca.maySignCas
    ? await change.makeIssuing(root, pluggedParent(ca))
    : pluggedIssuing(root, ca, clock.now())
  const published = next.bundleSequence !== set.bundleSequence || before.length === 0
  // The same files again: the record of what signs leaves itself is replaced, not doubled.
  const others = next.authorities.filter(
    (other) => other.role === 'root' || !equalBytes(other.certificate.der, successor.authority.certificate.der),
  )
  await change.activate(withActive({ ...next, authorities: others }, successor.authority), successor)
  if (published) events.bundlePublished(bundleOf(next), bundledRoots(next))
  events.pluggedCaTaken(root)
  const because = ca.maySignCas ? 'the plugged-in CA was taken' : 'the plugged-in CA may not sign CAs'
  events.authorityActivated(successor.authority, because)
  if (published)
    for (const one of bundledRoots(next))
      await change.record('bundle published', one, `bundle ${next.bundleSequence}, ${one.state}`)
  await change.record('plugged-in CA taken', root, `signs ${ca.maySignCas ? 'issuing authorities' : 'leaves itself'}`)
  await change.record('issuing authority activated', successor.authority, because)
}

/** A plugged-in CA as what signs issuing authorities. */
export function pluggedParent(ca: PluggedCa): OpenParent {
  return { certificate: ca.certificate, signer: ca.signer, intermediates: stepsOf(ca) }
}

function pluggedIssuing(root: Authority, { certificate, intermediates, signer }: PluggedCa, now: Date): Successor {
  const authority = authorityOf(
    certificate,
    { role: 'issuing', state: 'active', key: 'plugged-in', intermediates, root: root.id },
    now,
  )
  return { authority, signer }
}

/** What stands between an issuing authority that `ca` signs and the root. */
function stepsOf(ca: PluggedCa): readonly Certificate[] {
  return [ca.certificate, ...ca.intermediates].filter((one) => !ca.roots.some((root) => equalBytes(root.der, one.der)))
}
