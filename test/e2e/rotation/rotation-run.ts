import assert from 'node:assert/strict'
import { PHASES } from '../../../src/service/rotation-view.ts'
import type { Stage } from '../_support/stage.ts'
import { pause } from '../_support/until.ts'
import { command } from './command.ts'
import { Killer } from './killer.ts'
import { type Mesh, rootIdOf } from './mesh.ts'
import { type Kind, Paths } from './paths.ts'
import { type Moment, Timeline } from './timeline.ts'

export type Run = {
  readonly stage: Stage
  readonly mesh: Mesh
  readonly seed: number
  /** How often the server is killed and started again. */
  readonly kills: number
}

/** Besides prepare: the command’s own beginning. The others are over before anybody sees them. */
const KILLED_IN = ['distribute', 'activate', 'renew'] as const
const PATHS_EVERY_MS = 3000

/** Replaces the root by one command, whatever happens to the server meanwhile. */
export async function rotateUnderKills({ stage, mesh, seed, kills }: Run): Promise<void> {
  const timeline = new Timeline(mesh)
  const killer = new Killer(mesh, timeline, seed)
  const before = await mesh.roots()
  const old = await mesh.activeRoot()
  const paths = new PathChecks(stage, mesh, old.id, timeline)
  timeline.see(await mesh.rotation())

  let over = false
  // The command itself may come to a server that is just gone: then the admin asks again.
  const prepareKill = killer.killWithin(1800, 'as rotate begins')
  const rotating = rotateToItsEnd(mesh).finally(() => {
    over = true
  })
  rotating.catch(() => undefined)
  await prepareKill
  await Promise.all([killer.run(kills, KILLED_IN, () => over), paths.run(() => over), rotating])
  await paths.last()
  const lines = await rotating
  timeline.table()

  checkLines(lines, mesh.workloads.length)
  const after = await mesh.roots()
  const now = await mesh.activeRoot()
  assert.notEqual(now.id, old.id)
  assert.equal(after.find(({ id }) => id === old.id)?.state ?? 'revoked', 'revoked')
  assert.ok(after.length <= before.length + 1, 'no second root was made')
  assert.deepEqual([...(await mesh.bundle()).keys()], [now.id.slice(0, 8)])
  assert.ok(timeline.kills >= kills, `${timeline.kills} kills`)
  // The gate may open right before the clock looks, and then nobody sees “activate”.
  for (const moment of KILLED_IN)
    assert.ok(
      timeline.killsIn(moment) > 0 || (moment === 'activate' && !timeline.moments.includes(moment)),
      `it was never killed in ${moment}`,
    )
  paths.checkSeen({
    distribute: ['under the old root'],
    renew: ['under the old root', 'under the new root, with the cross-certificate'],
    over: ['under the new root alone'],
  })
  checkNobodyFailed(mesh)
}

/** @returns every line of every time it was run */
async function rotateToItsEnd(mesh: Mesh): Promise<Record<string, unknown>[][]> {
  const runs: Record<string, unknown>[][] = []
  for (let attempt = 0; attempt < 10; attempt++) {
    const { code, lines, err } = await command(mesh.alcazar, ['root', 'rotate'])
    runs.push([...lines])
    if (code === 0) return runs
    // It says why, and asking again is all there is to do.
    assert.ok(code === 7, `rotate ended with ${code}: ${err}`)
    assert.equal(lines.length, 0, `rotate gave up in the middle: ${err}`)
    await pause(500)
  }
  throw new Error('rotate never came to its end')
}

/** As automation reads them: whole objects, forward only, and the last one says that it is done. */
function checkLines(runs: readonly (readonly Record<string, unknown>[])[], workloads: number): void {
  const lines = runs.flat()
  const last = lines.at(-1)
  assert.deepEqual([last?.done, last?.replaced], [true, true])
  assert.ok(lines.slice(0, -1).every(({ done }) => done === false))
  // Who has just started and still reads the ledger knows of nobody, and says so: a gate that was open may be closed for a moment.
  const sure = lines.filter(({ gate }) => (gate as { incomplete?: string } | undefined)?.incomplete === undefined)
  const phases = sure.map(({ phase }) => PHASES.indexOf(phase as (typeof PHASES)[number]))
  // “none” comes first in the list and last here.
  const order = phases.map((at) => (at === 0 ? PHASES.length : at))
  assert.deepEqual(
    order,
    order.toSorted((a, b) => a - b),
    `phases went ${sure.map(({ phase }) => phase).join(' ')}`,
  )
  const bundles = lines.map(({ bundleSequence }) => bundleSequence as number)
  assert.deepEqual(
    bundles,
    bundles.toSorted((a, b) => a - b),
  )
  for (const { live, ready } of lines as { live: number; ready: number }[])
    assert.ok(ready <= live && live <= workloads, `${ready} of ${live} ready`)
}

export function checkNobodyFailed(mesh: Mesh): void {
  const { failed, requests, renewals } = mesh
  const named = failed
    .slice(0, 5)
    .map(({ at, from, to, why }) => `${new Date(at).toISOString()} ${from} → ${to}: ${why}`)
  assert.equal(failed.length, 0, `of ${requests} handshakes ${failed.length} failed:\n${named.join('\n')}`)
  assert.equal(renewals['CA untrusted'], 0, 'somebody did not trust Alcazar itself')
}

/** Whoever holds a certificate finds it in the ledger, and no line of it was lost to a kill. */
export async function checkLedger({ alcazar, workloads }: Mesh): Promise<void> {
  const ledger = await alcazar.ledger()
  assert.deepEqual(
    ledger.filter(({ kind }) => kind === 'damaged'),
    [],
  )
  const issued = new Set(ledger.flatMap((entry) => (entry.kind === 'issued' ? [entry.serial] : [])))
  const held = workloads.map((one) => one.held.leaf.serialNumber.toLowerCase())
  assert.deepEqual(
    held.filter((serial) => !issued.has(serial)),
    [],
  )
}

/** Has OpenSSL look at what was issued last and longest ago, again and again. */
export class PathChecks {
  readonly #stage: Stage
  readonly #mesh: Mesh
  readonly #old: string
  readonly #timeline: Timeline
  #paths: Paths | undefined

  /** @param old the id of the root that leaves */
  constructor(stage: Stage, mesh: Mesh, old: string, timeline: Timeline) {
    this.#stage = stage
    this.#mesh = mesh
    this.#old = old
    this.#timeline = timeline
  }

  async run(isOver: () => boolean): Promise<void> {
    while (!isOver()) {
      const moment = this.#timeline.moments.at(-1) as Moment
      await this.#open()
      const alive = this.#mesh.workloads.map(({ held }) => held).filter(({ notAfter }) => notAfter > Date.now())
      const byAge = alive.toSorted((a, b) => a.receivedAt - b.receivedAt)
      for (const held of [byAge[0], byAge.at(-1)]) if (held) await this.#paths?.check(held, moment)
      await pause(PATHS_EVERY_MS)
    }
  }

  /** When it is over: what is issued from now on. */
  async last(): Promise<void> {
    const one = this.#mesh.workloads[0]
    if (!one) throw new Error('there are no workloads')
    while ((await one.renew()) !== 'by SVID') await pause(200)
    await this.#paths?.check(one.held, 'over')
  }

  checkSeen(expected: Readonly<Record<string, readonly Kind[]>>): void {
    for (const [moment, kinds] of Object.entries(expected))
      for (const kind of kinds)
        assert.ok(this.#paths?.seen.get(moment)?.has(kind), `${moment}: no chain ${kind} was verified`)
  }

  /** As soon as there are two roots. Those whom nobody answers wait. */
  async #open(): Promise<void> {
    if (this.#paths) return
    const bundle = await this.#mesh.bundle().catch(() => undefined)
    const old = bundle?.get(this.#old.slice(0, 8))
    const next = [...(bundle?.values() ?? [])].find((root) => rootIdOf(root) !== this.#old.slice(0, 8))
    if (old && next)
      this.#paths = new Paths(this.#stage.folder(this.#mesh.name, `paths-${this.#old.slice(0, 8)}`), { old, new: next })
  }
}
