import { Argument, Command } from 'commander'
import type { Verb } from '../env.ts'

/** `completion bash|zsh|fish`: a script made from the verbs themselves, so it is never behind them. */
export function completionVerb(verbs: () => Promise<readonly Verb[]>): Verb {
  return {
    name: 'completion',
    summary: 'Print a completion script for your shell',
    define(command) {
      command
        .addArgument(new Argument('<shell>', 'the shell to complete in').choices(['bash', 'zsh', 'fish']))
        .addHelpText(
          'after',
          '\nExamples:\n  source <(alcazar completion bash)\n  alcazar completion fish > ~/.config/fish/completions/alcazar.fish',
        )
    },
    async run(env, [shell]) {
      const words = (await verbs()).map((verb) => ({
        path: verb.name.split(' '),
        flags: flagsOf(verb),
        summary: verb.summary,
      }))
      env.out.write(shell === 'fish' ? fish(words) : bash(words, shell === 'zsh'))
    },
  }
}

type Words = { readonly path: readonly string[]; readonly flags: readonly string[]; readonly summary: string }

function flagsOf(verb: Verb): string[] {
  const command = new Command()
  verb.define(command)
  return [...command.options.map((option) => option.long ?? option.short ?? ''), '--help']
}

function bash(words: readonly Words[], zsh: boolean): string {
  const first = [...new Set(words.map(({ path }) => path[0]))].join(' ')
  const groups = words.filter(({ path }) => path.length === 2)
  const second = [...new Set(groups.map(({ path }) => path[0]))].map(
    (group) =>
      `    ${group}) words="${groups
        .filter(({ path }) => path[0] === group)
        .map(({ path }) => path[1])
        // What has verbs of its own may be one itself.
        .concat(words.find(({ path }) => path.length === 1 && path[0] === group)?.flags ?? [])
        .join(' ')}" ;;`,
  )
  const cases = words.map(({ path, flags }) => `    "${path.join(' ')}") words="${flags.join(' ')}" ;;`)
  return `${zsh ? 'autoload -U +X bashcompinit && bashcompinit\n' : ''}_alcazar() {
  local current="\${COMP_WORDS[COMP_CWORD]}" words=""
  if [ "$COMP_CWORD" = 1 ]; then words="${first}"
  elif [ "$COMP_CWORD" = 2 ]; then case "\${COMP_WORDS[1]}" in
${second.join('\n')}
    esac
  fi
  if [ -z "$words" ]; then case "\${COMP_WORDS[1]} \${COMP_WORDS[2]}" in
${cases.filter((line) => line.includes(' ') && /"\S+ \S+"/.test(line.split(')')[0] ?? '')).join('\n')}
    *) case "\${COMP_WORDS[1]}" in
${cases.filter((line) => !/"\S+ \S+"\)/.test(line)).join('\n')}
    esac ;;
  esac; fi
  COMPREPLY=($(compgen -W "$words" -- "$current"))
  [ \${#COMPREPLY[@]} -gt 0 ] || COMPREPLY=($(compgen -f -- "$current"))
}
complete -F _alcazar alcazar
`
}

function fish(words: readonly Words[]): string {
  const lines = ['complete -c alcazar -f']
  for (const { path, flags, summary } of words) {
    const [first = '', second] = path
    const says = summary.replaceAll("'", '’')
    if (second === undefined) lines.push(`complete -c alcazar -n __fish_use_subcommand -a ${first} -d '${says}'`)
    else
      lines.push(
        `complete -c alcazar -n __fish_use_subcommand -a ${first}`,
        `complete -c alcazar -n '__fish_seen_subcommand_from ${first}' -a ${second} -d '${says}'`,
      )
    for (const flag of flags)
      lines.push(
        `complete -c alcazar -n '__fish_seen_subcommand_from ${second ?? first}' -l ${flag.replace(/^-+/, '')}`,
      )
  }
  return `${[...new Set(lines)].join('\n')}\n`
}
