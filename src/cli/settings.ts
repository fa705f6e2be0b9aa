import { type Command, Option } from 'commander'
import { type Loaded, loadConfig } from '../config/load.ts'
import { SETTINGS } from '../config/schema.ts'
import type { CliEnv } from './env.ts'

/** Adds a flag for every setting, and `--config`. */
export function addSettingFlags(command: Command): void {
  command.option('-c, --config <file>', 'read settings from a YAML file (also ALCAZAR_CONFIG)')
  for (const setting of SETTINGS) {
    const value =
      setting.kind === 'boolean'
        ? ''
        : setting.kind === 'list'
          ? ' <a,b>'
          : ` <${setting.kind === 'number' ? 'n' : 'value'}>`
    const fallback =
      setting.otherwise ?? (Array.isArray(setting.default) ? setting.default.join(',') : String(setting.default))
    const option = new Option(
      `${setting.flag}${value}`,
      `${setting.description}${setting.kind === 'boolean' ? '' : ` (default: ${fallback || 'none'})`}`,
    )
    if (setting.values) option.choices([...setting.values])
    command.addOption(option)
  }
}

/** Settings from flags, environment and file. @throws CaError `invalid_argument` with every fault */
export function settingsFrom(env: CliEnv, options: Readonly<Record<string, unknown>>): Loaded {
  const flags = new Map<string, unknown>()
  for (const setting of SETTINGS) {
    const value = options[setting.flag.slice(2).replace(/-([a-z])/g, (_all, letter: string) => letter.toUpperCase())]
    if (value !== undefined) flags.set(setting.key, value)
  }
  return loadConfig({ flags, environment: env.environment, file: options.config as string | undefined })
}
