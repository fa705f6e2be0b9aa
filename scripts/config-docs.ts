import { SETTINGS } from '../src/config/schema.ts'

/** docs/config.md, from the schema itself. */
export function configDocs(): string {
  const rows = SETTINGS.map((setting) => {
    const fallback =
      setting.otherwise ??
      (Array.isArray(setting.default) ? setting.default.join(', ') || '(none)' : String(setting.default))
    const values = setting.values ? ` One of ${setting.values.map((value) => `\`${value}\``).join(', ')}.` : ''
    return `| \`${setting.key}\` | ${setting.description}${values} | ${fallback} | \`${setting.flag}\` | \`${setting.variable}\` |`
  })
  return `# Settings

Made from \`src/config/schema.ts\` by \`npm run gen\`; a test holds the two together.

A setting comes from, the later winning: its default; a YAML file (\`--config FILE\` or \`ALCAZAR_CONFIG\`), nested at the dots; an environment variable; a flag of
\`alcazar serve\`. An unknown key or variable is an error. Durations are whole numbers with \`ms\`, \`s\`, \`m\`, \`h\`, \`d\` or \`y\` (365 days), and may be joined: \`1h30m\`. Lists are written with
commas in variables and flags. \`alcazar config print\` shows every value and where it came from; \`alcazar config check\` lists every fault at once.

| setting | meaning | default | flag | variable |
| --- | --- | --- | --- | --- |
${rows.join('\n')}

\`\`\`yaml
# An example: a server in a cluster, with a CA plugged in and a node proxy.
trustDomain: prod.example.com
pluggedCa: /etc/cacerts
serverNames: [alcazar.alcazar-system.svc, istiod.istio-system.svc]
svid:
  defaultTtl: 12h
  maxTtl: 7d
attestation:
  trustedNodeAccounts: [istio-system/ztunnel]
\`\`\`
`
}
