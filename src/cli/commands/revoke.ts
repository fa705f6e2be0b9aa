import { Option } from 'commander'
import { relativeInWords } from '../../core/duration.ts'
import type { RevokedView } from '../../endpoints/admin/revocation-routes.ts'
import type { RevocationsView } from '../../service/revocations.ts'
import { print, type Verb } from '../env.ts'
import { LocalServer, STATE_FLAG, STATE_HELP } from '../local-server.ts'
import { outputOption } from '../output-option.ts'

export const revoke: Verb = {
  name: 'revoke',
  summary: 'Take one certificate back: it renews nothing from this moment, and goes on a CRL',
  define(command) {
    command
      .addOption(new Option('--serial <serial>', 'its whole serial number, hex, colons allowed').makeOptionMandatory())
      .addOption(new Option('--because <text>', 'why, for the journal and the ledger').makeOptionMandatory())
      .option(STATE_FLAG, STATE_HELP)
      .addOption(outputOption())
      .addHelpText(
        'after',
        '\nWhat was renewed by it before is another certificate: alcazar workloads forget cuts off all that a pod holds. The pod may ask again by token: delete it if it is not trusted.\nExample:\n  alcazar revoke --serial 5ee01f2ac3b44d0e9f7716d2a80b53c1 --because "INC-17: volume copied"',
      )
  },
  async run(env, _args, options) {
    const { serial, because } = options
    const view = (await new LocalServer(env, options).call('POST', '/v1/revocations', {
      serial,
      because,
    })) as RevokedView
    const { revoked, now } = view
    print(env, options, view, () => [
      `${revoked.serial} is revoked: it renews nothing any more, holds up no rotation, and ${revoked.reached === 'authority' ? '' : 'is '}${revoked.says}.`,
      `It ends ${relativeInWords(new Date(revoked.until), new Date(now))}; until then it still works wherever CRLs are not checked.`,
    ])
  },
}

export const revocations: Verb = {
  name: 'revocations',
  summary: 'List what was revoked and has not ended, and how far each revocation reaches',
  define(command) {
    command.option(STATE_FLAG, STATE_HELP).addOption(outputOption())
  },
  async run(env, _args, options) {
    const view = (await new LocalServer(env, options).call('GET', '/v1/revocations')) as RevocationsView
    print(env, options, view, () => lines(view))
    if (view.missingCrls.length > 0)
      env.err.write(
        `alcazar: the set of CRLs at /crl is not whole, so it is not given out: none of ${view.missingCrls.map((id) => id.slice(0, 8)).join(', ')}\n`,
      )
  },
}

function lines({ revocations: all, now }: RevocationsView): string[] {
  if (all.length === 0) return ['Nothing is revoked.']
  return all.flatMap(({ serial, at, until, because, says }) => [
    `${serial}  revoked ${relativeInWords(new Date(at), new Date(now))}, ends ${relativeInWords(new Date(until), new Date(now))}: ${because}`,
    `  ${says}`,
  ])
}
