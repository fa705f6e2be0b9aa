import { readFileSync } from 'node:fs'
import { resolve } from 'node:path'
import { expect, test } from 'vitest'
import { verbs } from '../../src/cli/verbs.ts'
import { aDevServer, type TestServer } from '../_support/a-server.ts'
import { alcazar, type Ran } from '../_support/a-terminal.ts'
import { obtain } from '../_support/identity.ts'

const RUNBOOK = readFileSync(resolve(import.meta.dirname, '../../docs/rotation.md'), 'utf8')

/** Its blocks of commands, in order. */
const BLOCKS = [...RUNBOOK.matchAll(/^```sh\n([\s\S]*?)^```/gm)].map(([, text = '']) => text.trim().split('\n'))

type Root = { readonly id: string; readonly role: string; readonly state: string }

const roots = async (server: TestServer, state: string): Promise<Root[]> =>
  (await server.admin('GET', '/v1/authorities'))
    .json<{ authorities: Root[] }>()
    .authorities.filter((one) => one.role === 'root' && one.state === state)

/** A line as a shell takes it apart, with the id of the root that signs in the place of the page’s. */
async function run(server: TestServer, line: string): Promise<Ran> {
  const [active] = await roots(server, 'active')
  const [program, ...words] = [...line.matchAll(/"([^"]*)"|(\S+)/g)].map(([, quoted, plain]) => quoted ?? plain ?? '')
  expect(program).toBe('alcazar')
  return alcazar(
    words.map((word) => (word === '3f9a' ? (active?.id.slice(0, 8) ?? '') : word)),
    {
      environment: { ALCAZAR_STATE_DIRECTORY: server.state, USER: 'ada' },
      untilAskedToEnd: () => new Promise(() => undefined),
    },
  )
}

test('the runbook’s commands do what it says, in its order', async () => {
  await using server = await aDevServer()
  const [rotate, inTheWay, leaked, ...more] = BLOCKS
  expect(more).toEqual([])
  const [first] = await roots(server, 'active')

  for (const line of rotate ?? []) expect(await run(server, line), line).toMatchObject({ exit: 0, err: '' })
  const [second] = await roots(server, 'active')
  expect(second?.id).not.toBe(first?.id)
  expect(await roots(server, 'revoked')).toMatchObject([{ id: first?.id }])

  // Somebody who does not ask again.
  await obtain(
    server.grpc({ ca: (await server.admin('GET', '/v1/server')).json<{ trustBundle: string }>().trustBundle }),
    await server.devToken(),
  )
  expect(await run(server, 'alcazar root prepare')).toMatchObject({ exit: 0 })
  expect(inTheWay).toHaveLength(3)
  let name = ''
  for (const line of inTheWay ?? []) {
    const { exit, out } = await run(server, line)
    expect({ line, exit }).toEqual({ line, exit: 0 })
    name = /^ *(shop\/cart\S*)/m.exec(out)?.[1] ?? ''
    expect(name, line).not.toBe('')
  }
  const refused = await run(server, 'alcazar root activate')
  expect(refused.exit).toBe(6)
  expect(refused.err).toContain(name)
  const [, forget] = /`(alcazar workloads forget) NAMESPACE\/NAME`/.exec(RUNBOOK) ?? []
  expect(await run(server, `${forget} ${name}`)).toMatchObject({ exit: 0, err: '' })

  for (const line of leaked ?? []) {
    const { exit, out, err } = await run(server, line)
    expect({ exit, err }).toEqual({ exit: 0, err: '' })
    expect(out).toContain('compromised: laptop stolen')
    expect(out).toContain('cut off        nobody')
  }
  expect((await roots(server, 'revoked')).map(({ id }) => id)).toEqual([first?.id, second?.id])
})

test('every command that the runbook names is one of the program’s, with flags that it takes', async () => {
  const named = [...RUNBOOK.replaceAll(/^```[\s\S]*?^```/gm, '').matchAll(/`alcazar ([^`]+)`/g)].map(
    ([, text = '']) => text,
  )
  expect(named.length).toBeGreaterThan(3)
  for (const text of named) {
    const verb = (await verbs()).filter(({ name }) => `${text} `.startsWith(`${name} `)).at(-1)
    expect(verb, text).toBeDefined()
    const { out } = await alcazar([...(verb?.name.split(' ') ?? []), '--help'])
    for (const flag of text.match(/--[a-z-]+/g) ?? []) expect(out, text).toContain(flag)
  }
})
