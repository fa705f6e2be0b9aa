import { join } from 'node:path'

/** Which side of the connection judges the chain of the other. */
export const JUDGES = ['client', 'server'] as const
type Judge = (typeof JUDGES)[number]

type Pair = { readonly chain: string; readonly bundle: string }

export type VerifyingEnvoy = {
  /** As test/_support/crossed-chains.ts writes it. */
  readonly folder: string
  readonly front: number
  readonly admin: number
  readonly chains: readonly string[]
  readonly bundles: readonly string[]
  readonly pairs: readonly Pair[]
}

const EXTENSIONS = 'type.googleapis.com/envoy.extensions'
const HTTP = `${EXTENSIONS}.upstreams.http.v3.HttpProtocolOptions`

/**
 * An Envoy that talks to itself: GET /<judge>/<chain>/<bundle>/ at `front` makes a TLS connection on which that judge, who trusts that
 * bundle, is shown that chain.
 */
export function envoyThatVerifies({ folder, front, admin, chains, bundles, pairs }: VerifyingEnvoy): object {
  const shown = (chain: string) => ({
    tls_certificates: [
      {
        certificate_chain: { filename: join(folder, 'chains', `${chain}.pem`) },
        private_key: { filename: join(folder, 'keys', `${chain}.pem`) },
      },
    ],
  })
  const trusted = (bundle: string) => ({
    validation_context: { trusted_ca: { filename: join(folder, 'bundles', `${bundle}.pem`) } },
  })
  const somebody = shown(chains[0] as string)
  const socket = (name: string) => ({ pipe: { path: join(folder, `${name}.sock`) } })
  const serves = (name: string, tls: object) =>
    listener(name, socket(name), [{ match: { prefix: '/' }, direct_response: { status: 200 } }], {
      name: 'envoy.transport_sockets.tls',
      typed_config: { '@type': `${EXTENSIONS}.transport_sockets.tls.v3.DownstreamTlsContext`, ...tls },
    })
  const asks = ({ chain, bundle }: Pair, judge: Judge) =>
    judge === 'client'
      ? cluster(judge, { chain, bundle }, socket(`shows-${chain}`), trusted(bundle))
      : cluster(judge, { chain, bundle }, socket(`trusts-${bundle}`), shown(chain))
  return {
    node: { id: 'verifier', cluster: 'verifier' },
    admin: { address: loopback(admin) },
    static_resources: {
      listeners: [
        listener(
          'front',
          loopback(front),
          pairs.flatMap((pair) =>
            JUDGES.map((judge) => ({
              match: { prefix: `/${judge}/${pair.chain}/${pair.bundle}/` },
              route: { cluster: nameOf(judge, pair) },
            })),
          ),
        ),
        ...chains.map((chain) => serves(`shows-${chain}`, { common_tls_context: shown(chain) })),
        ...bundles.map((bundle) =>
          serves(`trusts-${bundle}`, {
            require_client_certificate: true,
            common_tls_context: { ...somebody, ...trusted(bundle) },
          }),
        ),
      ],
      clusters: pairs.flatMap((pair) => JUDGES.map((judge) => asks(pair, judge))),
    },
  }
}

const loopback = (port: number) => ({ socket_address: { address: '127.0.0.1', port_value: port } })
const nameOf = (judge: Judge, { chain, bundle }: Pair) => `${judge}-${chain}-${bundle}`

function cluster(judge: Judge, pair: Pair, address: object, tls: object) {
  const name = nameOf(judge, pair)
  return {
    name,
    connect_timeout: '5s',
    typed_extension_protocol_options: {
      [HTTP.replace('type.googleapis.com/', '')]: {
        '@type': HTTP,
        explicit_http_config: { http_protocol_options: {} },
      },
    },
    load_assignment: { cluster_name: name, endpoints: [{ lb_endpoints: [{ endpoint: { address } }] }] },
    transport_socket: {
      name: 'envoy.transport_sockets.tls',
      typed_config: {
        '@type': `${EXTENSIONS}.transport_sockets.tls.v3.UpstreamTlsContext`,
        common_tls_context: tls,
      },
    },
  }
}

const listener = (name: string, address: object, routes: readonly object[], transportSocket?: object) => ({
  name,
  address,
  filter_chains: [
    {
      ...(transportSocket && { transport_socket: transportSocket }),
      filters: [
        {
          name: 'envoy.filters.network.http_connection_manager',
          typed_config: {
            '@type': `${EXTENSIONS}.filters.network.http_connection_manager.v3.HttpConnectionManager`,
            stat_prefix: name,
            route_config: { virtual_hosts: [{ name, domains: ['*'], routes }] },
            // What a failed handshake said.
            local_reply_config: {
              body_format: { text_format_source: { inline_string: '%UPSTREAM_TRANSPORT_FAILURE_REASON%' } },
            },
            http_filters: [
              {
                name: 'envoy.filters.http.router',
                typed_config: { '@type': `${EXTENSIONS}.filters.http.router.v3.Router` },
              },
            ],
          },
        },
      ],
    },
  ],
})
