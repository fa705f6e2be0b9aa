import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { resolve } from 'node:path'
import { createInterface } from 'node:readline'
import { onTestFinished } from 'vitest'

const SRC = resolve(import.meta.dirname, '../../src')

/** What another process, on the sources as they are, says line by line; it ends with the test at the latest. */
export class OtherProcess {
  readonly #child: ChildProcess
  readonly #lines: AsyncIterator<string>

  /** `script` is a module's text; `src` stands for the sources' folder in it. */
  constructor(script: string, ...args: readonly string[]) {
    const text = script.replaceAll("'src/", `'${SRC}/`)
    this.#child = spawn(process.execPath, ['--input-type=module', '-e', text, '--', ...args], {
      stdio: ['ignore', 'pipe', 'inherit'],
    })
    if (!this.#child.stdout) throw new Error('no stdout')
    this.#lines = createInterface({ input: this.#child.stdout })[Symbol.asyncIterator]()
    onTestFinished(() => void this.#child.kill('SIGKILL'))
  }

  /** The next line; nothing after the last. */
  async line(): Promise<string | undefined> {
    const { value, done } = await this.#lines.next()
    return done ? undefined : value
  }

  /** Ends as a crash does: nothing of it runs any more. Gives the lines it had still written. */
  async kill(): Promise<readonly string[]> {
    const ended = once(this.#child, 'exit')
    this.#child.kill('SIGKILL')
    await ended
    const rest: string[] = []
    for (let line = await this.line(); line !== undefined; line = await this.line()) rest.push(line)
    return rest
  }
}
