import { relative } from 'node:path'
import type { Config } from '../../config/schema.ts'
import { shortId } from '../../core/bytes.ts'
import { relativeInWords } from '../../core/duration.ts'
import { keyAlgorithm } from '../../keys/algorithms.ts'
import type { AuthorityStatus, Status } from '../../service/status.ts'
import { createLog, gathered } from '../../telemetry/log.ts'
import { asText, type CliEnv, type ServerHandle, type Verb } from '../env.ts'
import { addSettingFlags, settingsFrom } from '../settings.ts'

export const serve: Verb = {
  name: 'serve',
  summary: 'Run the certificate authority',
  define: addSettingFlags,
  async run(env, _args, options) {
    const { config } = settingsFrom(env, options)
    const format =
      config.log.format === 'auto' ? (env.err.isTerminal || config.dev ? 'text' : 'json') : config.log.format
    const lines = gathered(env.err.write, env.clock)
    const log = createLog({ level: config.log.level, format, write: lines.write, clock: env.clock })
    env.atExit(lines.flush)
    // What the banner is about to say needs no log lines before it.
    if (format === 'text') log.level = config.log.level === 'error' ? 'error' : 'warn'
    const server = await env.startServer(config, log)
    log.level = config.log.level
    if (format === 'text') env.out.write(banner(env, config, server, await server.status()))
    else
      log.info(
        {
          version: env.version,
          trustDomain: config.trustDomain.name,
          listen: address(server.ca),
          healthListen: address(server.health),
        },
        'serving',
      )
    await env.untilAskedToEnd()
    log.info('ending: running requests may finish')
    await server.close()
    log.info('ended')
  },
}

/** What a person sees first: what is, and what to do next. */
function banner(env: CliEnv, config: Config, server: ServerHandle, status: Status): string {
  const now = env.clock.now()
  const state = relative(process.cwd(), config.stateDirectory).startsWith('..')
    ? config.stateDirectory
    : `./${relative(process.cwd(), config.stateDirectory)}`
  const mode = config.dev
    ? `dev mode: state in ${state}, tokens issued here, do not use in production`
    : config.pluggedCa === undefined
      ? 'its own root'
      : `plugged-in CA from ${config.pluggedCa}`
  const lines = [
    `Alcazar ${env.version} · trust domain ${status.trustDomain} · ${mode}`,
    ...status.authorities
      .filter(({ role, state }) => state === 'active' || (role === 'root' && state !== 'revoked'))
      .map((one) => line(one, now)),
    ...(status.rotating ? ['  A rotation is on its way; watch it: alcazar root rotate'] : []),
    ...status.inTheClear.map(
      (id) => `  root      ${shortId(id)}  its key was in the clear; alcazar root rotate replaces it`,
    ),
    `  istio CSR API   ${address(server.ca)}    admin  ${state}/admin.sock    metrics  ${address(server.health)}/metrics`,
    '',
  ]
  if (config.dev)
    lines.push(
      'Get a first certificate in another terminal:',
      `  npx alcazar issue --namespace shop --service-account cart --out ./cart${state === './.alcazar' ? '' : ` --state-directory ${state}`}`,
      '',
    )
  return asText(lines)
}

/** What the banner says of an authority by where its key is. */
const WAYS: Readonly<Record<AuthorityStatus['key'], string>> = {
  memory: 'in memory only',
  file: 'self-signed',
  sealed: 'self-signed, its key sealed',
  pkcs11: 'self-signed, its key in a PKCS#11 token',
  'plugged-in': 'plugged in',
  elsewhere: 'its key is elsewhere',
  gone: 'its key no longer kept here',
}

function line(authority: AuthorityStatus, now: Date): string {
  const parts = [
    `${keyAlgorithm(authority.algorithm).label}, ${WAYS[authority.key]}`,
    `ends ${relativeInWords(new Date(authority.notAfter), now)}`,
  ]
  if (authority.state !== 'active') parts.push(authority.state)
  if (authority.renewalAt) parts.push(`renewed ${relativeInWords(new Date(authority.renewalAt), now)}`)
  return `  ${authority.role.padEnd(9)} ${shortId(authority.id)}  ${parts.join(', ')}`
}

const address = ({ host, port }: { host: string; port: number }): string =>
  host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`
