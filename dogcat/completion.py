"""Prints a script with which a shell completes commands, flags and values at TAB.

For this session of the shell: source <(dogcat completion bash), or zsh in place of bash. For all of them: put this line
into ~/.bashrc or ~/.zshrc; or keep what is printed in a file, and print it again after an update.
"""

from __future__ import annotations

import dataclasses
import importlib
import shlex
import typing
from collections.abc import Iterator
from typing import Any

from dogcat import console
from dogcat.core import commands, flags
from dogcat.core.help_text import positional_field
from dogcat.core.options import Options, option

# How the table below says that a value is a file.
_FILES = "FILES"

# zsh calls functions of bash through a module of its own.
_FOR_ZSH = """autoload -U +X compinit && compinit
autoload -U +X bashcompinit && bashcompinit
"""

# Bash of macOS has neither mapfile nor compopt. The line is taken in place of COMP_WORDS, which are cut at `=`.
_SCRIPT = """\
_dogcat_flags() {
    case $1 in
%(flags)s
    esac
}

_dogcat_values() {
    case $1 in
%(values)s
    esac
}

_dogcat() {
    local line=${COMP_LINE:0:$COMP_POINT} IFS=$' \\t\\n' word before begun="" values
    word=${line##* }
    before=${line%%"$word"}
    before=${before%%"${before##*[! ]}"}
    before=${before##* }
    local command=${COMP_LINE#* }
    command=${command%%%% *}
    COMPREPLY=()
    if [[ $COMP_CWORD -eq 1 ]]; then
        COMPREPLY=($(compgen -W "%(commands)s" -- "$word"))
        return
    fi
    case $word in
        --*=*)
            values=$(_dogcat_values "$command ${word%%%%=*}")
            begun=${word%%%%=*}=
            word=${word#*=}
            # Bash replaces what stands behind `=` alone.
            [[ ${COMP_WORDBREAKS-} == *=* ]] && begun=""
            ;;
        -*)
            COMPREPLY=($(compgen -W "$(_dogcat_flags "$command")" -- "$word"))
            [[ ${COMPREPLY[*]-} == *= ]] && compopt -o nospace 2>/dev/null
            return
            ;;
        *)
            [[ $before == --*=* ]] && before=""
            values=$(_dogcat_values "$command $before")
            [[ -n $values ]] || values=$(_dogcat_values "$command")
            ;;
    esac
    if [[ $values == %(files)s ]]; then
        compopt -o filenames 2>/dev/null
        IFS=$'\\n'
        COMPREPLY=($(compgen -P "$begun" -f -- "$word"))
    else
        COMPREPLY=($(compgen -P "$begun" -W "$values" -- "$word"))
    fi
}
complete -F _dogcat dogcat"""


@dataclasses.dataclass(frozen=True)
class CompletionOptions(Options):
    """Options of `dogcat.completion`."""

    shell: str = option("bash", "The shell.", choices=("bash", "zsh"), positional=True)


def script(shell: str) -> str:
    """The text that a shell sources."""
    of_flags, of_values = [], []
    for command in commands.COMMANDS:
        options_class = _options_class(command)
        of_flags.append(_case(command, " ".join(_flags(options_class))))
        positional = positional_field(options_class)
        for field in dataclasses.fields(options_class):  # type: ignore[arg-type]
            if values := _values(field):
                names = [f"{command} --{field.name}", *([command] if field is positional else [])]
                of_values += [_case(name, values) for name in names]
    filled = _SCRIPT % {
        "flags": "\n".join(of_flags),
        "values": "\n".join(of_values),
        "commands": " ".join(commands.COMMANDS),
        "files": _FILES,
    }
    return (_FOR_ZSH if shell == "zsh" else "") + filled


def _options_class(command: str) -> type[Options]:
    """The type of what a command's `main` takes."""
    hints = typing.get_type_hints(importlib.import_module(console.module_of(command)).main)
    [options_class] = (hint for name, hint in hints.items() if name != "return")
    return options_class


def _flags(options_class: type[Options]) -> Iterator[str]:
    """The flags, those that need a value with `=`."""
    for field in dataclasses.fields(options_class):  # type: ignore[arg-type]
        yield from [f"--{field.name}", f"--no{field.name}"] if isinstance(field.default, bool) else [f"--{field.name}="]
    yield from ("--help", "--helpfull")


def _values(field: dataclasses.Field[Any]) -> str:
    """The words that a flag's value may be, or that it is a file; empty: it is something else."""
    return _FILES if field.metadata["path"] else " ".join(field.metadata["choices"] or ())


def _case(pattern: str, said: str) -> str:
    return f"        {shlex.quote(pattern)}) echo {shlex.quote(said)} ;;"


def main(options: CompletionOptions) -> None:
    """Prints the script."""
    print(script(options.shell))


if __name__ == "__main__":
    flags.run(main, CompletionOptions, must_print=True)
