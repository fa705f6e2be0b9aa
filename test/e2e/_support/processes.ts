import { type ChildProcess, spawn } from 'node:child_process'
import { appendFileSync, closeSync, mkdirSync, openSync, readFileSync } from 'node:fs'
import { join } from 'node:path'

export type Command = {
  readonly program: string
  readonly args: readonly string[]
  readonly cwd?: string
  /** Everything the program sees of the environment. */
  readonly env: NodeJS.ProcessEnv
}

/** How a process ended: its exit code, or the signal that ended it. */
export type End = { readonly code: number | null; readonly signal: NodeJS.Signals | null }

/** Long enough for any program here to end in order. */
const END_WITHIN_MS = 12_000

/** A process that was started here, the leader of a group of its own. */
export class Running {
  readonly name: string
  readonly pid: number
  /** Path of what it writes. */
  readonly log: string
  readonly ended: Promise<End>
  #asked = false

  constructor(name: string, child: ChildProcess, log: string, endedByItself: (message: string) => void) {
    this.name = name
    this.pid = child.pid as number
    this.log = log
    this.ended = new Promise((resolve) => {
      child.once('exit', (code, signal) => {
        // What it started and left behind goes with it.
        signalGroup(this.pid, 'SIGKILL')
        if (!this.#asked) endedByItself(`${name} ended by itself (${signal ?? `exit code ${code}`})`)
        resolve({ code, signal })
      })
    })
  }

  /** Ends it by a signal and waits; by SIGKILL where it does not end in time. */
  async end(signal: NodeJS.Signals = 'SIGTERM'): Promise<End> {
    this.#asked = true
    const late = setTimeout(() => signalGroup(this.pid, 'SIGKILL'), END_WITHIN_MS)
    // A signal is for the leader, as a kubelet sends it; only SIGKILL is for all.
    if (signal === 'SIGKILL') signalGroup(this.pid, signal)
    else signalOne(this.pid, signal)
    try {
      return await this.ended
    } finally {
      clearTimeout(late)
    }
  }

  said(): string {
    return readFileSync(this.log, 'utf8')
  }
}

/** Starts processes, knows where each writes, and ends those that still run. */
export class Processes {
  readonly #directory: string
  readonly #record: string
  readonly #running = new Set<Running>()
  readonly #logs = new Set<string>()
  readonly #endedByItself: (message: string) => void

  /** @param endedByItself hears of every process that ends without having been asked to */
  constructor(directory: string, endedByItself: (message: string) => void) {
    this.#directory = join(directory, 'logs')
    this.#record = join(directory, 'processes')
    this.#endedByItself = endedByItself
    mkdirSync(this.#directory)
  }

  /** Paths of all that was written, in the order of first starts. */
  get logs(): readonly string[] {
    return [...this.#logs]
  }

  /** A name that was used before goes on in the same log. */
  async start(name: string, { program, args, cwd, env }: Command): Promise<Running> {
    const log = join(this.#directory, `${name}.log`)
    const descriptor = openSync(log, 'a', 0o600)
    try {
      const child = spawn(program, args, {
        stdio: ['ignore', descriptor, descriptor],
        detached: true,
        env,
        ...(cwd !== undefined && { cwd }),
      })
      await new Promise((resolve, reject) => child.once('spawn', resolve).once('error', reject))
      // For who has to clean up after a runner that was killed.
      appendFileSync(this.#record, `${child.pid} ${name} ${log}\n`)
      const running = new Running(name, child, log, this.#endedByItself)
      this.#logs.add(log)
      this.#running.add(running)
      void running.ended.then(() => this.#running.delete(running))
      return running
    } finally {
      closeSync(descriptor)
    }
  }

  async endAll(): Promise<void> {
    await Promise.all([...this.#running].map((one) => one.end()))
  }
}

function signalGroup(leader: number, signal: NodeJS.Signals): void {
  signalOne(-leader, signal)
}

function signalOne(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(pid, signal)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error
  }
}
