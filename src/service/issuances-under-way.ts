import type { Evidence, Standing, WorkloadEvidence } from '../authority/gate.ts'

/** A certificate that is being issued, and for which workload. */
export type UnderWay = Pick<WorkloadEvidence, 'name' | 'namespace'> & { readonly svid: Standing }

/**
 * What is being issued, from the moment at which it was chosen what signs it to the one at which the inventory knows it or it was refused. A
 * gate that did not see these could open between the two: for a certificate that stands on the root that leaves, or came with a bundle from before.
 */
export class IssuancesUnderWay {
  readonly #issuances = new Set<UnderWay>()

  /** Gives what ends it. */
  begin(issuance: UnderWay): () => void {
    this.#issuances.add(issuance)
    return () => this.#issuances.delete(issuance)
  }

  /** What is known of the living, and these. */
  among({ workloads, ...known }: Evidence): Evidence {
    return { ...known, workloads: () => this.#with(workloads()) }
  }

  *#with(known: Iterable<WorkloadEvidence>): Generator<WorkloadEvidence> {
    const unknown = Map.groupBy(this.#issuances, ({ name }) => name)
    // A name is made when it is looked up, and there are a hundred thousand.
    const namespaces = new Set(Array.from(this.#issuances, ({ namespace }) => namespace))
    for (const workload of known) {
      const more = namespaces.has(workload.namespace) ? unknown.get(workload.name) : undefined
      if (more === undefined) yield workload
      else {
        unknown.delete(workload.name)
        yield { ...workload, svids: [...workload.svids, ...more.map(({ svid }) => svid)] }
      }
    }
    for (const [name, [first, ...more]] of unknown)
      if (first) yield { name, namespace: first.namespace, svids: [first, ...more].map(({ svid }) => svid) }
  }
}
