import { Option } from 'commander'
import type { AttestationMethod } from '../../attestation/caller.ts'
import { idPrefix } from '../../core/bytes.ts'
import { relativeInWords } from '../../core/duration.ts'
import { CaError } from '../../core/errors.ts'
import type { WorkloadList, WorkloadStatus } from '../../service/list-workloads.ts'
import { print, type Verb } from '../env.ts'
import { limitOf } from '../limit.ts'
import { LocalServer, STATE_FLAG, STATE_HELP } from '../local-server.ts'
import { momentInWords } from '../moments.ts'
import { outputOption } from '../output-option.ts'
import { columns } from '../roots/words.ts'

const DEFAULT_LIMIT = 100
/** The server's own bound. */
const MAX_LIMIT = 5000

export const workloads: Verb = {
  name: 'workloads',
  summary: 'List the live SVIDs: who holds them, until when, and on what they stand',
  define(command) {
    command
      .option('--on <id>', 'only what stands on the authority whose id begins so')
      .option('--lagging', 'only what was answered with an older bundle than the one published now')
      .option('-n, --namespace <name>', 'only of this namespace')
      .addOption(new Option('--limit <n>', 'how many at most, counted from the newest').default(DEFAULT_LIMIT))
      .option(STATE_FLAG, STATE_HELP)
      .addOption(outputOption())
  },
  async run(env, _args, options) {
    const query = new URLSearchParams({ limit: String(limitOf(options.limit, MAX_LIMIT)) })
    if (options.on !== undefined) query.set('on', givenAuthorityId(options.on as string))
    if (options.lagging) query.set('lagging', 'true')
    if (options.namespace !== undefined) query.set('namespace', options.namespace as string)
    const list = (await new LocalServer(env, options).call('GET', `/v1/workloads?${query}`)) as WorkloadList
    print(env, options, list, () => lines(list, env.clock.now(), query.size > 1))
    for (const warning of doubts(list, env.clock.now())) env.err.write(`alcazar: ${warning}\n`)
  },
}

/** As it is printed, too: `3f9a 21c4`. */
function givenAuthorityId(given: string): string {
  const id = idPrefix(given)
  if (!/^[0-9a-f]{4,40}$/.test(id))
    throw new CaError('invalid_argument', '--on takes an authority’s id from its beginning: hex, 4 to 40 digits')
  return id
}

const ASKED_BY: Readonly<Record<AttestationMethod, string>> = {
  'service-account-token': 'token',
  'client-certificate': 'SVID',
  impersonation: 'node proxy',
}

/** It holds up no rotation and renews nothing, but works until it ends. */
const TAKEN_BACK: Readonly<Record<NonNullable<WorkloadStatus['takenBack']>, string>> = {
  revoked: 'revoked',
  forgotten: 'cut off',
}

const HEADINGS = ['WORKLOAD', 'SERVICE ACCOUNT', 'ASKED BY', 'SERIAL', 'ENDS', 'BUNDLE', 'PROVEN', 'LAST SEEN']

function lines({ svids, total, bundleSequence }: WorkloadList, now: Date, chosen: boolean): string[] {
  if (svids.length === 0) return [chosen ? 'No live SVID of the kind.' : 'No live SVID.']
  const table = columns([HEADINGS, ...svids.map((svid) => rowOf(svid, bundleSequence, now))])
  const more = total - svids.length
  return more > 0 ? [...table, `… and ${more.toLocaleString('en-US')} more; --limit shows more of them`] : table
}

function rowOf(svid: WorkloadStatus, bundleSequence: number, now: Date): string[] {
  return [
    svid.workload,
    `${svid.namespace}/${svid.serviceAccount}`,
    ASKED_BY[svid.method],
    `${svid.serial.slice(0, 8)}…`,
    `${relativeInWords(new Date(svid.notAfter), now)}${svid.takenBack === undefined ? '' : ` (${TAKEN_BACK[svid.takenBack]})`}`,
    svid.bundleSequence < bundleSequence ? `${svid.bundleSequence} of ${bundleSequence}` : `${svid.bundleSequence}`,
    svid.proven ? 'yes' : 'no',
    relativeInWords(new Date(svid.lastSeen), now),
  ]
}

function* doubts({ complete, unknown, closedUntil }: WorkloadList, now: Date): Generator<string> {
  if (!complete) yield 'the ledger is still being read, so SVIDs may be missing here; ask again in a moment'
  if (closedUntil !== undefined)
    yield `the ledger is damaged or lacks something in ${unknown} ${unknown === 1 ? 'place' : 'places'}, where SVIDs may have stood, the last of which ends ${momentInWords(new Date(closedUntil), now)} at the latest; alcazar ledger list names them`
}
