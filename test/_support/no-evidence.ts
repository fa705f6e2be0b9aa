import type { Evidence } from '../../src/authority/gate.ts'

/** Nobody is alive: what holds before the first certificate. */
export const NO_EVIDENCE: Evidence = { incomplete: undefined, workloads: () => [] }
