import { CaError } from '../../core/errors.ts'
import type { FindRevocable } from '../../service/find-revocable.ts'
import type { Keeper } from '../../service/keeper.ts'
import type { RevocationsView } from '../../service/revocations.ts'
import { wishIn } from './authority-routes.ts'
import type { Route } from './http.ts'
import { fields, json } from './routes.ts'

/** What a revocation leads to, with the list after it. */
export type RevokedView = RevocationsView & { readonly revoked: RevocationsView['revocations'][number] }

/** The admin’s verbs for the deny list, on the unix socket alone. */
export function revocationRoutes(keeper: Pick<Keeper, 'revocations' | 'tick'>, find: FindRevocable): readonly Route[] {
  const { revocations } = keeper
  return [
    { method: 'GET', path: '/v1/revocations', handle: async () => json(revocations.view()) },
    {
      method: 'POST',
      path: '/v1/revocations',
      handle: async (call) => {
        const body = fields(call.body(), ['serial', 'because'])
        const wish = wishIn(body)
        const certificate = await find(serialIn(body.serial), call.signal)
        await revocations.revoke(certificate, wish)
        // Its issuing authority may have to go, too.
        await keeper.tick()
        const view = revocations.view()
        const revoked = view.revocations.find(({ serial }) => serial === certificate.serial)
        if (!revoked) throw new CaError('wrong_state', 'it ended a moment ago; there is nothing to revoke')
        return json({ ...view, revoked } satisfies RevokedView)
      },
    },
  ]
}

/** 20 bytes of hex, however they are set apart. */
const MAX_SERIAL = 80

/** As OpenSSL prints it, too: upper case, perhaps with colons. */
function serialIn(given: unknown): string {
  const serial = typeof given === 'string' && given.length <= MAX_SERIAL ? given.replaceAll(':', '').toLowerCase() : ''
  if (!/^(?:[0-9a-f]{2}){1,20}$/.test(serial))
    throw new CaError(
      'invalid_argument',
      'serial is a whole serial number, 1 to 20 bytes of hex, as alcazar ledger show (from its first digits) and openssl x509 -serial print it',
    )
  return serial
}
