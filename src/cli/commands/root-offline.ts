import { shortId } from '../../core/bytes.ts'
import { CaError } from '../../core/errors.ts'
import { MAX_CHAIN_BYTES, type PreparedSigned } from '../../endpoints/admin/offline-routes.ts'
import type { SignRequest } from '../../service/offline-roots.ts'
import { readBoundedInput } from '../../storage/bounded-file.ts'
import { writeDurably } from '../../storage/durable-file.ts'
import { call } from '../client.ts'
import { type CliEnv, print, type Verb } from '../env.ts'
import { fileFault } from '../file-fault.ts'
import { describeServer, localServer, STATE_FLAG, STATE_HELP } from '../local-server.ts'
import { outputOption } from '../output-option.ts'

type Options = Readonly<Record<string, unknown>>

export const rootSignRequest: Verb = {
  name: 'root sign-request',
  summary: 'Make a key for a CA under your own PKI’s root, and the CSR which that PKI signs',
  define(command) {
    command
      .requiredOption('--csr-out <file>', 'where the CSR goes (PEM)')
      .option(STATE_FLAG, STATE_HELP)
      .addOption(outputOption())
      .addHelpText(
        'after',
        '\nThe key stays with the server’s root keys. Your PKI signs the CSR as a CA (keyCertSign; pathLen 1 or none, so that issuing authorities may stand under it);\nthen: alcazar root prepare-signed --cert FILE',
      )
  },
  async run(env, _args, options) {
    const file = options.csrOut as string
    const { id, csrPem } = (await asked(env, options, '/v1/roots/sign-request', {})) as SignRequest
    try {
      await writeDurably(file, csrPem, 0o644)
    } catch (cause) {
      throw fileFault(`--csr-out ${file}`, cause)
    }
    print(env, options, { id, file }, () => [
      `Wrote the request of the key ${shortId(id)} to ${file}.`,
      'Let your PKI sign it as a CA, and put into one file: the signed certificate, its intermediates from the nearest up, the root last. Then: alcazar root prepare-signed --cert FILE',
    ])
  },
}

export const rootPrepareSigned: Verb = {
  name: 'root prepare-signed',
  summary: 'Put your own PKI’s root in the bundle, prepared, with the CA that it signed from a request',
  define(command) {
    command
      .requiredOption(
        '--cert <file>',
        'PEM: the signed certificate, its intermediates from the nearest up, the root last',
      )
      .option('--because <text>', 'why, for the ledger')
      .option(STATE_FLAG, STATE_HELP)
      .addOption(outputOption())
      .addHelpText(
        'after',
        '\nWhere that root is in the bundle already, its online CA is replaced: so one that ends is renewed.\nThe root’s key is elsewhere, so there is no cross-certificate: it signs only once every live workload has it.',
      )
  },
  async run(env, _args, options) {
    const certificates = await chainIn(options.cert as string)
    const because = (options.because as string | undefined) ?? 'your own PKI signed its CA'
    const done = (await asked(env, options, '/v1/roots/prepare-signed', { certificates, because })) as PreparedSigned
    print(env, options, done, () => [
      done.state === 'prepared'
        ? `Root ${shortId(done.id)} is prepared, in the bundle since bundle ${done.bundledSince}; its online CA is ${shortId(done.onlineCa)}.`
        : `Root ${shortId(done.id)} is ${done.state}, and signs by its online CA ${shortId(done.onlineCa)} from now on.`,
      ...(done.state === 'prepared' ? ['Next, when every live workload has it: alcazar root activate'] : []),
    ])
  },
}

async function asked(env: CliEnv, options: Options, path: string, body: object): Promise<unknown> {
  const target = localServer(env, options, STATE_FLAG)
  // It refuses somebody else's server, whose key would be signed here.
  await describeServer(target)
  return call(target, 'POST', path, body, {})
}

async function chainIn(file: string): Promise<string> {
  try {
    return (await readBoundedInput(file, { what: `--cert ${file}`, atMost: MAX_CHAIN_BYTES })).toString('utf8')
  } catch (error) {
    if (error instanceof CaError) throw error
    throw fileFault(`--cert ${file}`, error)
  }
}
