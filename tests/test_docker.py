"""The Dockerfile against the checkout: what it copies is there and is not kept from it, and what it installs exists."""

from __future__ import annotations

import configparser
import re
import shlex
from pathlib import Path

import pytest
from packaging.specifiers import SpecifierSet

ROOT = Path(__file__).parents[1]
LINES = (ROOT / "docker" / "Dockerfile").read_text().replace("\\\n", " ").splitlines()
IGNORED = [line for line in (ROOT / ".dockerignore").read_text().splitlines() if line and not line.startswith("#")]


def arguments_of(instruction: str) -> list[list[str]]:
    """The words of each line of an instruction."""
    return [shlex.split(line)[1:] for line in LINES if line.split(" ", 1)[0] == instruction]


@pytest.fixture(scope="module")
def setup():
    """What setup.cfg says."""
    parser = configparser.ConfigParser()
    parser.read(ROOT / "setup.cfg")
    return parser


def test_what_is_copied_is_there_and_not_ignored():
    sources = [source for *words, _ in arguments_of("COPY") for source in words]
    for source in sources:
        assert (ROOT / source).exists(), source
    assert IGNORED[0] == "*"
    assert {line[1:] for line in IGNORED if line.startswith("!")} == set(sources)


def test_everything_that_the_wheel_needs_is_copied(setup):
    copied = {source for *words, _ in arguments_of("COPY") for source in words}
    assert {name.partition(".")[0] for name in setup["options"]["packages"].split()} <= copied
    assert set(setup["options"]["package_dir"].split("=")[1].split()) <= copied
    assert {"setup.cfg", "pyproject.toml", setup["metadata"]["license_files"]} <= copied
    assert setup["metadata"]["long_description"].removeprefix("file: ") in copied


def test_the_extras_exist_and_the_default_python_fits(setup):
    given = dict(words[0].split("=") for words in arguments_of("ARG"))
    named = {word.split("=")[1] for line in LINES for word in re.findall(r"EXTRA=\w+", line)}
    assert {given["EXTRA"], "gpu"} | named <= set(setup["options.extras_require"])
    assert SpecifierSet(setup["options"]["python_requires"]).contains(f"{given['PYTHON']}.1")
    assert arguments_of("FROM") == [["python:${PYTHON}-slim"]]
    [install] = [line for line in LINES if "pip install" in line and not line.startswith("#")]
    assert '".[${EXTRA}]"' in install


def test_the_entry_point_is_the_console_command_of_a_user_without_rights(setup):
    assert setup["options.entry_points"]["console_scripts"].split()[0] == "dogcat"
    assert arguments_of("ENTRYPOINT") == [["[dogcat]"]]
    assert arguments_of("USER") == [["1000"]] and any("--uid 1000" in line for line in LINES)
    [volumes] = arguments_of("VOLUME")
    made = next(line for line in LINES if "useradd" in line)
    for folder in re.findall(r"[\w/]+", " ".join(volumes)):
        assert folder in made or folder.startswith("/dogcat/")
    # Options' defaults are folders below the working directory.
    assert arguments_of("WORKDIR")[-1] == ["/dogcat"]
