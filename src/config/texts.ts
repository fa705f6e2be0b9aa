import { isIP } from 'node:net'
import { CaError } from '../core/errors.ts'
import type { ServiceAccount } from '../spiffe/spiffe-id.ts'
import { checkServerName } from '../x509/profiles.ts'

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

/** Where to listen. @throws CaError `invalid_argument` */
export function parseListen(text: string): Address {
  const { host, port } = parseAddress(text)
  // Resolved as a name it is what the machine's hosts file says.
  return { host: host === 'localhost' ? '127.0.0.1' : host, port }
}

/** A name of our own certificate. @throws CaError `invalid_argument` */
export function parseServerName(text: string): string {
  checkServerName(text)
  return text
}

/** @throws CaError `invalid_argument` */
export function parseServiceAccount(text: string): ServiceAccount {
  const [namespace, name, ...more] = text.split('/')
  if (!namespace || !name || more.length > 0)
    throw new CaError(
      'invalid_argument',
      `not namespace/name: ${JSON.stringify(text.slice(0, 100))}; write for example istio-system/ztunnel`,
    )
  return { namespace, name }
}
