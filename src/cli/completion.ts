import type { Argv, CommandModule } from 'yargs';
import type { Exit } from './main.ts';

export const SHELLS = ['bash', 'zsh', 'fish'] as const;
export type Shell = (typeof SHELLS)[number];

// Each asks the program itself, which asks yargs: the words cannot differ from what is parsed. Names of domains come from xl.
const SCRIPTS: Readonly<Record<Shell, string>> = {
  bash: `# bash completion of xthrottle
_xthrottle() {
  local IFS=$'\\n' cur=\${COMP_WORDS[COMP_CWORD]}
  if [[ $COMP_CWORD == 2 && \${COMP_WORDS[1]} == @(migrate|restore|probe) && $cur != -* ]]; then
    COMPREPLY=($(compgen -W "$(xl list 2>/dev/null | awk 'NR > 2 { print $1 }')" -- "$cur"))
  else
    COMPREPLY=($(compgen -W "$(SHELL=bash xthrottle --get-yargs-completions "\${COMP_WORDS[@]:0:COMP_CWORD+1}" 2>/dev/null)" -- "$cur"))
  fi
}
complete -o default -F _xthrottle xthrottle
`,
  zsh: `#compdef xthrottle
# zsh completion of xthrottle
local -a found
if [[ $CURRENT == 3 && $words[2] == (migrate|restore|probe) && $words[3] != -* ]]; then
  found=(\${(f)"$(xl list 2>/dev/null | awk 'NR > 2 { print $1 }')"})
else
  found=(\${(f)"$(SHELL=zsh xthrottle --get-yargs-completions "\${(@)words[1,CURRENT]}" 2>/dev/null)"})
fi
if (( $#found )); then _describe xthrottle found; else _files; fi
`,
  fish: `# fish completion of xthrottle
function __xthrottle_words
  set -l words (commandline -opc)
  if test (count $words) = 2; and contains -- $words[2] migrate restore probe
    xl list 2>/dev/null | awk 'NR > 2 { print $1 }'
  end
  env SHELL=bash xthrottle --get-yargs-completions $words (commandline -ct) 2>/dev/null
end
complete -c xthrottle -a '(__xthrottle_words)'
`,
};

export const completionScript = (shell: Shell): string => SCRIPTS[shell];

/** `xthrottle completion`: the package installs what it prints. */
export const completionCommand = (_exit: Exit): CommandModule<object, { readonly shell: string }> => ({
  command: 'completion <shell>',
  describe: 'print the completion script of a shell',
  builder: ((args: Argv) =>
    args
      .positional('shell', { type: 'string', choices: SHELLS, demandOption: true, describe: 'bash, zsh or fish' })
      .example('$0 completion bash > /etc/bash_completion.d/xthrottle', '')) as unknown as (args: Argv) => Argv<{
    readonly shell: string;
  }>,
  handler: ({ shell }) => {
    process.stdout.write(completionScript(shell as Shell));
  },
});
