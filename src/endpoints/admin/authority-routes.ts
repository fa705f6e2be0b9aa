import { NAMED } from '../../authority/gate.ts'
import { HOUR, MINUTE, SECOND } from '../../core/duration.ts'
import { CaError } from '../../core/errors.ts'
import type { Json } from '../../core/json.ts'
import { type AuthoritiesView, authoritiesView } from '../../service/authorities-view.ts'
import { type Force, MOST_NAMED } from '../../service/closed-gate.ts'
import { forgetWorkload } from '../../service/forget-workload.ts'
import type { Keeper } from '../../service/keeper.ts'
import type { RefusingClient } from '../../service/refusing-clients.ts'
import { MAX_REASON, type Wish } from '../../service/root-steps.ts'
import { rotationView } from '../../service/rotation-view.ts'
import type { Tainted } from '../../service/taint-root.ts'
import type { HttpAnswer, HttpCall, Route } from './http.ts'
import { fields, json } from './routes.ts'

/** What a taint leads to, with the view after it. */
export type TaintedView = AuthoritiesView & {
  readonly tainted: {
    readonly id: string
    readonly successor?: string
    /** Ids of the roots that leave because of it. */
    readonly leaving: readonly string[]
    readonly leavesAt: string
    readonly affected: number
    readonly until?: string
  }
}

/** What there is, with who did not believe our own certificate. */
export type StatusView = AuthoritiesView & {
  readonly refusing: readonly RefusingClient[]
  /** What seals the keys in files: the kind of a KeyEncryption. Nothing where none is set. */
  readonly sealedWith?: string
  /** When schedule.rotateRoot next begins to replace the root, where it is set. */
  readonly rotationScheduled?: string
}

const TAINT_WITHIN_MS = HOUR
const MIN_WITHIN_MS = MINUTE
const MAX_WITHIN_MS = 7 * 24 * HOUR
/** An id of 40 digits, however it is spaced. */
const MAX_ID = 80
/** The longest names Kubernetes has: a namespace of 63, a slash, a pod of 253, and what tells apart those without a pod. */
const MAX_WORKLOAD = 340

/** The admin's verbs for roots, on the unix socket alone. Each answers with the view after it. */
export function authorityRoutes(
  keeper: Pick<Keeper, 'roots' | 'seen' | 'tick'>,
  refusing: () => readonly RefusingClient[],
  sealedWith?: string,
  rotationScheduled: () => string | undefined = () => undefined,
): readonly Route[] {
  const { roots } = keeper
  const sealed = sealedWith === undefined ? {} : { sealedWith }
  const seen = () => keeper.seen()
  const authorities = (): HttpAnswer => json(authoritiesView(seen()))
  const rotation = (): HttpAnswer => json(rotationView(seen(), roots.left))
  const verb = (name: string, known: readonly string[], run: (body: Body) => Promise<unknown>): Route => ({
    method: 'POST',
    path: `/v1/authorities/${name}`,
    handle: async (call) => {
      await run(fields(call.body(), [...known, 'because']))
      return authorities()
    },
  })
  return [
    {
      method: 'GET',
      path: '/v1/authorities',
      handle: async (call) => {
        const scheduled = rotationScheduled()
        return json({
          ...authoritiesView(seen(), namedIn(call)),
          refusing: refusing(),
          ...sealed,
          ...(scheduled !== undefined && { rotationScheduled: scheduled }),
        } satisfies StatusView)
      },
    },
    { method: 'GET', path: '/v1/rotation', handle: async () => rotation() },
    {
      method: 'POST',
      path: '/v1/rotation',
      handle: async (call) => {
        await roots.rotate(wishIn(fields(call.body(), ['because'])))
        // The clock's own look may be a minute away.
        await keeper.tick()
        return rotation()
      },
    },
    verb('prepare', [], (body) => roots.prepare(wishIn(body))),
    verb('activate', ['id', 'breaks'], (body) => roots.activate(idIn(body), wishIn(body), forceIn(body))),
    verb('rollback', ['breaks'], (body) => roots.rollback(wishIn(body), forceIn(body))),
    verb('revoke', ['id', 'breaks'], (body) => roots.revoke(idIn(body), wishIn(body), forceIn(body))),
    {
      method: 'POST',
      path: '/v1/authorities/taint',
      handle: async (call) => {
        const body = fields(call.body(), ['id', 'because', 'breaks', 'withinSeconds'])
        const id = idIn(body)
        if (id === undefined)
          throw new CaError('invalid_argument', 'id is missing: the root that is compromised, from its beginning')
        const tainted = await roots.taint(id, wishIn(body), withinIn(body), forceIn(body))
        // Nothing may stand on it.
        await keeper.tick()
        return json({ ...authoritiesView(seen()), tainted: taintedView(tainted) } satisfies TaintedView)
      },
    },
    {
      method: 'POST',
      path: '/v1/workloads/forget',
      handle: async (call) => {
        const body = fields(call.body(), ['workload', 'because'])
        const workload = textIn(body, 'workload', MAX_WORKLOAD)
        if (workload === undefined)
          throw new CaError('invalid_argument', 'workload is missing: NAMESPACE/NAME as alcazar workloads shows it')
        await forgetWorkload(roots, seen().evidence, workload, wishIn(body))
        return authorities()
      },
    },
  ]
}

type Body = { readonly [key: string]: Json | undefined }

function taintedView({ authority, successor, leaving, leavesAt, affected, until }: Tainted): TaintedView['tainted'] {
  return {
    id: authority.id,
    ...(successor && { successor: successor.id }),
    leaving: leaving.map(({ id }) => id),
    leavesAt: leavesAt.toISOString(),
    affected,
    ...(until && { until: until.toISOString() }),
  }
}

function namedIn({ query }: HttpCall): number {
  for (const key of query.keys())
    if (key !== 'named')
      throw new CaError('invalid_argument', `unknown query ${JSON.stringify(key.slice(0, 64))}; there is named`)
  const given = query.get('named') ?? String(NAMED)
  if (!/^\d{1,4}$/.test(given) || Number(given) > MOST_NAMED)
    throw new CaError('invalid_argument', `named is how many workloads to list, at most ${MOST_NAMED}`)
  return Number(given)
}

export function wishIn(body: Body): Wish {
  const because = textIn(body, 'because', MAX_REASON)
  if (because === undefined || because.trim() === '')
    throw new CaError('invalid_argument', 'because is missing: why, for the ledger')
  return { by: 'admin', because }
}

const idIn = (body: Body): string | undefined => textIn(body, 'id', MAX_ID)

function forceIn({ breaks }: Body): Force | undefined {
  if (breaks === undefined) return undefined
  if (breaks === 'unknown' || isWholeNumber(breaks)) return { breaks }
  throw new CaError(
    'invalid_argument',
    'breaks is how many workloads may break, a whole number, or "unknown" where nobody can say',
  )
}

function withinIn({ withinSeconds }: Body): number {
  if (withinSeconds === undefined) return TAINT_WITHIN_MS
  const what = `the seconds after which the root leaves at the latest, from ${MIN_WITHIN_MS / SECOND} to ${MAX_WITHIN_MS / SECOND} (7 days)`
  if (!isWholeNumber(withinSeconds)) throw new CaError('invalid_argument', `withinSeconds is a whole number: ${what}`)
  const within = withinSeconds * SECOND
  if (within < MIN_WITHIN_MS || within > MAX_WITHIN_MS)
    throw new CaError('invalid_argument', `withinSeconds is ${what}`)
  return within
}

function textIn(body: Body, name: string, longest: number): string | undefined {
  const text = body[name]
  if (text === undefined) return undefined
  if (typeof text !== 'string' || text.length > longest)
    throw new CaError('invalid_argument', `${name} is a text of at most ${longest} characters`)
  return text
}

const isWholeNumber = (value: Json): value is number => Number.isSafeInteger(value) && (value as number) >= 0
