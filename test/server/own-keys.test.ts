import { once } from 'node:events'
import { connect } from 'node:tls'
import { expect, test, vi } from 'vitest'
import { keyAlgorithm } from '../../src/keys/algorithms.ts'
import { PrivateKey } from '../../src/keys/private-key.ts'
import { writeCsrInfo, writeCsrPem } from '../../src/x509/csr.ts'
import { aDevServer } from '../_support/a-server.ts'

test('nobody gets a certificate over a key that the server signs or serves with', async () => {
  // The keys of a server leave it nowhere: they are caught where they are made.
  const generate = vi.spyOn(PrivateKey, 'generate')
  await using server = await aDevServer()
  const made = await Promise.all(generate.mock.results.map(({ value }) => value as Promise<PrivateKey>))
  generate.mockRestore()

  const socket = connect({ ...server.running.ca, ...server.trust })
  await once(socket, 'secureConnect')
  const serving = socket.getPeerX509Certificate()?.publicKey.export({ format: 'der', type: 'spki' })
  socket.destroy()
  // Dev mode signs its tokens with an Ed25519 key.
  const keys = made.filter(({ publicKey }) => publicKey.algorithm === keyAlgorithm('ecdsa-p256'))
  expect(keys, 'the root’s, the issuing authority’s, the listener’s').toHaveLength(3)
  expect(keys.filter(({ publicKey }) => serving?.equals(publicKey.spki))).toHaveLength(1)

  const token = await server.devToken()
  for (const key of keys) {
    const info = writeCsrInfo(key.publicKey.spki)
    const csr = writeCsrPem(info, key.publicKey.algorithm.signatureAlgorithm, await key.sign(info))
    const answer = await server.api('POST', '/v1/certificates', {
      body: { csr },
      headers: { authorization: `Bearer ${token}` },
    })
    expect(answer.status).toBe(400)
    expect(answer.json()).toMatchObject({
      code: 'bad_csr',
      detail: 'the CSR asks for a certificate over a key of the CA itself',
    })
  }
})
