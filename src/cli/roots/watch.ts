import { MINUTE, SECOND } from '../../core/duration.ts'
import { CaError } from '../../core/errors.ts'
import { harmless } from '../../core/terminal-text.ts'
import type { RotationView } from '../../service/rotation-view.ts'
import { asText, type CliEnv } from '../env.ts'
import type { RootsApi } from './api.ts'
import { isChange, isNews, progressLine, progressLines } from './progress.ts'

const LOOK_EVERY_MS = SECOND
/** How long a server that is gone may take to come back. */
const PATIENCE_MS = MINUTE
/** A log hears at least this often that something moved. */
const LINE_EVERY_MS = MINUTE

export type Watched = {
  readonly env: CliEnv
  readonly options: Readonly<Record<string, unknown>>
  readonly api: RootsApi
  readonly first: RotationView
  /** Whether there is nothing more to see. */
  readonly isOver: (view: RotationView) => boolean
  /** What goes on when nobody watches any more, and how to see it again. */
  readonly unwatched: string
}

/** What was seen last before it was over, and then. */
export type Seen = { readonly last: RotationView; readonly end: RotationView }

/**
 * Shows a rotation until it is over: drawn in place on a terminal, else a line for each step, or for programs a JSON object for each change. The
 * object after which it is over is the caller's to print.
 * @throws CaError `not_ready`: somebody asked to end, or the server did not come back
 */
export async function watch({ env, options, api, first, isOver, unwatched }: Watched): Promise<Seen> {
  const show = showing(env, options)
  const stop = new AbortController()
  void env.untilAskedToEnd().then(() => stop.abort())
  let last = first
  for (;;) {
    if (isOver(last)) return { last, end: last }
    show(last)
    const view = await nextLook(env, api, unwatched, stop.signal)
    if (isOver(view)) {
      show(view, { isLast: true })
      return { last, end: view }
    }
    last = view
  }
}

async function nextLook(env: CliEnv, api: RootsApi, unwatched: string, stop: AbortSignal): Promise<RotationView> {
  let goneSince: number | undefined
  for (;;) {
    try {
      await env.clock.sleep(LOOK_EVERY_MS, stop)
    } catch (error) {
      throw stop.aborted ? new CaError('not_ready', `stopped watching. ${unwatched}`) : error
    }
    try {
      const view = await api.rotation()
      if (goneSince !== undefined) env.err.write('alcazar: the server is back\n')
      return view
    } catch (error) {
      if (!(error instanceof CaError) || !isPassing(error)) throw error
      if (goneSince === undefined) {
        goneSince = env.clock.elapsed()
        env.err.write(
          `alcazar: ${harmless(error.message)}\n  Perhaps it restarts: trying again for ${PATIENCE_MS / SECOND} s. What was begun stands in the journal.\n`,
        )
      } else if (env.clock.elapsed() - goneSince >= PATIENCE_MS)
        throw new CaError(
          'not_ready',
          `the server did not come back within ${PATIENCE_MS / SECOND} s; when it runs again it goes on where it was. ${unwatched}`,
          { cause: error },
        )
    }
  }
}

const isPassing = ({ code }: CaError): boolean =>
  code === 'dependency_unavailable' || code === 'not_ready' || code === 'rate_limited'

type Show = (view: RotationView, how?: { readonly isLast: boolean }) => void

function showing(env: CliEnv, options: Readonly<Record<string, unknown>>): Show {
  if (options.output === 'json') return jsonLines(env)
  return env.out.isTerminal ? drawing(env) : lines(env)
}

function jsonLines(env: CliEnv): Show {
  let before: RotationView | undefined
  return (view, how) => {
    if (!how?.isLast && isChange(before, view)) env.out.write(`${JSON.stringify({ ...view, done: false })}\n`)
    before = view
  }
}

function lines(env: CliEnv): Show {
  let before: RotationView | undefined
  let wroteAt = 0
  return (view) => {
    const now = env.clock.elapsed()
    const moved = before !== undefined && before.ready !== view.ready && now - wroteAt >= LINE_EVERY_MS
    if (!moved && !isNews(before, view)) return
    env.out.write(asText([progressLine(view)]))
    before = view
    wroteAt = now
  }
}

/** Only cursor up, clear line and clear to the end: what every terminal knows (ECMA-48 CUU, EL, ED). */
function drawing(env: CliEnv): Show {
  let drawn = 0
  return (view) => {
    const now = progressLines(view, env.out.columns())
    const up = drawn === 0 ? '' : `\u001b[${drawn}A`
    env.out.write(`${up}${now.map((line) => `\u001b[2K${harmless(line)}\n`).join('')}\u001b[0J`)
    drawn = now.length
  }
}
