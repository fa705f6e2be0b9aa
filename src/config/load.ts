import { closeSync, constants, existsSync, fstatSync, openSync, readFileSync } from 'node:fs'
import { loadAll } from 'js-yaml'
import type { z } from 'zod'
import { CaError } from '../core/errors.ts'
import { contradictions } from './rules.ts'
import { type Config, SCHEMA, SETTINGS, type Setting } from './schema.ts'
import { DEV_STATE_DIRECTORY, STATE_DIRECTORY } from './state-directories.ts'

/** Where a value came from, as `config print` says it. */
export type Origin = string

export type Loaded = {
  readonly config: Config
  readonly values: ReadonlyMap<string, unknown>
  readonly origins: ReadonlyMap<string, Origin>
}

export type Sources = {
  /** By key: texts as a shell passes them; `true` for a flag of a boolean. */
  readonly flags: ReadonlyMap<string, unknown>
  readonly environment: NodeJS.ProcessEnv
  /** Path of the file; ALCAZAR_CONFIG and nothing where the flag is missing. */
  readonly file: string | undefined
}

export class ConfigFaults extends CaError {
  readonly faults: readonly string[]

  constructor(faults: readonly string[]) {
    super(
      'invalid_argument',
      faults.length === 1
        ? `the configuration has a fault: ${faults[0]}`
        : `the configuration has ${faults.length} faults:\n  ${faults.join('\n  ')}`,
    )
    this.faults = faults
  }
}

const MAX_FILE_BYTES = 1024 * 1024

/** Set where Kubernetes runs this process. */
const isInCluster = (environment: NodeJS.ProcessEnv): boolean =>
  environment.KUBERNETES_SERVICE_HOST !== undefined || existsSync('/var/run/secrets/kubernetes.io/serviceaccount/token')

/**
 * Defaults, then the file, then ALCAZAR_… variables, then flags: the later wins. All faults are told at once.
 * @throws ConfigFaults
 */
export function loadConfig({ flags, environment, file }: Sources): Loaded {
  const faults: string[] = []
  const faulty = new Set<string>()
  const values = new Map<string, unknown>()
  const origins = new Map<string, Origin>()
  const put = (key: string, value: unknown, origin: Origin) => {
    values.set(key, value)
    origins.set(key, origin)
  }
  const read = (setting: Setting, value: unknown, where: string) =>
    converted(setting, value, (says) => {
      faulty.add(setting.key)
      faults.push(`${where}: ${says}`)
    })
  for (const setting of SETTINGS) if (setting.default !== undefined) put(setting.key, setting.default, 'default')
  const path = file ?? environment.ALCAZAR_CONFIG
  if (path !== undefined) for (const [key, value] of fromFile(path, faults)) put(key, value, `file ${path}`)
  for (const [setting, value] of fromEnvironment(environment, faults))
    put(setting.key, read(setting, value, setting.variable), `environment ${setting.variable}`)
  for (const [key, value] of flags) {
    const setting = SETTINGS.find((one) => one.key === key) as Setting
    put(key, read(setting, value, setting.flag), `flag ${setting.flag}`)
  }
  complete(values, origins, environment)
  const result = SCHEMA.safeParse(nested(values), { error: inWords })
  for (const { path: at, message } of result.error?.issues ?? []) {
    const key = at.join('.')
    const setting = SETTINGS.find((one) => `${key}.`.startsWith(`${one.key}.`))?.key ?? key
    faulty.add(setting)
    faults.push(`${key}: ${message} (${origins.get(setting) ?? 'no value'})`)
  }
  // The output of the schema lacks what is unset; Config says `undefined` there.
  const config = freeze(result.data ?? withoutFaulty(values, faulty, environment)) as Config
  faults.push(...contradictions(config, isInCluster(environment), faulty))
  if (faults.length > 0) throw new ConfigFaults(faults)
  return { config, values, origins }
}

const KINDS: Readonly<Record<string, string>> = {
  string: 'a text',
  boolean: 'true or false',
  number: 'a number',
  int: 'a whole number',
  array: 'a list',
  object: 'a group',
}

/** What a setting takes that was given another kind of value, as only a file can. */
function inWords({ code, expected, input }: z.core.$ZodRawIssue): string | undefined {
  if (code !== 'invalid_type') return undefined
  const kind = Array.isArray(input) ? 'array' : typeof input
  const given = input === null ? 'nothing' : expected === 'int' && kind === 'number' ? String(input) : KINDS[kind]
  // Every number that is a setting is whole.
  const taken = expected === 'number' ? 'int' : (expected as string)
  return `write ${KINDS[taken] ?? taken}, not ${given ?? kind}`
}

/** The defaults that depend on others. */
function complete(values: Map<string, unknown>, origins: Map<string, Origin>, environment: NodeJS.ProcessEnv): void {
  const dev = values.get('dev') === true
  const fallback = (key: string, value: string, origin = dev ? 'default of dev mode' : 'default') => {
    if (values.has(key)) return
    values.set(key, value)
    origins.set(key, origin)
  }
  const { KUBERNETES_SERVICE_HOST: host, KUBERNETES_SERVICE_PORT: port = '443' } = environment
  if (host !== undefined)
    fallback(
      'attestation.apiServer',
      `https://${host.includes(':') ? `[${host}]` : host}:${port}`,
      'environment KUBERNETES_SERVICE_HOST',
    )
  fallback('stateDirectory', dev ? DEV_STATE_DIRECTORY : STATE_DIRECTORY)
  fallback('listen', dev ? '127.0.0.1:15012' : '0.0.0.0:15012')
  fallback('healthListen', dev ? '127.0.0.1:15014' : '0.0.0.0:15014')
}

/** What the rules between the other settings are held against: defaults in the place of what is faulty. */
function withoutFaulty(
  values: ReadonlyMap<string, unknown>,
  faulty: ReadonlySet<string>,
  environment: NodeJS.ProcessEnv,
): z.output<typeof SCHEMA> {
  const sound = new Map([...values].filter(([key]) => !faulty.has(key)))
  for (const { key, default: usual } of SETTINGS) if (faulty.has(key) && usual !== undefined) sound.set(key, usual)
  complete(sound, new Map(), environment)
  return SCHEMA.parse(nested(sound))
}

function* fromFile(path: string, faults: string[]): Generator<[string, unknown]> {
  let document: unknown
  try {
    const content = textOf(path)
    const documents = loadAll(content)
    if (documents.length > 1) throw new Error(`${documents.length} documents; expected one`)
    document = documents[0]
  } catch (error) {
    // What else is missing may well be in it.
    throw new ConfigFaults([
      (error as NodeJS.ErrnoException).code === 'ENOENT'
        ? `there is no file ${path}`
        : `${path} can’t be read as YAML: ${(error as Error).message.split('\n')[0]}`,
    ])
  }
  if (document === undefined || document === null) return
  yield* leaves(document, [], path, faults)
}

/** Of a plain file alone: a pipe may have nobody at its other end, and a device has no end. */
function textOf(path: string): string {
  const descriptor = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK)
  try {
    const found = fstatSync(descriptor)
    if (!found.isFile()) throw new Error('it is no plain file')
    if (found.size > MAX_FILE_BYTES) throw new Error(`${found.size} bytes; at most ${MAX_FILE_BYTES}`)
    return readFileSync(descriptor, 'utf8')
  } finally {
    closeSync(descriptor)
  }
}

function* leaves(value: unknown, at: readonly string[], path: string, faults: string[]): Generator<[string, unknown]> {
  const key = at.join('.')
  if (SETTINGS.some((setting) => setting.key === key)) yield [key, value]
  else if (
    typeof value === 'object' &&
    value !== null &&
    !Array.isArray(value) &&
    (key === '' || SETTINGS.some((setting) => setting.key.startsWith(`${key}.`)))
  )
    for (const [name, inner] of Object.entries(value)) yield* leaves(inner, [...at, name], path, faults)
  else
    faults.push(
      key === ''
        ? `${path} is no mapping of settings`
        : SETTINGS.some((setting) => setting.key.startsWith(`${key}.`))
          ? `${key} in ${path} is a group of settings`
          : `unknown setting ${key} in ${path}${suggestion(key)}`,
    )
}

function* fromEnvironment(environment: NodeJS.ProcessEnv, faults: string[]): Generator<[Setting, string]> {
  for (const [name, value] of Object.entries(environment)) {
    if (!name.startsWith('ALCAZAR_') || value === undefined || name === 'ALCAZAR_CONFIG') continue
    // Kubernetes describes a Service named alcazar to every pod beside it.
    if (/^ALCAZAR_(SERVICE_|PORT)/.test(name)) continue
    const setting = SETTINGS.find((one) => one.variable === name)
    if (setting) yield [setting, value]
    else faults.push(`unknown variable ${name} in the environment`)
  }
}

/** Environment and flags hold texts; numbers, booleans and lists are read from them. */
function converted(setting: Setting, value: unknown, fault: (says: string) => void): unknown {
  if (typeof value !== 'string') return value
  switch (setting.kind) {
    case 'text':
      return value
    case 'list':
      return value === '' ? [] : value.split(',').map((part) => part.trim())
    case 'number':
      if (/^\d{1,9}$/.test(value)) return Number(value)
      fault(`${JSON.stringify(value.slice(0, 40))} is no whole number`)
      return setting.default
    case 'boolean':
      if (value === 'true' || value === 'false') return value === 'true'
      fault(`${JSON.stringify(value.slice(0, 40))} is neither true nor false`)
      return setting.default
  }
}

function nested(values: ReadonlyMap<string, unknown>): object {
  const root: Record<string, unknown> = {}
  // A group is there even where nothing of it is set.
  for (const { key } of SETTINGS) {
    const path = key.split('.')
    const name = path.pop() as string
    let at = root
    for (const part of path) {
      at[part] ??= {}
      at = at[part] as Record<string, unknown>
    }
    if (values.has(key)) at[name] = values.get(key)
  }
  return root
}

function freeze<T>(value: T): T {
  if (typeof value !== 'object' || value === null || Object.isFrozen(value)) return value
  for (const inner of Object.values(value)) freeze(inner)
  return Object.freeze(value)
}

function suggestion(key: string): string {
  const last = key.split('.').at(-1)?.toLowerCase()
  const near = SETTINGS.find((setting) => setting.key.split('.').at(-1)?.toLowerCase() === last)
  return near ? `; did you mean ${near.key}?` : ''
}
