import { Option } from 'commander'

/** `--output text|json`, the same everywhere. */
export function outputOption(): Option {
  return new Option('-o, --output <format>', 'text for people, json for programs')
    .choices(['text', 'json'])
    .default('text', 'text')
}
