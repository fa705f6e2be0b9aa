/** The HTTPS API as OpenAPI 3.1. A test holds it against the routes. */
const problem = {
  description: 'What was wrong, and what would have been accepted',
  content: { 'application/problem+json': { schema: { $ref: '#/components/schemas/Problem' } } },
}
const answer = (description: string, content: object) => ({ description, content })

export const OPENAPI = {
  openapi: '3.1.0',
  info: {
    title: 'Alcazar',
    version: '1',
    description:
      'A certificate authority for Kubernetes workloads. The same port speaks gRPC (istio.v1.auth.IstioCertificateService) to clients that offer HTTP/2 alone.',
    license: { name: 'Apache-2.0', identifier: 'Apache-2.0' },
  },
  paths: {
    '/v1/certificates': {
      post: {
        operationId: 'issueCertificate',
        summary: 'Exchange a service-account token, or a client certificate issued here, and a CSR for an X.509-SVID',
        description: 'Of the CSR only the public key is used. Names and lifetime come from who asks.',
        security: [{ serviceAccountToken: [] }, { svid: [] }],
        requestBody: {
          required: true,
          content: {
            'application/json': {
              schema: {
                type: 'object',
                additionalProperties: false,
                required: ['csr'],
                properties: {
                  csr: { type: 'string', description: 'PEM, one CERTIFICATE REQUEST (PKCS#10)', maxLength: 65536 },
                  ttlSeconds: { type: 'integer', description: 'Asked lifetime; zero, less or nothing: the default' },
                },
              },
            },
          },
        },
        responses: {
          '200': answer('Issued', {
            'application/json': { schema: { $ref: '#/components/schemas/IssuedCertificate' } },
          }),
          '400': problem,
          '401': problem,
          '413': problem,
          '415': problem,
          '429': problem,
          '503': problem,
        },
      },
    },
    '/v1/renewal': {
      get: {
        operationId: 'getRenewal',
        summary: 'When to renew the client certificate that this is asked with: sooner while a root is replaced',
        description:
          'As ACME’s renewal information (RFC 9773 §4.2): ask again after Retry-After, and renew when renewAt is past, or at any time in the window.',
        security: [{ svid: [] }],
        responses: {
          '200': {
            ...answer('The time that is best for all', {
              'application/json': { schema: { $ref: '#/components/schemas/Renewal' } },
            }),
            headers: {
              'Retry-After': {
                description: 'Seconds after which to ask again',
                schema: { type: 'integer', minimum: 1 },
              },
            },
          },
          '400': problem,
          '401': problem,
          '404': problem,
          '429': problem,
          '503': problem,
        },
      },
    },
    '/v1/bundle': {
      get: {
        operationId: 'getBundle',
        summary: 'The trust bundle: as a SPIFFE bundle document, or as PEM',
        parameters: [
          {
            name: 'format',
            in: 'query',
            required: false,
            schema: { type: 'string', enum: ['json', 'pem'] },
            description: 'pem: as Accept: application/x-pem-file',
          },
        ],
        responses: {
          '200': answer('The roots to trust', {
            'application/json': { schema: { type: 'object' } },
            'application/x-pem-file': { schema: { type: 'string' } },
          }),
          '429': problem,
        },
      },
    },
    '/v1/status': {
      get: {
        operationId: 'getStatus',
        summary: 'Whether it can sign, and under which authorities',
        responses: {
          '200': answer('Now', { 'application/json': { schema: { $ref: '#/components/schemas/Status' } } }),
          '429': problem,
        },
      },
    },
    '/crl': {
      get: {
        operationId: 'getCrls',
        summary:
          'Every CRL there must be, or none (503): verifiers that check revocation want one for each link of a chain',
        responses: {
          '200': answer('PEM, one X509 CRL an authority', { 'application/x-pem-file': { schema: { type: 'string' } } }),
          '404': problem,
          '429': problem,
          '503': problem,
        },
      },
    },
    '/crl/{id}': {
      get: {
        operationId: 'getCrl',
        summary: 'The CRL of one authority',
        parameters: [
          {
            name: 'id',
            in: 'path',
            required: true,
            schema: { type: 'string', pattern: '^[0-9a-f]{40}$' },
            description: 'As /v1/status names it',
          },
          {
            name: 'format',
            in: 'query',
            required: false,
            schema: { type: 'string', enum: ['der', 'pem'] },
            description: 'pem: as Accept: application/x-pem-file',
          },
        ],
        responses: {
          '200': answer('DER (RFC 2585 §4.2) or PEM', {
            'application/pkix-crl': { schema: {} },
            'application/x-pem-file': { schema: { type: 'string' } },
          }),
          '404': problem,
          '429': problem,
        },
      },
    },
    '/v1/openapi.json': {
      get: {
        operationId: 'getOpenApi',
        summary: 'This document',
        responses: { '200': answer('OpenAPI 3.1', { 'application/json': { schema: { type: 'object' } } }) },
      },
    },
  },
  components: {
    securitySchemes: {
      serviceAccountToken: {
        type: 'http',
        scheme: 'bearer',
        description: 'A projected service-account token with an audience the server takes (default istio-ca)',
      },
      svid: { type: 'mutualTLS', description: 'A certificate issued here for a pod, within its lineage' },
    },
    schemas: {
      IssuedCertificate: {
        type: 'object',
        required: [
          'spiffeId',
          'serial',
          'notBefore',
          'notAfter',
          'certificateChain',
          'trustBundle',
          'bundleSequence',
          'renewAt',
        ],
        properties: {
          spiffeId: { type: 'string' },
          serial: { type: 'string', description: 'Lower-case hex' },
          notBefore: { type: 'string', format: 'date-time' },
          notAfter: { type: 'string', format: 'date-time' },
          certificateChain: { type: 'string', description: 'PEM, the leaf first, without the roots' },
          trustBundle: { type: 'string', description: 'PEM, every root' },
          bundleSequence: { type: 'integer' },
          renewAt: {
            type: 'string',
            format: 'date-time',
            description: 'When to ask for its successor, unless /v1/renewal says another time by then',
          },
        },
      },
      Renewal: {
        type: 'object',
        required: ['suggestedWindow', 'renewAt'],
        properties: {
          suggestedWindow: {
            type: 'object',
            required: ['start', 'end'],
            properties: {
              start: { type: 'string', format: 'date-time' },
              end: { type: 'string', format: 'date-time' },
            },
          },
          renewAt: { type: 'string', format: 'date-time', description: 'This certificate’s own moment in the window' },
        },
      },
      Status: {
        type: 'object',
        required: ['trustDomain', 'ready', 'bundleSequence', 'authorities'],
        properties: {
          trustDomain: { type: 'string' },
          ready: { type: 'boolean' },
          notReadyBecause: { type: 'string' },
          bundleSequence: { type: 'integer' },
          authorities: {
            type: 'array',
            items: {
              type: 'object',
              required: ['id', 'role', 'state', 'algorithm', 'key', 'notBefore', 'notAfter'],
              properties: {
                id: { type: 'string' },
                role: { enum: ['root', 'issuing'] },
                state: { enum: ['prepared', 'active', 'old', 'tainted', 'revoked'] },
                algorithm: { type: 'string' },
                key: { enum: ['memory', 'file', 'sealed', 'pkcs11', 'plugged-in', 'elsewhere', 'gone'] },
                notBefore: { type: 'string', format: 'date-time' },
                notAfter: { type: 'string', format: 'date-time' },
                renewalAt: { type: 'string', format: 'date-time' },
              },
            },
          },
        },
      },
      Problem: {
        type: 'object',
        required: ['type', 'title', 'status', 'detail', 'code', 'requestId'],
        properties: {
          type: { type: 'string' },
          title: { type: 'string' },
          status: { type: 'integer' },
          detail: { type: 'string' },
          code: { type: 'string' },
          requestId: { type: 'string' },
        },
      },
    },
  },
} as const
