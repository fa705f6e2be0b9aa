import { X509Certificate } from 'node:crypto'
import { aCsr } from '../../_support/csr.ts'
import { BareGrpcClient } from '../../_support/grpc-client.ts'
import type { Alcazar } from '../_support/alcazar.ts'

type Options = { readonly roots: string; readonly token: string; readonly atATime: number }

/** Many requests at a time, until the server is gone; the serials that were answered. */
export class Burst {
  readonly serials: string[] = []
  readonly ended: Promise<void>

  constructor({ host, port }: Alcazar, { roots, token, atATime }: Options) {
    const client = new BareGrpcClient({ host, port }, { ca: roots })
    const ask = async (csr: string) => {
      for (;;) {
        const { response, message } = await client.createCertificate({ csr }, token)
        const [leaf] = response?.certChain ?? []
        if (leaf === undefined) throw new Error(`the burst is refused: ${message}`)
        this.serials.push(new X509Certificate(leaf).serialNumber.toLowerCase())
      }
    }
    this.ended = aCsr().then(async ({ pem }) => {
      await Promise.allSettled(Array.from({ length: atATime }, () => ask(pem)))
      client.close()
    })
  }
}
