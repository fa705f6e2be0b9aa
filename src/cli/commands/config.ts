import { ConfigFaults } from '../../config/load.ts'
import { SETTINGS } from '../../config/schema.ts'
import { print, type Verb } from '../env.ts'
import { outputOption } from '../output-option.ts'
import { addSettingFlags, settingsFrom } from '../settings.ts'

export const configCheck: Verb = {
  name: 'config check',
  summary: 'Check settings as serve would read them, and list every fault at once (exit 2)',
  define(command) {
    addSettingFlags(command)
    command.addOption(outputOption())
  },
  async run(env, _args, options) {
    try {
      const { origins } = settingsFrom(env, options)
      const set = [...origins.values()].filter((origin) => !origin.startsWith('default')).length
      print(env, options, [], () => [
        `The configuration is good: ${set} setting${set === 1 ? '' : 's'} given, the others have their defaults.`,
      ])
    } catch (error) {
      // People read them on stderr, as of every verb.
      if (error instanceof ConfigFaults && options.output === 'json') print(env, options, error.faults, () => [])
      throw error
    }
  },
}

export const configPrint: Verb = {
  name: 'config print',
  summary: 'Print the effective settings and where each came from',
  define(command) {
    addSettingFlags(command)
    command.addOption(outputOption())
  },
  async run(env, _args, options) {
    const { values, origins } = settingsFrom(env, options)
    const rows = SETTINGS.map(({ key, otherwise }) => ({
      setting: key,
      value: values.get(key) ?? null,
      origin: origins.get(key) ?? `default (${otherwise ?? 'none'})`,
    }))
    const shown = (value: unknown) =>
      value === null ? '-' : Array.isArray(value) ? value.join(',') || '(none)' : String(value)
    const width = (column: (row: (typeof rows)[number]) => string) => Math.max(...rows.map((row) => column(row).length))
    const names = width((row) => row.setting)
    const values_ = Math.min(
      60,
      width((row) => shown(row.value)),
    )
    print(env, options, rows, () =>
      rows.map((row) => `${row.setting.padEnd(names)}  ${shown(row.value).padEnd(values_)}  ${row.origin}`),
    )
  },
}
