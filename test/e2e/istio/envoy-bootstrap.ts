/** A call that the app beside this Envoy may make: by plain HTTP to `from`, and on by mutual TLS to `port`. */
export type Call = {
  readonly from: number
  readonly port: number
  /** SPIFFE ID that must answer there. */
  readonly expects: string
}

export type EnvoyOptions = {
  readonly node: { readonly id: string; readonly cluster: string }
  readonly adminPort: number
  /** Where others reach it by mutual TLS: only the SPIFFE ID that it admits, and what they are told. */
  readonly inbound: { readonly port: number; readonly admits: string; readonly says: string } | undefined
  readonly calls: readonly Call[]
}

/** A static configuration of Envoy. Certificates come by SDS from the agent beside it; nothing comes from a control plane. */
export function envoyBootstrap({ node, adminPort, inbound, calls }: EnvoyOptions): object {
  const listeners = calls.map(({ from }) => listener(`from-${from}`, from, forward(`to-${from}`)))
  if (inbound) listeners.push(listener('inbound', inbound.port, answer(inbound.says), downstreamTls(inbound.admits)))
  return {
    node,
    admin: { address: loopback(adminPort) },
    static_resources: {
      listeners,
      clusters: [agentSocket, ...calls.map(({ from, port, expects }) => peer(`to-${from}`, port, expects))],
    },
  }
}

const EXTENSIONS = 'type.googleapis.com/envoy.extensions'
const loopback = (port: number) => ({ socket_address: { address: '127.0.0.1', port_value: port } })

/** As in istio's own bootstrap; relative to the agent's folder. */
const agentSocket = {
  name: 'sds-grpc',
  connect_timeout: '1s',
  typed_extension_protocol_options: {
    'envoy.extensions.upstreams.http.v3.HttpProtocolOptions': {
      '@type': `${EXTENSIONS}.upstreams.http.v3.HttpProtocolOptions`,
      explicit_http_config: { http2_protocol_options: {} },
    },
  },
  load_assignment: endpoint('sds-grpc', { pipe: { path: './var/run/secrets/workload-spiffe-uds/socket' } }),
}

const sds = (name: string) => ({
  name,
  sds_config: {
    resource_api_version: 'V3',
    api_config_source: {
      api_type: 'GRPC',
      transport_api_version: 'V3',
      grpc_services: [{ envoy_grpc: { cluster_name: 'sds-grpc' } }],
    },
  },
})

/** Its own certificate, and of the other side one that leads to a root of the mesh and is for this SPIFFE ID. */
const commonTls = (spiffeId: string) => ({
  tls_certificate_sds_secret_configs: [sds('default')],
  combined_validation_context: {
    default_validation_context: {
      match_typed_subject_alt_names: [{ san_type: 'URI', matcher: { exact: spiffeId } }],
    },
    validation_context_sds_secret_config: sds('ROOTCA'),
  },
})

const downstreamTls = (admits: string) => ({
  name: 'envoy.transport_sockets.tls',
  typed_config: {
    '@type': `${EXTENSIONS}.transport_sockets.tls.v3.DownstreamTlsContext`,
    require_client_certificate: true,
    // Every connection is verified anew.
    disable_stateless_session_resumption: true,
    disable_stateful_session_resumption: true,
    common_tls_context: commonTls(admits),
  },
})

const upstreamTls = (expects: string) => ({
  name: 'envoy.transport_sockets.tls',
  typed_config: {
    '@type': `${EXTENSIONS}.transport_sockets.tls.v3.UpstreamTlsContext`,
    max_session_keys: 0,
    common_tls_context: commonTls(expects),
  },
})

function endpoint(name: string, address: object) {
  return { cluster_name: name, endpoints: [{ lb_endpoints: [{ endpoint: { address } }] }] }
}

const peer = (name: string, port: number, expects: string) => ({
  name,
  connect_timeout: '5s',
  // One request a connection: each call is a handshake of its own.
  typed_extension_protocol_options: {
    'envoy.extensions.upstreams.http.v3.HttpProtocolOptions': {
      '@type': `${EXTENSIONS}.upstreams.http.v3.HttpProtocolOptions`,
      common_http_protocol_options: { max_requests_per_connection: 1 },
      explicit_http_config: { http_protocol_options: {} },
    },
  },
  load_assignment: endpoint(name, loopback(port)),
  transport_socket: upstreamTls(expects),
})

/** The server says whose certificate it saw. */
const answer = (says: string) => ({
  match: { prefix: '/' },
  direct_response: { status: 200, body: { inline_string: says } },
  response_headers_to_add: [{ header: { key: 'x-peer', value: '%DOWNSTREAM_PEER_URI_SAN%' } }],
})

const forward = (cluster: string) => ({ match: { prefix: '/' }, route: { cluster } })

const listener = (name: string, port: number, route: object, transportSocket?: object) => ({
  name,
  address: loopback(port),
  filter_chains: [
    {
      ...(transportSocket && { transport_socket: transportSocket }),
      filters: [
        {
          name: 'envoy.filters.network.http_connection_manager',
          typed_config: {
            '@type': `${EXTENSIONS}.filters.network.http_connection_manager.v3.HttpConnectionManager`,
            stat_prefix: name,
            route_config: { virtual_hosts: [{ name, domains: ['*'], routes: [route] }] },
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
