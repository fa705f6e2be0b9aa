import { shortId } from '../../core/bytes.ts'
import { durationInWords, relativeInWords } from '../../core/duration.ts'
import type { NamespaceView, Phase, RotationView } from '../../service/rotation-view.ts'
import { count, workloads } from './words.ts'

/** How many namespaces and workloads are named at a time. */
const NAMED_NAMESPACES = 8
const NAMED_WORKLOADS = 3

const STAGES = ['prepare', 'distribute', 'activate', 'renew', 'retire'] as const satisfies readonly Phase[]
type Stage = (typeof STAGES)[number]

/** What each stage is while it runs, and once it is over. */
const ABOUT: Readonly<Record<Stage, readonly [now: string, over: string]>> = {
  prepare: ['a new root is being made', 'it is in the bundle'],
  distribute: ['the new bundle goes out', 'every live workload has been sent it'],
  activate: ['the new root is about to sign', 'the new root signs'],
  renew: ['every certificate is renewed under it', 'nothing stands on the old root any more'],
  retire: ['the old root is about to leave the bundle', 'the old root is out'],
}

/** The whole rotation as it is now, to be drawn over the same before. @param width no line is longer */
export function progressLines(view: RotationView, width: number): string[] {
  const at = STAGES.indexOf(view.phase as Stage)
  const now = new Date(view.now)
  const over = (index: number) => view.phase === 'done' || view.phase === 'none' || index < at
  return [
    title(view),
    ...STAGES.flatMap((stage, index) => {
      const name = ` ${stage.padEnd(10)} `
      if (over(index)) return [`${name}✔ ${stage === 'prepare' ? made(view) : ABOUT[stage][1]}`]
      if (index > at) return [`${name}·`]
      return [`${name}${currently(view, stage)}`, ...namespaceLines(view), ...waitLines(view, now)]
    }),
  ].map((line) => fitted(line, width))
}

function title({ phase, wish, signing, incoming, leaving }: RotationView): string {
  if (phase === 'none' || phase === 'done') return `Root ${shortId(signing ?? '')} signs`
  const tainted = leaving.find(({ taint }) => taint)
  if (tainted) return `Root ${shortId(tainted.id)} leaves: ${tainted.taint?.because}`
  const from = incoming ? signing : leaving[0]?.id
  const to = incoming?.id ?? (leaving.length > 0 ? signing : undefined)
  const roots = `Replacing root ${shortId(from ?? signing ?? '')}${to === undefined ? '' : ` by ${shortId(to)}`}`
  return wish ? `${roots}: ${wish.because}` : `${roots}, step by step`
}

function made({ incoming, signing }: RotationView): string {
  return `${shortId(incoming?.id ?? signing ?? '')} is in the bundle${incoming ? ` since bundle ${incoming.bundledSince}` : ''}`
}

function currently(view: RotationView, stage: Stage): string {
  if (stage !== 'distribute' && stage !== 'renew' && stage !== 'retire') return ABOUT[stage][0]
  // Where not all are known somebody may be left.
  const unknown = view.gate?.incomplete === undefined ? 0 : 1
  return `${bar(view.ready, view.live + unknown)} ${count(view.ready)} / ${workloads(view.live, '')} ${doneWhat(view)}`
}

/** What can be said of workloads that are not in the way. */
function doneWhat({ phase, live, incoming, leaving, signing }: RotationView): string {
  const is = (one: string, many: string) => (live === 1 ? one : many)
  if (phase === 'distribute') return `${is('holds', 'hold')} bundle ${incoming?.bundledSince}`
  return `${phase === 'renew' ? is('is free of', 'are free of') : is('needs no more of', 'need no more of')} ${shortId(leaving[0]?.id ?? signing ?? '')}`
}

function namespaceLines({ namespaces, phase }: RotationView): string[] {
  if (phase === 'prepare' || phase === 'activate') return []
  const lagging = namespaces.filter(({ live, ready }) => ready < live).sort(byLag)
  if (lagging.length === 0) return []
  const shown = lagging.slice(0, NAMED_NAMESPACES)
  const width = Math.min(30, Math.max(...shown.map(({ namespace }) => namespace.length)))
  return [
    ...shown.map(
      ({ namespace, live, ready }) =>
        `   ${namespace.slice(0, width).padEnd(width)} ${bar(ready, live)} ${count(ready)} / ${count(live)}`,
    ),
    ...(lagging.length > shown.length ? [moreWait(lagging.length - shown.length)] : []),
  ]
}

const moreWait = (number: number): string =>
  `   … ${number} more ${number === 1 ? 'namespace waits' : 'namespaces wait'}`

const byLag = (a: NamespaceView, b: NamespaceView): number => b.live - b.ready - (a.live - a.ready)

function waitLines({ gate, next, stopped }: RotationView, now: Date): string[] {
  if (stopped !== undefined) return [`   ${stopped}`]
  const lines = gate?.incomplete === undefined ? [] : [`   closed: ${gate.incomplete}`]
  lines.push(`   next: ${next.what}${latest(next, now)}`)
  if (!next.byItself) lines.push('   it waits for you: alcazar root rotate goes on, alcazar root rollback goes back')
  for (const { workload, why, until } of gate?.first.slice(0, NAMED_WORKLOADS) ?? [])
    lines.push(`   waits for ${workload}: ${why}, ends ${relativeInWords(new Date(until), now)}`)
  const more = (gate?.inTheWay ?? 0) - NAMED_WORKLOADS
  if (more > 0) lines.push(`   … and ${count(more)} more: alcazar root status names them`)
  return lines
}

function latest({ atTheLatest }: RotationView['next'], now: Date): string {
  if (atTheLatest === undefined) return ''
  const at = new Date(atTheLatest)
  return at <= now ? ', now' : `, at the latest ${relativeInWords(at, now)}`
}

const BAR = 24

/** Full only when nothing is left. */
export function bar(ready: number, live: number): string {
  const full = live === 0 ? BAR : Math.floor((ready / live) * BAR)
  return `▕${'█'.repeat(full)}${'░'.repeat(BAR - full)}▏`
}

/** A line for those who keep a log: the phase and how far it is. */
export function progressLine(view: RotationView): string {
  const { phase, gate, next } = view
  const isOver = phase === 'none' || phase === 'done'
  const at = `${view.now.slice(0, 19).replace('T', ' ')}Z  ${(isOver ? 'done' : phase).padEnd(10)}`
  if (isOver) return `${at}  root ${shortId(view.signing ?? '')} signs, no other is on its way`
  if (view.stopped !== undefined) return `${at}  ${view.stopped}`
  if (phase === 'prepare' || phase === 'activate') return `${at}  ${ABOUT[phase][0]}`
  const far = `${count(view.ready)} / ${workloads(view.live, '')} ${doneWhat(view)}`
  const [first] = gate?.first ?? []
  const others = ['', ' and another'][(gate?.inTheWay ?? 0) - 1] ?? ' and others'
  const who = first ? `; waits for ${first.workload}${others}` : ''
  const unknown = gate?.incomplete === undefined ? '' : `; closed: ${gate.incomplete}`
  const until = next.byItself ? latest(next, new Date(view.now)) : '; waits for you'
  return `${at}  ${far}${who}${unknown}; next: ${next.what}${until}`
}

/** Whether a log needs another line: another phase, another hundredth, or another reason to wait. */
export function isNews(before: RotationView | undefined, view: RotationView): boolean {
  if (!before) return true
  const key = ({ phase, ready, live, gate, stopped }: RotationView) =>
    JSON.stringify([phase, live === 0 ? 0 : Math.floor((ready / live) * 100), gate?.incomplete, stopped])
  return key(before) !== key(view)
}

/** The same for programs: anything but the time. */
export function isChange(before: RotationView | undefined, view: RotationView): boolean {
  const key = (one: RotationView | undefined) =>
    JSON.stringify({ ...one, now: '', next: { ...one?.next, atTheLatest: '' } })
  return key(before) !== key(view)
}

export const lasted = (since: string, now: string): string =>
  durationInWords(new Date(now).getTime() - new Date(since).getTime())

function fitted(line: string, width: number): string {
  const characters = [...line]
  return characters.length <= width ? line : `${characters.slice(0, Math.max(0, width - 1)).join('')}…`
}
