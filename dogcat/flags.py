"""The one place that knows absl: options classes become flags, flags become options.

An entry point is `flags.run(main, SomeOptions)`: it parses the command line, hands `main` the options,
and turns what the user got wrong into one line and exit code 2.
"""

from __future__ import annotations

import dataclasses
import inspect
import os
import sys
import textwrap
import typing
from typing import Any, Callable

from absl import flags

from dogcat.config import AnyOptions, InputError, Options
from dogcat.interrupts import Terminated
from dogcat.printing import printable

EXIT_BAD_INPUT = 2
# That of sysexits.h for "try again later", so that a scheduler can tell a stopped run from a failed one.
EXIT_TERMINATED = 75
# What a shell gives for a program that SIGPIPE ended.
EXIT_NOT_READ = 141


def define_flags(options_class: type[Options], flag_values: flags.FlagValues) -> None:
    """Declares a flag for each field of `options_class`, with the field's default and help."""
    define_by_type: dict[type, Callable[..., Any]] = {
        bool: flags.DEFINE_boolean,
        int: flags.DEFINE_integer,
        float: flags.DEFINE_float,
        str: flags.DEFINE_string,
    }
    types = typing.get_type_hints(options_class)
    for field in dataclasses.fields(options_class):  # type: ignore[arg-type]
        define = flags.DEFINE_multi_string if field.metadata["several"] else define_by_type[types[field.name]]
        define(field.name, field.default, field.metadata["help"], flag_values=flag_values)


def parse(options_class: type[AnyOptions], arguments: list[str]) -> AnyOptions:
    """Reads the options from a command line.

    Args:
        options_class: The command's options class.
        arguments: The command line without the command's name.

    Raises:
        InputError: A flag is unknown, or its value is of the wrong type or out of range, or a word
            on the command line belongs to no flag and is not the one of the positional field.
    """
    flag_values = flags.FlagValues()
    # A word may stand before flags.
    flag_values.set_gnu_getopt()
    define_flags(options_class, flag_values)
    try:
        rest = flag_values(["command", *arguments])[1:]
    except flags.Error as error:
        raise InputError(" ".join(str(error).split())) from error
    given = {}
    for field in dataclasses.fields(options_class):  # type: ignore[arg-type]
        if flag_values[field.name].present:
            value = flag_values[field.name].value
            given[field.name] = ",".join(value) if field.metadata["several"] else value
    positional = _positional(options_class)
    if rest and positional:
        word = rest.pop(0)
        if positional.name in given:
            raise InputError(f"{word!r} and --{positional.name}={given[positional.name]}: give one of the two")
        given[positional.name] = word
        if positional.metadata["several"]:
            given[positional.name] = ",".join([word, *rest])
            rest = []
    if rest:
        raise InputError(f"{rest[0]!r} belongs to no flag; write --name=value (see --help)")
    return options_class.from_given(given)


def _positional(options_class: type[Options]) -> dataclasses.Field[Any] | None:
    """The field whose value may be a bare word, or several."""
    fields = dataclasses.fields(options_class)  # type: ignore[arg-type]
    return next((field for field in fields if field.metadata["positional"]), None)


def help_text(options_class: type[Options], command: str, about: str) -> str:
    """The text of --help: what the command does, then each flag with its default."""
    positional = _positional(options_class)
    more = " ..." if positional and positional.metadata["several"] else ""
    word = f"[{positional.name}{more}] " if positional else ""
    lines = [f"Usage: {command} {word}[--flag=value ...]", "", inspect.cleandoc(about), "", "Flags:"]
    for field in dataclasses.fields(options_class):  # type: ignore[arg-type]
        default = repr(field.default) if isinstance(field.default, str) else field.default
        choices = field.metadata["choices"]
        one_of = f" One of {', '.join(choices)}." if choices else ""
        text = f"{field.metadata['help']}{one_of} Default: {default}."
        lines.append(f"  --{field.name}")
        lines.extend(textwrap.wrap(text, 88, initial_indent="      ", subsequent_indent="      "))
    return "\n".join(lines)


def run(main: Callable[[AnyOptions], int | None], options_class: type[AnyOptions]) -> None:
    """Runs a command: `main` with the options of the command line; never returns.

    Exit codes: what `main` returns, 0 for None; 2 for input that cannot be used or a file that cannot be read or
    written (one line on standard error, no traceback), 75 for a run that SIGTERM stopped and --resume goes on with, 130
    where the user stopped it, 141 where nobody reads what it prints.
    """
    module = sys.modules[main.__module__]
    command = f"python -m {module.__spec__.name}" if module.__spec__ else "python"
    arguments = sys.argv[1:]
    wants_help = any(argument in ("--help", "-help", "-h", "--helpfull") for argument in arguments)
    # In a pipe or a log file lines come as they are printed, in order with those on standard error.
    # Whatever is printed without a thought to it prints.
    sys.stdout.reconfigure(line_buffering=True, errors="backslashreplace")  # type: ignore[union-attr]
    try:
        if wants_help:
            print(help_text(options_class, command, module.__doc__ or ""))
            code = None
        else:
            code = main(parse(options_class, arguments))
    except InputError as error:
        sys.exit(fail(str(error)))
    except BrokenPipeError:
        # Whoever read the output has seen enough, like `head`. What is still buffered has nowhere to go.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(EXIT_NOT_READ)
    except OSError as error:
        if error.filename is None or error.strerror is None:
            raise
        sys.exit(fail(f"{os.fsdecode(error.filename)}: {error.strerror}"))
    except Terminated as terminated:
        print(f"terminated; {terminated}", file=sys.stderr)
        sys.exit(EXIT_TERMINATED)
    except KeyboardInterrupt as interrupt:
        print(f"\nstopped; {printable(str(interrupt))}" if str(interrupt) else "\nstopped", file=sys.stderr)
        sys.exit(130)
    sys.exit(code or 0)


def fail(message: str) -> int:
    """Prints one line for the user on standard error; returns the exit code for it."""
    print("error:", printable(message), file=sys.stderr)
    return EXIT_BAD_INPUT
