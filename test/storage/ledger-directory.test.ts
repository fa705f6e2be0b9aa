import '../_support/ledger-disk.ts'
import {
  appendFileSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { systemClock } from '../../src/core/clock.ts'
import { DAY, SECOND } from '../../src/core/duration.ts'
import type { DamagedLine, LedgerRecord } from '../../src/ledger/ledger.ts'
import { hasLedger, LedgerDirectory, readLedger } from '../../src/storage/ledger-directory.ts'
import { lineOf } from '../../src/storage/ledger-lines.ts'
import { FakeClock, settle } from '../_support/fake-clock.ts'
import { LedgerDisk } from '../_support/ledger-disk.ts'
import { anIntent, anIssued, aRefused } from '../_support/ledger-records.ts'
import { OtherProcess } from '../_support/other-process.ts'
import { scratch } from '../_support/scratch.ts'
import { until } from '../_support/until.ts'

const FULL = {
  code: 'dependency_unavailable',
  message: 'the ledger can’t be written, so nothing is issued; try again later',
}

/** What the file of that day begins with, where it is the first. */
const HEAD = lineOf({ kind: 'file', at: '2030-01-01T00:00:00.000Z' })
const MARK = lineOf({ kind: 'torn', at: '2030-01-01T00:00:00.000Z' })

/** A ledger on a disk of its own; its clock stands at 2030-01-01T00:00:00Z. */
function aLedger() {
  const directory = join(scratch(), 'ledger')
  const disk = new LedgerDisk(directory)
  const clock = new FakeClock()
  const ledger = new LedgerDirectory(directory, clock)
  return {
    directory,
    disk,
    clock,
    ledger,
    file: join(directory, '2030-01-01.jsonl'),
    [Symbol.asyncDispose]: async () => {
      disk[Symbol.dispose]()
      await ledger[Symbol.asyncDispose]()
    },
  }
}

async function all(directory: string, since?: Date): Promise<(LedgerRecord | DamagedLine)[]> {
  const found = []
  for await (const entry of readLedger(directory, since)) found.push(entry)
  return found
}

const idsIn = async (directory: string, since?: Date) =>
  (await all(directory, since)).map((entry) => ('requestId' in entry ? `${entry.kind} ${entry.requestId}` : entry.kind))

const ended = async (promise: Promise<unknown>) => {
  let done = false
  const mark = () => {
    done = true
  }
  promise.then(mark, mark)
  await settle()
  return done
}

describe('writing', () => {
  test('makes a line of JSON of each record, in a file a day, for the owner’s eyes only', async () => {
    await using world = aLedger()
    await world.ledger.intend(anIntent('1'))
    await world.ledger.record(anIssued('1'))
    expect(readFileSync(world.file, 'utf8')).toBe(`${HEAD}${lineOf(anIntent('1'))}${lineOf(anIssued('1'))}`)
    expect(
      readFileSync(world.file, 'utf8')
        .trimEnd()
        .split('\n')
        .map((line) => JSON.parse(line)),
    ).toMatchObject([{ kind: 'file' }, anIntent('1'), anIssued('1')])
    expect(statSync(world.directory).mode & 0o777).toBe(0o700)
    expect(statSync(world.file).mode & 0o777).toBe(0o600)
  })

  test('only ever appends: what was there stays as it was', async () => {
    await using world = aLedger()
    await world.ledger.record(anIssued('1'))
    const before = readFileSync(world.file, 'utf8')
    await using again = new LedgerDirectory(world.directory, world.clock)
    await again.record(anIssued('2'))
    await world.ledger.record(anIssued('3'))
    expect(readFileSync(world.file, 'utf8').startsWith(before)).toBe(true)
    expect(await idsIn(world.directory)).toEqual(['issued 1', 'issued 2', 'issued 3'])
  })

  test('makes nothing before the first record', async () => {
    await using world = aLedger()
    expect(await hasLedger(world.directory)).toBe(false)
    expect(() => readdirSync(world.directory)).toThrow('ENOENT')
  })

  test('hands an intent to the kernel at once', async () => {
    await using world = aLedger()
    world.disk.hold()
    await world.ledger.intend(anIntent('1'))
    expect(await idsIn(world.directory)).toEqual(['intent 1'])
  })

  test('an answer waits until its outcome, and the intent before it, are on the disk', async () => {
    await using world = aLedger()
    world.disk.hold()
    await world.ledger.intend(anIntent('1'))
    const recorded = world.ledger.record(anIssued('1'))
    expect(await ended(recorded)).toBe(false)
    world.disk.release()
    await recorded
    expect(world.disk.durable.get('2030-01-01.jsonl')).toBe(`${HEAD}${lineOf(anIntent('1'))}${lineOf(anIssued('1'))}`)
  })

  test('all that came while a sync was running shares the next one', async () => {
    await using world = aLedger()
    world.disk.hold()
    const first = world.ledger.record(anIssued('first'))
    await settle()
    const others = Array.from({ length: 100 }, (_, index) => world.ledger.record(anIssued(String(index))))
    world.disk.release()
    await Promise.all([first, ...others])
    expect(world.disk.syncs).toBe(2)
    expect(await all(world.directory)).toHaveLength(101)
  })

  test('what came after a sync began is not taken for synced by it', async () => {
    await using world = aLedger()
    world.disk.hold()
    const first = world.ledger.record(anIssued('first'))
    await settle()
    const second = world.ledger.record(anIssued('second'))
    world.disk.release()
    world.disk.hold()
    await first
    expect(await ended(second)).toBe(false)
    world.disk.release()
    await second
  })

  test('a thousand at once, intents between outcomes, are all there, whole and in the order of each request', async () => {
    const directory = join(scratch(), 'ledger')
    await using ledger = new LedgerDirectory(directory, systemClock)
    const one = async (id: string) => {
      await ledger.intend(anIntent(id))
      await Promise.resolve()
      await ledger.record(anIssued(id))
    }
    await Promise.all(Array.from({ length: 1000 }, (_, index) => one(String(index))))
    const ids = await idsIn(directory)
    expect(ids).toHaveLength(2000)
    expect(ids.filter((id) => !/^(intent|issued) \d+$/.test(id))).toEqual([])
    const misplaced = Array.from({ length: 1000 }, (_, index) => String(index)).filter(
      (id) => !(ids.indexOf(`intent ${id}`) >= 0 && ids.indexOf(`intent ${id}`) < ids.indexOf(`issued ${id}`)),
    )
    expect(misplaced).toEqual([])
  })

  test('closing waits for what is still being written', async () => {
    const world = aLedger()
    world.disk.hold()
    const recorded = world.ledger.record(anIssued('1'))
    const closed = world.ledger[Symbol.asyncDispose]()
    expect(await ended(closed)).toBe(false)
    world.disk.release()
    await closed
    expect(await ended(recorded)).toBe(true)
    expect(world.disk.open).toEqual([])
    world.disk[Symbol.dispose]()
  })
})

test.each(['\u2028', '\u2029', '\u009b', '\u202e'])(
  'what ends a line or steers a terminal (%j) in what others chose is written as an escape, and read as it was',
  async (separator) => {
    await using world = aLedger()
    const refused = { ...aRefused('1'), detail: `the key ${separator} is unknown` }
    await world.ledger.record(refused)
    await world.ledger.record(aRefused('2'))
    expect(readFileSync(world.file, 'utf8')).not.toContain(separator)
    expect(await all(world.directory)).toEqual([refused, aRefused('2')])
  },
)

describe('at midnight (UTC)', () => {
  test('begins the next day’s file', async () => {
    await using world = aLedger()
    await world.ledger.record(anIssued('1'))
    await world.clock.advance(DAY - 1)
    await world.ledger.record(anIssued('2'))
    await world.clock.advance(1)
    await world.ledger.record(anIssued('3'))
    expect(readdirSync(world.directory)).toEqual(['2030-01-01.jsonl', '2030-01-02.jsonl'])
    expect(await idsIn(world.directory)).toEqual(['issued 1', 'issued 2', 'issued 3'])
    expect(readFileSync(join(world.directory, '2030-01-02.jsonl'), 'utf8')).toContain('"requestId":"3"')
  })

  test('an answer whose intent is in yesterday’s file waits until that one is on the disk, too', async () => {
    await using world = aLedger()
    await world.clock.advance(DAY - 1)
    await world.ledger.intend(anIntent('1'))
    await world.clock.advance(1)
    await world.ledger.record(anIssued('1'))
    expect(world.disk.durable.get('2030-01-01.jsonl')).toContain('"kind":"intent"')
    expect(world.disk.durable.get('2030-01-02.jsonl')).toContain('"kind":"issued"')
  })

  test('what was written to one file is synced there, though another day begins meanwhile', async () => {
    await using world = aLedger()
    await world.ledger.intend(anIntent('1'))
    await world.clock.advance(DAY)
    world.disk.hold()
    const recorded = world.ledger.record(anIssued('2'))
    await settle()
    world.clock.jump(DAY)
    await world.ledger.intend(anIntent('3'))
    world.disk.release()
    await recorded
    expect(world.disk.durable.get('2030-01-02.jsonl')).toContain('"requestId":"2"')
  })

  test('a sync that runs over midnight is told to those who wait for it', async () => {
    await using world = aLedger()
    world.disk.hold()
    const recorded = world.ledger.record(anIssued('1'))
    await settle()
    await world.clock.advance(DAY)
    await world.ledger.intend(anIntent('2'))
    world.disk.release()
    await recorded
    expect(world.disk.durable.get('2030-01-01.jsonl')).toContain('"requestId":"1"')
  })

  test('yesterday’s file is closed', async () => {
    await using world = aLedger()
    for (let day = 0; day < 5; day++) {
      await world.ledger.record(anIssued(String(day)))
      await world.clock.advance(DAY)
    }
    expect(world.disk.open).toEqual(['2030-01-05.jsonl'])
  })

  test('a clock that jumps back writes on into the earlier day', async () => {
    await using world = aLedger()
    await world.ledger.record(anIssued('1'))
    world.clock.jump(DAY)
    await world.ledger.record(anIssued('2'))
    world.clock.jump(-DAY)
    await world.ledger.record(anIssued('3'))
    expect(await idsIn(world.directory)).toEqual(['issued 1', 'issued 3', 'issued 2'])
  })
})

describe('what is missing', () => {
  const lost = (file: string) => ({ kind: 'damaged', file, line: 0, torn: false })
  /** Records of the first, second and fourth of January. */
  async function threeDays() {
    const world = aLedger()
    await world.ledger.record(anIssued('1'))
    await world.clock.advance(DAY)
    await world.ledger.record(anIssued('2'))
    await world.clock.advance(2 * DAY)
    await world.ledger.record(anIssued('4'))
    await world.ledger[Symbol.asyncDispose]()
    return { ...world, at: (day: string) => join(world.directory, `2030-01-${day}.jsonl`) }
  }
  const faults = async (directory: string, since?: Date, written?: readonly Date[]) => {
    const found = []
    for await (const entry of readLedger(directory, since, { without: 'intent', written }))
      if (entry.kind === 'damaged') found.push(entry)
    return found
  }

  test('is nothing where all is there, days without a record included', async () => {
    await using world = await threeDays()
    expect(await faults(world.directory)).toEqual([])
    expect(
      await faults(world.directory, new Date('2030-01-01'), [new Date('2030-01-01'), new Date('2030-01-04')]),
    ).toEqual([])
  })

  test('is a day’s file that the next one names, if it is asked for', async () => {
    await using world = await threeDays()
    rmSync(world.at('02'))
    expect(await faults(world.directory)).toEqual([lost('2030-01-02.jsonl')])
    expect(await faults(world.directory, new Date('2030-01-02'))).toEqual([lost('2030-01-02.jsonl')])
    expect(await faults(world.directory, new Date('2030-01-03')), 'archived').toEqual([])
    rmSync(world.at('01'))
    expect(await faults(world.directory, new Date('2030-01-01')), 'the one before is not known by anybody').toEqual([
      lost('2030-01-02.jsonl'),
    ])
  })

  test('is the end of a file that was longer when the next one was begun', async () => {
    await using world = await threeDays()
    const { size } = statSync(world.at('02'))
    truncateSync(world.at('02'), size - 100)
    expect(await faults(world.directory)).toEqual([
      { ...lost('2030-01-02.jsonl'), line: 2, torn: true },
      lost('2030-01-02.jsonl'),
    ])
    truncateSync(world.at('02'), 0)
    expect(await faults(world.directory)).toEqual([lost('2030-01-02.jsonl')])
  })

  test('is the file of a moment at which something was recorded for sure, or the next day’s', async () => {
    await using world = await threeDays()
    for (const day of ['01', '02', '04']) rmSync(world.at(day))
    const since = new Date('2030-01-01')
    const at = new Date('2030-01-02T23:59:59Z')
    expect(await faults(world.directory, since, [at])).toEqual([lost('2030-01-02.jsonl')])
    await using again = new LedgerDirectory(world.directory, world.clock)
    await again.record(anIssued('5'))
    expect(await faults(world.directory, since, [at, world.clock.now()])).toEqual([lost('2030-01-02.jsonl')])
    expect(await faults(world.directory, since, [new Date('2030-01-03T23:59:59Z')])).toEqual([])
    expect(await faults(world.directory, new Date('2030-01-03'), [at]), 'not asked for').toEqual([])
  })

  test('is said where the first write of a file was cut off, too: the next one begins it', async () => {
    await using world = aLedger()
    await world.ledger.record(anIssued('1'))
    await world.clock.advance(DAY)
    world.disk.room = 20
    await expect(world.ledger.record(anIssued('2'))).rejects.toMatchObject(FULL)
    world.disk.room = Number.POSITIVE_INFINITY
    await using restarted = new LedgerDirectory(world.directory, world.clock)
    await restarted.record(anIssued('3'))
    rmSync(world.file)
    expect(await faults(world.directory, new Date('2030-01-01'))).toEqual([
      { kind: 'damaged', file: '2030-01-02.jsonl', line: 1, torn: true },
      lost('2030-01-01.jsonl'),
    ])
  })

  test('a clock that jumps ahead and back begins no file anew, and misses none', async () => {
    await using world = aLedger()
    await world.ledger.record(anIssued('1'))
    world.clock.jump(30 * DAY)
    await world.ledger.record(anIssued('2'))
    world.clock.jump(-29 * DAY)
    await world.ledger.record(anIssued('3'))
    world.clock.jump(-DAY)
    await world.ledger.record(anIssued('4'))
    expect(await faults(world.directory)).toEqual([])
  })
})

describe('on a full disk', () => {
  test('refuses intents, so that nothing is signed', async () => {
    await using world = aLedger()
    world.disk.room = 0
    await expect(world.ledger.intend(anIntent('1'))).rejects.toMatchObject(FULL)
  })

  test('refuses every outcome that waited, so that no answer leaves', async () => {
    await using world = aLedger()
    world.disk.room = 0
    const told = await Promise.allSettled([1, 2, 3].map((id) => world.ledger.record(anIssued(String(id)))))
    expect(told.map((one) => (one.status === 'rejected' ? one.reason : 'recorded'))).toMatchObject([FULL, FULL, FULL])
  })

  test('says why to the server’s own eyes', async () => {
    await using world = aLedger()
    world.disk.room = 0
    await world.ledger.record(anIssued('1')).catch(() => undefined)
    expect(world.ledger.failure).toMatchObject({ code: 'ENOSPC' })
  })

  test.each([0, 1, 100, 270])('goes on when there is room again, after %i bytes of a record', async (room) => {
    await using world = aLedger()
    await world.ledger.record(anIssued('1'))
    world.disk.room = room
    await expect(world.ledger.record(anIssued('2'))).rejects.toMatchObject(FULL)
    world.disk.room = Number.POSITIVE_INFINITY
    await world.ledger.record(anIssued('3'))
    const entries = await all(world.directory)
    expect(entries.filter((entry) => entry.kind !== 'damaged')).toMatchObject([{ requestId: '1' }, { requestId: '3' }])
    expect(entries.filter((entry) => entry.kind === 'damaged')).toHaveLength(room === 0 ? 0 : 1)
    expect(world.ledger.failure).toBeUndefined()
  })

  test('finds out by itself that there is room again: who is not ready gets no requests that would show it', async () => {
    await using world = aLedger()
    world.disk.room = 0
    await expect(world.ledger.record(anIssued('1'))).rejects.toMatchObject(FULL)
    await world.clock.advance(30 * SECOND)
    expect(world.ledger.failure, 'still full').toBeDefined()
    world.disk.room = Number.POSITIVE_INFINITY
    await world.clock.advance(30 * SECOND)
    expect(world.ledger.failure).toBeUndefined()
    expect(await all(world.directory)).toEqual([])
  })

  test('does not look once it is closed', async () => {
    const world = aLedger()
    world.disk.room = 0
    await world.ledger.record(anIssued('1')).catch(() => undefined)
    await world.ledger[Symbol.asyncDispose]()
    world.disk.room = Number.POSITIVE_INFINITY
    await world.clock.advance(30 * SECOND)
    expect(world.disk.open).toEqual([])
    world.disk[Symbol.dispose]()
  })
})

describe('on a disk that fails', () => {
  test('a sync that fails refuses those who waited for it, and nobody after them', async () => {
    await using world = aLedger()
    world.disk.failSyncs = true
    await expect(world.ledger.record(anIssued('1'))).rejects.toMatchObject(FULL)
    expect(world.ledger.failure).toMatchObject({ code: 'EIO' })
    world.disk.failSyncs = false
    await world.ledger.record(anIssued('2'))
    expect(world.ledger.failure).toBeUndefined()
  })

  test('an intent that could be written does not hide that syncs fail', async () => {
    await using world = aLedger()
    world.disk.failSyncs = true
    await world.ledger.record(anIssued('1')).catch(() => undefined)
    await world.ledger.intend(anIntent('2'))
    expect(world.ledger.failure).toMatchObject({ code: 'EIO' })
  })

  test('keeps no file open that it could not begin', async () => {
    await using world = aLedger()
    world.disk.failDirectorySyncs = true
    for (let id = 0; id < 5; id++) await expect(world.ledger.intend(anIntent(String(id)))).rejects.toMatchObject(FULL)
    expect(world.disk.open).toEqual([])
    world.disk.failDirectorySyncs = false
    await world.ledger.record(anIssued('5'))
    expect(await idsIn(world.directory)).toEqual(['issued 5'])
  })

  test('a folder that cannot be made is a refusal like any other', async () => {
    const state = scratch()
    writeFileSync(join(state, 'ledger'), 'a file in its place')
    await using ledger = new LedgerDirectory(join(state, 'ledger'), new FakeClock())
    await expect(ledger.intend(anIntent('1'))).rejects.toMatchObject(FULL)
    expect(readFileSync(join(state, 'ledger'), 'utf8')).toBe('a file in its place')
  })
})

describe('after a crash', () => {
  test('half a last line is told by file and line, and the next record stands on a line of its own', async () => {
    await using world = aLedger()
    await world.ledger.record(anIssued('1'))
    appendFileSync(world.file, JSON.stringify(anIssued('2')).slice(0, 80))
    expect(await all(world.directory)).toMatchObject([
      { requestId: '1' },
      { kind: 'damaged', file: '2030-01-01.jsonl', line: 3, torn: true },
    ])
    await using restarted = new LedgerDirectory(world.directory, world.clock)
    await restarted.record(anIssued('3'))
    expect(await all(world.directory)).toMatchObject([
      { requestId: '1' },
      { kind: 'damaged', file: '2030-01-01.jsonl', line: 3, torn: true },
      { requestId: '3' },
    ])
  })

  test('a last line that only lacks its end counts', async () => {
    await using world = aLedger()
    await world.ledger.record(anIssued('1'))
    appendFileSync(world.file, JSON.stringify(anIssued('2')))
    await using restarted = new LedgerDirectory(world.directory, world.clock)
    await restarted.record(anIssued('3'))
    expect(await idsIn(world.directory)).toEqual(['issued 1', 'issued 2', 'issued 3'])
  })

  test('a process killed amid writes has lost nothing of which it said that it was recorded', async () => {
    const directory = join(scratch(), 'ledger')
    const writer = new OtherProcess(
      `
      import { systemClock } from 'src/core/clock.ts'
      import { LedgerDirectory } from 'src/storage/ledger-directory.ts'
      const [directory, intent, issued] = process.argv.slice(1)
      const ledger = new LedgerDirectory(directory, systemClock)
      let requests = 0
      const client = async () => {
        for (;;) {
          const requestId = String(++requests)
          await ledger.intend({ ...JSON.parse(intent), requestId })
          console.log('intent ' + requestId)
          await ledger.record({ ...JSON.parse(issued), requestId })
          console.log('issued ' + requestId)
        }
      }
      for (let clients = 0; clients < 8; clients++) client()
      `,
      directory,
      JSON.stringify(anIntent('')),
      JSON.stringify(anIssued('')),
    )
    const told: string[] = []
    await until('the writer is at work', async () => {
      told.push((await writer.line()) ?? expect.fail('the writer ended'))
      return told.length >= 500
    })
    // The last line that a kill lets through may be half.
    told.push(...(await writer.kill()).filter((line) => /^(intent|issued) \d+$/.test(line)).slice(0, -1))
    const found = new Set(await idsIn(directory))
    expect(told.filter((one) => !found.has(one))).toEqual([])
    await using restarted = new LedgerDirectory(directory, systemClock)
    await restarted.record(anIssued('after'))
    expect((await idsIn(directory)).at(-1)).toBe('issued after')
  })
})

describe('reading', () => {
  const write = (directory: string, name: string, text: string) => {
    mkdirSync(directory, { recursive: true })
    writeFileSync(join(directory, name), text)
  }
  const lines = (...records: readonly object[]) => records.map((record) => `${JSON.stringify(record)}\n`).join('')

  test('gives every record as it was written, whatever letters are in it', async () => {
    await using world = aLedger()
    await world.ledger.intend(anIntent('1'))
    await world.ledger.record(aRefused('2'))
    expect(await all(world.directory)).toEqual([anIntent('1'), aRefused('2')])
  })

  test('goes through the days in their order', async () => {
    const directory = scratch()
    write(directory, '2030-01-02.jsonl', lines(anIssued('2')))
    write(directory, '2029-12-31.jsonl', lines(anIssued('0')))
    write(directory, '2030-01-01.jsonl', lines(anIssued('1')))
    expect(await idsIn(directory)).toEqual(['issued 0', 'issued 1', 'issued 2'])
  })

  test.each([
    ['2030-01-01T00:00:00Z', ['issued 1', 'issued 2']],
    ['2030-01-01T23:59:59Z', ['issued 1', 'issued 2']],
    ['2030-01-02T00:00:00Z', ['issued 2']],
    ['2030-01-03T00:00:00Z', []],
  ])('since %s begins with that day’s file (UTC)', async (since, ids) => {
    const directory = scratch()
    for (const [day, id] of [
      ['2029-12-31', '0'],
      ['2030-01-01', '1'],
      ['2030-01-02', '2'],
    ] as const)
      write(directory, `${day}.jsonl`, lines(anIssued(id)))
    expect(await idsIn(directory, new Date(since))).toEqual(ids)
  })

  test.each([
    ['no JSON', 'damage'],
    ['JSON without its beginning', '"at":"2030-01-01T00:00:00.000Z"'],
    ['JSON with an end and damage before it', '{"kind":"issued","at:"2030-01-01T00:00:00.000Z"}'],
    ['JSON cut off by zeros', '{"kind":"issued","at":"20\0\0'],
    ['JSON that is no record', '{"kind":7,"at":"2030-01-01T00:00:00.000Z"}'],
    ['a record of no time', '{"kind":"issued"}'],
    ['no object', 'null'],
    ['a list', '[]'],
    ['zeros, as some file systems leave them', '\0\0\0\0'],
  ])('names file and line of a damaged line in the middle (%s), and goes on', async (_what, damage) => {
    const directory = scratch()
    write(directory, '2030-01-01.jsonl', `${lines(anIssued('1'))}${damage}\n${lines(anIssued('2'))}`)
    write(directory, '2030-01-02.jsonl', lines(anIssued('3')))
    expect(await all(directory)).toEqual([
      anIssued('1'),
      { kind: 'damaged', file: '2030-01-01.jsonl', line: 2, torn: false },
      anIssued('2'),
      anIssued('3'),
    ])
  })

  test('calls a record’s beginning without its end torn, wherever the end was torn off', async () => {
    const whole = lineOf(anIssued('1'))
    const directory = scratch()
    const beginnings = Array.from({ length: whole.length - 2 }, (_, index) => whole.slice(0, index + 1))
    write(directory, '2030-01-01.jsonl', `${beginnings.map((one) => `${one}\n${MARK}`).join('')}${whole}`)
    const found = await all(directory)
    expect(found.pop()).toEqual(anIssued('1'))
    expect(found).toHaveLength(beginnings.length)
    expect(found.filter((entry) => entry.kind !== 'damaged' || !entry.torn)).toEqual([])
  })

  test('believes nobody that a line was torn but who wrote on after it, or a file that ends there', async () => {
    const directory = scratch()
    const cut = lineOf(anIssued('1')).slice(0, 80)
    const torn = async (text: string) => {
      write(directory, '2030-01-01.jsonl', text)
      const found = await all(directory)
      return found.flatMap((entry) => (entry.kind === 'damaged' ? [entry.torn] : []))
    }
    expect(await torn(`${cut}\n${lineOf(anIssued('2'))}`), 'cut short by damage').toEqual([false])
    expect(await torn(`${cut}\n`), 'the last line, whole once').toEqual([false])
    expect(await torn(cut)).toEqual([true])
    expect(await torn(`${cut}\n${MARK}`)).toEqual([true])
    expect(await torn(`${cut}\n${MARK.slice(0, 9)}\n${MARK.slice(0, 40)}\n${MARK}`), 'thrice').toEqual([
      true,
      true,
      true,
    ])
    expect(await torn(`${cut}\n${MARK.slice(0, 40)}`)).toEqual([true, true])
    expect(await torn(`${cut}\n${cut}\n${MARK}`), 'one is said to be torn').toEqual([false, true])
    expect(await torn(`${cut}\nx\n${MARK}`), 'not the one before it').toEqual([false, false])
  })

  test('notices every flipped bit of a line', async () => {
    const directory = scratch()
    const before = Buffer.from(lineOf(anIssued('1')))
    const unnoticed: number[] = []
    // The check value’s name aside, without which a line is as of before there were any: all that it says is whole then.
    const name = [before.length - 19, before.length - 11] as const
    const damaged: Buffer[] = []
    for (let at = 0; at < before.length - 1; at++) {
      if (at >= name[0] && at < name[1]) continue
      for (let bit = 0; bit < 8; bit++) {
        const line = Buffer.from(before)
        line[at] = (line[at] as number) ^ (1 << bit)
        damaged.push(line)
      }
    }
    write(directory, '2030-01-01.jsonl', '')
    writeFileSync(join(directory, '2030-01-01.jsonl'), Buffer.concat(damaged))
    for (const entry of await all(directory)) if (entry.kind !== 'damaged') unnoticed.push(1)
    expect(unnoticed).toEqual([])
    for (let bit = 0; bit < 8; bit++)
      for (let at = name[0]; at < name[1]; at++) {
        const line = Buffer.from(before)
        line[at] = (line[at] as number) ^ (1 << bit)
        writeFileSync(join(directory, '2030-01-01.jsonl'), line)
        for (const entry of await all(directory))
          if (entry.kind !== 'damaged') expect(entry).toMatchObject(anIssued('1'))
      }
  })

  test('takes a kind that nobody knows for damage: it may have been an SVID', async () => {
    const directory = scratch()
    write(directory, '2030-01-01.jsonl', lines({ ...anIssued('1'), kind: 'issueD' }))
    expect(await all(directory)).toEqual([{ kind: 'damaged', file: '2030-01-01.jsonl', line: 1, torn: false }])
  })

  test('passes over records of a kind that nobody wants, and counts their lines', async () => {
    const directory = scratch()
    const begun = '{"kind":"intent'
    write(directory, '2030-01-01.jsonl', `${lines(anIntent('1'), anIssued('1'), anIntent('2'))}${begun}`)
    const found: (LedgerRecord | DamagedLine)[] = []
    for await (const entry of readLedger(directory, undefined, { without: 'intent' })) found.push(entry)
    expect(found).toEqual([anIssued('1'), { kind: 'damaged', file: '2030-01-01.jsonl', line: 4, torn: true }])
  })

  test('does not count empty lines as damage, but as lines', async () => {
    const directory = scratch()
    write(directory, '2030-01-01.jsonl', `\n${lines(anIssued('1'))}\n\nx\n`)
    expect(await all(directory)).toEqual([
      anIssued('1'),
      { kind: 'damaged', file: '2030-01-01.jsonl', line: 5, torn: false },
    ])
  })

  test('ends a line at a line feed alone, as files of before the escapes need it', async () => {
    const directory = scratch()
    const refused = { ...aRefused('1'), detail: 'a\u2028b\u2029c\u0085d' }
    write(directory, '2030-01-01.jsonl', lines(refused, aRefused('2')))
    expect(await all(directory)).toEqual([refused, aRefused('2')])
  })

  test('begins with the latest day where that is asked for, and keeps the order within it', async () => {
    const directory = scratch()
    write(directory, '2030-01-01.jsonl', lines(anIssued('1'), anIssued('2')))
    write(directory, '2030-01-02.jsonl', lines(anIssued('3'), anIssued('4')))
    write(directory, '2030-01-03.jsonl', lines(anIssued('5')))
    const found: unknown[] = []
    for await (const entry of readLedger(directory, new Date('2030-01-02T12:00:00Z'), { latestDayFirst: true }))
      found.push(entry)
    expect(found).toEqual([anIssued('5'), anIssued('3'), anIssued('4')])
  })

  test('takes a line of megabytes for damage without gathering it, and goes on', async () => {
    const directory = scratch()
    const long = { ...aRefused('1'), detail: 'x'.repeat(1024 * 1024) }
    write(directory, '2030-01-01.jsonl', lines(aRefused('0'), long, aRefused('2'), long).trimEnd())
    expect(await all(directory)).toEqual([
      aRefused('0'),
      { kind: 'damaged', file: '2030-01-01.jsonl', line: 2, torn: false },
      aRefused('2'),
      { kind: 'damaged', file: '2030-01-01.jsonl', line: 4, torn: false },
    ])
  })

  test.each([0, 1, 2])('reads a record that comes in many pieces, its letters cut anywhere (%i)', async (shift) => {
    const directory = scratch()
    const large = { ...aRefused('1'), detail: `${'x'.repeat(shift)}${'鍵'.repeat(100_000)}` }
    write(directory, '2030-01-01.jsonl', lines(large, aRefused('2')))
    expect(await all(directory)).toEqual([large, aRefused('2')])
  })

  test('leaves aside what is no day of the ledger', async () => {
    const directory = scratch()
    mkdirSync(join(directory, '2030-01-03.jsonl'))
    for (const name of ['notes.jsonl', '2030-01-01.jsonl.gz', '.2030-01-01.jsonl', '2030-1-1.jsonl'])
      write(directory, name, 'not for reading\n')
    expect(await all(directory)).toEqual([])
    expect(await hasLedger(directory)).toBe(false)
  })

  test('finds nothing where there is no ledger', async () => {
    expect(await all(join(scratch(), 'missing'))).toEqual([])
    expect(await hasLedger(join(scratch(), 'missing'))).toBe(false)
  })

  test('knows an empty day’s file for a trace of a ledger', async () => {
    const directory = scratch()
    write(directory, '2030-01-01.jsonl', '')
    expect(await hasLedger(directory)).toBe(true)
  })

  test('does not take a folder that cannot be read for none', async () => {
    const file = join(scratch(), 'ledger')
    writeFileSync(file, '')
    await expect(hasLedger(file)).rejects.toMatchObject({ code: 'ENOTDIR' })
  })

  test('may be stopped in the middle', async () => {
    const directory = scratch()
    write(directory, '2030-01-01.jsonl', lines(...Array.from({ length: 5000 }, (_, index) => anIssued(String(index)))))
    const seen: string[] = []
    for await (const entry of readLedger(directory, undefined)) {
      seen.push(entry.kind)
      if (seen.length === 3) break
    }
    expect(seen).toHaveLength(3)
  })
})
