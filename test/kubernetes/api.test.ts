import type { ServerResponse } from 'node:http'
import { Readable } from 'node:stream'
import { describe, expect, test } from 'vitest'
import { causesOf } from '../../src/core/errors.ts'
import { type ApiCredentials, ApiError, KubernetesApi } from '../../src/kubernetes/api.ts'
import { NEVER } from '../_support/attested.ts'
import { FakeClock } from '../_support/fake-clock.ts'
import { type Answer, hangUp, json, ScriptedApiServer } from '../_support/scripted-api-server.ts'
import { selfSignedServer } from '../_support/tls.ts'
import { aMoment, until } from '../_support/until.ts'

/** A scripted server, and an API that trusts it and shows a token. */
async function serving(answer: Answer, { path = '' } = {}) {
  const server = await ScriptedApiServer.start(answer)
  const clock = new FakeClock()
  const state = { token: 'first', ca: server.ca, asked: 0 }
  const credentials = async (): Promise<ApiCredentials> => {
    state.asked++
    return { tls: { ca: state.ca }, headers: { authorization: `Bearer ${state.token}` } }
  }
  const api = new KubernetesApi(`${server.url}${path}`, credentials, clock)
  return { server, clock, state, api, [Symbol.asyncDispose]: () => server[Symbol.asyncDispose]() }
}

const collected = async (lines: AsyncIterable<unknown>): Promise<unknown[]> => {
  const all: unknown[] = []
  for await (const line of lines) all.push(line)
  return all
}

/** What an answer may hold, and no error ever. */
const TOKEN = 'eyJhbGciOiJFUzI1NiJ9'
const noJson = 'the API server answered something else than JSON'
/** All that is said of a failure, its causes included. */
const saidOf = (failing: Promise<unknown>) => failing.then(() => 'nothing', causesOf)

describe('one question', () => {
  test('is asked in JSON, by name, with the credentials there are', async () => {
    await using at = await serving(json({ items: [1] }))
    expect(await at.api.get('/api/v1/pods', { limit: '500', continue: 'a&b=c' }, NEVER)).toEqual({ items: [1] })
    const [asked] = at.server.asked
    expect(asked).toMatchObject({
      method: 'GET',
      path: '/api/v1/pods',
      body: '',
      headers: { authorization: 'Bearer first', 'user-agent': 'alcazar' },
    })
    expect(asked?.headers.accept).toContain('application/json')
    expect(Object.fromEntries(asked?.query ?? [])).toEqual({ limit: '500', continue: 'a&b=c' })
  })

  test('may carry a body', async () => {
    await using at = await serving(json({ status: {} }, 201))
    await at.api.post('/apis/x', { spec: { token: 'é' } }, NEVER)
    expect(at.server.asked[0]).toMatchObject({
      method: 'POST',
      body: '{"spec":{"token":"é"}}',
      headers: { 'content-type': 'application/json' },
    })
  })

  test.each(['/k8s/clusters/c-1', '/k8s/clusters/c-1/'])('goes to a server behind the path %s', async (path) => {
    await using at = await serving(json({}), { path })
    await at.api.get('/api/v1/pods', {}, NEVER)
    expect(at.server.asked[0]?.path).toBe('/k8s/clusters/c-1/api/v1/pods')
  })

  test('is answered by a refusal’s status and message', async () => {
    await using at = await serving(json({ kind: 'Status', message: 'pods is forbidden' }, 403))
    const refused = at.api.get('/api/v1/pods', {}, NEVER)
    await expect(refused).rejects.toBeInstanceOf(ApiError)
    await expect(refused).rejects.toMatchObject({
      status: 403,
      message: 'the API server answered 403: pods is forbidden',
    })
  })

  test.each([
    ['no JSON', `<html>the token was ${TOKEN}`],
    ['no Status object', JSON.stringify({ spec: { token: TOKEN } })],
    ['null', 'null'],
  ])('is answered by a refusal that is %s, of which nothing is quoted: it may be what was asked', async (_, body) => {
    await using at = await serving((response) => void response.writeHead(502).end(body))
    const refused = at.api.get('/', {}, NEVER)
    await expect(refused).rejects.toMatchObject({ status: 502 })
    expect(await saidOf(refused)).toBe('the API server answered 502: what is no Status object')
  })

  test('is answered by a refusal’s message cut short', async () => {
    await using at = await serving(json({ kind: 'Status', message: 'é'.repeat(5000) }, 403))
    await expect(at.api.get('/', {}, NEVER)).rejects.toMatchObject({
      message: `the API server answered 403: ${'é'.repeat(500)}`,
    })
  })

  test('is not answered by a redirect, wherever that points', async () => {
    await using elsewhere = await ScriptedApiServer.start(json({}))
    await using at = await serving(
      (response) => void response.writeHead(307, { location: `${elsewhere.url}/api/v1/pods` }).end(),
    )
    await expect(at.api.get('/api/v1/pods', {}, NEVER)).rejects.toMatchObject({ status: 307 })
    expect(elsewhere.asked).toEqual([])
  })

  test('is not answered by what is no JSON', async () => {
    await using at = await serving((response) => void response.writeHead(200).end(TOKEN))
    expect(await saidOf(at.api.get('/', {}, NEVER))).toBe(noJson)
  })

  test('fails when the server hangs up', async () => {
    await using at = await serving(hangUp)
    await expect(at.api.get('/', {}, NEVER)).rejects.toMatchObject({ code: 'ECONNRESET' })
  })

  test('fails when the server hangs up in the middle of its answer', async () => {
    await using at = await serving((response) => {
      response.writeHead(200, { 'content-length': '100' })
      response.write('{"items":[', () => response.socket?.destroy())
    })
    await expect(at.api.get('/', {}, NEVER)).rejects.toThrow('aborted')
  })

  test('is given up when the asker is', async () => {
    await using at = await serving(() => {})
    const asker = new AbortController()
    const asking = at.api.get('/', {}, asker.signal)
    asker.abort(new Error('the caller gave up'))
    await expect(asking).rejects.toMatchObject({ name: 'AbortError' })
  })

  test.each<[string, Answer]>([
    ['says nothing at all', () => {}],
    ['says that there will be an answer and no more', (response) => response.writeHead(200).flushHeaders()],
    ['begins an answer and says no more', (response) => void response.writeHead(200).write('{"items":[')],
    ['begins a refusal and says no more', (response) => void response.writeHead(503).write('{"message":')],
  ])('is given up 10 s after the last word of a server that %s', async (_what, answer) => {
    await using at = await serving(answer)
    let ended = false
    const asking = at.api.get('/', {}, NEVER).finally(() => {
      ended = true
    })
    const outcome = expect(asking).rejects.toThrow(/10 s|503/)
    await until('the question to arrive', () => at.server.asked.length === 1)
    await aMoment()
    await at.clock.advance(9_999)
    expect(ended).toBe(false)
    await at.clock.advance(1)
    await outcome
  })

  test('is given up after 10 s, too, while it waits for one of the 64 connections', async () => {
    await using at = await serving(() => {})
    const asker = new AbortController()
    const watches = Array.from({ length: 64 }, () =>
      collected(at.api.lines('/', {}, 120_000, asker.signal)).catch(() => undefined),
    )
    await until('64 watches to arrive', () => at.server.asked.length === 64)
    const late = expect(at.api.get('/late', {}, NEVER)).rejects.toThrow('did not answer within 10 s')
    await at.clock.advance(10_000)
    await late
    expect(at.server.at('/late')).toEqual([])
    asker.abort()
    await Promise.all(watches)
  })

  test('of 64 MiB is answered, one of a byte more is not', async () => {
    const answer =
      (bytes: number): Answer =>
      (response) => {
        const spaces = function* () {
          for (let left = bytes - 2; left > 0; left -= 1024 * 1024)
            yield Buffer.alloc(Math.min(left, 1024 * 1024), 0x20)
          yield '{}'
        }
        Readable.from(spaces()).pipe(response.writeHead(200))
      }
    await using at = await serving(answer(64 * 1024 * 1024))
    expect(await at.api.get('/', {}, NEVER)).toEqual({})
    at.server.answer = answer(64 * 1024 * 1024 + 1)
    await expect(at.api.get('/', {}, NEVER)).rejects.toThrow('more than 67108864 bytes')
  })
})

describe('whom it believes', () => {
  test('a server whose certificate its CA did not sign is not believed', async () => {
    await using at = await serving(json({}))
    at.state.ca = selfSignedServer('127.0.0.1').cert
    await expect(at.api.get('/', {}, NEVER)).rejects.toMatchObject({ code: 'DEPTH_ZERO_SELF_SIGNED_CERT' })
    expect(at.server.asked).toEqual([])
  })

  test('a server that its certificate does not name is not believed', async () => {
    await using at = await serving(json({}))
    const other = new KubernetesApi(
      at.server.url.replace('127.0.0.1', 'localhost'),
      async () => ({ tls: { ca: at.server.ca }, headers: {} }),
      at.clock,
    )
    await expect(other.get('/', {}, NEVER)).rejects.toMatchObject({ code: 'ERR_TLS_CERT_ALTNAME_INVALID' })
    expect(at.server.asked).toEqual([])
  })

  test.each(['http://127.0.0.1:8080', 'http://kubernetes', 'kubernetes:443', '', 'ftp://x', '//127.0.0.1', 'https://'])(
    'an address that is not https://… is refused at once: %j',
    (address) => {
      expect(() => new KubernetesApi(address, async () => ({ tls: {}, headers: {} }), new FakeClock())).toThrow(
        expect.objectContaining({
          code: 'invalid_argument',
          message: expect.stringContaining('the API server is at https://') as string,
        }),
      )
    },
  )
})

describe('credentials', () => {
  test('are asked for once in 30 s, and the connection stays', async () => {
    await using at = await serving(json({}))
    for (let n = 0; n < 5; n++) {
      await at.api.get('/', {}, NEVER)
      await at.clock.advance(5_999)
    }
    expect(at.state.asked).toBe(1)
    expect(at.server.connections).toBe(1)
  })

  test('that rotated are shown within 30 s, on the same connection', async () => {
    await using at = await serving(json({}))
    await at.api.get('/', {}, NEVER)
    at.state.token = 'second'
    await at.clock.advance(29_999)
    await at.api.get('/', {}, NEVER)
    await at.clock.advance(1)
    await at.api.get('/', {}, NEVER)
    expect(at.server.asked.map(({ headers }) => headers.authorization)).toEqual([
      'Bearer first',
      'Bearer first',
      'Bearer second',
    ])
    expect(at.server.connections).toBe(1)
  })

  test('with another CA make a new connection, which the old one’s trust does not reach', async () => {
    await using at = await serving(json({}))
    await at.api.get('/', {}, NEVER)
    at.state.ca = selfSignedServer('127.0.0.1').cert
    await at.clock.advance(30_000)
    await expect(at.api.get('/', {}, NEVER)).rejects.toMatchObject({ code: 'DEPTH_ZERO_SELF_SIGNED_CERT' })
    at.state.ca = at.server.ca
    await at.clock.advance(30_000)
    await at.api.get('/', {}, NEVER)
    expect(at.server.asked).toHaveLength(2)
  })

  test('that can’t be read fail the question, and the next one asks again', async () => {
    await using server = await ScriptedApiServer.start(json({}))
    let readable = false
    const api = new KubernetesApi(
      server.url,
      async () => {
        if (!readable) throw new Error('ENOENT: token')
        return { tls: { ca: server.ca }, headers: {} }
      },
      new FakeClock(),
    )
    await expect(api.get('/', {}, NEVER)).rejects.toThrow('ENOENT: token')
    readable = true
    await expect(api.get('/', {}, NEVER)).resolves.toEqual({})
  })
})

describe('lines', () => {
  const writing =
    (...chunks: (string | Buffer)[]): Answer =>
    async (response) => {
      response.writeHead(200)
      for (const chunk of chunks) {
        response.write(chunk)
        await new Promise((done) => setImmediate(done))
      }
      response.end()
    }

  test('come one by one, however the bytes are cut', async () => {
    const text = `${JSON.stringify({ name: 'é' })}\n\n${JSON.stringify({ n: 2 })}\n${JSON.stringify({ n: 3 })}\n`
    const bytes = Buffer.from(text)
    await using at = await serving(writing(...Array.from(bytes, (byte) => Buffer.of(byte))))
    const expected = [{ name: 'é' }, { n: 2 }, { n: 3 }]
    expect(await collected(at.api.lines('/', {}, 1000, NEVER))).toEqual(expected)
    at.server.answer = writing(bytes)
    expect(await collected(at.api.lines('/', {}, 1000, NEVER))).toEqual(expected)
  })

  test('that were not finished are dropped', async () => {
    await using at = await serving(writing('{"n":1}\n{"n":2'))
    expect(await collected(at.api.lines('/', {}, 1000, NEVER))).toEqual([{ n: 1 }])
  })

  test('that are no JSON end it', async () => {
    await using at = await serving(writing(`{"n":1}\n${TOKEN}\n{"n":2}\n`))
    expect(await saidOf(collected(at.api.lines('/', {}, 1000, NEVER)))).toBe(noJson)
  })

  test('of more than 8 MiB end it before they are whole', async () => {
    const chunk = 'x'.repeat(1024 * 1024)
    await using at = await serving(writing(...Array.from({ length: 12 }, () => chunk)))
    await expect(collected(at.api.lines('/', {}, 5000, NEVER))).rejects.toThrow('more than 8388608 bytes')
  })

  test('end when nothing came for as long as was agreed', async () => {
    await using at = await serving((response) => {
      response.writeHead(200)
      response.write('{"n":1}\n')
    })
    const seen: unknown[] = []
    const following = (async () => {
      for await (const line of at.api.lines('/', {}, 120_000, NEVER)) seen.push(line)
    })()
    const outcome = expect(following).rejects.toThrow('the API server was silent for 120 s')
    await until('a line', () => seen.length === 1)
    await at.clock.advance(119_999)
    expect(seen).toEqual([{ n: 1 }])
    await at.clock.advance(1)
    await outcome
  })

  test('go on for as long as something comes in time', async () => {
    const opened = Promise.withResolvers<ServerResponse>()
    await using at = await serving((response) => {
      response.writeHead(200).flushHeaders()
      opened.resolve(response)
    })
    const seen: unknown[] = []
    const following = (async () => {
      for await (const line of at.api.lines('/', {}, 120_000, NEVER)) seen.push(line)
    })()
    const response = await opened.promise
    for (let n = 1; n <= 8; n++) {
      response.write(`{"n":${n}}\n`)
      await until(`line ${n}`, () => seen.length === n)
      await at.clock.advance(119_999)
    }
    response.end()
    await following
  })

  test('are refused with the server’s status', async () => {
    await using at = await serving(json({ message: 'too old resource version' }, 410))
    await expect(collected(at.api.lines('/', {}, 1000, NEVER))).rejects.toMatchObject({ status: 410 })
  })

  test('end with whoever follows them', async () => {
    const closed = Promise.withResolvers<void>()
    await using at = await serving((response) => {
      response.on('close', closed.resolve)
      response.writeHead(200)
      response.write('{"n":1}\n')
    })
    for await (const line of at.api.lines('/', {}, 5000, NEVER)) {
      expect(line).toEqual({ n: 1 })
      break
    }
    await closed.promise
  })
})
