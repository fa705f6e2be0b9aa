import { relativeInWords } from '../../core/duration.ts'
import { CaError } from '../../core/errors.ts'
import type { AuthorityView } from '../../service/authorities-view.ts'
import type { BlockerView, GateView } from '../../service/authority-steps.ts'
import { MOST_NAMED } from '../../service/closed-gate.ts'
import type { CliEnv } from '../env.ts'

/** `4,812`. */
export const count = (number: number): string => number.toLocaleString('en-US')

/** `1 live workload`, `4,812 live workloads`. */
export const workloads = (number: number, kind = 'live '): string =>
  `${count(number)} ${kind}workload${number === 1 ? '' : 's'}`

export const HOMES: Readonly<Record<AuthorityView['key'], string>> = {
  memory: 'in memory only',
  file: 'a file in the clear',
  sealed: 'a sealed file',
  pkcs11: 'a PKCS#11 token, never exported',
  'plugged-in': 'the plugged-in CA’s files',
  elsewhere: 'elsewhere, not ours',
  gone: 'no longer kept here',
}

/** Who is in the way of a step, one line each, and how to see the others. */
export function blockerLines(gate: GateView, now: Date, more: string): string[] {
  const { first, inTheWay } = gate
  return [
    ...blockerTable(first, now),
    ...(inTheWay > first.length
      ? [`  … ${count(inTheWay - first.length)} more${first.length < MOST_NAMED ? `: ${more}` : ''}`]
      : []),
  ]
}

function blockerTable(blockers: readonly BlockerView[], now: Date): string[] {
  const width = (of: (one: BlockerView) => string) => Math.max(0, ...blockers.map((one) => of(one).length))
  const [name, why] = [width(({ workload }) => workload), width((one) => one.why)]
  return blockers.map(
    (one) =>
      `  ${one.workload.padEnd(name)}  ${one.why.padEnd(why)}  its last certificate in the way ends ${relativeInWords(new Date(one.until), now)}`,
  )
}

/** Rows as columns, two spaces apart; the last is as long as it is. */
export function columns(rows: readonly (readonly string[])[]): string[] {
  const widths = (rows[0] ?? []).map((_, index) => Math.max(...rows.map((row) => row[index]?.length ?? 0)))
  return rows.map((row) =>
    row
      .map((cell, index) => cell.padEnd(widths[index] ?? 0))
      .join('  ')
      .trimEnd(),
  )
}

/** Why a verb was asked for, for the ledger. @throws CaError `invalid_argument`: a reason without words */
export function reasonOf({ environment }: CliEnv, options: Readonly<Record<string, unknown>>): string {
  const given = options.because as string | undefined
  if (given !== undefined && given.trim() === '')
    throw new CaError('invalid_argument', '--because is empty; say why, or leave it out')
  const user = environment.USER ?? environment.LOGNAME
  return given ?? (user === undefined ? 'no reason given' : `asked by ${user}`)
}
