import type { ActiveAuthority } from '../../src/authority/active-authority.ts'
import { telemetry } from '../../src/telemetry/events.ts'
import { createLog } from '../../src/telemetry/log.ts'
import { Metrics } from '../../src/telemetry/metrics.ts'
import { type SomeArguments, someArguments, tellEverything } from './every-event.ts'

export type Sample = {
  readonly name: string
  readonly labels: Readonly<Record<string, string>>
  readonly value: number
}
export type Family = {
  readonly name: string
  readonly help: string
  readonly type: string
  /** Labels that its samples have, apart from those the format itself adds. */
  readonly labels: readonly string[]
  readonly samples: readonly Sample[]
}

/** What Prometheus reads in the text format: written for this, and by nobody who wrote the text. */
export function readMetrics(text: string): Family[] {
  const families: { -readonly [key in keyof Family]: Family[key] }[] = []
  for (const line of text.split('\n')) {
    const [, kind, name, rest] = /^# (HELP|TYPE) (\S+) (.*)$/.exec(line) ?? []
    if (kind === 'HELP')
      families.push({ name: name as string, help: rest as string, type: '', labels: [], samples: [] })
    const family = families.at(-1)
    if (kind === 'TYPE' && family) family.type = rest as string
    const [, sample, labelText = '', value] = /^([a-zA-Z_:][\w:]*)(?:\{(.*)\})? (\S+)$/.exec(line) ?? []
    if (sample === undefined || !family) continue
    const labels = Object.fromEntries([...labelText.matchAll(/(\w+)="([^"]*)"/g)].map(([, key, text]) => [key, text]))
    family.samples = [...family.samples, { name: sample, labels, value: Number(value) }]
    const named = Object.keys(labels).filter((label) => label !== 'le' && label !== 'quantile')
    family.labels = [...new Set([...family.labels, ...named])].sort()
  }
  return families
}

export const isOurs = ({ name }: Pick<Family, 'name'>) => /^(citadel_server|alcazar)_/.test(name)

/** Metrics as a server has them, together with what it is told. */
export function someMetrics(
  given: SomeArguments,
  active: () => ActiveAuthority | undefined = () => given.active.get(),
  sources: Partial<Parameters<Metrics['observe']>[0]> = {},
) {
  const metrics = new Metrics(given.clock)
  metrics.observe({
    active,
    authorities: () => given.authorities,
    ledgerWritable: () => true,
    ready: async () => true,
    watchSilenceMs: () => 1500,
    inFlight: () => 3,
    version: '1.2.3',
    pluggedWaits: () => [],
    ...sources,
  })
  const log = createLog({ level: 'error', format: 'json', write: () => undefined, clock: given.clock })
  const events = telemetry(log, metrics)
  const families = async () => readMetrics((await metrics.text()).body)
  const value = async (name: string, labels: Readonly<Record<string, string>> = {}) =>
    (await families())
      .flatMap((family) => family.samples)
      .find(
        (sample) => sample.name === name && Object.entries(labels).every(([key, text]) => sample.labels[key] === text),
      )?.value
  return { metrics, events, families, value }
}

/** Every metric, with every label it can have, as a scrape shows them after everything has happened once. */
export async function everyMetric(): Promise<Family[]> {
  const given = await someArguments()
  const { events, families } = someMetrics(given)
  tellEverything(events, given)
  return families()
}
