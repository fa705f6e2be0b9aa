import { type ChildProcess, spawn } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { until } from './until.ts'

const main = fileURLToPath(new URL('../../src/main.ts', import.meta.url))

/** The program itself, as a shell starts it; killed when the test is over. */
export class AlcazarProcess implements AsyncDisposable {
  readonly child: ChildProcess
  out = ''
  err = ''
  /** Its exit code, or the signal that ended it. */
  readonly ended: Promise<number | NodeJS.Signals | null>

  /** @param under what the command line begins with, such as another program that starts it */
  constructor(args: readonly string[], under: readonly string[] = []) {
    const [program = '', ...all] = [...under, process.execPath, main, ...args]
    this.child = spawn(program, all, {
      stdio: ['ignore', 'pipe', 'pipe'],
      env: { PATH: process.env.PATH },
    })
    this.child.stdout?.on('data', (part: Buffer) => {
      this.out += part.toString()
    })
    this.child.stderr?.on('data', (part: Buffer) => {
      this.err += part.toString()
    })
    this.ended = new Promise((resolve) => this.child.once('close', (code, signal) => resolve(code ?? signal)))
  }

  /** Its lines of log, where it writes JSON. */
  get log(): Record<string, unknown>[] {
    const whole = this.err.split('\n').slice(0, -1)
    return whole.map((line) => JSON.parse(line) as Record<string, unknown>)
  }

  /** host and port of the CA, from the log, as soon as it serves. */
  async serving(): Promise<{ host: string; port: number }> {
    await until('it serves', () => this.child.exitCode !== null || this.err.includes('"serving"'), 15_000)
    const listen = this.log.find(({ message }) => message === 'serving')?.listen
    if (typeof listen !== 'string') throw new Error(`it does not serve: ${this.err}`)
    const [host = '', port] = listen.split(':')
    return { host, port: Number(port) }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.child.kill('SIGKILL')
    await this.ended
  }
}
