"""The console command `dogcat`: runs a subcommand as `python -m` runs its module."""

from __future__ import annotations

import ast
import importlib.util
import runpy
import sys
from pathlib import Path

import dogcat
from dogcat.core import commands, flags
from dogcat.core.options import InputError
from dogcat.core.text import one_of

_USAGE = """Usage: {program} COMMAND [--flag=value ...]
Tells cats from dogs: pictures become TFRecord shards, which train a network, which predicts pictures.

Commands, in the order of the work:
{table}

{program} COMMAND --help explains a command and its flags, --helpfull all of them; {program} --version the version."""


def main() -> None:
    """Runs the command that the command line names; never returns."""
    program = "dogcat" if Path(sys.argv[0]).name == "dogcat" else "python -m dogcat"
    word = sys.argv[1] if len(sys.argv) > 1 else "--help"
    if word in ("--help", "-h", "-help", "help"):
        print(usage(program))
        sys.exit(0)
    if word == "--version":
        print(f"dogcat {dogcat.__version__}")
        sys.exit(0)
    try:
        module = module_of(word)
    except InputError as error:
        sys.exit(flags.fail(str(error)))
    commands.started_by(program)
    del sys.argv[1]
    runpy.run_module(module, run_name="__main__", alter_sys=True)


def usage(program: str) -> str:
    """The text of --help: the commands with the first line of what each says of itself."""
    longest = max(map(len, commands.COMMANDS))
    table = "\n".join(f"  {name:{longest}}  {summary(name)}" for name in commands.COMMANDS)
    return _USAGE.format(program=program, table=table)


def module_of(command: str) -> str:
    """The module that a subcommand runs.

    Raises:
        InputError: There is no such subcommand.
    """
    name = command.replace("_", "-")
    if name not in commands.COMMANDS:
        if command.startswith("-"):
            raise InputError(f"{command!r}: the command comes first, like dogcat train {command}")
        raise InputError(f"{command!r} is not a command of dogcat; {one_of(name, commands.COMMANDS)}")
    module = commands.COMMANDS[name]
    # A wheel holds the folder `tools` as `dogcat.tools`, so that it takes no other package's name.
    installed = f"dogcat.{module}"
    return installed if module.startswith("tools.") and importlib.util.find_spec("dogcat.tools") else module


def summary(command: str) -> str:
    """The first sentence of a command's own text, read without running it."""
    spec = importlib.util.find_spec(module_of(command))
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError(f"{command}: its module is not installed")
    text = ast.get_docstring(ast.parse(Path(spec.origin).read_text("utf-8"))) or ""
    return text.splitlines()[0].split(": ")[0].rstrip(".")
