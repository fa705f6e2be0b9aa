import { type Command, Option } from 'commander'
import { shortId } from '../../core/bytes.ts'
import { CaError } from '../../core/errors.ts'
import { MAX_CHAIN_BYTES, type PreparedSigned } from '../../endpoints/admin/offline-routes.ts'
import type { SignRequest } from '../../service/offline-roots.ts'
import { readBoundedInput } from '../../storage/bounded-file.ts'
import { writeDurably } from '../../storage/durable-file.ts'
import { type CliEnv, print } from '../env.ts'
import { fileFault } from '../file-fault.ts'
import { LocalServer } from '../local-server.ts'

type Options = Readonly<Record<string, unknown>>

/** Where the new root is that of a PKI of one's own: its key is elsewhere, and a CA that it signed from a CSR signs here. */
export function addOfflineFlags(command: Command): Command {
  return command
    .addOption(
      new Option(
        '--csr-out <file>',
        'make a key for a CA under your own PKI’s root instead, and write the CSR (PEM) which that PKI signs',
      ).conflicts(['cert', 'because']),
    )
    .option(
      '--cert <file>',
      'then put that PKI’s root in the bundle; PEM: the signed certificate, its intermediates from the nearest up, the root last',
    )
    .addHelpText(
      'after',
      '\nOf a root of your own PKI the key stays there: the server keeps that of the CA which --csr-out asks for, and until it is signed asks for the same one again. Your PKI signs the CSR as a CA (keyCertSign; pathLen 1 or none,\nso that issuing authorities may stand under it). Such a root has no cross-certificate: it signs only once every live workload has it. Where it is in the bundle already,\n--cert replaces its CA: so one that ends is renewed.\n\nExample:\n  alcazar root prepare --csr-out online-ca.csr\n  alcazar root prepare --cert signed.pem',
    )
}

export async function requestOnlineCa(env: CliEnv, options: Options): Promise<void> {
  const file = options.csrOut as string
  const server = new LocalServer(env, options)
  const { id, csrPem } = (await server.call('POST', '/v1/roots/sign-request', {})) as SignRequest
  try {
    await writeDurably(file, csrPem, 0o644)
  } catch (cause) {
    throw fileFault(`--csr-out ${file}`, cause)
  }
  print(env, options, { id, file }, () => [
    `Wrote the request of the key ${shortId(id)} to ${file}.`,
    'Let your PKI sign it as a CA, and put into one file: the signed certificate, its intermediates from the nearest up, the root last. Then: alcazar root prepare --cert FILE',
  ])
}

export async function prepareSigned(env: CliEnv, options: Options): Promise<void> {
  const certificates = await chainIn(options.cert as string)
  const because = (options.because as string | undefined) ?? 'your own PKI signed its CA'
  const server = new LocalServer(env, options)
  const done = (await server.call('POST', '/v1/roots/prepare-signed', { certificates, because })) as PreparedSigned
  print(env, options, done, () => [
    done.state === 'prepared'
      ? `Root ${shortId(done.id)} is prepared, in the bundle since bundle ${done.bundledSince}; its online CA is ${shortId(done.onlineCa)}.`
      : `Root ${shortId(done.id)} is ${done.state}, and signs by its online CA ${shortId(done.onlineCa)} from now on.`,
    ...(done.state === 'prepared' ? ['Next, when every live workload has it: alcazar root activate'] : []),
  ])
}

async function chainIn(file: string): Promise<string> {
  try {
    return (await readBoundedInput(file, { what: `--cert ${file}`, atMost: MAX_CHAIN_BYTES })).toString('utf8')
  } catch (error) {
    if (error instanceof CaError) throw error
    throw fileFault(`--cert ${file}`, error)
  }
}
