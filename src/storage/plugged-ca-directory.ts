import { watch } from 'node:fs'
import { readFile, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { type PluggedCa, pluggedCa } from '../authority/plugged-ca.ts'
import { sha256Hex } from '../core/bytes.ts'
import { type Clock, loop } from '../core/clock.ts'
import { SECOND } from '../core/duration.ts'
import { asCaError, CaError, causesOf } from '../core/errors.ts'
import { PrivateKey } from '../keys/private-key.ts'
import { type Certificate, readCertificate } from '../x509/certificate.ts'
import { type PemBlock, readPem } from '../x509/pem.ts'
import { isMissing } from './durable-file.ts'

const MAX_FILE_BYTES = 1024 * 1024
/** Kubernetes swaps mounted files by a symbolic link; events get lost on some file systems, so the content is compared as well. */
const COMPARE_EVERY_MS = 10 * SECOND
/** A writer of several files is given this long to finish. */
const SETTLE_MS = 100
const TRIES = 20

const FILES = ['ca-cert.pem', 'ca-key.pem', 'cert-chain.pem', 'root-cert.pem'] as const
type FileName = (typeof FILES)[number]
type Snapshot = { readonly files: Readonly<Record<FileName, Buffer | undefined>>; readonly digest: string }

/** A directory in istio's `cacerts` layout, as Kubernetes mounts such a secret. */
export class PluggedCaDirectory {
  readonly #path: string
  readonly #clock: Clock
  #taken: string | undefined

  constructor(path: string, clock: Clock) {
    this.#path = path
    this.#clock = clock
  }

  /**
   * The CA in the directory now.
   * @throws CaError `invalid_argument`, naming the file at fault
   */
  async read(signal: AbortSignal): Promise<PluggedCa> {
    const snapshot = await this.#consistent(signal)
    this.#taken = snapshot.digest
    return this.#parse(snapshot)
  }

  /** Hands over each changed, whole and consistent CA until the signal; what is none goes to `refused`. */
  async follow(
    signal: AbortSignal,
    take: (ca: PluggedCa) => Promise<void>,
    refused: (error: CaError) => void,
  ): Promise<void> {
    let changed = true
    const watcher = this.#watch(signal, () => {
      changed = true
    })
    let next = this.#clock.elapsed() + COMPARE_EVERY_MS
    let told: string | undefined
    const look = async () => {
      if (!changed && this.#clock.elapsed() < next) return
      changed = false
      next = this.#clock.elapsed() + COMPARE_EVERY_MS
      let digest = ''
      try {
        const snapshot = await this.#consistent(signal)
        digest = snapshot.digest
        if (digest !== this.#taken) await take(await this.#parse(snapshot))
        this.#taken = digest
        told = undefined
      } catch (error) {
        if (signal.aborted) return
        const fault = asCaError(error)
        // A set not taken is tried again at every comparison, since its time may come, and told of once.
        const telling = `${digest} ${causesOf(fault)}`
        if (telling !== told) refused(fault)
        told = telling
      }
    }
    await loop(this.#clock, signal, () => SECOND, look)
    watcher?.close()
  }

  #watch(signal: AbortSignal, changed: () => void) {
    try {
      const watcher = watch(this.#path, { signal, persistent: false }, changed)
      watcher.on('error', () => undefined)
      return watcher
    } catch {
      return undefined // some file systems can't be watched; the comparison finds out
    }
  }

  /** All files as they stood at one moment: read twice alike, since they are swapped one by one or by a link. */
  async #consistent(signal: AbortSignal): Promise<Snapshot> {
    let before = await this.#snapshot()
    for (let tries = 0; tries < TRIES; tries++) {
      await this.#clock.sleep(tries === 0 ? 10 : SETTLE_MS, signal)
      const now = await this.#snapshot()
      if (now.digest === before.digest) return now
      before = now
    }
    throw new CaError('invalid_argument', `the files in ${this.#path} do not stop changing`)
  }

  async #snapshot(): Promise<Snapshot> {
    const entries = await Promise.all(FILES.map(async (name) => [name, await this.#file(name)] as const))
    const digest = sha256Hex(entries.map(([, content]) => (content ? sha256Hex(content) : '-')).join())
    return { files: Object.fromEntries(entries) as Snapshot['files'], digest }
  }

  async #file(name: FileName): Promise<Buffer | undefined> {
    const path = join(this.#path, name)
    try {
      const { size } = await stat(path)
      if (size > MAX_FILE_BYTES)
        throw new CaError('invalid_argument', `${path} has ${size} bytes; at most ${MAX_FILE_BYTES}`)
      return await readFile(path)
    } catch (error) {
      if (isMissing(error)) return undefined
      if (error instanceof CaError) throw error
      throw new CaError('invalid_argument', `${path} can’t be read: ${(error as Error).message}`, { cause: error })
    }
  }

  async #parse({ files }: Snapshot): Promise<PluggedCa> {
    // Loaded here, where it is needed at most a few times in a server's life.
    const { confirmReading } = await import('../x509/second-reader.ts')
    const required = (name: FileName): Buffer => {
      const content = files[name]
      if (!content)
        throw new CaError(
          'invalid_argument',
          `${join(this.#path, name)} is missing; a plugged-in CA is ${FILES.join(', ')}`,
        )
      return content
    }
    const confirmed = (block: PemBlock): Certificate => {
      const certificate = certificateOf(block)
      confirmReading(certificate)
      return certificate
    }
    const certificates = (name: FileName, content: Buffer): Certificate[] =>
      this.#named(name, () => readPem(content.toString('latin1'), MAX_FILE_BYTES, 'text').map(confirmed))
    const chain = files['cert-chain.pem']
    const set = {
      'ca-cert.pem': certificates('ca-cert.pem', required('ca-cert.pem')),
      'ca-key.pem': this.#named('ca-key.pem', () => PrivateKey.fromPem(required('ca-key.pem'))),
      'cert-chain.pem': chain ? certificates('cert-chain.pem', chain) : [],
      'root-cert.pem': certificates('root-cert.pem', required('root-cert.pem')),
    }
    try {
      return pluggedCa(set, this.#clock.now())
    } catch (error) {
      if (error instanceof CaError) throw new CaError(error.code, `${this.#path}: ${error.message}`, { cause: error })
      throw error
    }
  }

  #named<T>(name: FileName, read: () => T): T {
    try {
      return read()
    } catch (error) {
      if (error instanceof CaError && !error.message.startsWith(this.#path))
        throw new CaError('invalid_argument', `${join(this.#path, name)} is unusable: ${error.message}`)
      throw error
    }
  }
}

function certificateOf({ label, der }: PemBlock): Certificate {
  if (label !== 'CERTIFICATE')
    throw new CaError('invalid_argument', `it holds a PEM block “${label}”; expected “CERTIFICATE”`)
  return readCertificate(der)
}
