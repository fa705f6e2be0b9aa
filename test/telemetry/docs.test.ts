import { readdirSync, readFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { beforeAll, describe, expect, test } from 'vitest'
import { telemetry } from '../../src/telemetry/events.ts'
import { createLog } from '../../src/telemetry/log.ts'
import { Metrics } from '../../src/telemetry/metrics.ts'
import { CLOSED, someArguments, tellEverything } from '../_support/every-event.ts'
import { everyMetric, type Family, isOurs } from '../_support/metrics-list.ts'

const PROJECT = resolve(import.meta.dirname, '../..')
const page = readFileSync(join(PROJECT, 'docs/telemetry.md'), 'utf8')

/** The rows of the table whose first column is called so. */
function table(first: string): string[][] {
  const lines = page.split('\n')
  const head = lines.findIndex((line) => line.startsWith(`| ${first} |`))
  expect(head, `there is a table of ${first}s`).toBeGreaterThanOrEqual(0)
  const rows = lines.slice(head + 2)
  return rows
    .slice(
      0,
      rows.findIndex((line) => !line.startsWith('|')),
    )
    .map((line) =>
      line
        .slice(1, -1)
        .split('|')
        .map((cell) => cell.trim()),
    )
}

/** What stands between backticks in a cell. */
const quoted = (cell = '') => [...cell.matchAll(/`([^`]+)`/g)].map(([, text]) => text as string)

let metrics: Family[]
let records: Record<string, unknown>[]

beforeAll(async () => {
  metrics = (await everyMetric()).filter(isOurs)
  const given = await someArguments()
  records = []
  const write = (line: string) => void records.push(JSON.parse(line))
  const log = createLog({ level: 'debug', format: 'json', write, clock: given.clock })
  tellEverything(telemetry(log, new Metrics(given.clock)), given)
})

/** Messages that the sources write, wherever. */
function messagesInSources(): string[] {
  const files = readdirSync(join(PROJECT, 'src'), { recursive: true, encoding: 'utf8' }).filter((name) =>
    name.endsWith('.ts'),
  )
  return files.flatMap((name) => {
    const text = readFileSync(join(PROJECT, 'src', name), 'utf8')
    return [...text.matchAll(/\blog\.(?:debug|info|warn|error)\(/g)].map(({ index }) => {
      const call = text.slice(index, index + 900)
      // The message is the last text before the call ends.
      return /'([^'\n]+)',?\s*\)/.exec(call)?.[1] ?? expect.fail(`no message in src/${name}: ${call.slice(0, 80)}`)
    })
  })
}

const documented = () =>
  table('message').map(([message, level = '', fields]) => ({
    message: quoted(message)[0] as string,
    levels: level.split(', ').sort(),
    fields: quoted(fields).sort(),
  }))

describe('docs/telemetry.md', () => {
  test('has every metric with its type and labels, and none that there is not', () => {
    const rows = table('metric').map(([name, type, labels]) => ({
      name: quoted(name)[0],
      type,
      labels: quoted(labels).sort(),
    }))
    const byName = (a: { name: string | undefined }, b: { name: string | undefined }) =>
      String(a.name).localeCompare(String(b.name))
    expect(rows.sort(byName)).toEqual(
      metrics.map(({ name, type, labels }) => ({ name, type, labels: [...labels] })).sort(byName),
    )
  })

  test('names no metric anywhere, alerts included, that there is not', () => {
    const names = new Set(metrics.flatMap(({ name, samples }) => [name, ...samples.map((sample) => sample.name)]))
    const mentioned = page.match(/\b(?:citadel_server|alcazar)_\w+/g) ?? []
    expect(mentioned.length).toBeGreaterThan(names.size / 2)
    expect(mentioned.filter((name) => !names.has(name) && name !== 'citadel_server_')).toEqual([])
  })

  test('says of every metric what it means', () => {
    expect(table('metric').filter(([, , , meaning = '']) => meaning.length < 5)).toEqual([])
  })

  test('has every label with all its values', () => {
    const rows = Object.fromEntries(table('label').map(([label, values]) => [quoted(label)[0], quoted(values)]))
    const { reason, ...others } = CLOSED
    const { reason: reasonRow, ...otherRows } = rows
    expect(otherRows).toEqual({
      ...others,
      error: ['CA_NOT_READY', 'CERT_GEN_ERROR', 'CSR_ERROR', 'TTL_ERROR', 'UNKNOWN'],
      outcome: ['issued', 'refused', 'failed', 'ok'],
    })
    expect([...table('reason').flatMap(([name]) => quoted(name)), ...(reasonRow ?? [])].sort()).toEqual(reason)
  })

  test('has every message of the log, and none that there is not', () => {
    const messages = documented().map(({ message }) => message)
    expect(messages.toSorted()).toEqual([...new Set(messagesInSources())].sort())
  })

  test('has of every event the levels and fields that are written', () => {
    const { time: _, ...inAll } = { time: true, level: true, message: true }
    const written = new Map<string, { levels: Set<string>; fields: Set<string> }>()
    for (const { level, message, ...fields } of records) {
      const one = written.get(String(message)) ?? { levels: new Set(), fields: new Set() }
      written.set(String(message), one)
      one.levels.add(String(level))
      for (const name of Object.keys(fields)) if (name !== 'time' && !(name in inAll)) one.fields.add(name)
    }
    const rows = documented().filter(({ message }) => written.has(message))
    expect(rows).toHaveLength(written.size)
    for (const { message, levels, fields } of rows) {
      const { levels: found, fields: names } = written.get(message) ?? expect.fail()
      expect({ levels, fields }, message).toEqual({ levels: [...found].sort(), fields: [...names].sort() })
    }
  })

  test('has of the start the fields that are written', () => {
    const source = readFileSync(join(PROJECT, 'src/cli/commands/serve.ts'), 'utf8')
    const call = /log\.info\(\s*\{([^}]*)\},\s*'serving'/.exec(source)?.[1] ?? ''
    const names = [...call.matchAll(/^\s*(\w+)[:,]/gm)].map(([, name]) => name).sort()
    expect(documented().find(({ message }) => message === 'serving')?.fields).toEqual(names)
  })

  test('explains every field', () => {
    const explained = table('field').flatMap(([name]) => quoted(name))
    const used = documented().flatMap(({ fields }) => fields)
    expect([...new Set(used)].sort()).toEqual([...new Set(explained)].sort())
  })

  test.each(['README.md', 'ARCHITECTURE.md'])('is linked from %s', (name) => {
    expect(readFileSync(join(PROJECT, name), 'utf8')).toContain('](docs/telemetry.md)')
  })
})
