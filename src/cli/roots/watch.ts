import { MINUTE, SECOND } from '../../core/duration.ts'
import { CaError } from '../../core/errors.ts'
import { harmless } from '../../core/terminal-text.ts'
import type { RotationView } from '../../service/rotation-view.ts'
import { asText, type CliEnv } from '../env.ts'
import type { RootsApi } from './api.ts'
import { isChange, isNews, progressLine, progressLines } from './progress.ts'

const LOOK_EVERY_MS = SECOND
/** A server with very many workloads is not kept busy by who watches: it rests for so many times what a look took. */
const REST_FACTOR = 10
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
  const screen = screenOf(env, options)
  const stop = new AbortController()
  void env.untilAskedToEnd().then(() => stop.abort())
  let last = first
  const say = (text: string) => {
    env.err.write(text)
    screen.leave()
  }
  let pauseMs = LOOK_EVERY_MS
  while (!isOver(last)) {
    screen.show(last)
    const { view, tookMs } = await nextLook({ env, api, unwatched, say, pauseMs }, stop.signal)
    pauseMs = Math.max(LOOK_EVERY_MS, REST_FACTOR * tookMs)
    if (isOver(view)) {
      screen.end(view)
      return { last, end: view }
    }
    last = view
  }
  return { last, end: last }
}

type Looking = Pick<Watched, 'env' | 'api' | 'unwatched'> & {
  readonly say: (text: string) => void
  readonly pauseMs: number
}

async function nextLook(
  { env, api, unwatched, say, pauseMs }: Looking,
  stop: AbortSignal,
): Promise<{ readonly view: RotationView; readonly tookMs: number }> {
  let goneSince: number | undefined
  for (;;) {
    try {
      await env.clock.sleep(pauseMs, stop)
    } catch (error) {
      if (!stop.aborted) throw error
      // After the ^C that the terminal shows.
      if (env.err.isTerminal) env.err.write('\n')
      throw new CaError('not_ready', `stopped watching. ${unwatched}`)
    }
    const began = env.clock.elapsed()
    try {
      const view = await api.rotation()
      if (goneSince !== undefined) say('alcazar: the server is back\n')
      return { view, tookMs: env.clock.elapsed() - began }
    } catch (error) {
      if (!(error instanceof CaError) || !isPassing(error)) throw error
      if (goneSince === undefined) {
        goneSince = env.clock.elapsed()
        say(
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

type Screen = {
  readonly show: (view: RotationView) => void
  /** What is there when it is over. */
  readonly end: (view: RotationView) => void
  /** Somebody else wrote below: what is drawn stays as it is. */
  readonly leave: () => void
}

function screenOf(env: CliEnv, options: Readonly<Record<string, unknown>>): Screen {
  if (options.output === 'json') return jsonLines(env)
  return env.out.isTerminal ? drawing(env) : lines(env)
}

function jsonLines(env: CliEnv): Screen {
  let before: RotationView | undefined
  const show = (view: RotationView) => {
    if (isChange(before, view)) env.out.write(`${JSON.stringify({ ...view, done: false })}\n`)
    before = view
  }
  return { show, end: () => undefined, leave: () => undefined }
}

function lines(env: CliEnv): Screen {
  let before: RotationView | undefined
  let wroteAt = 0
  const show = (view: RotationView) => {
    const now = env.clock.elapsed()
    const moved = before !== undefined && before.ready !== view.ready && now - wroteAt >= LINE_EVERY_MS
    if (!moved && !isNews(before, view)) return
    env.out.write(asText([progressLine(view)]))
    before = view
    wroteAt = now
  }
  return { show, end: show, leave: () => undefined }
}

/** Only cursor up, clear line and clear to the end: what every terminal knows (ECMA-48 CUU, EL, ED). */
function drawing(env: CliEnv): Screen {
  let drawn = 0
  const show = (view: RotationView) => {
    const now = progressLines(view, env.out.columns())
    const up = drawn === 0 ? '' : `\u001b[${drawn}A`
    env.out.write(`${up}${now.map((line) => `\u001b[2K${harmless(line)}\n`).join('')}\u001b[0J`)
    drawn = now.length
  }
  return {
    show,
    end: show,
    leave: () => {
      drawn = 0
    },
  }
}
