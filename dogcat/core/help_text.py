"""The text of --help and --helpfull, made from an options class and the command's own text."""

from __future__ import annotations

import dataclasses
import inspect
import re
import sys
import textwrap
from typing import Any

from dogcat.core import terminal
from dogcat.core.options import Options

_FIRST_HEADING = "Flags"


def positional_field(options_class: type[Options]) -> dataclasses.Field[Any] | None:
    """The field whose value may be a bare word, or several."""
    fields = dataclasses.fields(options_class)  # type: ignore[arg-type]
    return next((field for field in fields if field.metadata["positional"]), None)


def help_text(options_class: type[Options], command: str, about: str, full: bool = False) -> str:
    """What a command does, then flags with what they are when they are not given.

    Args:
        options_class: The command's options class.
        command: How the command is called.
        about: The command's own text: paragraphs.
        full: Whether all flags are there, or those alone that most people need.
    """
    positional = positional_field(options_class)
    more = " ..." if positional and positional.metadata["several"] else ""
    word = f"[{positional.name}{more}] " if positional else ""
    lines = [f"Usage: {command} {word}[--flag=value ...]", ""]
    for paragraph in inspect.cleandoc(about).split("\n\n"):
        lines += [*_wrapped(paragraph), ""]
    groups = _groups(options_class)
    for heading in groups if full else [_FIRST_HEADING]:
        lines.append(terminal.coloured(f"{heading}:", terminal.BOLD, sys.stdout))
        for field in groups[heading]:
            lines += [_flag(field), *_wrapped(_explanation(options_class, field), indent="      ")]
        lines.append("")
    if len(groups) > 1 and not full:
        further = list(groups)[1:]
        count = sum(len(groups[heading]) for heading in further)
        lines += _wrapped(f"--helpfull also has {count} flags under: {', '.join(further)}.")
    return "\n".join(lines).rstrip("\n")


def _groups(options_class: type[Options]) -> dict[str, list[dataclasses.Field[Any]]]:
    """The fields by the heading that they stand under."""
    groups: dict[str, list[dataclasses.Field[Any]]] = {}
    heading = _FIRST_HEADING
    for field in dataclasses.fields(options_class):  # type: ignore[arg-type]
        heading = field.metadata["heading"] or heading
        groups.setdefault(heading, []).append(field)
    return groups


def _flag(field: dataclasses.Field[Any]) -> str:
    name = f"--[no]{field.name}" if isinstance(field.default, bool) else f"--{field.name}"
    return f"  {name}" + (", or as a bare word" if field.metadata["positional"] else "")


def _explanation(options_class: type[Options], field: dataclasses.Field[Any]) -> str:
    choices, bounds = field.metadata["choices"], field.metadata["bounds"]
    one_of = f" One of {', '.join(choices)}." if choices else ""
    numbers = f" Range: {bounds.words()}." if bounds else ""
    default = options_class.said_default(field.name)
    return f"{field.metadata['help']}{one_of}{numbers} Default: {default}."


def _wrapped(text: str, indent: str = "") -> list[str]:
    one_line = re.sub(r"\s+", " ", text)
    return textwrap.wrap(
        one_line, terminal.width(), initial_indent=indent, subsequent_indent=indent, break_on_hyphens=False
    )
