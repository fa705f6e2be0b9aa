import { JournalInDoubt } from '../authority/journal.ts'
import { CaError } from '../core/errors.ts'
import type { Events } from './events.ts'

/** Runs one change of the journal after the other, until nobody knows what it holds: from then on none. */
export class Turns {
  readonly #events: Pick<Events, 'keeperStopped'>
  #stopped: JournalInDoubt | undefined
  #last: Promise<unknown> = Promise.resolve()

  constructor(events: Pick<Events, 'keeperStopped'>) {
    this.#events = events
  }

  /** Why none runs any more; nothing while they do. */
  get stopped(): JournalInDoubt | undefined {
    return this.#stopped
  }

  /** @throws CaError `not_ready`: none runs any more, or nobody knows whether this one was done · what `action` throws */
  run<T>(action: () => Promise<T>): Promise<T> {
    const turn = this.#last.then(async () => {
      if (this.#stopped)
        throw new CaError('not_ready', 'this process changes no authority any more; restart it', {
          cause: this.#stopped,
        })
      try {
        return await action()
      } catch (error) {
        if (!(error instanceof JournalInDoubt)) throw error
        this.#stopped = error
        this.#events.keeperStopped(error)
        throw inDoubt(error, 'restart the server, and alcazar root status says')
      }
    })
    this.#last = turn.catch(() => undefined)
    return turn
  }
}

/**
 * A write of the journal by a process that does nothing else.
 * @throws CaError `not_ready`: nobody knows whether it was done · what `write` throws
 */
export async function settledByRepeating<T>(write: () => Promise<T>): Promise<T> {
  try {
    return await write()
  } catch (error) {
    if (!(error instanceof JournalInDoubt)) throw error
    throw inDoubt(error, 'run the same command again, which finishes it or says that it was')
  }
}

function inDoubt(cause: JournalInDoubt, settle: string): CaError {
  return new CaError(
    'not_ready',
    `nobody knows whether this was done, because the disk failed in the middle of it: ${settle}`,
    { cause },
  )
}
