import { isIP } from 'node:net'
import { CaError } from '../core/errors.ts'

export type Address = { readonly host: string; readonly port: number }

/** host:port, the host an IP address or a name, IPv6 in brackets; port 0 lets the system choose. @throws CaError `invalid_argument` */
export function parseAddress(text: string): Address {
  const found = /^(?:\[([0-9a-fA-F:.]+)\]|([^:[\]]*)):(\d{1,5})$/.exec(text)
  const port = Number(found?.[3])
  if (!found || port > 65535 || (found[1] !== undefined && isIP(found[1]) !== 6))
    throw new CaError(
      'invalid_argument',
      `not host:port: ${JSON.stringify(text.slice(0, 100))}; write for example 127.0.0.1:15012 or [::1]:15012`,
    )
  return { host: found[1] ?? (found[2] || '0.0.0.0'), port }
}
