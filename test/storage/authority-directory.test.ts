import {
  chmodSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import { basename, dirname, join } from 'node:path'
import { beforeAll, describe, expect, test } from 'vitest'
import { JournalInDoubt } from '../../src/authority/journal.ts'
import { sha256Hex } from '../../src/core/bytes.ts'
import { CaError } from '../../src/core/errors.ts'
import { keyAlgorithm } from '../../src/keys/algorithms.ts'
import { PlainKeys } from '../../src/keys/plain-keys.ts'
import { SealedKeys } from '../../src/keys/sealed-keys.ts'
import { AuthorityDirectory } from '../../src/storage/authority-directory.ts'
import { aSet } from '../_support/authority-sets.ts'
import { eachStep, FaultyDisk, LEFTOVERS } from '../_support/faulty-disk.ts'
import { scratch } from '../_support/scratch.ts'
import { withKey } from '../_support/secrets.ts'
import { sets } from '../_support/store-contract.ts'
import { idOf } from '../_support/vault-contract.ts'

let given: Awaited<ReturnType<typeof sets>>
beforeAll(async () => {
  given = await sets()
})

const openIn = (state: string) => new AuthorityDirectory(state, [new PlainKeys()], async () => false)
const begin = async (state: string) => {
  const store = openIn(state)
  await store.takeRootKey(given.rootKey)
  return store.begin(given.begun)
}
const journalOf = (state: string) => join(state, 'authority', 'journal.json')
const keyOf = (state: string) => join(state, 'authority', `root-${given.rootId.slice(0, 16)}.key.pem`)

async function begun(): Promise<string> {
  const state = scratch()
  await begin(state)
  return state
}

/** Everything below, by path, with content and mode. */
const picture = (state: string) =>
  readdirSync(state, { recursive: true, withFileTypes: true })
    .map((entry) => join(entry.parentPath, entry.name))
    .sort()
    .map((path) => ({
      path,
      mode: statSync(path).mode & 0o777,
      content: statSync(path).isFile() ? readFileSync(path, 'latin1') : undefined,
    }))

async function refusal(attempt: Promise<unknown>): Promise<CaError> {
  const error = await attempt.then(
    () => expect.fail('it was not refused'),
    (error: unknown) => error,
  )
  if (!(error instanceof CaError)) throw error
  return error
}

describe('a trust domain begins', () => {
  test('with one folder that holds the journal and the root’s key, for the owner’s eyes only', async () => {
    const state = await begun()
    expect(readdirSync(state)).toEqual(['authority'])
    expect(picture(state).map(({ path, mode }) => [path, mode.toString(8)])).toEqual([
      [join(state, 'authority'), '700'],
      [journalOf(state), '600'],
      [keyOf(state), '600'],
    ])
  })

  test('with no key in any file but the key’s', async () => {
    const state = await begun()
    const withKeys = picture(state).filter(({ content }) => content?.includes('PRIVATE KEY'))
    expect(withKeys.map(({ path }) => path)).toEqual([keyOf(state)])
  })

  test('with no key at all where the root is plugged in', async () => {
    const state = scratch()
    await openIn(state).begin(aSet([], { origin: 'plugged-in' }))
    expect(readdirSync(join(state, 'authority'))).toEqual(['journal.json'])
  })

  test.each(LEFTOVERS)(
    'whole or not at all: a crash at any step leaves what the next start begins or opens (%s)',
    async (leftover) => {
      let times = 0
      await eachStep(
        'dies',
        async () => scratch(),
        begin,
        async ({ disk, root, at }) => {
          disk.restart(leftover)
          const store = openIn(root)
          const found = await store.read()
          if (!found) {
            times++
            expect(await begin(root), at).toBe(1)
          }
          expect(
            (await store.read())?.set.authorities.map((one) => one.id),
            at,
          ).toEqual([given.rootId])
          expect((await store.rootKey(given.rootId, 'file')).publicKey.spki, at).toEqual(given.rootKey.publicKey.spki)
          expect(readdirSync(root), at).toEqual(['authority'])
        },
      )
      expect(times).toBeGreaterThanOrEqual(6)
    },
  )

  test.each(LEFTOVERS)('and is durable when that resolves (%s)', async (leftover) => {
    const state = scratch()
    using disk = new FaultyDisk(state)
    await begin(state)
    disk.restart(leftover)
    expect((await openIn(state).read())?.revision).toBe(1)
    expect((await openIn(state).rootKey(given.rootId, 'file')).publicKey.spki).toEqual(given.rootKey.publicKey.spki)
  })

  test('not on a disk that fails: it says so, and the next try begins it', async () => {
    await eachStep(
      'fails once',
      async () => scratch(),
      begin,
      async ({ root, error, at }) => {
        const { code, message } = error as CaError
        expect(code, at).toBe('dependency_unavailable')
        expect(message.startsWith(join(root, 'authority')), message).toBe(true)
        expect(message, at).toMatch(
          /authority can’t be made: EIO|authority\.new: the root’s key root-[0-9a-f]{16}\.key\.pem can’t be written: EIO/,
        )
        const store = openIn(root)
        if (!(await store.read())) await begin(root)
        expect((await store.rootKey(given.rootId, 'file')).publicKey.spki, at).toEqual(given.rootKey.publicKey.spki)
      },
    )
  })
})

describe('a root’s key made after the beginning', () => {
  const later = (state: string) => openIn(state).newRootKey(keyAlgorithm('ecdsa-p256'))

  test.each(LEFTOVERS)(
    'that a crash ends at any step leaves journal and keys as they were, and another can be made (%s)',
    async (leftover) => {
      const steps = await eachStep('dies', begun, later, async ({ disk, root, at }) => {
        disk.restart(leftover)
        const store = openIn(root)
        expect((await store.read())?.revision, at).toBe(1)
        expect((await store.rootKey(given.rootId, 'file')).publicKey.spki, at).toEqual(given.rootKey.publicKey.spki)
        const made = await later(root)
        const again = await openIn(root).rootKey(idOf(made), 'file')
        expect(Buffer.from(again.publicKey.spki), at).toEqual(Buffer.from(made.publicKey.spki))
        expect(readdirSync(root), at).toEqual(['authority'])
      })
      expect(steps.length).toBeGreaterThanOrEqual(5)
    },
  )

  test.each(LEFTOVERS)('is durable when that resolves (%s)', async (leftover) => {
    const state = await begun()
    using disk = new FaultyDisk(state)
    const made = await later(state)
    disk.restart(leftover)
    expect(idOf(await openIn(state).rootKey(idOf(made), 'file'))).toBe(idOf(made))
  })

  test('is not made where the state is damaged', async () => {
    const state = await begun()
    rmSync(journalOf(state))
    const before = picture(state)
    const { code, message } = await refusal(later(state))
    expect(code).toBe('wrong_state')
    expect(message).toMatch(/journal\.json is missing; put it back/)
    expect(picture(state)).toEqual(before)
  })

  test('is not made where no place for keys is set, and no folder either', async () => {
    const state = scratch()
    const store = new AuthorityDirectory(state, [], async () => false)
    expect(await refusal(store.newRootKey(keyAlgorithm('ecdsa-p256')))).toMatchObject({
      code: 'wrong_state',
      message:
        'no place for root keys is set; name one by keys.passphraseFile, keys.wrappingKeyFile or keys.pkcs11Module',
    })
    expect(readdirSync(state)).toEqual([])
  })
})

test('each key is opened by the vault that keeps it, and the first vault makes', async () => {
  const state = await begun()
  const store = new AuthorityDirectory(state, [new SealedKeys(withKey('k')), new PlainKeys()], async () => false)
  expect(store.newKeyHome).toBe('sealed')
  const made = await store.newRootKey(keyAlgorithm('ecdsa-p256'))
  expect(idOf(await store.rootKey(idOf(made), 'sealed'))).toBe(idOf(made))
  expect(idOf(await store.rootKey(given.rootId, 'file'))).toBe(given.rootId)
  expect((await refusal(store.rootKey(given.rootId, 'sealed'))).message).toMatch(/\.key\.sealed is missing/)
  expect((await refusal(store.rootKey(idOf(made), 'pkcs11'))).message).toMatch(/PKCS#11 token; name the token by/)
})

describe('a journal write', () => {
  const write = (state: string) => openIn(state).write(1, given.later)

  test('leaves one journal of mode 600, and the key as it was', async () => {
    const state = await begun()
    const key = readFileSync(keyOf(state), 'utf8')
    await write(state)
    expect(readdirSync(join(state, 'authority')).length).toBe(2)
    expect(statSync(journalOf(state)).mode & 0o777).toBe(0o600)
    expect(readFileSync(keyOf(state), 'utf8')).toBe(key)
  })

  test.each(LEFTOVERS)(
    'that a crash ends at any step leaves the old revision or the new one (%s)',
    async (leftover) => {
      const revisions = new Set<number | undefined>()
      await eachStep('dies', begun, write, async ({ disk, root, error, at }) => {
        disk.restart(leftover)
        const revision = (await openIn(root).read())?.revision
        revisions.add(revision)
        expect([1, 2], at).toContain(revision)
        // Who was told that it can't be written relies on the old one being there.
        if (!(error instanceof JournalInDoubt)) expect(revision, at).toBe(1)
        expect(await openIn(root).write(revision as number, given.later), at).toBe((revision as number) + 1)
      })
      expect(revisions).toContain(1)
    },
  )

  test.each(LEFTOVERS)('is durable when it resolves (%s)', async (leftover) => {
    const state = await begun()
    using disk = new FaultyDisk(state)
    await write(state)
    disk.restart(leftover)
    expect((await openIn(state).read())?.revision).toBe(2)
  })

  test('that fails before the new journal has its name is refused, and can be tried again', async () => {
    const refused: string[] = []
    await eachStep('fails once', begun, write, async ({ root, error, at }) => {
      if (error instanceof JournalInDoubt) return
      refused.push(at)
      expect(error, at).toMatchObject({
        code: 'dependency_unavailable',
        message: expect.stringMatching(
          /^the journal \/.*\/journal\.json can’t be written, and nothing was changed: EIO/,
        ),
      })
      expect(await write(root), at).toBe(2)
    })
    expect(refused.length).toBeGreaterThanOrEqual(3)
  })

  test('that fails from the rename on is in doubt, and says so', async () => {
    const inDoubt: string[] = []
    await eachStep('fails once', begun, write, async ({ error, at }) => {
      if (error instanceof JournalInDoubt) inDoubt.push(at)
    })
    expect(inDoubt).toEqual([expect.stringMatching(/^rename /), 'sync authority/'])
  })
})

/** What is wrong with a state directory, and what is said about it. */
const damages: readonly {
  readonly what: string
  readonly harm: (state: string) => void
  readonly says: RegExp
}[] = [
  {
    what: 'a journal cut off in the middle',
    harm: (state) => {
      const text = readFileSync(journalOf(state), 'utf8')
      writeFileSync(journalOf(state), text.slice(0, text.length / 2))
    },
    says: /journal is damaged: not JSON.*put back a copy that is whole/,
  },
  {
    what: 'an empty journal',
    harm: (state) => writeFileSync(journalOf(state), ''),
    says: /journal is damaged: .*put back a copy that is whole/,
  },
  {
    what: 'a journal with one bit flipped',
    harm: (state) => {
      const bytes = readFileSync(journalOf(state))
      const at = bytes.indexOf('"certificate": "') + 400
      bytes[at] = (bytes[at] as number) ^ 1
      writeFileSync(journalOf(state), bytes)
    },
    says: /journal is damaged: its digest does not fit/,
  },
  {
    what: 'a journal of a newer version',
    harm: (state) => {
      const { body } = JSON.parse(readFileSync(journalOf(state), 'utf8')) as { body: object }
      const newer = { ...body, format: 3 }
      writeFileSync(journalOf(state), JSON.stringify({ digest: sha256Hex(JSON.stringify(newer)), body: newer }))
    },
    says: /format 3, and this version knows 2: it was written by a newer Alcazar; run that one/,
  },
  {
    what: 'a folder in the journal’s place',
    harm: (state) => {
      rmSync(journalOf(state))
      mkdirSync(journalOf(state))
    },
    says: /can’t be read: EISDIR/,
  },
  {
    what: 'no journal in the folder',
    harm: (state) => rmSync(journalOf(state)),
    says: /is missing; put it back: Alcazar makes no new root while the old one may be alive/,
  },
]

describe('refuses, naming the file, and overwrites nothing:', () => {
  test.each(damages)('$what', async ({ harm, says }) => {
    const state = await begun()
    harm(state)
    const before = picture(state)
    const store = openIn(state)
    for (const attempt of [() => store.read(), () => store.begin(given.begun), () => store.write(1, given.later)]) {
      const { message } = await refusal(attempt())
      expect(message.startsWith(journalOf(state)), message).toBe(true)
      expect(message).toMatch(says)
      expect(picture(state)).toEqual(before)
    }
  })

  test('the whole folder missing from a state directory that has a ledger', async () => {
    const state = await begun()
    renameSync(join(state, 'authority'), join(state, 'elsewhere'))
    const store = new AuthorityDirectory(state, [new PlainKeys()], async () => true)
    const { code, message } = await refusal(store.begin(given.begun))
    expect([code, message]).toEqual([
      'wrong_state',
      `${join(state, 'authority')} is missing, though ${state} has a ledger; put it back, or start on an empty directory`,
    ])
    expect(existsSync(join(state, 'authority'))).toBe(false)
  })

  const keys: readonly { what: string; harm: (state: string) => unknown; says: RegExp }[] = [
    {
      what: 'the root’s key missing',
      harm: (state) => rmSync(keyOf(state)),
      says: /is missing; put it back: Alcazar makes no new root while the old one may be alive/,
    },
    {
      what: 'the root’s key cut off',
      harm: (state) => writeFileSync(keyOf(state), readFileSync(keyOf(state), 'utf8').slice(0, 100)),
      says: /is damaged: not an unencrypted private key in PEM/,
    },
    {
      what: 'the root’s key empty',
      harm: (state) => writeFileSync(keyOf(state), ''),
      says: /is damaged/,
    },
    {
      what: 'another root’s key in its place',
      harm: async (state) => {
        const other = await sets()
        await other.rootKey.store(async (pem) => writeFileSync(keyOf(state), pem))
      },
      says: /is another root’s/,
    },
    {
      what: 'the root’s key readable by others',
      harm: (state) => chmodSync(keyOf(state), 0o644),
      says: /can be read by others \(mode 644\); make it 600, and ask who has read it/,
    },
    {
      what: 'the root’s key readable by the group',
      harm: (state) => chmodSync(keyOf(state), 0o640),
      says: /can be read by others \(mode 640\)/,
    },
  ]
  test.each(keys)('$what', async ({ harm, says }) => {
    const state = await begun()
    await harm(state)
    const before = picture(state)
    const { code, message } = await refusal(openIn(state).rootKey(given.rootId, 'file'))
    expect(code).toBe('wrong_state')
    expect(message).toContain(`${dirname(keyOf(state))}: `)
    expect(message).toContain(basename(keyOf(state)))
    expect(message).toMatch(says)
    expect(picture(state)).toEqual(before)
  })

  test('a key that is damaged, without a word of its content', async () => {
    const state = await begun()
    const pem = readFileSync(keyOf(state), 'utf8')
    writeFileSync(keyOf(state), pem.replace('-----END PRIVATE KEY-----', ''), { mode: 0o600 })
    const { message } = await refusal(openIn(state).rootKey(given.rootId, 'file'))
    const lines = pem.split('\n').filter((line) => line.length > 20 && !line.startsWith('-----'))
    expect(lines.filter((line) => message.includes(line))).toEqual([])
  })
})

test('a whole journal beside what a crash left of the next one is read as it is', async () => {
  const state = await begun()
  writeFileSync(join(state, 'authority', '.journal.json.new'), '{"digest": "0')
  expect((await openIn(state).read())?.revision).toBe(1)
  expect(await openIn(state).write(1, given.later)).toBe(2)
})

test('what a crash left of a first beginning is thrown away: its key never signed', async () => {
  const state = scratch()
  mkdirSync(join(state, 'authority.new'))
  writeFileSync(join(state, 'authority.new', 'root-0123456789abcdef.key.pem'), 'half a key')
  await begin(state)
  expect(readdirSync(state, { recursive: true }).filter((name) => String(name).includes('0123456789abcdef'))).toEqual(
    [],
  )
})

test('what a crash left of a key that got no name is removed when a process makes the state its own, and nothing else', async () => {
  const state = await begun()
  const folder = join(state, 'authority')
  const before = readdirSync(folder)
  writeFileSync(join(folder, '.root-0123456789abcdef.key.pem.new'), 'half a key')
  await openIn(state).read()
  expect(readdirSync(folder)).toHaveLength(before.length + 1)
  await openIn(state).confirm(1)
  expect(readdirSync(folder)).toEqual(before)
})

describe('who else writes', () => {
  test('is found out before a write by the lock that is gone, and nothing is written', async () => {
    const state = await begun()
    const gone = new JournalInDoubt('the lock is gone')
    const store = new AuthorityDirectory(
      state,
      [new PlainKeys()],
      async () => false,
      () => {
        throw gone
      },
    )
    const before = picture(state)
    await expect(store.write(1, given.later)).rejects.toBe(gone)
    await expect(store.confirm(1)).rejects.toBe(gone)
    expect(picture(state)).toEqual(before)
  })

  test('is found out by the next look at the journal, also where it was written in place', async () => {
    const state = await begun()
    const store = openIn(state)
    await store.confirm(1)
    const old = readFileSync(journalOf(state))
    await openIn(state).write(1, given.later)
    await expect(store.confirm(1)).rejects.toThrow(JournalInDoubt)
    await store.confirm(2)
    writeFileSync(journalOf(state), old)
    await expect(store.confirm(2)).rejects.toThrow(
      new JournalInDoubt('the journal has revision 1, not 2: somebody else wrote it'),
    )
  })

  test('is nobody where the journal is missing: that is told as what it is', async () => {
    const state = await begun()
    const store = openIn(state)
    await store.confirm(1)
    rmSync(journalOf(state))
    await expect(store.confirm(1)).rejects.toMatchObject({
      code: 'wrong_state',
      message: expect.stringContaining('journal.json is missing; put it back'),
    })
  })
})
