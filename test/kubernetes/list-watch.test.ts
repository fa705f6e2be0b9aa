import type { ServerResponse } from 'node:http'
import { describe, expect, test } from 'vitest'
import { KubernetesApi } from '../../src/kubernetes/api.ts'
import { PodMirror } from '../../src/kubernetes/cluster-mirror.ts'
import { ListWatch } from '../../src/kubernetes/list-watch.ts'
import { FakeClock } from '../_support/fake-clock.ts'
import { type Asked, hangUp, json, ScriptedApiServer } from '../_support/scripted-api-server.ts'
import { aMoment, until } from '../_support/until.ts'

const PATH = '/api/v1/pods'

const pod = (name: string, change: { node?: string; phase?: string; uid?: string; version?: string } = {}) => ({
  metadata: {
    name,
    namespace: 'shop',
    uid: change.uid ?? `uid-of-${name}`,
    resourceVersion: change.version ?? '1',
  },
  spec: { serviceAccountName: 'cart', nodeName: change.node ?? 'node-1' },
  status: { phase: change.phase ?? 'Running' },
})

/** A list-watch of pods against a server that a test scripts: what it lists, what it sends into its watches. */
async function following({ jitter = 128 } = {}) {
  const server = await ScriptedApiServer.start((response, asked) =>
    asked.query.get('watch') === '1' ? script.watch(response, asked) : script.list(response, asked),
  )
  const watches: ServerResponse[] = []
  const script = {
    pods: [] as object[],
    version: '100',
    list: (response: ServerResponse, asked: Asked) =>
      json({ metadata: { resourceVersion: script.version }, items: script.pods })(response, asked),
    watch: (response: ServerResponse, _asked: Asked) => {
      response.writeHead(200).flushHeaders()
      watches.push(response)
    },
  }
  const clock = new FakeClock()
  const mirror = new PodMirror()
  const told: string[] = []
  const watch = new ListWatch({
    api: new KubernetesApi(server.url, async () => ({ tls: { ca: server.ca }, headers: {} }), clock),
    path: PATH,
    mirror,
    clock,
    random: () => Uint8Array.of(jitter),
    told: (outcome) => told.push(outcome === 'ok' ? 'ok' : `failed: ${String((outcome.failed as Error).message)}`),
  })
  const stop = new AbortController()
  let running = Promise.resolve()
  const asked = (kind: 'list' | 'watch') =>
    server.asked.filter(({ query }) => (query.get('watch') === '1') === (kind === 'watch'))
  return {
    server,
    script,
    clock,
    mirror,
    told,
    watch,
    asked,
    stop,
    start: () => {
      running = watch.run(stop.signal)
      return running
    },
    /** The n-th watch that the server was asked for, counted from 1. */
    opened: async (n: number) => {
      await until(`watch ${n} to begin`, () => watches.length >= n)
      return watches[n - 1] as ServerResponse
    },
    send: (response: ServerResponse, ...events: object[]) =>
      response.write(events.map((event) => `${JSON.stringify(event)}\n`).join('')),
    knows: (uid: string) => until(`${uid} to be known`, () => mirror.get(uid) !== undefined),
    failures: (n: number) => until(`failure ${n}`, () => told.filter((one) => one.startsWith('failed')).length >= n),
    [Symbol.asyncDispose]: async () => {
      stop.abort()
      await running
      await server[Symbol.asyncDispose]()
    },
  }
}

describe('the first list', () => {
  test('is read in pages of 500, and nothing shows before the last one', async () => {
    await using at = await following()
    const all = Array.from({ length: 1201 }, (_, n) => pod(`p-${n}`))
    const last = Promise.withResolvers<void>()
    at.script.list = async (response, asked) => {
      const from = Number(asked.query.get('continue') ?? 0)
      const limit = Number(asked.query.get('limit'))
      const end = from + limit >= all.length
      if (end) await last.promise
      json({
        metadata: { resourceVersion: '7', ...(!end && { continue: String(from + limit) }) },
        items: all.slice(from, from + limit),
      })(response, asked)
    }
    void at.start()
    await until('the third page to be asked for', () => at.asked('list').length === 3)
    expect(at.mirror.size).toBe(0)
    expect(at.watch.silence()).toBe(Number.POSITIVE_INFINITY)
    last.resolve()
    await at.knows('uid-of-p-1200')
    expect(at.mirror.size).toBe(1201)
    expect(at.asked('list').map(({ query }) => [query.get('limit'), query.get('continue')])).toEqual([
      ['500', null],
      ['500', '500'],
      ['500', '1000'],
    ])
  })

  test('is followed by a watch from its version on, with bookmarks and an end', async () => {
    await using at = await following()
    void at.start()
    await at.opened(1)
    const [{ query } = { query: new URLSearchParams() }] = at.asked('watch')
    expect(Object.fromEntries(query)).toEqual({
      watch: '1',
      resourceVersion: '100',
      allowWatchBookmarks: 'true',
      timeoutSeconds: '300',
    })
  })

  test('whose pages ran out of time half way is begun anew', async () => {
    await using at = await following()
    let lists = 0
    at.script.list = (response, asked) => {
      if (asked.query.get('continue') && ++lists === 1)
        return json({ code: 410, message: 'The provided continue parameter is too old' }, 410)(response, asked)
      const first = asked.query.get('continue') === null
      return json({
        metadata: { resourceVersion: '7', ...(first && { continue: 'next' }) },
        items: [pod(first ? 'a' : 'b')],
      })(response, asked)
    }
    void at.start()
    await until('the second page to be refused', () => at.asked('list').length === 2)
    await until('the pause to begin', async () => {
      await at.clock.advance(500)
      return at.asked('list').length > 2
    })
    await at.knows('uid-of-b')
    expect(at.mirror.size).toBe(2)
  })
})

describe('the events after it', () => {
  test('add, change and remove', async () => {
    await using at = await following()
    at.script.pods = [pod('a'), pod('b')]
    void at.start()
    const watch = await at.opened(1)
    at.send(
      watch,
      { type: 'ADDED', object: pod('c') },
      { type: 'MODIFIED', object: pod('a', { node: 'node-2' }) },
      { type: 'DELETED', object: pod('b') },
    )
    await at.knows('uid-of-c')
    await until('b to be gone', () => at.mirror.get('uid-of-b') === undefined)
    expect(at.mirror.get('uid-of-a')?.node).toBe('node-2')
    expect(at.mirror.size).toBe(2)
  })

  test('are followed from the last of them on when the server ends the watch', async () => {
    await using at = await following()
    void at.start()
    const first = await at.opened(1)
    at.send(first, { type: 'ADDED', object: pod('a', { version: '205' }) })
    await at.knows('uid-of-a')
    await at.clock.advance(60_000)
    first.end()
    await at.opened(2)
    expect(at.asked('list')).toHaveLength(1)
    expect(at.asked('watch')[1]?.query.get('resourceVersion')).toBe('205')
  })

  test('are followed from the last bookmark on', async () => {
    await using at = await following()
    void at.start()
    const first = await at.opened(1)
    await at.clock.advance(60_000)
    at.send(first, { type: 'BOOKMARK', object: { metadata: { resourceVersion: '300' } } })
    first.end()
    await at.opened(2)
    expect(at.asked('watch')[1]?.query.get('resourceVersion')).toBe('300')
    expect(at.mirror.size).toBe(0)
  })

  test('of a kind nobody knows change nothing', async () => {
    await using at = await following()
    at.script.pods = [pod('a')]
    void at.start()
    const watch = await at.opened(1)
    at.send(watch, { type: 'RENAMED', object: pod('a', { node: 'node-9' }) }, { type: 'ADDED', object: pod('b') })
    await at.knows('uid-of-b')
    expect(at.mirror.get('uid-of-a')?.node).toBe('node-1')
  })
})

describe('when the thread is lost', () => {
  test('410 Gone lists again after a pause, and is no failure to tell of', async () => {
    await using at = await following()
    void at.start()
    const watch = await at.opened(1)
    at.script.pods = [pod('a')]
    at.send(watch, { type: 'ERROR', object: { kind: 'Status', code: 410, message: 'too old resource version' } })
    await until('the second list', async () => {
      await at.clock.advance(500)
      return at.asked('list').length === 2
    })
    await at.knows('uid-of-a')
    expect(at.told).toEqual(['ok', 'ok'])
  })

  const ends: Record<string, [told: string, end: (watch: ServerResponse) => void]> = {
    'an error event': [
      'the watch ended: etcd is away',
      (watch) =>
        void watch.write(`${JSON.stringify({ type: 'ERROR', object: { code: 500, message: 'etcd is away' } })}\n`),
    ],
    'an error event without a reason': ['no reason given', (watch) => void watch.write('{"type":"ERROR"}\n')],
    'a line of garbage': ['JSON', (watch) => void watch.write('<html>bad gateway</html>\n')],
    'a line that says null': ['null', (watch) => void watch.write('null\n')],
    'a line of more than 8 MiB': ['more than 8388608 bytes', (watch) => void watch.write('x'.repeat(9 * 1024 * 1024))],
    'a connection that is cut': ['aborted', (watch) => void watch.socket?.destroy()],
  }
  test.each(Object.entries(ends))('%s is told of, and lists again after a pause', async (_what, [told, end]) => {
    await using at = await following()
    at.script.pods = [pod('a'), pod('b')]
    void at.start()
    const watch = await at.opened(1)
    await at.knows('uid-of-b')
    at.script.pods = [pod('b'), pod('c')]
    end(watch)
    await at.failures(1)
    expect(at.told.at(-1)).toContain(told)
    expect(at.asked('list')).toHaveLength(1)
    await at.clock.advance(500)
    await at.knows('uid-of-c')
    // The new list replaces all there was: what went while nobody watched is gone.
    expect(at.mirror.get('uid-of-a')).toBeUndefined()
    expect(at.mirror.size).toBe(2)
  })

  test('what was known stays until the new list is whole', async () => {
    await using at = await following()
    at.script.pods = [pod('a')]
    void at.start()
    const watch = await at.opened(1)
    await at.knows('uid-of-a')
    at.script.list = (response, asked) =>
      asked.query.get('continue')
        ? json({ message: 'away' }, 500)(response, asked)
        : json({ metadata: { resourceVersion: '9', continue: 'x' }, items: [pod('b')] })(response, asked)
    watch.socket?.destroy()
    await at.failures(1)
    await at.clock.advance(500)
    await at.failures(2)
    expect(at.mirror.get('uid-of-a')).toBeDefined()
    expect(at.mirror.get('uid-of-b')).toBeUndefined()
    at.script.list = json({ metadata: { resourceVersion: '10' }, items: [pod('c')] })
    await at.clock.advance(1000)
    await at.knows('uid-of-c')
    expect(at.mirror.size).toBe(1)
  })

  test('a watch that is refused lists again', async () => {
    await using at = await following()
    const { watch } = at.script
    at.script.watch = json({ message: 'forbidden' }, 403)
    void at.start()
    await at.failures(1)
    expect(at.told).toEqual(['ok', 'failed: the API server answered 403: forbidden'])
    at.script.watch = watch
    await at.clock.advance(500)
    await at.opened(1)
    expect(at.asked('list')).toHaveLength(2)
  })
})

describe('the pauses', () => {
  test.each([
    ['half as long with the smallest jitter', 0, [250, 500, 1000, 2000, 4000, 8000, 15_000, 15_000]],
    ['as long as meant with the middle one', 128, [500, 1000, 2000, 4000, 8000, 16_000, 30_000, 30_000]],
  ])('between failures double up to 30 s; %s', async (_what, jitter, pauses) => {
    await using at = await following({ jitter })
    at.script.list = json({ message: 'away' }, 503)
    void at.start()
    for (const [index, pause] of pauses.entries()) {
      await at.failures(index + 1)
      await at.clock.advance(pause - 1)
      expect(at.asked('list')).toHaveLength(index + 1)
      await at.clock.advance(1)
      await until('the next try', () => at.asked('list').length === index + 2)
    }
  })

  test('are longest with the largest jitter at half as long again', async () => {
    await using at = await following({ jitter: 255 })
    at.script.list = json({ message: 'away' }, 503)
    void at.start()
    await at.failures(1)
    await at.clock.advance(747)
    expect(at.asked('list')).toHaveLength(1)
    await at.clock.advance(3)
    await until('the next try', () => at.asked('list').length === 2)
  })

  test('are short again after a watch that the server ended in good order', async () => {
    await using at = await following()
    const { list } = at.script
    at.script.list = json({ message: 'away' }, 503)
    void at.start()
    for (const [index, pause] of [500, 1000, 2000].entries()) {
      await at.failures(index + 1)
      await at.clock.advance(pause)
    }
    at.script.list = list
    await at.failures(4)
    await at.clock.advance(4000)
    const watch = await at.opened(1)
    await at.clock.advance(60_000)
    at.send(watch, { type: 'BOOKMARK', object: { metadata: { resourceVersion: '101' } } })
    await until('the bookmark', () => at.watch.silence() === 0)
    watch.end()
    ;(await at.opened(2)).socket?.destroy()
    await at.failures(5)
    await at.clock.advance(500)
    await at.opened(3)
  })

  test('are short again after a watch that went well for minutes before it was cut', async () => {
    await using at = await following()
    void at.start()
    for (let n = 1; n <= 6; n++) {
      const watch = await at.opened(n)
      for (let minute = 0; minute < 4; minute++) {
        await at.clock.advance(60_000)
        at.send(watch, { type: 'ADDED', object: pod(`p-${n}-${minute}`) })
        await at.knows(`uid-of-p-${n}-${minute}`)
      }
      watch.socket?.destroy()
      await at.failures(n)
      await at.clock.advance(500)
      await until(`list ${n + 1}, half a second after watch ${n} was cut`, () => at.asked('list').length === n + 1, 500)
    }
  })

  test('are there even when every watch ends at once in good order: no API server is hammered', async () => {
    await using at = await following()
    at.script.watch = (response) => void response.writeHead(200).end()
    void at.start()
    await until('the first watch', () => at.asked('watch').length > 0)
    await aMoment()
    // The clock stands still, so whoever pauses asks no more.
    expect(at.asked('watch').length).toBeLessThan(4)
  })

  test('end with the signal', async () => {
    await using at = await following()
    at.server.answer = hangUp
    const running = at.start()
    await at.failures(1)
    at.stop.abort()
    await running
  })
})

describe('silence', () => {
  test('is without end before the first list was complete', async () => {
    await using at = await following()
    at.script.list = json({ message: 'away' }, 503)
    expect(at.watch.silence()).toBe(Number.POSITIVE_INFINITY)
    void at.start()
    await at.failures(1)
    await at.clock.advance(10)
    expect(at.watch.silence()).toBe(Number.POSITIVE_INFINITY)
  })

  test('is counted from the list, and from every event and bookmark after it', async () => {
    await using at = await following()
    void at.start()
    const watch = await at.opened(1)
    await at.clock.advance(45_000)
    expect(at.watch.silence()).toBe(45_000)
    at.send(watch, { type: 'BOOKMARK', object: { metadata: { resourceVersion: '101' } } })
    await until('the bookmark', () => at.watch.silence() === 0)
    await at.clock.advance(30_000)
    at.send(watch, { type: 'ADDED', object: pod('a') })
    await until('the event', () => at.watch.silence() === 0)
    await at.clock.advance(59_000)
    expect(at.watch.silence()).toBe(59_000)
  })

  test('is not broken by failures, nor by an error event', async () => {
    await using at = await following()
    void at.start()
    const watch = await at.opened(1)
    at.script.list = json({ message: 'away' }, 503)
    await at.clock.advance(45_000)
    at.send(watch, { type: 'ERROR', object: { code: 500, message: 'etcd is away' } })
    await at.failures(1)
    await at.clock.advance(500)
    await at.failures(2)
    expect(at.watch.silence()).toBe(45_500)
  })

  test('is not broken by the wall clock’s jumps', async () => {
    await using at = await following()
    void at.start()
    await at.opened(1)
    at.clock.jump(-3_600_000)
    await at.clock.advance(1000)
    expect(at.watch.silence()).toBe(1000)
  })
})
