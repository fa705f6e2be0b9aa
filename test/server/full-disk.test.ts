import { readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import type { LedgerRecord } from '../../src/ledger/ledger.ts'
import { AlcazarProcess } from '../_support/a-process.ts'
import { TestCluster } from '../_support/a-server.ts'
import { alcazar } from '../_support/a-terminal.ts'
import { aCsr } from '../_support/csr.ts'
import { FULL_DISKS, type FullDisk } from '../_support/full-disk.ts'
import { httpCall } from '../_support/http-client.ts'
import { scratch } from '../_support/scratch.ts'
import { aWrappingKey, secretFile } from '../_support/secrets.ts'
import { until } from '../_support/until.ts'

const NO_ROOM = 'no room is left for it \\((ENOSPC|EFBIG)\\); make some and do it again'

/** A server process with a sealed root of its own, whose state is on that disk, and what is asked of it. */
async function onDisk(disk: FullDisk, cluster: TestCluster) {
  const secrets = scratch()
  const key = secretFile(join(secrets, 'key'), aWrappingKey('k'))
  const config = (wrappingKeyFile = key) => {
    const attestation = Object.entries(cluster.settings()).map(([name, value]) => [name.split('.')[1], value])
    const path = join(secrets, 'config.json')
    writeFileSync(
      path,
      JSON.stringify({
        stateDirectory: disk.inside,
        keys: { wrappingKeyFile },
        listen: '127.0.0.1:0',
        healthListen: '127.0.0.1:0',
        attestation: Object.fromEntries(attestation),
        log: { format: 'json' },
      }),
    )
    return path
  }
  const token = cluster.tokenOf(cluster.pod())
  const { pem: csr } = await aCsr()
  const flag = ['--state-directory', disk.path]
  return {
    key,
    start: (wrappingKeyFile?: string) => new AlcazarProcess(['serve', '--config', config(wrappingKeyFile)], disk.under),
    reseal: (to: string) =>
      new AlcazarProcess(
        ['keys', 'reseal', '--state-directory', disk.inside, '--wrapping-key-file', key, '--new-wrapping-key-file', to],
        disk.under,
      ),
    nextKey: secretFile(join(secrets, 'next'), aWrappingKey('n')),
    /** The serial number it was issued, or why not. */
    issue: async (server: AlcazarProcess) => {
      const answer = await httpCall(
        { ...(await server.serving()), tls: { rejectUnauthorized: false } },
        'POST',
        '/v1/certificates',
        {
          body: { csr },
          headers: { authorization: `Bearer ${token}` },
        },
      )
      const { serial, detail } = answer.json<{ serial?: string; detail?: string }>()
      return { serial, detail }
    },
    root: (...words: string[]) => alcazar(['root', ...words, ...flag]),
    authority: () =>
      Object.fromEntries(
        readdirSync(join(disk.path, 'authority')).map((name) => [
          name,
          readFileSync(join(disk.path, 'authority', name), 'latin1'),
        ]),
      ),
    issued: () =>
      readdirSync(join(disk.path, 'ledger'))
        .flatMap((name) => readFileSync(join(disk.path, 'ledger', name), 'utf8').split('\n'))
        .flatMap((line) => {
          try {
            return [JSON.parse(line) as LedgerRecord]
          } catch {
            return [] // torn when the room ended
          }
        })
        .flatMap((record) => (record.kind === 'issued' ? [record.serial] : [])),
  }
}

// Both take Linux and its util-linux.
test.skipIf(process.platform !== 'linux').each(FULL_DISKS)(
  '$what: everything that writes is refused and says why, nothing is lost or half done, and with room all goes on',
  { timeout: 60_000 },
  async ({ open }) => {
    await using disk = await open()
    await using cluster = await TestCluster.start()
    const at = await onDisk(disk, cluster)
    const serials: string[] = []
    const issues = async (server: AlcazarProcess) => {
      const { serial, detail } = await at.issue(server)
      if (serial !== undefined) serials.push(serial)
      return detail
    }
    await using first = at.start()
    expect(await issues(first)).toBeUndefined()
    const before = at.authority()

    // Issuance: the ledger's last page may take a few more lines, and half of one.
    disk.fill(first.child.pid)
    let refused = await issues(first)
    for (let more = 0; refused === undefined && more < 20; more++) refused = await issues(first)
    expect(refused).toBe('the ledger can’t be written, so nothing is issued; try again later')
    expect(await issues(first)).toBe(refused)
    const detail = new RegExp(`: the ledger in .*/state/ledger: ${NO_ROOM}`)
    await until('the log says why', () => first.log.some((line) => detail.test(String(line.detail))))
    expect(at.issued()).toEqual(serials)

    // A key, the journal, and a key that fits where the journal doesn't.
    expect(await at.root('prepare')).toMatchObject({
      exit: 7,
      err: expect.stringMatching(
        `/state/authority: the root’s key root-.*\\.key\\.sealed can’t be written: ${NO_ROOM}\n$`,
      ),
    })
    const journal = `the journal .*/authority/journal\\.json can’t be written, and nothing was changed: ${NO_ROOM}\n$`
    expect(await at.root('rotate', '--output', 'json')).toMatchObject({ exit: 7, err: expect.stringMatching(journal) })
    expect(at.authority()).toEqual(before)
    disk.makeRoom(first.child.pid)
    disk.fill(first.child.pid, 4096)
    expect(await at.root('prepare')).toMatchObject({ exit: 7, err: expect.stringMatching(journal) })
    expect(at.authority()).toMatchObject(before)

    // With room the same process goes on, also with the key that it made.
    disk.makeRoom(first.child.pid)
    expect(await issues(first)).toBeUndefined()
    expect(await at.root('prepare')).toMatchObject({ exit: 0 })
    const prepared = at.authority()
    expect(Object.keys(prepared)).toHaveLength(3)
    disk.fill(first.child.pid)
    first.child.kill('SIGTERM')
    expect(await first.ended).toBe(0)

    // A stopped server's keys, and a start.
    await using resealing = at.reseal(at.nextKey)
    expect([await resealing.ended, resealing.err]).toEqual([
      7,
      expect.stringMatching(`/state/authority: the root’s key root-.*\\.key\\.sealed can’t be written: ${NO_ROOM}\n$`),
    ])
    await using cramped = at.start()
    expect([await cramped.ended, cramped.err.split('\n')[0]]).toEqual([
      7,
      expect.stringMatching(`^alcazar: no issuing authority could be made: the journal .*: ${NO_ROOM}`),
    ])
    expect(at.authority()).toEqual(prepared)

    disk.makeRoom(undefined)
    await using resealed = at.reseal(at.nextKey)
    expect(await resealed.ended).toBe(0)
    await using second = at.start(at.nextKey)
    expect(await issues(second)).toBeUndefined()
    expect(at.issued()).toEqual(serials)
    // Torn lines were never answered: they hide nothing that could be alive.
    await until('it has read the ledger', () => second.err.includes('"inventory '))
    expect(second.log.map(({ message }) => message)).toContain('inventory of live SVIDs made from the ledger')
    expect((await at.root('status')).out).toContain('prepared')
  },
)
