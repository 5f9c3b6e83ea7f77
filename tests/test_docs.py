"""The documents: their commands run, the flags that they name exist, and their links lead somewhere.

A block whose opening line ends in `run`, like "```sh run" or "```python run", is executed; those of a page in their
order, in one folder. Pages other than README.md find there what its quickstart made. Commands of other blocks are only
looked up.
"""

from __future__ import annotations

import dataclasses
import importlib
import re
import shlex
import shutil
import typing
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from dogcat.core.commands import COMMANDS

ROOT = Path(__file__).parents[1]
README = ROOT / "README.md"
PAGES = [README, *sorted((ROOT / "docs").rglob("*.md"))]
DOCUMENTS = [*PAGES, *(ROOT / name for name in ("BUILD_NOTES.md", "CHANGELOG.md", "WORKSPACE.md"))]

_FENCE = "```"
_RUN = "run"
_OPERATORS = {"|", "||", "&&", ";", ">", "<"}


class Block(NamedTuple):
    """A fenced block of a page.

    Attributes:
        line: Number of its opening line, from 1.
        words: The words behind the opening fence: the language, and `run` where it is executed.
        text: The lines between the fences.
    """

    line: int
    words: list[str]
    text: str

    @property
    def is_run(self) -> bool:
        return _RUN in self.words


def split_blocks(text: str) -> tuple[str, list[Block]]:
    """Splits a page into its prose, with fenced blocks left empty, and these blocks."""
    prose: list[str] = []
    blocks: list[Block] = []
    opened: tuple[int, list[str]] | None = None
    inside: list[str] = []
    for number, line in enumerate(text.splitlines(), 1):
        if not line.startswith(_FENCE):
            (inside if opened else prose).append(line)
            continue
        if opened:
            blocks.append(Block(*opened, "\n".join(inside)))
            opened, inside = None, []
        else:
            opened = number, line[len(_FENCE) :].split()
    assert opened is None, f"the block of line {opened} is not closed"
    return "\n".join(prose), blocks


def shell_lines(text: str) -> list[str]:
    """The lines of a shell block, continued ones joined."""
    lines = text.replace("\\\n", " ").splitlines()
    return [line for line in lines if line.strip() and not line.lstrip().startswith("#")]


def dogcat_commands(block: Block) -> Iterator[list[str]]:
    """The words of each call of `dogcat` in a shell block, pipes and lists of commands taken apart."""
    if block.words[:1] != ["sh"]:
        return
    for line in shell_lines(block.text):
        lexer = shlex.shlex(line, posix=True, punctuation_chars=True)
        lexer.commenters, lexer.whitespace_split = "#", True
        segment: list[str] = []
        for word in [*lexer, ";"]:
            if word not in _OPERATORS:
                segment.append(word)
                continue
            # Variables may be set before a command.
            while segment and re.match(r"\w+=", segment[0]):
                segment.pop(0)
            if segment[:1] == ["dogcat"]:
                yield segment[1:]
            segment = []


def module_of(subcommand: str) -> Any:
    """The module that `dogcat <subcommand>` runs, as `python -m` does."""
    assert subcommand in COMMANDS, f"dogcat {subcommand}: there is no such command"
    return importlib.import_module(COMMANDS[subcommand])


def options_of(module: Any) -> type:
    """The options class of a command: the type of what its `main` takes."""
    hints = typing.get_type_hints(module.main)
    [options_class] = [hint for name, hint in hints.items() if name != "return"]
    return options_class


def check_arguments(subcommand: str, arguments: list[str]) -> None:
    """Asserts that a command has each of these flags, and takes their values where there is a choice."""
    fields = {field.name: field for field in dataclasses.fields(options_of(module_of(subcommand)))}
    for argument in arguments:
        called = f"dogcat {subcommand} {argument}"
        if not argument.startswith("--"):
            assert any(field.metadata["positional"] for field in fields.values()), f"{called}: takes no bare word"
            continue
        name, _, value = argument[2:].partition("=")
        if name in ("help", "helpfull") or (
            name.startswith("no") and isinstance(getattr(fields.get(name[2:]), "default", 0), bool)
        ):
            continue
        assert name in fields, f"{called}: there is no such flag"
        choices = fields[name].metadata["choices"]
        assert not choices or value in choices, f"{called}: use one of {', '.join(choices)}"


def run_command(arguments: list[str]) -> None:
    """Runs `dogcat ARGUMENTS...` in this process, which has TensorFlow already; asserts that it succeeds."""
    subcommand, *rest = arguments
    module = module_of(subcommand)
    code = module.main(module.flags.parse(options_of(module), rest))
    assert not code, f"dogcat {shlex.join(arguments)}: exit code {code}"


def run_blocks(page: Path) -> None:
    """Executes the blocks of a page that are marked to run, in the current folder."""
    names: dict[str, Any] = {"__name__": "documented"}
    for block in split_blocks(page.read_text())[1]:
        if not block.is_run:
            continue
        print(f"{named(page)}:{block.line}")
        if block.words[0] == "python":
            exec(compile(block.text, f"{page}:{block.line}", "exec"), names)
            continue
        commands = list(dogcat_commands(block))
        assert len(commands) == len(shell_lines(block.text)), "only plain calls of dogcat can be marked to run"
        for command in commands:
            run_command(command)


@pytest.fixture(scope="module")
def quickstart(tmp_path_factory) -> Path:
    """A folder in which README.md was followed: data/train, data/test, data/tfrecords and runs/latest, all small."""
    folder = tmp_path_factory.mktemp("quickstart")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("DOGCAT_CACHE", str(tmp_path_factory.mktemp("cache")))
        run_blocks(README)
    return folder


def named(page: Path) -> str:
    return str(page.relative_to(ROOT))


def test_the_quickstart_runs(quickstart):
    assert (quickstart / "runs" / "latest" / "report.html").is_file()
    assert (quickstart / "submission.csv").read_text().startswith("id,label\n")


def is_run(page: Path) -> bool:
    return any(block.is_run for block in split_blocks(page.read_text())[1])


@pytest.mark.parametrize("page", [page for page in PAGES[1:] if is_run(page)], ids=named)
def test_what_is_marked_to_run_runs_after_the_quickstart(page, quickstart, tmp_path, monkeypatch):
    shutil.copytree(quickstart, tmp_path / "work", symlinks=True)
    monkeypatch.chdir(tmp_path / "work")
    monkeypatch.setenv("DOGCAT_CACHE", str(tmp_path / "cache"))
    run_blocks(page)


@pytest.mark.parametrize("document", DOCUMENTS, ids=named)
def test_commands_have_the_flags_that_documents_give_them(document):
    for block in split_blocks(document.read_text())[1]:
        for command in dogcat_commands(block):
            if command and not command[0].startswith("--"):
                check_arguments(command[0], command[1:])


@pytest.mark.parametrize("document", DOCUMENTS, ids=named)
def test_flags_in_the_prose_belong_to_some_command(document):
    known = {"help", "helpfull", "version"}
    for subcommand in COMMANDS:
        known |= {field.name for field in dataclasses.fields(options_of(module_of(subcommand)))}
    prose, _ = split_blocks(document.read_text())
    for span in re.findall(r"`([^`]+)`", prose):
        # Other programs have flags of their own.
        if span.startswith(("--", "dogcat ")):
            for name in re.findall(r"(?<![\w-])--([a-z]\w*)", span):
                assert name in known or name.removeprefix("no") in known, f"`{span}`: no command has --{name}"


def test_every_command_is_in_the_table_of_the_readme():
    listed = re.findall(r"^\| `dogcat ([a-z-]+)`", README.read_text(), re.MULTILINE)
    assert sorted(listed) == sorted(COMMANDS)
    for subcommand in COMMANDS:
        # `dogcat doctor` alone has no options.
        assert dataclasses.fields(options_of(module_of(subcommand))) or subcommand == "doctor"


def anchors(path: Path) -> set[str]:
    """The anchors that GitHub gives the headings of a page."""
    found: dict[str, int] = {}
    anchors: set[str] = set()
    for line in split_blocks(path.read_text())[0].splitlines():
        heading = re.match(r"#{1,6} +(.*)", line)
        if heading:
            slug = re.sub(r"[^\w\- ]", "", heading[1].strip().lower()).replace(" ", "-")
            anchors.add(f"{slug}-{found[slug]}" if slug in found else slug)
            found[slug] = found.get(slug, 0) + 1
    return anchors


@pytest.mark.parametrize("document", DOCUMENTS, ids=named)
def test_links_lead_to_files_and_headings(document):
    prose, _ = split_blocks(document.read_text())
    for target in re.findall(r"\]\(([^)\s]+)\)", prose):
        if re.match(r"[a-z]+:", target):
            continue
        place, _, anchor = target.partition("#")
        path = (document.parent / place).resolve() if place else document
        assert path.exists(), f"{named(document)}: {target} does not exist"
        if anchor:
            assert anchor in anchors(path), f"{named(document)}: {target} is not a heading there"


def test_every_page_is_reached_from_the_index():
    reached = {README}
    new = reached
    while new:
        links = {
            (page.parent / target).resolve()
            for page in new
            for target in re.findall(r"\]\(([^)\s#]+\.md)[^)]*\)", page.read_text())
        }
        new = {page for page in links & set(PAGES) if page not in reached}
        reached |= new
    assert set(PAGES) == reached
