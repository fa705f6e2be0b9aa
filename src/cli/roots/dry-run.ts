import { shortId } from '../../core/bytes.ts'
import { relativeInWords } from '../../core/duration.ts'
import type { GateView } from '../../service/authority-steps.ts'
import type { RotationView } from '../../service/rotation-view.ts'
import { blockerLines, count, workloads } from './words.ts'

/** What a rotation would do from here on, and whom it would break to force it now. */
export function dryRunLines(view: RotationView): string[] {
  const { phase, signing = '', incoming, leaving, bundleSequence, live, ready, ifForced } = view
  if (view.origin === 'plugged-in')
    return ['The CA is plugged in: its roots are replaced by its files, and by alcazar only after alcazar import.']
  const now = new Date(view.now)
  const made = incoming !== undefined || leaving.length > 0
  const old = incoming || !made ? signing : (leaving[0]?.id ?? '')
  const due = view.dueAt === undefined ? '' : `, due ${relativeInWords(new Date(view.dueAt), now)}`
  const forced = (gate: GateView | undefined) => (gate ? `    forced now: ${effect(gate)}` : '')
  const steps = [
    ...(made ? [] : [`prepare     a new root is made and published as bundle ${bundleSequence + 1}`]),
    ...(leaving.length > 0 && !incoming
      ? []
      : [
          `distribute  ${getsBundle(incoming ? live - ready : live)}`,
          `activate    the new root signs once all have it${forced(ifForced.activate)}`,
        ]),
    'renew       each workload gets a certificate under the new root when it renews',
    `retire      root ${shortId(old)} leaves the bundle once nothing stands on it${forced(ifForced.revoke)}`,
  ]
  return [
    made
      ? `What is left of replacing root ${shortId(old)}, now at ${phase}:`
      : `Replacing root ${shortId(signing)}${due}:`,
    ...steps.map((step, index) => `  ${index + 1}  ${step}`),
    ...broken('Forcing activate now would break', ifForced.activate, now),
    ...broken('Forcing revoke now would break', ifForced.revoke, now),
    `Nothing was changed. ${view.stopped === undefined ? `To ${made ? 'go on' : 'begin'}: alcazar root rotate` : `And ${view.stopped}`}`,
  ]
}

const getsBundle = (number: number): string =>
  `${workloads(number)} ${number === 1 ? 'gets the new bundle with its' : 'get the new bundle with their'} next certificate`

function effect({ open, inTheWay, incomplete }: GateView): string {
  if (open) return 'breaks nobody'
  const unknown = incomplete === undefined ? '' : `${inTheWay > 0 ? ', maybe more' : 'nobody can say'}: ${incomplete}`
  return `${inTheWay > 0 ? `breaks ${count(inTheWay)}` : ''}${unknown}`
}

function broken(what: string, gate: GateView | undefined, now: Date): string[] {
  if (!gate || gate.inTheWay === 0) return []
  return [`${what}:`, ...blockerLines(gate, now, 'alcazar workloads')]
}
