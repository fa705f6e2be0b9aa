import { type Clock, plus } from '../core/clock.ts'
import { DAY, HOUR, SECOND } from '../core/duration.ts'
import type { CertificateAlert, Events } from './events.ts'

export type RefusingClient = {
  /** Without a port: each try has another. */
  readonly address: string
  readonly alert: CertificateAlert
  readonly times: number
  readonly last: string
}

/** More addresses than this are not kept; the one that was heard of longest ago goes. */
const MAX_CLIENTS = 256
const KEPT_FOR_MS = DAY
/** The log has one address this often, and all of them together no more often than that. */
const TELL_EVERY_MS = HOUR
const TELL_ANY_EVERY_MS = SECOND

/**
 * Who refused our certificate: most likely clients whose file of roots is an older one than what we serve under. In memory only: who still refuses
 * tries again.
 */
export class RefusingClients {
  readonly #clock: Clock
  readonly #events: Pick<Events, 'servingCertificateRefused'>
  /** By address, the one heard of last at the end. */
  readonly #clients = new Map<
    string,
    { alert: CertificateAlert; times: number; last: Date; told: number | undefined }
  >()
  #toldAny: number | undefined

  constructor({
    clock,
    events,
  }: { readonly clock: Clock; readonly events: Pick<Events, 'servingCertificateRefused'> }) {
    this.#clock = clock
    this.#events = events
  }

  note(address: string, alert: CertificateAlert): void {
    const known = this.#clients.get(address)
    const now = this.#clock.elapsed()
    const isDue = (last: number | undefined, every: number) => last === undefined || now - last >= every
    const tell = isDue(known?.told, TELL_EVERY_MS) && isDue(this.#toldAny, TELL_ANY_EVERY_MS)
    const times = (known?.times ?? 0) + 1
    this.#clients.delete(address)
    this.#clients.set(address, { alert, times, last: this.#clock.now(), told: tell ? now : known?.told })
    if (this.#clients.size > MAX_CLIENTS) this.#clients.delete(this.#clients.keys().next().value as string)
    if (tell) this.#toldAny = now
    this.#events.servingCertificateRefused(alert, tell ? { address, times } : undefined)
  }

  /** Those of the last day, the last one first. */
  list(): readonly RefusingClient[] {
    const since = plus(this.#clock.now(), -KEPT_FOR_MS)
    return [...this.#clients]
      .filter(([, { last }]) => last > since)
      .map(([address, { alert, times, last }]) => ({ address, alert, times, last: last.toISOString() }))
      .reverse()
  }
}
