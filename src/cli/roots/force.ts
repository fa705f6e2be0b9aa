import { shortId } from '../../core/bytes.ts'
import { CaError } from '../../core/errors.ts'
import type { AuthoritiesView, AuthorityView } from '../../service/authorities-view.ts'
import type { StepView } from '../../service/authority-steps.ts'
import { asText, type CliEnv } from '../env.ts'
import type { RootsApi } from './api.ts'
import { blockerLines, count, workloads } from './words.ts'

type ForcedVerb = StepView['verb']

/** How many who will break are named one by one. */
const NAMED = 100

/**
 * How many workloads an admin lets break, after all that is known of them was said: the root's short id typed on a terminal, or the exact number
 * given. As far as is known nobody breaks, nothing is asked.
 * @throws CaError `wrong_state`: another number would break · `invalid_argument`: another id was typed, or there is no terminal
 */
export async function allowedToBreak(
  env: CliEnv,
  api: RootsApi,
  verb: ForcedVerb,
  id: string | undefined,
  options: Readonly<Record<string, unknown>>,
): Promise<number | undefined> {
  if (!options.force) return undefined
  const allowed = yesBreak(options.yesBreak)
  const view = await api.authorities(NAMED)
  const found = targetOf(view, verb, id)
  // The server says what is wrong with the verb or the id, and may know better by then whom it breaks.
  if (!found || found.step.open) return allowed
  const { root, step } = found
  const name = shortId(root.id)
  env.err.write(asText(whoBreaks(verb, name, step, view)))
  if (allowed !== undefined) {
    if (allowed === step.inTheWay) return allowed
    throw new CaError('wrong_state', `${workloads(step.inTheWay)} would break, not ${count(allowed)}; nothing was done`)
  }
  if (!env.ask)
    throw new CaError(
      'invalid_argument',
      `stdin is no terminal on which to type the root’s id; if they may break, say how many: --yes-break ${step.inTheWay}`,
    )
  const typed = await env.ask(`To ${verb} all the same, type the id of the root (${name}): `)
  if (sameId(typed, root.id)) return step.inTheWay
  throw new CaError('invalid_argument', `that is not ${name}; nothing was done`)
}

function whoBreaks(verb: ForcedVerb, name: string, step: StepView, { now }: AuthoritiesView): string[] {
  const unknown =
    step.incomplete === undefined ? '' : `Nobody can say for sure, so there may be more: ${step.incomplete}`
  return [
    `If you ${verb} root ${name} now, ${count(step.inTheWay)} live ${step.inTheWay === 1 ? 'workload breaks' : 'workloads break'}: others will refuse their certificates, or they those of others.`,
    ...blockerLines(step, new Date(now), 'alcazar workloads'),
    ...(unknown ? [unknown] : []),
  ]
}

function targetOf(
  { authorities }: AuthoritiesView,
  verb: ForcedVerb,
  id: string | undefined,
): { readonly root: AuthorityView; readonly step: StepView } | undefined {
  const roots = authorities.filter(({ role }) => role === 'root')
  const found = roots.flatMap((root) => {
    if (id !== undefined && !root.id.startsWith(id.replaceAll(/[\s:]/g, '').toLowerCase())) return []
    const step = root.steps.find((one) => one.verb === verb)
    return step ? [{ root, step }] : []
  })
  if (verb === 'rollback') return found.at(-1)
  return found.length === 1 ? found[0] : undefined
}

function yesBreak(given: unknown): number | undefined {
  if (given === undefined) return undefined
  const number = Number(given)
  if (typeof given === 'string' && /^\d+$/.test(given) && Number.isSafeInteger(number)) return number
  throw new CaError(
    'invalid_argument',
    `--yes-break is how many workloads may break, a whole number, not ${JSON.stringify(given)}`,
  )
}

function sameId(typed: string, id: string): boolean {
  const given = typed.replaceAll(/\s/g, '').toLowerCase()
  return given.length >= 8 && id.startsWith(given)
}
