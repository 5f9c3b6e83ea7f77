"""Prints a script with which a shell completes commands, flags and values at TAB.

For this session of the shell: source <(dogcat completion bash), or zsh in place of bash. For all of them keep what is
printed in a file, source that in ~/.bashrc or ~/.zshrc, which takes no time, and print it again after an update.
"""

from __future__ import annotations

import dataclasses
import importlib
import re
import shlex
import textwrap
import typing
from collections.abc import Iterator
from typing import Any

from dogcat import console
from dogcat.core import commands, flags
from dogcat.core.help_text import positional_field
from dogcat.core.options import Options, option

# In the table of values: any file.
_FILES = "FILES"

# Bash of macOS has neither mapfile nor compopt. The line is looked at, since COMP_WORDS are cut at `=`.
_BASH = """\
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
    local IFS=$' \\t\\n' line=${COMP_LINE:0:COMP_POINT} command=${COMP_WORDS[1]} begun='' values
    local word=${line##*[[:space:]]}
    local words=(${line%%"$word"})
    local before=${words[${#words[@]} - 1]}
    COMPREPLY=()
    if [[ $COMP_CWORD == 1 ]]; then
        COMPREPLY=($(compgen -W '%(commands)s' -- "$word"))
        return
    fi
    case $word in
        --*=*)
            begun=${word%%%%=*}=
            values=$(_dogcat_values "$command ${word%%%%=*}")
            word=${word#*=}
            # Then only what stands behind it is replaced.
            [[ $COMP_WORDBREAKS != *=* ]] || begun=''
            ;;
        -*)
            COMPREPLY=($(compgen -W "$(_dogcat_flags "$command")" -- "$word"))
            [[ ${COMPREPLY[0]} != *= ]] || compopt -o nospace 2>/dev/null
            return
            ;;
        *)
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

_ZSH = """\
_dogcat() {
    if (( CURRENT == 2 )); then
        local -a commands=(
%(commands)s
        )
        _describe command commands
        return
    fi
    shift words
    (( CURRENT-- ))
    case $words[1] in
%(arguments)s
    esac
}
(( $+functions[compdef] )) || { autoload -Uz compinit && compinit }
compdef _dogcat dogcat"""
_LONGEST_DESCRIPTION = 60


@dataclasses.dataclass(frozen=True)
class CompletionOptions(Options):
    """Options of `dogcat.completion`."""

    shell: str = option("bash", "The shell.", choices=("bash", "zsh"), positional=True)


def bash() -> str:
    """The script for bash."""
    of_flags, of_values = [], []
    for command, options_class in _commands():
        names: list[str] = []
        for field in dataclasses.fields(options_class):  # type: ignore[arg-type]
            names += [f"--{field.name}", f"--no{field.name}"] if _is_switch(field) else [f"--{field.name}="]
            if values := _values(field):
                of_values.append(_case(f"{command} --{field.name}", f"echo {shlex.quote(values)}"))
                if field is positional_field(options_class):
                    of_values.append(_case(command, f"echo {shlex.quote(values)}"))
        of_flags.append(_case(command, f"echo {shlex.quote(' '.join([*names, '--help', '--helpfull']))}"))
    return _BASH % {
        "flags": "\n".join(of_flags),
        "values": "\n".join(of_values),
        "commands": " ".join(commands.COMMANDS),
        "files": _FILES,
    }


def zsh() -> str:
    """The script for zsh, which shows what each flag is."""
    of_commands = [f"            {shlex.quote(f'{name}:{console.summary(name)}')}" for name in commands.COMMANDS]
    of_arguments = []
    for command, options_class in _commands():
        arguments = ["--help[the flags that most people need]", "--helpfull[all flags]"]
        for field in dataclasses.fields(options_class):  # type: ignore[arg-type]
            first = textwrap.shorten(
                field.metadata["help"].split(". ")[0].rstrip("."), _LONGEST_DESCRIPTION, placeholder=" ..."
            )
            described = "[" + re.sub(r"([\[\]:\\])", r"\\\1", first) + "]"
            values = _values(field)
            action = f": :{'_files' if values == _FILES else f'({values})'}"
            if _is_switch(field):
                arguments += [f"--{field.name}{described}", f"--no{field.name}[not that]"]
            else:
                arguments.append(f"--{field.name}={described}{action}")
            if field is positional_field(options_class):
                arguments.append(f"{'*' if field.metadata['several'] else '1'}{action}")
        of_arguments.append(_case(command, f"_arguments {shlex.join(arguments)}"))
    return _ZSH % {"commands": "\n".join(of_commands), "arguments": "\n".join(of_arguments)}


def _commands() -> Iterator[tuple[str, type[Options]]]:
    """The commands, and the options class that the `main` of each takes."""
    for command in commands.COMMANDS:
        hints = typing.get_type_hints(importlib.import_module(console.module_of(command)).main)
        [options_class] = (hint for name, hint in hints.items() if name != "return")
        yield command, options_class


def _is_switch(field: dataclasses.Field[Any]) -> bool:
    return isinstance(field.default, bool)


def _values(field: dataclasses.Field[Any]) -> str:
    """The words that a flag's value may be, or `_FILES`; empty: something else."""
    return _FILES if field.metadata["path"] else " ".join(field.metadata["choices"] or ())


def _case(pattern: str, command: str) -> str:
    return f"        {shlex.quote(pattern)}) {command} ;;"


def main(options: CompletionOptions) -> None:
    """Prints the script."""
    print({"bash": bash, "zsh": zsh}[options.shell]())


if __name__ == "__main__":
    flags.run(main, CompletionOptions, must_print=True)
