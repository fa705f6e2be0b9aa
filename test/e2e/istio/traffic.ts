import { pause } from '../_support/until.ts'
import type { Sidecar } from './sidecar.ts'

const EVERY_MS = 200

/** A caller that never stops asking, and remembers every answer that was not the one it wants. */
export class Traffic {
  readonly #caller: Sidecar
  readonly #failures: string[] = []
  #answered = 0
  #going = true
  readonly #ended: Promise<void>

  constructor(caller: Sidecar) {
    this.#caller = caller
    this.#ended = this.#go()
  }

  get failures(): readonly string[] {
    return this.#failures
  }

  get answered(): number {
    return this.#answered
  }

  async end(): Promise<void> {
    this.#going = false
    await this.#ended
  }

  async #go(): Promise<void> {
    while (this.#going) {
      try {
        const { status, body } = await this.#caller.call()
        if (status === 200) this.#answered++
        else this.#failures.push(`${new Date().toISOString()} ${status} ${body}`)
      } catch (error) {
        this.#failures.push(`${new Date().toISOString()} ${String(error)}`)
      }
      await pause(EVERY_MS)
    }
  }
}
