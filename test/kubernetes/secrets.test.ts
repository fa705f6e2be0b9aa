import { describe, expect, test } from 'vitest'
import { causesOf } from '../../src/core/errors.ts'
import { KubernetesApi } from '../../src/kubernetes/api.ts'
import { readSecret } from '../../src/kubernetes/secrets.ts'
import { NEVER } from '../_support/attested.ts'
import { FakeApiServer } from '../_support/fake-api-server.ts'
import { FakeClock } from '../_support/fake-clock.ts'
import { ScriptedApiServer } from '../_support/scripted-api-server.ts'
import { TokenSigner } from '../_support/tokens.ts'

const SECRET = { namespace: 'istio-system', name: 'cacerts' }
const apiOf = ({ url, ca }: { url: string; ca: string }) =>
  new KubernetesApi(url, async () => ({ tls: { ca }, headers: {} }), new FakeClock())

describe('a Secret', () => {
  test('is read with every byte it holds', async () => {
    await using server = await FakeApiServer.start(new TokenSigner())
    const bytes = Uint8Array.from({ length: 256 }, (_, n) => n)
    server.secrets.set('istio-system/cacerts', { 'ca-key.pem': bytes, 'cert-chain.pem': '' })
    const found = await readSecret(apiOf(server), SECRET, NEVER)
    expect([...(found?.get('ca-key.pem') ?? [])]).toEqual([...bytes])
    expect(found?.get('cert-chain.pem')).toHaveLength(0)
    expect(server.asked).toEqual(['GET /api/v1/namespaces/istio-system/secrets/cacerts'])
  })

  test('that is not there is nothing', async () => {
    await using server = await FakeApiServer.start(new TokenSigner())
    expect(await readSecret(apiOf(server), SECRET, NEVER)).toBeUndefined()
  })

  test('stays one path, whatever the name', async () => {
    await using server = await FakeApiServer.start(new TokenSigner())
    expect(await readSecret(apiOf(server), { namespace: '../../x', name: 'a/b?c' }, NEVER)).toBeUndefined()
    expect(server.asked).toEqual(['GET /api/v1/namespaces/..%2F..%2Fx/secrets/a%2Fb%3Fc'])
  })

  test('that may not be read says which right is missing', async () => {
    await using server = await FakeApiServer.start(new TokenSigner())
    server.failWith = 403
    await expect(readSecret(apiOf(server), SECRET, NEVER)).rejects.toMatchObject({
      code: 'permission_denied',
      message: expect.stringMatching(/Secret istio-system\/cacerts .* need the verb get on it$/),
    })
  })

  test('behind an API server that fails is for later', async () => {
    await using server = await FakeApiServer.start(new TokenSigner())
    server.failWith = 500
    await expect(readSecret(apiOf(server), SECRET, NEVER)).rejects.toMatchObject({
      code: 'dependency_unavailable',
      message: 'the Secret istio-system/cacerts can’t be read: the API server answered 500: told to fail',
    })
  })

  test('in an answer that breaks off is quoted nowhere', async () => {
    await using server = await ScriptedApiServer.start((response) => {
      response.writeHead(200, { 'content-type': 'application/json' }).end('{"data":{"ca-key.pem":SECRETKEY')
    })
    const error = await readSecret(apiOf(server), SECRET, NEVER).catch((error: unknown) => error)
    expect(error).toMatchObject({
      code: 'dependency_unavailable',
      message: 'the Secret istio-system/cacerts can’t be read: the API server answered something else than JSON',
    })
    expect(causesOf(error)).not.toMatch(/SECRET/)
  })
})
