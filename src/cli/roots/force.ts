import { idPrefix, shortId } from '../../core/bytes.ts'
import { CaError } from '../../core/errors.ts'
import type { AuthoritiesView, AuthorityView } from '../../service/authorities-view.ts'
import type { StepView } from '../../service/authority-steps.ts'
import type { Force } from '../../service/closed-gate.ts'
import { asText, type CliEnv } from '../env.ts'
import type { RootsApi } from './api.ts'
import { blockerLines, count, workloads } from './words.ts'

type ForcedVerb = StepView['verb']

/** How many who will break are named one by one. */
const NAMED = 100

/**
 * How many workloads an admin lets break, after all that is known of them was said: the root's short id typed on a terminal, or the exact number
 * given. Where nobody can say how many, that must be said: no number stands for it. As far as is known nobody breaks, nothing is asked.
 * @throws CaError `wrong_state`: another number would break · `invalid_argument`: another id was typed, or there is no terminal
 */
export async function allowedToBreak(
  env: CliEnv,
  api: RootsApi,
  verb: ForcedVerb,
  id: string | undefined,
  options: Readonly<Record<string, unknown>>,
): Promise<Force['breaks'] | undefined> {
  if (!options.force) return undefined
  const allowed = yesBreak(options.yesBreak)
  const view = await api.authorities(NAMED)
  const found = targetOf(view, verb, id)
  // The server says what is wrong with the verb or the id, and may know better by then whom it breaks.
  if (!found || found.step.open) return allowed
  const { root, step } = found
  const name = shortId(root.id)
  env.err.write(asText([...whoBreaks(verb, root, step, view), ...whatFails(verb, root, view)]))
  const breaks = step.incomplete === undefined ? step.inTheWay : 'unknown'
  if (allowed !== undefined) {
    if (allowed === breaks) return allowed
    throw new CaError('wrong_state', notSo(allowed, step))
  }
  if (!env.ask)
    throw new CaError(
      'invalid_argument',
      `stdin is no terminal on which to type the root’s id; ${breaks === 'unknown' ? 'if they may break, whoever they are, say so: ' : 'if they may break, say how many: '}--yes-break ${breaks}`,
    )
  const knowing = breaks === 'unknown' ? 'without knowing who breaks' : 'all the same'
  const typed = await env.ask(`To ${verb} ${knowing}, type the id of the root (${name}): `)
  if (sameId(typed, root.id)) return breaks
  throw new CaError('invalid_argument', `that is not ${name}; nothing was done`)
}

function notSo(allowed: Force['breaks'], { incomplete, inTheWay }: StepView): string {
  if (incomplete !== undefined)
    return 'nobody can say how many would break, so no number is right: wait until it is known, or say --yes-break unknown; nothing was done'
  return `${workloads(inTheWay)} would break, not ${allowed === 'unknown' ? 'an unknown number' : count(allowed)}; nothing was done`
}

function whoBreaks(verb: ForcedVerb, root: AuthorityView, step: StepView, { now }: AuthoritiesView): string[] {
  const { incomplete, inTheWay } = step
  const name = shortId(root.id)
  const known = blockerLines(step, new Date(now), 'alcazar workloads')
  if (incomplete !== undefined)
    return [
      `Nobody can say who breaks if you ${verb} root ${name} now: ${incomplete}.`,
      ...(inTheWay === 0 ? [] : [`Known so far, and there may be more: ${workloads(inTheWay)}.`, ...known]),
    ]
  const breaks = inTheWay === 1 ? 'breaks' : 'break'
  return [
    `If you ${verb} root ${name} now, ${workloads(inTheWay)} ${crossingRoots(verb, root) === '' ? breaks : 'may not know it yet'}:`,
    ...known,
  ]
}

/** What stops working, for whom, and when. Renewals are first: who refuses this server’s own certificate can ask it for nothing. */
function whatFails(verb: ForcedVerb, root: AuthorityView, { authorities, bundleSequence }: AuthoritiesView): string[] {
  const name = shortId(root.id)
  if (verb === 'revoke') {
    const signing = authorities.find(({ role, state }) => role === 'root' && state === 'active')
    return [
      `What fails for who stands on root ${name}:`,
      `  ${root.state === 'tainted' ? 'already ' : 'at once '}      renewal by certificate; a token still gets the next one`,
      `  from then on  connections with everybody who has bundle ${bundleSequence + 1}, which comes with each certificate that is issued`,
      `What fails for who does not hold root ${shortId(signing?.id ?? '')} yet:`,
      ...REFUSED,
    ]
  }
  const signs = verb === 'taint' ? 'the new root' : `root ${name}`
  const by = crossingRoots(verb, root)
  if (by === '') return [`What fails for who does not hold ${signs} yet:`, ...REFUSED]
  return [
    `What fails for who trusts root ${by}: nothing yet, its cross-certificate leads to ${signs}.`,
    `What fails for who does not, or still has no newer bundle when root ${by} leaves:`,
    ...REFUSED,
  ]
}

const REFUSED = [
  '  at once       every renewal, by certificate or token: they refuse this server’s own certificate',
  '  from then on  connections with everybody whose certificate is issued later',
]

/** Who trusts one of these follows a root that is to sign; none where one has to be sent it. */
const crossingRoots = (verb: ForcedVerb, { cross }: AuthorityView): string =>
  verb === 'activate' || verb === 'rollback' ? cross.map(({ by }) => shortId(by)).join(' or ') : ''

function targetOf(
  { authorities }: AuthoritiesView,
  verb: ForcedVerb,
  id: string | undefined,
): { readonly root: AuthorityView; readonly step: StepView } | undefined {
  const roots = authorities.filter(({ role }) => role === 'root')
  const found = roots.flatMap((root) => {
    if (id !== undefined && !root.id.startsWith(idPrefix(id))) return []
    const step = root.steps.find((one) => one.verb === verb)
    return step ? [{ root, step }] : []
  })
  if (verb === 'rollback') return found.at(-1)
  return found.length === 1 ? found[0] : undefined
}

function yesBreak(given: unknown): Force['breaks'] | undefined {
  if (given === undefined || given === 'unknown') return given
  const number = Number(given)
  if (typeof given === 'string' && /^\d+$/.test(given) && Number.isSafeInteger(number)) return number
  throw new CaError(
    'invalid_argument',
    `--yes-break is how many workloads may break, a whole number, or unknown where nobody can say; not ${JSON.stringify(given)}`,
  )
}

function sameId(typed: string, id: string): boolean {
  const given = idPrefix(typed)
  return given.length >= 8 && id.startsWith(given)
}
