import { describe, expect, test } from 'vitest'
import { keyAlgorithm } from '../../src/keys/algorithms.ts'
import { PrivateKey } from '../../src/keys/private-key.ts'
import { createLog, gathered, LOG_LEVELS, type LogOptions } from '../../src/telemetry/log.ts'
import { FakeClock } from '../_support/fake-clock.ts'

function aLog(options: Partial<LogOptions> = {}) {
  const lines: string[] = []
  const clock = new FakeClock('2030-01-01T14:02:11.345Z')
  return {
    lines,
    log: createLog({ level: 'info', format: 'json', write: (line) => void lines.push(line), clock, ...options }),
  }
}

/** ESC, an end of a line as each system has it, and what turns the direction of writing. */
const STEERING = ['\u001b[2J', '\r', '\u0007', '\u009b31m', '\u202e', '\u2028', '\0']

describe('for machines', () => {
  test('a record is one line of JSON with level, time and message', () => {
    const { log, lines } = aLog()
    log.info({ serial: '5ee0' }, 'issued')
    expect(lines).toEqual(['{"level":"info","time":"2030-01-01T14:02:11.345Z","serial":"5ee0","message":"issued"}\n'])
  })

  test('text with line ends stays in its line', () => {
    const { log, lines } = aLog()
    log.info({ detail: 'one\ntwo\r\n{"level":"error"}' }, 'refused')
    expect(lines).toHaveLength(1)
    expect(lines[0]?.indexOf('\n')).toBe((lines[0]?.length ?? 0) - 1)
    expect(JSON.parse(lines[0] as string).detail).toBe('one\ntwo\r\n{"level":"error"}')
  })

  test.each(STEERING)(
    'nobody whose words are logged can steer a terminal that shows it, and nothing is lost (%j)',
    (steering) => {
      const { log, lines } = aLog()
      log.warn({ detail: `before${steering}after` }, 'refused')
      expect(lines[0]).not.toContain(steering)
      expect(JSON.parse(lines[0] as string).detail).toBe(`before${steering}after`)
    },
  )

  test('says nothing of the process or the machine', () => {
    const { log, lines } = aLog()
    log.info('ended')
    expect(Object.keys(JSON.parse(lines[0] as string))).toEqual(['level', 'time', 'message'])
  })
})

describe('for a person', () => {
  test('a record is a readable line', () => {
    const { log, lines } = aLog({ format: 'text' })
    log.info({ spiffeId: 'spiffe://cluster.local/ns/shop/sa/cart', ms: 1.5, roots: ['5ee0 active'] }, 'issued')
    expect(lines).toEqual([
      '14:02:11 info  issued  spiffeId=spiffe://cluster.local/ns/shop/sa/cart ms=1.5 roots=["5ee0 active"]\n',
    ])
  })

  test('a record without fields ends with its message', () => {
    const { log, lines } = aLog({ format: 'text' })
    log.warn('ended')
    expect(lines).toEqual(['14:02:11 warn  ended\n'])
  })

  test('nobody whose words are logged can begin a line that looks like ours', () => {
    const { log, lines } = aLog({ format: 'text' })
    log.warn(
      { detail: 'unknown key\n14:02:12 info  issued  spiffeId=spiffe://cluster.local/ns/root/sa/root' },
      'refused',
    )
    const [text = ''] = lines
    const begins = text.trimEnd().split('\n')
    expect(begins.filter((line) => /^\d/.test(line))).toHaveLength(1)
  })

  test.each(STEERING)('nobody whose words are logged can steer the terminal (%j)', (steering) => {
    const { log, lines } = aLog({ format: 'text' })
    log.warn({ detail: `before${steering}after` }, 'refused')
    expect(lines[0]).not.toContain(steering)
    expect(lines[0]).toMatch(/before\S*after/)
  })

  test('nor by words within a list', () => {
    const { log, lines } = aLog({ format: 'text' })
    log.warn({ names: ['before\u009b31m\u202eafter'] }, 'renewed')
    expect(lines[0]).toContain('names=["before\\u009b31m\\u202eafter"]')
  })

  test('letters of every language are left as they are', () => {
    const { log, lines } = aLog({ format: 'text' })
    log.warn({ detail: 'ключ – “क” 鍵' }, 'refused')
    expect(lines[0]).toContain('detail=ключ – “क” 鍵')
  })
})

test.each(LOG_LEVELS)('at level %s, what is less is not written', (level) => {
  const { log, lines } = aLog({ level })
  for (const one of LOG_LEVELS) log[one](one)
  expect(lines.map((line) => JSON.parse(line).level)).toEqual(LOG_LEVELS.slice(LOG_LEVELS.indexOf(level)))
})

test.each(['json', 'text'] as const)(
  'a private key that gets into a record by mistake is not printed (%s)',
  async (format) => {
    const { log, lines } = aLog({ format })
    const key = await PrivateKey.generate(keyAlgorithm('ecdsa-p256'))
    let pem = ''
    await key.store(async (bytes) => {
      pem = Buffer.from(bytes).toString('latin1')
    })
    log.info({ key, deep: { keys: [key] } }, 'issued')
    expect(lines.join('')).toContain('[private key]')
    const body = pem.split('\n').filter((line) => line !== '' && !line.startsWith('-----'))
    expect(body.filter((line) => lines.join('').includes(line))).toEqual([])
  },
)

describe('gathered lines', () => {
  const gathering = () => {
    const clock = new FakeClock()
    const written: string[] = []
    return { clock, written, ...gathered((text) => void written.push(text), clock) }
  }

  test('are written together a moment later, in their order', async () => {
    const { write, written, clock } = gathering()
    write('one\n')
    write('two\n')
    expect(written).toEqual([])
    await clock.advance(20)
    expect(written).toEqual(['one\ntwo\n'])
  })

  test('wait for no longer than that, though more keep coming', async () => {
    const { write, written, clock } = gathering()
    for (let ms = 0; ms < 40; ms++) {
      write(`${ms}\n`)
      await clock.advance(1)
    }
    expect(written).toHaveLength(2)
  })

  test('are written at once when there are many', () => {
    const { write, written } = gathering()
    for (let line = 0; line < 17; line++) write(`${'x'.repeat(1023)}\n`)
    expect(written).toHaveLength(1)
    expect(written[0]).toHaveLength(16 * 1024)
  })

  test('are all there, whatever is flushed in between', async () => {
    const { write, flush, written, clock } = gathering()
    const lines = Array.from({ length: 1000 }, (_, index) => `line ${index} ${'x'.repeat(index % 97)}\n`)
    for (const [index, line] of lines.entries()) {
      write(line)
      if (index % 131 === 0) flush()
      if (index % 53 === 0) await clock.advance(7)
    }
    flush()
    expect(written.join('')).toBe(lines.join(''))
  })

  test('are not written twice when they were flushed', async () => {
    const { write, flush, written, clock } = gathering()
    write('one\n')
    flush()
    await clock.advance(100)
    flush()
    expect(written).toEqual(['one\n'])
  })

  test('nothing is written where there is nothing', () => {
    const { flush, written } = gathering()
    flush()
    expect(written).toEqual([])
  })
})
