import type { Phase, RotationView } from '../../../src/service/rotation-view.ts'
import type { Mesh } from './mesh.ts'

export type Moment = Phase | 'compromised'

type Row = {
  readonly moment: Moment
  readonly from: number
  requests: number
  failed: number
  kills: number
  to: number
}

const LINE_EVERY_MS = 10_000

/** What was seen of a rotation, printed as it goes and once more as a table. */
export class Timeline {
  readonly #mesh: Mesh
  readonly #began = Date.now()
  /** Of the mesh, when this began. */
  readonly #from: { readonly requests: number; readonly failed: number }
  readonly #rows: Row[] = []
  #saidAt = 0
  #before = ''
  kills = 0

  constructor(mesh: Mesh) {
    this.#mesh = mesh
    this.#from = { requests: mesh.requests, failed: mesh.failed.length }
  }

  get moments(): readonly Moment[] {
    return this.#rows.map(({ moment }) => moment)
  }

  killsIn(moment: Moment): number {
    return this.#rows.filter((row) => row.moment === moment).reduce((sum, { kills }) => sum + kills, 0)
  }

  see(view: RotationView): Moment {
    const now = Date.now()
    const moment = momentOf(view)
    const { requests, failed } = this.#mesh
    const last = this.#rows.at(-1)
    if (last) {
      last.to = now
      last.requests += requests - this.#from.requests - this.#counted(({ requests }) => requests)
      last.failed += failed.length - this.#from.failed - this.#counted(({ failed }) => failed)
    }
    if (last?.moment !== moment) this.#rows.push({ moment, from: now, to: now, requests: 0, failed: 0, kills: 0 })
    const key = `${moment} ${view.bundleSequence}`
    if (key !== this.#before || now - this.#saidAt >= LINE_EVERY_MS) {
      const { live, ready, bundleSequence } = view
      this.say(
        `${moment.padEnd(11)} bundle ${bundleSequence}   ${String(ready).padStart(3)} of ${live} ready   ${String(requests).padStart(6)} requests, ${failed.length} failed`,
      )
      this.#saidAt = now
    }
    this.#before = key
    return moment
  }

  killed(): void {
    this.kills++
    const last = this.#rows.at(-1)
    if (last) last.kills++
  }

  say(text: string): void {
    process.stdout.write(
      `    ${this.#mesh.name.padEnd(10)} ${((Date.now() - this.#began) / 1000).toFixed(1).padStart(6)} s  ${text}\n`,
    )
  }

  table(): void {
    const { renewals } = this.#mesh
    // In one piece: others write beside it.
    const table: string[] = []
    for (const { moment, from, to, requests, failed, kills } of this.#rows) {
      const since = ((from - this.#began) / 1000).toFixed(1).padStart(6)
      const took = ((to - from) / 1000).toFixed(1).padStart(5)
      table.push(
        `    | ${moment.padEnd(11)} from ${since} s for ${took} s  ${String(requests).padStart(6)} handshakes, ${failed} failed  ${kills} kills`,
      )
    }
    const outcomes = Object.entries(renewals).map(([outcome, count]) => `${count} ${outcome}`)
    table.push(`    | asked for certificates so far: ${outcomes.join(', ')}`)
    process.stdout.write(`    | ${this.#mesh.name}\n${table.join('\n')}\n`)
  }

  #counted(of: (row: Row) => number): number {
    return this.#rows.reduce((sum, row) => sum + of(row), 0)
  }
}

function momentOf({ phase, leaving }: RotationView): Moment {
  return leaving.some(({ taint }) => taint) ? 'compromised' : phase
}
