import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { connectKubeconfig, connectMounted } from '../../src/kubernetes/connect.ts'
import { NEVER } from '../_support/attested.ts'
import { FakeClock } from '../_support/fake-clock.ts'
import { json, ScriptedApiServer } from '../_support/scripted-api-server.ts'
import { selfSignedServer } from '../_support/tls.ts'

/** A server, and a directory for what leads to it. */
async function world() {
  const server = await ScriptedApiServer.start(json({}))
  const directory = mkdtempSync(join(tmpdir(), 'alcazar-connect-'))
  const file = (name: string, text: string) => {
    writeFileSync(join(directory, name), text)
    return join(directory, name)
  }
  return {
    server,
    file,
    path: (name: string) => join(directory, name),
    clock: new FakeClock(),
    [Symbol.asyncDispose]: async () => {
      rmSync(directory, { recursive: true })
      await server[Symbol.asyncDispose]()
    },
  }
}

describe('a mounted account', () => {
  async function mounted() {
    const at = await world()
    const caFile = at.file('ca.crt', at.server.ca)
    const tokenFile = at.file('token', 'first\n')
    return { ...at, caFile, tokenFile, api: connectMounted({ server: at.server.url, caFile, tokenFile }, at.clock) }
  }

  test('shows the token that is in its file, without the line’s end', async () => {
    await using at = await mounted()
    await at.api.get('/', {}, NEVER)
    expect(at.server.asked[0]?.headers.authorization).toBe('Bearer first')
  })

  test('shows the new token after the file rotated, on the connection it has', async () => {
    await using at = await mounted()
    await at.api.get('/', {}, NEVER)
    at.file('token', 'second')
    await at.clock.advance(30_000)
    await at.api.get('/', {}, NEVER)
    expect(at.server.asked[1]?.headers.authorization).toBe('Bearer second')
    expect(at.server.connections).toBe(1)
  })

  test('believes the CA in its file and no other', async () => {
    await using at = await mounted()
    at.file('ca.crt', selfSignedServer('127.0.0.1').cert)
    await expect(at.api.get('/', {}, NEVER)).rejects.toMatchObject({ code: 'DEPTH_ZERO_SELF_SIGNED_CERT' })
  })

  test('believes nobody while its CA file is empty, not even the CAs of the system', async () => {
    await using at = await mounted()
    at.file('ca.crt', '')
    await expect(at.api.get('/', {}, NEVER)).rejects.toMatchObject({
      code: 'invalid_argument',
      message: expect.stringContaining('ca.crt holds no certificate'),
    })
    expect(at.server.asked).toEqual([])
  })

  test('asks nothing with an empty token', async () => {
    await using at = await mounted()
    at.file('token', '\n')
    await expect(at.api.get('/', {}, NEVER)).rejects.toMatchObject({ code: 'invalid_argument' })
    expect(at.server.asked).toEqual([])
  })

  test('asks nothing without its token', async () => {
    await using at = await mounted()
    rmSync(at.tokenFile)
    await expect(at.api.get('/', {}, NEVER)).rejects.toMatchObject({ code: 'ENOENT' })
    expect(at.server.asked).toEqual([])
  })

  test('does not go over plain http', async () => {
    await using at = await mounted()
    const { caFile, tokenFile, clock } = at
    expect(() => connectMounted({ server: 'http://127.0.0.1:8080', caFile, tokenFile }, clock)).toThrow(
      expect.objectContaining({ code: 'invalid_argument' }),
    )
  })
})

describe('a kubeconfig', () => {
  type World = Awaited<ReturnType<typeof world>>
  const config = (at: World, user: object, cluster: object = {}) =>
    at.file(
      'kubeconfig',
      JSON.stringify({
        apiVersion: 'v1',
        kind: 'Config',
        'current-context': 'here',
        clusters: [
          {
            name: 'here',
            cluster: {
              server: at.server.url,
              'certificate-authority-data': Buffer.from(at.server.ca).toString('base64'),
              ...cluster,
            },
          },
        ],
        users: [{ name: 'me', user }],
        contexts: [{ name: 'here', context: { cluster: 'here', user: 'me' } }],
      }),
    )

  test('that would believe anybody’s certificate is refused', async () => {
    await using at = await world()
    const careless = config(at, { token: 'x' }, { 'insecure-skip-tls-verify': true })
    await expect(connectKubeconfig(careless, at.clock)).rejects.toMatchObject({
      code: 'invalid_argument',
      message: expect.stringContaining('insecure-skip-tls-verify'),
    })
  })

  test('leads to its server with its token, over one connection', async () => {
    await using at = await world()
    const api = await connectKubeconfig(config(at, { token: 'from-kubeconfig' }), at.clock)
    for (let n = 0; n < 3; n++) {
      await api.get('/', {}, NEVER)
      await at.clock.advance(30_000)
    }
    expect(at.server.asked.map(({ headers }) => headers.authorization)).toEqual(Array(3).fill('Bearer from-kubeconfig'))
    expect(at.server.connections).toBe(1)
  })

  test('may show a client certificate', async () => {
    await using at = await world()
    const { key, cert } = selfSignedServer('admin')
    const base64 = (text: string) => Buffer.from(text).toString('base64')
    const path = config(at, { 'client-certificate-data': base64(cert), 'client-key-data': base64(key) })
    await (await connectKubeconfig(path, at.clock)).get('/', {}, NEVER)
    expect(at.server.asked[0]).toMatchObject({ client: 'admin' })
    expect(at.server.asked[0]?.headers.authorization).toBeUndefined()
  })

  test('may let a program make the token', async () => {
    await using at = await world()
    const credential = {
      apiVersion: 'client.authentication.k8s.io/v1',
      kind: 'ExecCredential',
      status: { token: 'made' },
    }
    const path = config(at, {
      exec: {
        apiVersion: 'client.authentication.k8s.io/v1',
        command: 'echo',
        args: [JSON.stringify(credential)],
        interactiveMode: 'Never',
      },
    })
    await (await connectKubeconfig(path, at.clock)).get('/', {}, NEVER)
    expect(at.server.asked[0]?.headers.authorization).toBe('Bearer made')
  })

  test('does not lead to a server that its CA did not sign', async () => {
    await using at = await world()
    const path = config(
      at,
      { token: 't' },
      {
        'certificate-authority-data': Buffer.from(selfSignedServer('127.0.0.1').cert).toString('base64'),
      },
    )
    const api = await connectKubeconfig(path, at.clock)
    await expect(api.get('/', {}, NEVER)).rejects.toMatchObject({ code: 'DEPTH_ZERO_SELF_SIGNED_CERT' })
    expect(at.server.asked).toEqual([])
  })

  const useless: Record<string, [text: (at: World) => string, message: string]> = {
    'that leads over plain http': [
      (at) => config(at, { token: 't' }, { server: 'http://127.0.0.1:8080' }),
      'the API server is at https://',
    ],
    'that is missing': [(at) => at.path('nothing-here'), 'is unusable: ENOENT'],
    'that is no YAML': [(at) => at.file('kubeconfig', '{"clusters": ['), 'is unusable'],
    'that is empty': [(at) => at.file('kubeconfig', ''), 'is unusable'],
    'without a current context': [
      (at) =>
        at.file(
          'kubeconfig',
          JSON.stringify({ apiVersion: 'v1', kind: 'Config', clusters: [], users: [], contexts: [] }),
        ),
      'has no current context that names a cluster',
    ],
  }
  test.each(Object.entries(useless))('%s is refused, and the message names it', async (_what, [write, message]) => {
    await using at = await world()
    await expect(connectKubeconfig(write(at), at.clock)).rejects.toMatchObject({
      code: 'invalid_argument',
      message: expect.stringContaining(message) as string,
    })
  })
})
