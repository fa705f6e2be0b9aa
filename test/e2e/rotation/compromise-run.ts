import assert from 'node:assert/strict'
import { pause } from '../_support/until.ts'
import { command } from './command.ts'
import { Killer } from './killer.ts'
import type { Mesh } from './mesh.ts'
import { checkNobodyFailed, PathChecks, type Run } from './rotation-run.ts'
import { type Answer, type Credential, type Loot, Thief, tryEverywhere } from './thief.ts'
import { Timeline } from './timeline.ts'

const TRIES_EVERY_MS = 400

/**
 * Declares the root that signs compromised, whatever happens to the server meanwhile.
 * @param loot where a thief finds the root's key
 */
export async function compromiseUnderKills(run: Run, loot?: Loot): Promise<void> {
  const { stage, mesh, seed, kills } = run
  const timeline = new Timeline(mesh)
  const killer = new Killer(mesh, timeline, seed)
  const before = await mesh.roots()
  const stolen = await mesh.activeRoot()
  const paths = new PathChecks(stage, mesh, stolen.id, timeline)
  const intrusion = loot && (await Intrusion.prepare(mesh, loot))
  timeline.see(await mesh.rotation())

  let over = false
  const firstKill = killer.killWithin(1800, 'as taint begins')
  const tainting = taintToItsEnd(mesh, stolen.id).finally(() => {
    over = true
  })
  tainting.catch(() => undefined)
  await firstKill
  await Promise.all([
    killer.run(kills, ['compromised'], () => over),
    paths.run(() => over),
    intrusion?.run(stolen.id, () => over),
    tainting,
  ])
  await paths.last()
  const incident = await tainting
  timeline.table()

  const now = await mesh.activeRoot()
  const after = await mesh.roots()
  assert.notEqual(now.id, stolen.id)
  assert.equal(after.find(({ id }) => id === stolen.id)?.state ?? 'revoked', 'revoked')
  assert.ok(after.length <= before.length + 1, 'no second root was made')
  assert.deepEqual([...(await mesh.bundle()).keys()], [now.id.slice(0, 8)])
  if (incident) {
    assert.deepEqual([incident.root, incident.successor, incident.cutOff], [stolen.id, now.id, 0])
    timeline.say(`${incident.affected} workloads had a certificate under it, nobody was cut off`)
  }
  assert.ok(timeline.kills >= kills, `${timeline.kills} kills`)
  assert.ok(timeline.killsIn('compromised') > 0)
  paths.checkSeen({
    compromised: ['under the old root', 'under the new root, with the cross-certificate'],
    over: ['under the new root alone'],
  })
  await intrusion?.check()
  checkNobodyFailed(mesh)
}

/** @returns what goes into the incident's report, where the command that began it saw its end */
async function taintToItsEnd(mesh: Mesh, id: string): Promise<Record<string, unknown> | undefined> {
  for (let attempt = 0; attempt < 10; attempt++) {
    const { code, lines, err } = await command(mesh.alcazar, ['root', 'taint', id, '--because', 'laptop stolen'])
    if (code === 0) {
      assert.deepEqual([lines[0]?.done, lines.at(-1)?.done], [false, true])
      return lines.at(-1)
    }
    // Killed between the journal and its answer: it is declared already, and asking again says so.
    const isDeclared = code === 6 && /tainted/.test(err)
    assert.ok(code === 7 || isDeclared, `taint ended with ${code}: ${err}`)
    if (isDeclared) {
      while ((await stateOf(mesh, id)) !== 'revoked') await pause(500)
      return undefined
    }
    await pause(500)
  }
  throw new Error('taint never came to its end')
}

/** Nothing while nobody answers. */
async function stateOf(mesh: Mesh, id: string): Promise<string | undefined> {
  const roots = await mesh.roots().catch(() => undefined)
  return roots && (roots.find((one) => one.id === id)?.state ?? 'revoked')
}

/** The thief, and beside it a real SVID that stands on the same root: what each gets, before and after. */
class Intrusion {
  readonly #mesh: Mesh
  readonly #thief: Thief
  readonly #forgeries: readonly Credential[]
  readonly #real: Credential
  readonly #answers = {
    'forged, before': count(),
    'forged, since': count(),
    'real, before': count(),
    'real, since': count(),
  }

  private constructor(mesh: Mesh, thief: Thief, forgeries: readonly Credential[], real: Credential) {
    this.#mesh = mesh
    this.#thief = thief
    this.#forgeries = forgeries
    this.#real = real
  }

  static async prepare(mesh: Mesh, loot: Loot): Promise<Intrusion> {
    const victim = mesh.aWorkload(0, { serviceAccount: 'victim' })
    assert.equal(await victim.renew(), 'by token')
    const thief = await Thief.steal(mesh, loot, victim)
    const { key, chain, roots } = victim.held
    const intrusion = new Intrusion(mesh, thief, await thief.forgeries(), { name: 'a real one', key, chain })
    for (const one of intrusion.#forgeries)
      assert.ok(await thief.isTakenBy(one, roots), `${one.name}: it is worth nothing`)
    // A root that nobody suspects: its forged SVIDs chain to it, but no issuer of theirs is in the journal.
    await intrusion.#tryAll('before')
    return intrusion
  }

  async run(root: string, isOver: () => boolean): Promise<void> {
    while (!isOver()) {
      const state = await stateOf(this.#mesh, root)
      // Only what is asked after it was seen as declared counts as since.
      if (state === 'tainted' || state === 'revoked') await this.#tryAll('since')
      await pause(TRIES_EVERY_MS)
    }
  }

  async check(): Promise<void> {
    await this.#tryAll('since')
    const answers = this.#answers
    process.stdout.write(`    | renewals tried by the thief, and by a real SVID: ${JSON.stringify(answers)}\n`)
    for (const when of ['before', 'since'] as const) {
      assert.equal(answers[`forged, ${when}`].renewed, 0, 'a forged SVID renewed something')
      assert.ok(answers[`forged, ${when}`].refused >= 6, 'every forgery was tried on both endpoints')
    }
    assert.deepEqual([answers['real, before'].renewed, answers['real, before'].refused], [2, 0])
    assert.equal(answers['real, since'].renewed, 0, 'an SVID under the compromised root renewed something')
    assert.ok(answers['real, since'].refused > 0)
    for (const { held } of this.#mesh.workloads.slice(0, 20))
      for (const one of this.#forgeries)
        assert.ok(
          held.receivedAt < Date.now() - 60_000 ||
            !(await this.#thief.isTakenBy(one, held.roots)) ||
            hasTwo(held.roots),
          `${one.name}: taken by who has the newest bundle`,
        )
  }

  async #tryAll(when: 'before' | 'since'): Promise<void> {
    const roots = [...(await this.#mesh.bundle().catch(() => new Map<string, object>())).values()].map(String).join('')
    if (roots === '') return
    for (const one of this.#forgeries)
      tally(this.#answers[`forged, ${when}`], await tryEverywhere(this.#mesh, one, roots))
    tally(this.#answers[`real, ${when}`], await tryEverywhere(this.#mesh, this.#real, roots))
  }
}

const hasTwo = (roots: string): boolean => roots.split('BEGIN CERTIFICATE').length > 2

function count(): Record<Answer, number> {
  return { renewed: 0, refused: 0 }
}

function tally(counts: Record<Answer, number>, answers: readonly Answer[]): void {
  for (const answer of answers) counts[answer]++
}
