import { CaError } from '../core/errors.ts'

/** PEM as RFC 7468 writes it (strict form): read in linear time, sizes bounded before anything is decoded. */
export type PemBlock = { readonly label: string; readonly der: Uint8Array }

const MAX_BLOCKS = 100

/** Outside a block and no comment: taken for text, it would take a certificate out of a bundle without a word. */
const DAMAGED_BOUNDARY = /^[^#]*--(BEGIN|END) /

export function pem(label: string, der: Uint8Array): string {
  const base64 = Buffer.from(der.buffer, der.byteOffset, der.byteLength).toString('base64')
  let lines = ''
  for (let at = 0; at < base64.length; at += 64) lines += `${base64.slice(at, at + 64)}\n`
  return `-----BEGIN ${label}-----\n${lines}-----END ${label}-----\n`
}

export const certificatePem = (der: Uint8Array): string => pem('CERTIFICATE', der)

/** RFC 7468 §6. */
export const CRL_LABEL = 'X509 CRL'
export const crlPem = (der: Uint8Array): string => pem(CRL_LABEL, der)

/**
 * The one block of a text that holds nothing else but white space around it.
 * @throws CaError `invalid_argument`
 */
export function readOnePem(text: string, labels: readonly string[], maxBytes: number): Uint8Array {
  const blocks = readPem(text, maxBytes, 'nothing else')
  const [block] = blocks
  if (!block) throw refuse(`no PEM block; expected ${labels.map((label) => `“${label}”`).join(' or ')}`)
  if (blocks.length > 1) throw refuse(`${blocks.length} PEM blocks; expected one`)
  if (!labels.includes(block.label))
    throw refuse(`a PEM block “${block.label}”; expected ${labels.map((label) => `“${label}”`).join(' or ')}`)
  return block.der
}

/**
 * All blocks, in order. `around` says whether other text may stand between them, as people write it into bundles.
 * @throws CaError `invalid_argument`: too large (characters), more than 100 blocks, or malformed
 */
export function readPem(text: string, maxBytes: number, around: 'text' | 'nothing else'): PemBlock[] {
  if (text.length > maxBytes) throw refuse(`${text.length} bytes; at most ${maxBytes}`)
  const blocks: PemBlock[] = []
  let label: string | undefined
  let base64: string[] = []
  for (const raw of text.split('\n')) {
    const line = raw.endsWith('\r') ? raw.slice(0, -1).trimEnd() : raw.trimEnd()
    if (label === undefined) {
      if (line === '') continue
      label = /^-----BEGIN ([A-Z0-9 ]{1,40})-----$/.exec(line)?.[1]
      if (label === undefined && around === 'nothing else') throw refuse('text outside the PEM block')
      if (label === undefined && DAMAGED_BOUNDARY.test(line)) throw refuse('a damaged line that begins or ends a block')
      continue
    }
    if (line === `-----END ${label}-----`) {
      if (blocks.length === MAX_BLOCKS) throw refuse(`more than ${MAX_BLOCKS} PEM blocks`)
      blocks.push({ label, der: decode(base64.join('')) })
      label = undefined
      base64 = []
    } else if (line.startsWith('-----') || line.includes(':')) {
      throw refuse('a PEM block with a header or without its end')
    } else {
      base64.push(line)
    }
  }
  if (label !== undefined) throw refuse(`a PEM block “${label}” without its end`)
  return blocks
}

/** Base64 of RFC 4648 §4 in its one right form: what Node drops in silence is refused here. */
function decode(base64: string): Uint8Array {
  const bytes = Buffer.from(base64, 'base64')
  if (base64 === '' || bytes.toString('base64') !== base64) throw refuse('a PEM block that is not base64')
  return bytes
}

function refuse(why: string): CaError {
  return new CaError('invalid_argument', `not PEM as expected: ${why}`)
}
