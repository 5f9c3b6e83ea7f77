"""The one place that knows absl: options classes become flags, flags become options.

An entry point is `flags.run(main, SomeOptions)`: it parses the command line, hands `main` the options,
and turns what the user got wrong, and what the machine could not do, into one line and exit code 2.
"""

from __future__ import annotations

import dataclasses
import errno
import logging
import os
import re
import sys
import typing
import warnings
from typing import Any, Callable, NoReturn

from absl import flags

from dogcat.core import commands, help_text, terminal
from dogcat.core.interrupts import Interrupts, Terminated
from dogcat.core.options import AnyOptions, InputError, Options
from dogcat.core.streams import STANDARD_OUTPUT, Output
from dogcat.core.text import shortened

EXIT_BAD_INPUT = 2
# That of sysexits.h for "try again later", so that a scheduler can tell a stopped run from a failed one.
EXIT_TERMINATED = 75
# What a shell gives for a program that SIGPIPE ended.
EXIT_NOT_READ = 141
# What a shell gives for a program that Ctrl-C ended.
EXIT_STOPPED = 130

# What the system refuses without naming a file, and what helps.
_REMEDIES = {
    errno.ENOSPC: "free some space, also of the temporary folder and of /dev/shm",
    errno.EMFILE: "let a process open more files, by ulimit -n",
    errno.EAGAIN: "let a user have more processes, by ulimit -u, or use fewer --workers",
    errno.ENOMEM: "free some memory, or use fewer --workers",
}
# Of TensorFlow's errors those that tell of the machine, a file or another process, and not of a fault in this program.
_TENSORFLOW_ERRORS = (
    *("AbortedError", "AlreadyExistsError", "CancelledError", "DataLossError", "DeadlineExceededError"),
    *("NotFoundError", "PermissionDeniedError", "ResourceExhaustedError", "UnavailableError"),
)

_HELP = ("--help", "-help", "-h")
_HELP_FULL = ("--helpfull", "-helpfull")

# How TensorFlow names an operation, of no use to who wrote no graph.
_OP = re.compile(r"\{\{function_node [^}]*\}\} ?| ?\[Op:[^]]*\]")


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
        if types[field.name] is not str:
            flag = flag_values[field.name]
            flag.parser = _Parser(flag.parser, _wanted(field, types[field.name]))


class _Parser(flags.ArgumentParser):
    """A parser of absl's, with errors that say what would be right."""

    def __init__(self, parser: flags.ArgumentParser, wanted: str) -> None:
        """Takes the parser, and what to use in place of what it does not take."""
        self._parser = parser
        self._wanted = wanted

    def parse(self, argument: Any) -> Any:
        """Gives the value of a flag's text.

        Raises:
            ValueError: It is of another type.
        """
        try:
            return self._parser.parse(argument)
        except (TypeError, ValueError, OverflowError) as error:
            raise ValueError(self._wanted) from error


def _wanted(field: dataclasses.Field[Any], kind: type) -> str:
    """What to use in place of a text that is no value of a field's type."""
    if kind is bool:
        return f"use --{field.name} or --no{field.name}"
    bounds = field.metadata["bounds"]
    numbers = f", {bounds.words(with_example=True)}" if bounds else ""
    return f"use a {'whole number' if kind is int else 'number'}{numbers}"


def parse(options_class: type[AnyOptions], arguments: list[str]) -> AnyOptions:
    """Reads the options from a command line; arguments and errors are those of `given_in`.

    Raises:
        InputError: Also for a value that is out of range.
    """
    return options_class.from_given(given_in(arguments, options_class))


def given_in(arguments: list[str], options_class: type[Options]) -> dict[str, Any]:
    """What a command line gives, by the name of the field.

    Args:
        arguments: The command line without the command's name.
        options_class: The command's options class.

    Raises:
        InputError: A flag is unknown, or its value is of the wrong type, or a word on the command line belongs to no
            flag and is not the one of the positional field.
    """
    flag_values = flags.FlagValues()
    # A word may stand before flags.
    flag_values.set_gnu_getopt()
    define_flags(options_class, flag_values)
    try:
        rest = flag_values(["command", *arguments])[1:]
    except flags.UnrecognizedFlagError as error:
        meant = options_class.meant(error.flagname)
        hint = f"did you mean --{meant}?" if meant else "--helpfull lists those that there are"
        raise InputError(f"--{error.flagname}: there is no such flag; {hint}") from error
    except flags.Error as error:
        raise InputError(_of_absl(error)) from error
    except RecursionError as error:
        # From looking for a flag with a similar name.
        raise InputError("a flag has a name of very many characters; see --help for those that there are") from error
    given = {}
    for field in dataclasses.fields(options_class):  # type: ignore[arg-type]
        if flag_values[field.name].present:
            value = flag_values[field.name].value
            given[field.name] = ",".join(value) if field.metadata["several"] else value
    positional = help_text.positional_field(options_class)
    if rest and positional:
        for word in rest:
            _require_no_flag(options_class, word, positional)
        word = rest.pop(0)
        if positional.name in given:
            raise InputError(f"{word!r} and --{positional.name}={given[positional.name]}: give one of the two")
        given[positional.name] = word
        if positional.metadata["several"]:
            given[positional.name] = ",".join([word, *rest])
            rest = []
    if rest:
        raise InputError(f"{rest[0]!r} belongs to no flag; write --name=value (see --help)")
    return given


def _of_absl(error: flags.Error) -> str:
    """One line of what absl says of a flag's value, or of its lack, in the way of all other errors."""
    said = " ".join(str(error).split())
    if missing := re.fullmatch("Missing value for flag (.*)", said):
        return f"{missing[1]}: needs a value; write {missing[1]}=value"
    return re.sub(r"^flag |^ERROR:: |\[Errno \d+\] ", "", said)


def _require_no_flag(options_class: type[Options], word: str, positional: dataclasses.Field[Any]) -> None:
    """Raises InputError for a bare word that was meant as a flag, like epochs=3: no file is called so."""
    name, equals, value = word.partition("=")
    is_flag = any(field.name == name for field in dataclasses.fields(options_class))  # type: ignore[arg-type]
    flag = name if is_flag else options_class.meant(name) if equals else ""
    if flag and word not in (positional.metadata["choices"] or ()) and not os.path.lexists(word):
        raise InputError(f"{word!r}: did you mean --{flag}{equals}{value}? If not, write --{positional.name}={word}")


def run(
    main: Callable[[AnyOptions], int | None], options_class: type[AnyOptions], must_print: bool = False
) -> NoReturn:
    """Runs a command: `main` with the options of the command line.

    Exit codes: what `main` returns, 0 for None; 2 for input that cannot be used, for what the machine has not got or
    refuses, and where what was printed is lost (one line on standard error, no traceback); 75 for a run that SIGTERM,
    the end of its terminal or that of another process stopped and --resume goes on with, 130 where the user stopped it,
    141 where nobody reads what it prints. Where printing fails the work goes on to its end.

    Args:
        main: What the command does.
        options_class: Its options.
        must_print: Whether what is printed is all that it does; then it ends where nobody can read that.
    """
    arguments = sys.argv[1:]
    output = Output(must_print or any(argument in _HELP + _HELP_FULL for argument in arguments))
    # Libraries warn those who program with them, and name no file; Matplotlib tells of its cache, too.
    warnings.simplefilter("ignore")
    logging.getLogger("matplotlib").setLevel(logging.ERROR)
    with Interrupts() as interrupts:
        try:
            code = call(main, options_class, arguments)
        finally:
            interrupts.leave()
        sys.exit(code or _code_of_lost(output.error))


def call(main: Callable[[AnyOptions], int | None], options_class: type[AnyOptions], arguments: list[str]) -> int:
    """Calls a command, or shows its help, and tells what went wrong; `run` without what concerns the process.

    Args:
        main: What the command does.
        options_class: Its options.
        arguments: The command line without the command's name.

    Returns:
        The exit code.
    """
    try:
        full = any(argument in _HELP_FULL for argument in arguments)
        if full or any(argument in _HELP for argument in arguments):
            module = sys.modules[main.__module__]
            command = commands.spelled_module(module.__spec__.name) if module.__spec__ else "python"
            print(help_text.help_text(options_class, command, module.__doc__ or "", full))
            return 0
        return main(parse(options_class, arguments)) or 0
    except InputError as error:
        return fail(str(error))
    except OSError as error:
        return _code_of_lost(error) if error.filename == STANDARD_OUTPUT else fail(_said_by_system(error))
    except MemoryError as error:
        return fail(f"there is not enough memory{_reason(error)}; free some, or use smaller batches or fewer --workers")
    except RecursionError as error:
        return fail(f"some input is nested too deeply to be read{_reason(error)}; look at the files that were given")
    except UnicodeError as error:
        return fail(f"some text is not in the encoding that it must be in{_reason(error)}; write names in UTF-8")
    except _tensorflow_errors() as error:
        return fail(f"TensorFlow could not go on{_reason(error)}")
    except Terminated as terminated:
        _say(terminated.what + (f"; {terminated}" if str(terminated) else ""))
        return EXIT_TERMINATED
    except KeyboardInterrupt as interrupt:
        _say("stopped" + (f"; {interrupt}" if str(interrupt) else ""), before="\n")
        return EXIT_STOPPED


def _code_of_lost(error: OSError | None) -> int:
    """Tells that what was printed is lost, unless nobody wants it; gives the exit code."""
    if error is None:
        return 0
    if isinstance(error, BrokenPipeError):
        # Whoever read the output has seen enough, like `head`.
        return EXIT_NOT_READ
    return fail(f"{_said_by_system(error)}; what was printed is lost, the files are complete")


def _said_by_system(error: OSError) -> str:
    """What the system refused, with the file's name where it is known."""
    said = error.strerror or str(error) or type(error).__name__
    if error.filename is not None:
        return f"{os.fsdecode(error.filename)}: {said}"
    remedy = _REMEDIES.get(error.errno or 0)
    return f"the system refuses: {said}" + (f"; {remedy}" if remedy else "")


def _tensorflow_errors() -> tuple[type[Exception], ...]:
    """Errors of TensorFlow that tell of what the machine did; none before it is imported."""
    errors = getattr(sys.modules.get("tensorflow"), "errors", None)
    return tuple(getattr(errors, name) for name in _TENSORFLOW_ERRORS) if errors else ()


def _reason(error: Exception) -> str:
    """The first line of a library's words that tells of the error, in brackets."""
    paragraphs = re.split(r"\n\s*\n", str(error).strip())
    # TensorFlow tells first where in a graph the error came ("Graph execution error:", "in user code:"), then which.
    paragraph = paragraphs[-1] if paragraphs[0].endswith(":") else paragraphs[0]
    line = _OP.sub("", paragraph.strip().split("\n", 1)[0])
    return f" ({line})" if line else ""


def fail(message: str) -> int:
    """Prints one line for the user on standard error, of some 300 characters at most; returns the exit code for it."""
    word = "error:"
    line = shortened(f"{word} {message}")
    print(terminal.coloured(word, terminal.RED, sys.stderr) + line[len(word) :], file=sys.stderr)
    return EXIT_BAD_INPUT


def _say(line: str, before: str = "") -> None:
    print(before + shortened(line), file=sys.stderr)
