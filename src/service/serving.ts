import { type ActiveAuthority, activeAuthority } from '../authority/active-authority.ts'
import { type Authority, type AuthoritySet, bundledRoots } from '../authority/authority.ts'
import { renewalOf } from '../authority/next-action.ts'
import { rootAbove } from '../authority/root-above.ts'
import type { Clock } from '../core/clock.ts'
import { Latest } from '../core/latest.ts'
import type { Successor } from './change.ts'

/**
 * What signs our own certificate. It changes roots last: a client that trusts us by an older file than today's bundle must still reach us. So it stands
 * under the oldest root of the bundle that this process can show a way to: what signs now, where that root certified it, else what signed
 * under that root before, as long as a good part of its life is left.
 */
export class Serving {
  readonly authority = new Latest<ActiveAuthority>()
  readonly #clock: Clock
  /** By the id of its root, what signed under it last. */
  readonly #held = new Map<string, Successor>()

  constructor(clock: Clock) {
    this.#clock = clock
  }

  /** It signs from now on. */
  hold(successor: Successor): void {
    if (successor.authority.root !== undefined) this.#held.set(successor.authority.root, successor)
  }

  /** @param signs what signs SVIDs now */
  settle(set: AuthoritySet, signs: ActiveAuthority | undefined): void {
    if (!signs) return
    const roots = bundledRoots(set)
    for (const id of this.#held.keys()) if (!roots.some((root) => root.id === id)) this.#held.delete(id)
    const serving = this.#under(set, signs, roots)
    const now = this.authority.get()
    if (now?.authority.id !== serving.authority.id || now.chainPem.join() !== serving.chainPem.join())
      this.authority.set(serving)
  }

  #under(set: AuthoritySet, signs: ActiveAuthority, roots: readonly Authority[]): ActiveAuthority {
    const signing = rootAbove(set, signs.authority)
    for (const { id } of roots.toSorted((one, other) => one.bundledSince - other.bundledSince)) {
      if (id === signing?.id || signing?.cross.some(({ by }) => by === id)) return signs
      const held = this.#held.get(id)
      if (held && this.#mayServe(set, held.authority)) return activeAuthority(set, held.authority, held.signer)
    }
    return signs
  }

  /** Not what stands on a compromised root, which is tainted with it. */
  #mayServe(set: AuthoritySet, authority: Authority): boolean {
    const known = set.authorities.some(
      ({ id, role, state }) => id === authority.id && role === 'issuing' && state === 'old',
    )
    return known && this.#clock.now() < renewalOf(authority)
  }
}
