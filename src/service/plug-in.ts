import { bundleOf } from '../authority/active-authority.ts'
import {
  type Authority,
  type AuthoritySet,
  activeRoot,
  authorityOf,
  bundledRoots,
  idOf,
} from '../authority/authority.ts'
import { type Evidence, gate } from '../authority/gate.ts'
import type { PluggedCa } from '../authority/plugged-ca.ts'
import { type AskedStep, askedSteps, type PluggedWish, withPluggedRoots } from '../authority/plugged-roots.ts'
import { conditionOf, withActive } from '../authority/transitions.ts'
import { equalBytes, shortId } from '../core/bytes.ts'
import { HOUR, MINUTE } from '../core/duration.ts'
import { CaError } from '../core/errors.ts'
import type { PublicKey } from '../keys/public-key.ts'
import type { Change } from './change.ts'
import type { KeeperParts } from './keeper-parts.ts'
import type { OpenParent } from './parents.ts'
import { proveRoot } from './root-steps.ts'

/** What waits at a closed gate is told this often. */
const TELL_EVERY_MS = HOUR
/** Who has just started knows of nobody for a moment: what waits no longer than that is not told. */
const PATIENT_FOR_MS = MINUTE

/**
 * The CA an admin plugged in, and those that were there before it since this process started: one signs on until the gate of the next is open.
 * The files are the lasting wish: a restart reads them again.
 */
export class PluggedIn {
  readonly #parts: Pick<KeeperParts, 'clock' | 'random' | 'events'>
  /** By the id of its root, the last one under each. */
  readonly #cas = new Map<string, PluggedCa>()
  #files: PluggedCa
  #waiting: { readonly what: string; readonly since: number; told?: number } | undefined

  /** @param files not taken yet */
  constructor(files: PluggedCa, parts: Pick<KeeperParts, 'clock' | 'random' | 'events'>) {
    this.#files = files
    this.#parts = parts
  }

  get wish(): PluggedWish {
    return {
      signing: idOf(this.#files.root),
      roots: this.#files.roots.map(idOf),
      atHand: [...this.#cas.keys()],
    }
  }

  /** @throws CaError `wrong_state`: the CA of that root is in the files no more */
  parentOf(root: Authority): OpenParent {
    const ca = this.#cas.get(root.id)
    if (ca) return parentFrom(ca)
    throw new CaError(
      'wrong_state',
      `the key of the CA under root ${shortId(root.id)} is not in the plugged-in CA’s files any more; put them back, or let the CA that is there sign, with alcazar root activate --force`,
    )
  }

  /**
   * Takes what the files ask for as far as nobody can be in the way: new roots, and a CA under the root that signs. A CA under another root is proved
   * and kept; it signs, and roots that left the files leave the bundle, when the gates are open.
   * @throws CaError `invalid_argument`: it shares no root with the bundle published before, or can't sign
   */
  async take(change: Change, ca: PluggedCa): Promise<void> {
    const { clock, events } = this.#parts
    const { set } = change
    const next = withPluggedRoots(set, rootsOf(ca, clock.now()), idOf(ca.root))
    const root = bundledRoots(next).find(({ id }) => id === idOf(ca.root)) as Authority
    const successor = await change.makeIssuing(root, parentFrom(ca))
    const signs = root.state === 'active'
    if (signs) await change.activate(withActive(next, successor.authority), successor)
    else {
      await proveRoot(next, root, successor, this.#parts)
      if (next !== set) await change.commit(next)
    }
    this.#files = ca
    this.#cas.set(root.id, ca)
    const published = next.bundleSequence !== set.bundleSequence || bundledRoots(set).length === 0
    if (published) {
      events.bundlePublished(bundleOf(next), bundledRoots(next))
      for (const one of bundledRoots(next))
        await change.record('bundle published', one, `bundle ${next.bundleSequence}, ${one.state}`)
    }
    if (!signs) return
    events.pluggedCaTaken(root)
    const because = ca.maySignCas ? 'the plugged-in CA was taken' : 'the plugged-in CA may not sign CAs'
    events.authorityActivated(successor.authority, because)
    await change.record('plugged-in CA taken', root, `signs ${ca.maySignCas ? 'issuing authorities' : 'leaves itself'}`)
    await change.record('issuing authority activated', successor.authority, because)
  }

  /** Tells what the files ask for and may not be yet, at first and every hour. Forgets the CAs of roots that have left. */
  settle(set: AuthoritySet, evidence: Evidence): void {
    const { clock, events } = this.#parts
    const bundled = bundledRoots(set)
    for (const id of this.#cas.keys()) if (!bundled.some((root) => root.id === id)) this.#cas.delete(id)
    const [step] = this.waits(set)
    if (!step) {
      this.#waiting = undefined
      return
    }
    const { verb, root } = step
    const now = clock.elapsed()
    const what = `${verb} ${root.id}`
    if (this.#waiting?.what !== what) this.#waiting = { what, since: now }
    const { since, told } = this.#waiting
    if (told !== undefined && now - told < TELL_EVERY_MS) return
    const found = gate(set, root, conditionOf(root, verb), evidence)
    if (found.incomplete !== undefined && now - since < PATIENT_FOR_MS) return
    this.#waiting.told = now
    events.pluggedCaWaits(verb, root, found)
  }

  /** Whether a CA that signs, or waits to, has that key. */
  isKeyOf({ spki }: PublicKey): boolean {
    return [...this.#cas.values()].some(({ certificate }) => equalBytes(certificate.tbs.publicKey, spki))
  }

  /** What the files ask for and is not done yet. */
  waits(set: AuthoritySet): readonly AskedStep[] {
    return askedSteps(set, this.wish)
  }

  /** Why nothing can sign, where nothing does. */
  obstacle(set: AuthoritySet): string {
    const [signing, active] = [this.wish.signing, activeRoot(set)]
    return `the plugged-in CA is under root ${shortId(signing)}, which not every live workload is known to trust, and the key of the one before, under ${shortId(active?.id ?? '')}, is in its files no more: alcazar root status`
  }
}

function parentFrom(ca: PluggedCa): OpenParent {
  return {
    certificate: ca.certificate,
    signer: ca.signer,
    intermediates: [ca.certificate, ...ca.intermediates].filter(
      (one) => !ca.roots.some((root) => equalBytes(root.der, one.der)),
    ),
    ...(!ca.maySignCas && { signsLeavesFrom: 'plugged-in' as const }),
  }
}

/** One for each key: of several certificates over it the one that ends last. */
function rootsOf(ca: PluggedCa, now: Date): readonly Authority[] {
  const roots = new Map<string, Authority>()
  for (const certificate of ca.roots.toSorted((a, b) => a.tbs.notAfter.getTime() - b.tbs.notAfter.getTime())) {
    const key = equalBytes(certificate.tbs.publicKey, ca.certificate.tbs.publicKey) ? 'plugged-in' : 'elsewhere'
    const root = authorityOf(certificate, { role: 'root', state: 'prepared', key }, now)
    roots.set(root.id, root)
  }
  const inOrder = [...new Set(ca.roots.map(idOf))]
  return inOrder.map((id) => roots.get(id) as Authority)
}
