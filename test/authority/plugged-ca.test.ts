import { beforeAll, describe, expect, test } from 'vitest'
import { leadsTo } from '../../src/authority/path.ts'
import { type PluggedCa, type PluggedCaFiles, pluggedCa } from '../../src/authority/plugged-ca.ts'
import { plus } from '../../src/core/clock.ts'
import { DAY } from '../../src/core/duration.ts'
import { CaError } from '../../src/core/errors.ts'
import { KEY_USAGE } from '../../src/x509/oids.ts'
import { NOW } from '../_support/authority-sets.ts'
import { nameConstraints, odd } from '../_support/odd-certificates.ts'
import type { TestCa } from '../_support/plugged-ca.ts'

let root: TestCa
let other: TestCa
let between: TestCa
let ca: TestCa

beforeAll(async () => {
  root = await odd('root', 'itself')
  other = await odd('other root', 'itself')
  between = await odd('between', root)
  ca = await odd('ca', between, { pathLength: 0 })
})

type Files = { ca?: readonly TestCa[]; key?: TestCa; chain?: readonly TestCa[]; roots?: readonly TestCa[] }

function files(change: Files = {}): PluggedCaFiles {
  const all = { ca: [ca], key: ca, chain: [ca, between], roots: [root], ...change }
  const certificates = (of: readonly TestCa[]) => of.map(({ certificate }) => certificate)
  return {
    'ca-cert.pem': certificates(all.ca),
    'ca-key.pem': all.key.key,
    'cert-chain.pem': certificates(all.chain),
    'root-cert.pem': certificates(all.roots),
  }
}

const plug = (change: Files = {}, now = NOW): PluggedCa => pluggedCa(files(change), now)

function fault(change: Files, now = NOW): string {
  try {
    plug(change, now)
  } catch (error) {
    if (error instanceof CaError && error.code === 'invalid_argument') return error.message
    throw error
  }
  expect.fail('the set was taken')
}

describe('a whole set', () => {
  test('is the CA, its key, what stands between it and the root, and the bundle', () => {
    const plugged = plug({ roots: [other, root] })
    expect(plugged.certificate).toBe(ca.certificate)
    expect(plugged.signer).toBe(ca.key)
    expect(plugged.intermediates).toEqual([between.certificate])
    expect(plugged.roots).toEqual([other.certificate, root.certificate])
    expect(plugged.root).toBe(root.certificate)
  })

  test.each([
    ['the CA itself and the root in the chain', () => [ca, between, root]],
    ['the CA not in the chain', () => [between]],
  ])('may have %s, as istio’s own files vary', (_what, chain) => {
    expect(plug({ chain: chain() }).intermediates).toEqual([between.certificate])
  })

  test('may be a root alone, without a chain', () => {
    const plugged = plug({ ca: [root], key: root, chain: [] })
    expect([plugged.intermediates, plugged.root]).toEqual([[], root.certificate])
  })

  test('may bring roots that have ended or not begun, as long as its own is valid', async () => {
    const past = await odd('past', 'itself', { notAfter: plus(NOW, -DAY) })
    expect(plug({ roots: [past, root] }).root).toBe(root.certificate)
  })
})

describe('names the file at fault', () => {
  test('ca-cert.pem without a certificate', () => {
    expect(fault({ ca: [] })).toBe('ca-cert.pem holds 0 certificates; it should hold the CA’s one')
  })

  test('ca-cert.pem with the whole chain', () => {
    expect(fault({ ca: [ca, between] })).toBe('ca-cert.pem holds 2 certificates; it should hold the CA’s one')
  })

  test('ca-cert.pem with a leaf', async () => {
    const leaf = await odd('leaf', between, { ca: false })
    expect(fault({ ca: [leaf], key: leaf, chain: [between] })).toBe('ca-cert.pem holds a certificate that is not a CA')
  })

  test('ca-cert.pem with a CA that may not sign certificates', async () => {
    const mute = await odd('mute', between, { keyUsage: [KEY_USAGE.digitalSignature, KEY_USAGE.cRLSign] })
    expect(fault({ ca: [mute], key: mute, chain: [mute, between] })).toMatch(/^ca-cert\.pem .*keyCertSign/)
  })

  test('ca-cert.pem with limits that we do not check', async () => {
    const limited = await odd('limited', between, { extensions: [nameConstraints] })
    expect(fault({ ca: [limited], key: limited, chain: [limited, between] })).toMatch(/^ca-cert\.pem .*2\.5\.29\.30/)
  })

  test('ca-cert.pem with a root that root-cert.pem does not have', () => {
    expect(fault({ ca: [other], key: other, chain: [] })).toMatch(
      /^ca-cert\.pem does not lead to a root in root-cert\.pem/,
    )
  })

  test('ca-key.pem with another key', () => {
    expect(fault({ key: between })).toBe('ca-key.pem is not the key of the certificate in ca-cert.pem')
  })

  test('root-cert.pem without a certificate', () => {
    expect(fault({ roots: [] })).toBe('root-cert.pem holds no certificate')
  })

  test('root-cert.pem with a certificate twice', () => {
    expect(fault({ roots: [root, other, root] })).toBe('root-cert.pem holds a certificate twice')
  })

  test('root-cert.pem with a leaf', async () => {
    const leaf = await odd('leaf', root, { ca: false })
    expect(fault({ roots: [root, leaf] })).toBe('root-cert.pem holds a certificate that is not a CA (its number 2)')
  })

  test('root-cert.pem with a root whose key is not taken', async () => {
    const { certificate } = await odd('x25519', 'itself')
    const publicKey = Buffer.from(`302a300506032b656e032100${'09'.padEnd(64, '0')}`, 'hex')
    const strange = { ...certificate, tbs: { ...certificate.tbs, publicKey } }
    const set = { ...files(), 'root-cert.pem': [root.certificate, strange] }
    expect(() => pluggedCa(set, NOW)).toThrow(
      expect.objectContaining({ code: 'invalid_argument', message: expect.stringMatching(/^root-cert\.pem/) }),
    )
  })

  test('root-cert.pem of somebody else', () => {
    expect(fault({ roots: [other] })).toMatch(
      /^cert-chain\.pem does not lead to a root in root-cert\.pem: the chain leads to none of the 1 roots/,
    )
  })

  test('cert-chain.pem that is missing', () => {
    expect(fault({ chain: [] })).toBe(
      'cert-chain.pem is missing or empty; it should hold the certificates from ca-cert.pem up to the root',
    )
  })

  test('cert-chain.pem with a gap', async () => {
    const deep = await odd('deep', ca)
    expect(fault({ ca: [deep], key: deep, chain: [deep, between] })).toMatch(/^cert-chain\.pem does not lead to a root/)
  })

  test('cert-chain.pem in the wrong order', async () => {
    const wide = await odd('wide', between)
    const deep = await odd('deep', wide)
    expect(fault({ ca: [deep], key: deep, chain: [deep, between, wide] })).toMatch(/^cert-chain\.pem does not lead/)
    expect(plug({ ca: [deep], key: deep, chain: [deep, wide, between] }).root).toBe(root.certificate)
  })

  test('a chain of which something has ended', () => {
    expect(fault({}, plus(ca.certificate.tbs.notAfter, DAY))).toMatch(/^cert-chain\.pem .* ended at 2030-12-31/)
  })

  test('a chain of which something is not valid yet', () => {
    expect(fault({}, plus(ca.certificate.tbs.notBefore, -DAY))).toMatch(/^cert-chain\.pem .* is not valid before/)
  })

  test('a root that signs itself and has ended', () => {
    expect(fault({ ca: [root], key: root, chain: [] }, plus(root.certificate.tbs.notAfter, DAY))).toMatch(
      /^ca-cert\.pem .* ended at/,
    )
  })
})

describe('may an issuing authority stand under it', () => {
  type PathLengths = { root?: number; between?: number; ca?: number }
  const under = async (lengths: PathLengths, through: 'an intermediate' | 'the root') => {
    const limit = (pathLength: number | undefined) => (pathLength === undefined ? {} : { pathLength })
    const top = await odd('top', 'itself', limit(lengths.root))
    const middle = await odd('middle', top, limit(lengths.between))
    const low = await odd('low', through === 'the root' ? top : middle, limit(lengths.ca))
    const chain = through === 'the root' ? [low] : [low, middle]
    const { maySignCas } = plug({ ca: [low], key: low, chain, roots: [top] })
    const issuing = await odd('issuing', low, { pathLength: 0 })
    const leaf = await odd('leaf', issuing, { ca: false })
    const path = [leaf, issuing, ...chain].map(({ certificate }) => certificate)
    return { maySignCas, verifies: leadsTo(path, [top.certificate], NOW) }
  }

  test.each<[PathLengths, boolean]>([
    [{}, true],
    [{ ca: 1 }, true],
    [{ ca: 0 }, false],
    [{ root: 2 }, true],
    [{ root: 1 }, false],
    [{ root: 2, ca: 0 }, false],
  ])('a CA right under the root, pathLen %j: %s', async (lengths, may) => {
    expect(await under(lengths, 'the root')).toEqual({ maySignCas: may, verifies: may })
  })

  test.each<[PathLengths, boolean]>([
    [{}, true],
    [{ ca: 0 }, false],
    [{ ca: 1, between: 2, root: 3 }, true],
    [{ between: 1 }, false],
    [{ between: 2 }, true],
    [{ root: 2 }, false],
    [{ root: 3 }, true],
    [{ ca: 5, between: 5, root: 2 }, false],
  ])('a CA under an intermediate, pathLen %j: %s', async (lengths, may) => {
    expect(await under(lengths, 'an intermediate')).toEqual({ maySignCas: may, verifies: may })
  })

  test.each([
    [undefined, true],
    [0, false],
    [1, true],
  ])('a self-signed root, pathLen %s: %s', async (pathLength, may) => {
    const top = await odd('top', 'itself', pathLength === undefined ? {} : { pathLength })
    expect(plug({ ca: [top], key: top, chain: [], roots: [top] }).maySignCas).toBe(may)
  })

  test('a self-issued CA between does not count', async () => {
    const top = await odd('top', 'itself', { pathLength: 2 })
    const rolled = await odd('top', top)
    const low = await odd('low', rolled)
    expect(plug({ ca: [low], key: low, chain: [low, rolled], roots: [top] }).maySignCas).toBe(true)
  })
})
