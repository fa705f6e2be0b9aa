import type { Clock } from '../core/clock.ts'
import { SECOND } from '../core/duration.ts'
import type { RandomBytes } from '../core/random.ts'
import { ApiError, type KubernetesApi } from './api.ts'

/** What of an object's metadata and body the reducers read; everything may be missing. */
export type KubernetesObject = {
  readonly metadata?: {
    readonly name?: string
    readonly namespace?: string
    readonly uid?: string
    readonly deletionTimestamp?: string
    readonly resourceVersion?: string
  }
  readonly spec?: { readonly nodeName?: string; readonly serviceAccountName?: string }
  readonly status?: { readonly phase?: string }
}

/** Where a list and the events after it go. */
export interface Mirror {
  /** Begins a list: what is put until `settle` replaces all there was. */
  begin(): void
  put(object: KubernetesObject): void
  remove(object: KubernetesObject): void
  settle(): void
}

const PAGE = 500
/** The server ends a watch after this; a bookmark comes about every minute before. */
const WATCH_SECONDS = 300
const SILENCE_MS = 120 * SECOND
const BACKOFF_MS = { first: 500, most: 30 * SECOND }

export type ListWatchParts = {
  readonly api: KubernetesApi
  readonly path: string
  readonly mirror: Mirror
  readonly clock: Clock
  readonly random: RandomBytes
  readonly told: (outcome: 'ok' | { readonly failed: unknown }) => void
}

/** Keeps a mirror of one kind of object: lists it in pages, then follows its events, and lists again when the thread is lost. */
export class ListWatch {
  readonly #parts: ListWatchParts
  #heardAt: number | undefined

  constructor(parts: ListWatchParts) {
    this.#parts = parts
  }

  /** Milliseconds since the API server last said anything about these objects; Infinity before the first list was complete. */
  silence(): number {
    return this.#heardAt === undefined ? Number.POSITIVE_INFINITY : this.#parts.clock.elapsed() - this.#heardAt
  }

  /** Until the signal. Failures are told and tried again, with growing pauses; short ones again after a watch that lasted. */
  async run(signal: AbortSignal): Promise<void> {
    const { clock, random, told } = this.#parts
    let version: string | undefined
    for (let pause: number = BACKOFF_MS.first; !signal.aborted; ) {
      let began = Number.POSITIVE_INFINITY
      try {
        version ??= await this.#list(signal)
        told('ok')
        began = clock.elapsed()
        version = await this.#follow(version, signal)
      } catch (error) {
        if (signal.aborted) return
        // 410 Gone: too old to follow. Anything else may have lost events too, so the next round lists.
        version = undefined
        if (!(error instanceof ApiError && error.status === 410)) told({ failed: error })
      }
      const lasted = clock.elapsed() - began >= BACKOFF_MS.most
      if (lasted) pause = BACKOFF_MS.first
      // The server ends a watch in good order after minutes. One that ends sooner is not begun again at once: that would hammer it.
      if (lasted && version !== undefined) continue
      const jitter = 0.5 + (random(1)[0] as number) / 256
      await clock.sleep(pause * jitter, signal).catch(() => undefined)
      pause = Math.min(pause * 2, BACKOFF_MS.most)
    }
  }

  async #list(signal: AbortSignal): Promise<string> {
    const { api, path, mirror } = this.#parts
    mirror.begin()
    for (let from = '', version = ''; ; ) {
      const page = (await api.get(path, { limit: String(PAGE), ...(from && { continue: from }) }, signal)) as {
        metadata?: { continue?: string; resourceVersion?: string }
        items?: KubernetesObject[]
      }
      for (const object of page.items ?? []) mirror.put(object)
      version ||= page.metadata?.resourceVersion ?? ''
      from = page.metadata?.continue ?? ''
      if (from !== '') continue
      mirror.settle()
      this.#heard()
      return version
    }
  }

  async #follow(from: string, signal: AbortSignal): Promise<string> {
    const { api, path, mirror } = this.#parts
    const query = {
      watch: '1',
      resourceVersion: from,
      allowWatchBookmarks: 'true',
      timeoutSeconds: String(WATCH_SECONDS),
    }
    let version = from
    for await (const event of api.lines(path, query, SILENCE_MS, signal)) {
      const { type, object } = event as {
        type?: string
        object?: KubernetesObject & { code?: number; message?: string }
      }
      if (type === 'ERROR')
        throw new ApiError(object?.code ?? 0, `the watch ended: ${object?.message ?? 'no reason given'}`)
      if (object && (type === 'ADDED' || type === 'MODIFIED')) mirror.put(object)
      if (object && type === 'DELETED') mirror.remove(object)
      version = object?.metadata?.resourceVersion ?? version
      this.#heard()
    }
    return version
  }

  #heard(): void {
    this.#heardAt = this.#parts.clock.elapsed()
  }
}
